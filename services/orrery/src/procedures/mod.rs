//! `orrery procedures`: runs, watches, cancels and schedules the background work of a service, and lists what it found.
//! An ordinary client of `orrery.procedures.v1.ProceduresService`.

mod cancel;
mod executions;
mod list;
mod orphans;
mod parameters;
mod progress;
mod run;
mod schedule;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::client::{RetryingClient, ServiceAddress};
use crate::progress::print_retry;

/// The client of the service.
type ProceduresClient = RetryingClient<ProceduresServiceClient<Channel>>;

/// The options of `orrery procedures`.
#[derive(Debug, Args)]
pub struct ProceduresCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the procedures of a service with their schedules and parameters. Without a service: of all three, at their
    /// default addresses.
    List(list::ListOptions),
    /// Lists the latest executions of procedures, the newest first. Without a service: of all three, at their default
    /// addresses.
    Executions(executions::ExecutionsOptions),
    /// Runs a procedure and prints the uid of its execution.
    ///
    /// The service runs it in the background. If an execution of the same procedure runs already, the new one waits for
    /// its end.
    #[command(after_help = run::AFTER_HELP)]
    Run(run::RunOptions),
    /// Shows an execution until it ends, then prints its result.
    ///
    /// The progress is printed to standard error: as a bar on a terminal, otherwise as a line for each change. Whoever
    /// stops watching does not stop the execution.
    #[command(after_help = watch::AFTER_HELP)]
    Watch(watch::WatchOptions),
    /// Cancels an execution. What its steps have committed stays.
    Cancel(cancel::CancelOptions),
    /// Sets when a procedure runs by itself.
    ///
    /// The whole schedule is replaced: a jitter and parameters that are not given are removed. The next run is one
    /// interval from now.
    #[command(after_help = "\
Examples:
  orrery procedures schedule detect_orphans --every 1h --jitter 5m dry_run=true --catalog
  orrery procedures schedule detect_orphans --off --orders 10.0.0.7:50052")]
    Schedule(schedule::ScheduleOptions),
    /// Lists the orphans of a service: uids that its rows refer to although nothing has them.
    #[command(after_help = orphans::AFTER_HELP)]
    Orphans(orphans::OrphansOptions),
}

/// How long to try.
#[derive(Args, Clone, Copy, Debug)]
struct PatienceOptions {
    /// How long to keep trying while the service cannot be reached, in seconds. For a service that was never reached: 5
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

impl PatienceOptions {
    fn give_up_after(self) -> Duration {
        Duration::from_secs(self.patience)
    }

    fn client(self, address: ServiceAddress) -> ProceduresClient {
        RetryingClient::new(address, self.give_up_after(), ProceduresServiceClient::new)
    }
}

/// Runs `orrery procedures`.
pub async fn run(command: ProceduresCommand) -> anyhow::Result<ExitCode> {
    match command.action {
        Action::List(options) => list::run(options).await,
        Action::Executions(options) => executions::run(options).await,
        Action::Run(options) => run::run(options).await,
        Action::Watch(options) => watch::run(options).await,
        Action::Cancel(options) => cancel::run(options).await,
        Action::Schedule(options) => schedule::run(options).await,
        Action::Orphans(options) => orphans::run(options).await,
    }
}

/// Tells that a call is tried again, where there is no bar.
fn waiting(status: &Status, wait: Duration) {
    print_retry(&ProgressBar::hidden(), status, wait);
}
