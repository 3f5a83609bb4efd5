//! The worker of a process: it starts the procedures whose time has come, takes executions and runs them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::execution::{self, Held, Taken};
use super::procedure::{Job, Next, Run};
use super::{Shared, parameters::Parameters, schedule};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};

/// How long a step may take, with all that it asks other services for.
const STEP_TIMEOUT: Duration = Duration::from_mins(10);
/// How long the statements of the worker itself may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that stops waits to give an execution back.
const RELEASE_PATIENCE: Duration = Duration::from_millis(500);

/// The pause after the first failed attempt. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Most attempts in a row that fail because something is unavailable: with these pauses, more than a day.
const TRANSIENT_ATTEMPTS: i32 = 1_500;
/// Most attempts in a row that fail for another reason.
const OTHER_ATTEMPTS: i32 = 5;

/// Most workers in a row that end in the middle of one step. A step that ends its process each time must not go on to
/// do so: the calls that the process serves end with it.
const MOST_INTERRUPTIONS: i32 = 10;

/// Whether an attempt failed because something is not available now. Such an execution waits until it is.
pub fn is_transient(error: &Error) -> bool {
    matches!(
        error,
        Error::DatabaseUnavailable(_)
            | Error::DependencyUnavailable { .. }
            | Error::DeadlineExceeded
            | Error::Draining
            | Error::Overloaded
            | Error::TransactionConflict(_)
            | Error::PlanOutdated(_)
    )
}

/// Most attempts in a row that fail with this error.
fn most_attempts(error: &Error) -> i32 {
    match error {
        error if is_transient(error) => TRANSIENT_ATTEMPTS,
        // Another attempt would say the same.
        Error::Invalid(_) | Error::NotFound { .. } => 1,
        _ => OTHER_ATTEMPTS,
    }
}

/// The pause after so many failed attempts, give or take a quarter; `None` if there is no further attempt.
fn pause_after(attempts: i32, most: i32) -> Option<Duration> {
    if attempts >= most {
        return None;
    }
    let doubled = 2_u32.saturating_pow(u32::try_from(attempts - 1).unwrap_or_default().min(16));
    Some(FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE).mul_f64(0.75 + rand::random::<f64>() / 2.0))
}

/// Works until `shutdown`, and then gives back what it holds.
pub(super) async fn work(shared: Arc<Shared>, shutdown: CancellationToken) {
    let settings = shared.settings;
    if settings.procedure_workers == 0 || shared.procedures.is_empty() {
        return;
    }
    let mut running = JoinSet::new();
    let mut has_defaults = false;
    let mut was_available = true;
    loop {
        let round = async {
            if !has_defaults {
                schedule::set_defaults(&shared, Deadline::after(PATIENCE)).await?;
                has_defaults = true;
            }
            schedule::start_due(&shared, Deadline::after(PATIENCE)).await?;
            while running.len() < settings.procedure_workers && !shutdown.is_cancelled() {
                let names = shared.names();
                let lease = settings.procedure_lease;
                let taken = execution::take(&shared.context, &names, lease, Deadline::after(PATIENCE)).await?;
                let Some(taken) = taken else { break };
                let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
                running.spawn(async move { run(&shared, taken, &shutdown).await });
            }
            Ok::<(), Error>(())
        };
        // A database that does not answer must not keep the process from ending.
        let Some(round) = shutdown.run_until_cancelled(round).await else { break };
        match round {
            Ok(()) => was_available = true,
            Err(error) => {
                let cause = std::error::Error::source(&error);
                if was_available {
                    tracing::warn!(%error, ?cause, "procedures are not run for now");
                }
                was_available = false;
            }
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = running.join_next(), if !running.is_empty() => {}
            () = shared.woken.notified() => {}
            // Processes of a service that were started together do not look together.
            () = tokio::time::sleep(settings.procedure_poll_interval.mul_f64(0.75 + rand::random::<f64>() / 2.0)) => {}
        }
    }
    while running.join_next().await.is_some() {}
}

/// Runs an execution until it ends or pauses, or another worker has it.
async fn run(shared: &Shared, mut taken: Taken, shutdown: &CancellationToken) {
    let (lease, held) = (shared.settings.procedure_lease, taken.clone());
    let (uid, procedure) = (taken.uid.clone(), taken.procedure.clone());
    tracing::debug!(uid, procedure, step = taken.position.step, cursor = taken.position.cursor, "taken");
    let outcome = tokio::select! {
        biased;
        () = std::future::ready(()), if taken.interruptions >= MOST_INTERRUPTIONS => Outcome::Interrupted,
        outcome = steps(shared, &mut taken, lease) => outcome,
        lost = hold(shared, &held, lease) => match lost {
            Held::Cancelled => Outcome::Cancelled,
            _ => Outcome::Lost,
        },
        () = shutdown.cancelled() => Outcome::Stopped,
    };
    let context = &shared.context;
    let recorded = match outcome {
        Outcome::Done => {
            tracing::info!(uid, procedure, "a procedure has ended");
            Ok(())
        }
        Outcome::Paused => Ok(()),
        Outcome::Lost => {
            tracing::info!(uid, procedure, "another process continues the procedure");
            Ok(())
        }
        Outcome::Cancelled => taken.cancelled(context, PATIENCE).await,
        Outcome::Stopped => taken.release(context, RELEASE_PATIENCE).await,
        Outcome::Interrupted => {
            let error = format!("{} workers in a row ended in the middle of this step", taken.interruptions);
            tracing::error!(uid, procedure, error, "a procedure has failed");
            taken.failed(context, taken.attempts, &error, None, PATIENCE).await
        }
        Outcome::Failed(error) => {
            let attempts = taken.attempts.saturating_add(1);
            let pause = pause_after(attempts, most_attempts(&error));
            log_failure(&taken, attempts, &error, pause);
            taken.failed(context, attempts, &told(&error), pause, PATIENCE).await
        }
    };
    if let Err(error) = recorded {
        // Then its lease passes, and another worker takes it.
        tracing::debug!(uid, procedure, %error, "an execution was not given back");
    }
}

