//! The replica that reads may come from.

use std::time::Duration;

use clap::Args;

use super::checks::timeout;
use super::units::parse_duration;
use super::{ConfigError, DatabaseUrl};

/// The replica that reads may come from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Replica")]
pub struct ReplicaConfig {
    /// Where a streaming replica of the database is: postgres://user:password@host:port/database. Default: none.
    ///
    /// Reads whose metadata says `x-consistency: eventual` go there, and to the database itself while the replica cannot serve them. It
    /// has to be one replica, not several behind one address: how far it has replayed is asked once for all calls. Its pool is as large as
    /// the database's.
    #[arg(long, value_name = "URL", env = "DATABASE_REPLICA_URL", hide_env_values = true)]
    pub database_replica_url: Option<DatabaseUrl>,

    /// How long an eventual read waits for the replica to replay the position that its metadata names (`x-min-lsn`).
    ///
    /// After that, or after half of what is left of its deadline, it is served by the database itself. Longer spares that the reads which
    /// follow a write closely; shorter bounds what a replica that has fallen behind costs them.
    #[arg(long, value_name = "DURATION", env = "DATABASE_REPLICA_WAIT", default_value = "1s", value_parser = parse_duration)]
    pub database_replica_wait: Duration,
}

impl ReplicaConfig {
    /// Refuses what cannot be connected to or waited for.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.database_replica_url {
            url.options().map_err(|error| ConfigError { flag: "database-replica-url", ..error })?;
        }
        timeout("database-replica-wait", self.database_replica_wait)
    }
}
