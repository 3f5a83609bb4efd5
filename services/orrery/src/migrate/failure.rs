//! Why an attempt to migrate failed, and when to try again.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::database;

/// SQLSTATEs after which a migration is tried again: lock not available, and deadlock detected.
const WORTH_RETRYING: [&str; 2] = ["55P03", "40P01"];
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A lock was not available: try again.
    Busy(String),
    /// Trying again does not help.
    Final(anyhow::Error),
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy(reason) => Self::msg(reason),
            Failure::Final(error) => error,
        }
    }
}

/// An error of the database at a place of a file.
pub(super) fn failure(error: &sqlx::Error, place: &str) -> Failure {
    let reason = format!("{place}: {}", database::reason(error));
    if database::sql_state(error).is_some_and(|state| WORTH_RETRYING.contains(&state.as_str())) {
        return Failure::Busy(reason);
    }
    Failure::Final(anyhow::anyhow!(reason))
}

/// When to try again.
pub(super) struct Retries {
    total: Duration,
    deadline: Instant,
    pause: Duration,
}

impl Retries {
    pub(super) fn new(total: Duration) -> Self {
        Self { total, deadline: Instant::now() + total, pause: MIN_PAUSE }
    }

    /// Pauses after an attempt that is worth another one.
    ///
    /// # Errors
    /// The failure is final, or the time is over.
    pub(super) async fn pause_after(&mut self, failure: Failure, tell: &mut impl FnMut(&str)) -> anyhow::Result<()> {
        let reason = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Busy(reason) => reason,
        };
        if Instant::now() + self.pause >= self.deadline {
            bail!("{reason}; gave up after {} s", self.total.as_secs());
        }
        tell(&format!("{reason}; trying again in {} ms", self.pause.as_millis()));
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.5..1.0))).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Ok(())
    }
}