/// An error as the execution shows it: without causes, which only the log has, but with the names of fields.
fn told(error: &Error) -> String {
    match error {
        Error::Invalid(violations) => {
            let told = |violation: &Violation| format!("{}: {}", violation.field, violation.description);
            violations.iter().map(told).collect::<Vec<_>>().join("; ")
        }
        error => error.to_string(),
    }
}

fn log_failure(taken: &Taken, attempts: i32, error: &Error, pause: Option<Duration>) {
    let Taken { uid, procedure, .. } = taken;
    let cause = std::error::Error::source(error);
    if let Some(pause) = pause {
        tracing::warn!(uid, procedure, attempts, ?pause, %error, ?cause, "a step will be tried again");
    } else {
        tracing::error!(uid, procedure, attempts, %error, ?cause, "a procedure has failed");
    }
}

/// How the work of this process on an execution ended.
enum Outcome {
    /// The execution has succeeded.
    Done,
    /// It continues after a pause.
    Paused,
    /// Another worker has it.
    Lost,
    /// It is to be cancelled.
    Cancelled,
    /// The process stops.
    Stopped,
    /// Too many workers have ended in the middle of its step.
    Interrupted,
    /// An attempt has failed.
    Failed(Error),
}

/// Does one step after the other.
async fn steps(shared: &Shared, taken: &mut Taken, lease: Duration) -> Outcome {
    let mut run = match begin(shared, taken) {
        Ok(run) => run,
        Err(error) => return Outcome::Failed(error),
    };
    loop {
        let step = AssertUnwindSafe(step(shared, run.as_mut(), taken, lease)).catch_unwind();
        match step.await {
            Ok(Ok(Held::Yes(Next::Step(position)))) => {
                taken.position = position;
                taken.attempts = 0;
            }
            Ok(Ok(Held::Yes(Next::After(..)))) => return Outcome::Paused,
            Ok(Ok(Held::Yes(Next::Done(_)))) => return Outcome::Done,
            Ok(Ok(Held::Cancelled)) => return Outcome::Cancelled,
            Ok(Ok(Held::No)) => return Outcome::Lost,
            Ok(Err(error)) => return Outcome::Failed(error),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                return Outcome::Failed(Error::internal(text.unwrap_or_else(|| "a step panicked".to_owned())));
            }
        }
    }
}

fn begin(shared: &Shared, taken: &Taken) -> Result<Box<dyn Run>, Error> {
    let procedure = shared.procedure(&taken.procedure)?;
    let parameters = Parameters::of_stored(procedure.parameters(), &taken.parameters)?;
    procedure.begin(&Job { execution_uid: taken.uid.clone(), parameters })
}

async fn step(shared: &Shared, run: &mut dyn Run, taken: &Taken, lease: Duration) -> Result<Held<Next>, Error> {
    let deadline = Deadline::after(STEP_TIMEOUT);
    let step = tokio::time::timeout(STEP_TIMEOUT, run.step(&taken.position)).await;
    let step = step.unwrap_or(Err(Error::DeadlineExceeded))?;
    taken.commit(&shared.context, &step.0, lease, deadline).await
}

/// Holds the lease while steps run. Returns when the execution is to be cancelled or another worker has it.
async fn hold(shared: &Shared, taken: &Taken, lease: Duration) -> Held<()> {
    loop {
        tokio::time::sleep(lease / 3).await;
        match taken.extend(&shared.context, lease).await {
            Ok(Held::Yes(())) => {}
            Ok(lost) => return lost,
            // If it stays so, the lease passes, and the next commit finds out.
            Err(error) => tracing::debug!(uid = taken.uid, %error, "a lease was not extended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(most: i32) -> Vec<Duration> {
        (1..).map_while(|attempts| pause_after(attempts, most)).collect()
    }

    #[test]
    fn pauses_grow_to_a_minute_and_end_at_a_cap() {
        let pauses = pauses(TRANSIENT_ATTEMPTS);
        assert_eq!(pauses.len(), 1_499);
        for (at, pause) in pauses.iter().enumerate() {
            let seconds = 2_f64.powi(i32::try_from(at).unwrap_or(i32::MAX).min(16)).min(60.0);
            assert!((0.75..=1.25).contains(&(pause.as_secs_f64() / seconds)), "{at}: {pause:?}");
        }
        assert!(pauses.iter().sum::<Duration>() > Duration::from_hours(24) * 3 / 4);
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        assert_eq!(pauses(most_attempts(&Error::internal("a fault"))).len(), 4);
        assert_eq!(pauses(most_attempts(&Error::invalid("parameters.zone", "is unknown"))).len(), 0);
        assert_eq!(pauses(most_attempts(&Error::Draining)).len(), 1_499);
    }
}
