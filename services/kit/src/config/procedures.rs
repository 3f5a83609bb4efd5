//! Background procedures.

use std::time::Duration;

use clap::Args;

use super::ConfigError;
use super::checks::{at_most, span};
use super::units::parse_duration;

/// Background procedures: what this process does of them.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Procedures")]
pub struct ProceduresConfig {
    /// Maximum number of procedures that this process runs at the same time. With 0 it runs none; its RPCs still accept
    /// them, for other processes of the service.
    #[arg(long, value_name = "WORKERS", env = "ORRERY_PROCEDURE_WORKERS", default_value_t = 2)]
    pub procedure_workers: usize,

    /// How often the process looks for procedures to run.
    ///
    /// A procedure that a call of this process asks for begins at once. Each look takes two short statements.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_PROCEDURE_POLL_INTERVAL",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub procedure_poll_interval: Duration,

    /// How long a process holds a procedure without a sign of life. Then another process continues it.
    ///
    /// The process extends the lease three times as often. A shorter lease makes up for a lost process sooner; a
    /// process that pauses for longer, for example because its machine is busy, loses the procedure.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_PROCEDURE_LEASE",
        default_value = "30s",
        value_parser = parse_duration
    )]
    pub procedure_lease: Duration,
}

impl ProceduresConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        at_most("procedure-workers", self.procedure_workers, 64)?;
        let (tick, second, hour) = (Duration::from_millis(10), Duration::from_secs(1), Duration::from_hours(1));
        span("procedure-poll-interval", self.procedure_poll_interval, tick, hour)?;
        span("procedure-lease", self.procedure_lease, second, hour)
    }
}
