//! The replica that may serve reads.

use std::time::Duration;

use clap::Args;

use super::checks::timeout;
use super::units::parse_duration;
use super::{ConfigError, DatabaseUrl};

/// The replica that may serve reads.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Replica")]
pub struct ReplicaConfig {
    /// URL of a streaming replica: postgres://user:password@host:port/database. Default: none.
    ///
    /// It serves reads with the metadata `x-consistency: eventual`; while it cannot, the database itself serves them.
    /// It must be one replica, not several behind one address: its replay position is asked once for all calls. Its
    /// pool is as large as the database's.
    #[arg(long, value_name = "URL", env = "DATABASE_REPLICA_URL", hide_env_values = true)]
    pub database_replica_url: Option<DatabaseUrl>,

    /// How long an eventual read waits until the replica has replayed the position in its metadata (`x-min-lsn`).
    ///
    /// After that, or after half of the time left until its deadline, the database itself serves the read. Longer keeps
    /// reads that closely follow a write away from the database; shorter bounds the delay that a replica which has
    /// fallen behind adds.
    #[arg(
        long,
        value_name = "DURATION",
        env = "DATABASE_REPLICA_WAIT",
        default_value = "1s",
        value_parser = parse_duration
    )]
    pub database_replica_wait: Duration,
}

impl ReplicaConfig {
    /// Refuses a URL or a wait that cannot be used.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.database_replica_url {
            url.options().map_err(|error| ConfigError { flag: "database-replica-url", ..error })?;
        }
        timeout("database-replica-wait", self.database_replica_wait)
    }
}
