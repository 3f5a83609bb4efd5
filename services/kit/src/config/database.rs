//! The database and the pool of connections to it.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::checks::{at_least, not_zero, span};
use super::units::parse_duration;
use super::{ConfigError, DatabaseUrl};

/// The database and the pool of connections to it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseConfig {
    /// Where the database is: postgres://user:password@host:port/database.
    ///
    /// Prefer the environment variable: other users of the machine can read a command line. `?sslmode=verify-full` asks for TLS.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,

    /// What stands between this process and the database.
    ///
    /// Name a transaction pooler (PgBouncer with pool_mode=transaction, and the poolers of managed servers): every statement then runs in
    /// a transaction and nothing outlives it, which costs a single read two more round trips, against a session per connection otherwise.
    #[arg(long, value_name = "POOLER", env = "DATABASE_POOLER", value_enum, default_value_t = DatabasePooler::None)]
    pub database_pooler: DatabasePooler,

    /// Connections that are kept open even when nothing happens.
    ///
    /// More makes a burst after a quiet time faster; each costs the database memory.
    #[arg(long, value_name = "CONNECTIONS", env = "DATABASE_POOL_MIN", default_value_t = 2)]
    pub database_pool_min: u32,

    /// Most connections that this process opens.
    ///
    /// All processes together must stay under the server's max_connections. More than a few per core of the database seldom helps.
    #[arg(long, value_name = "CONNECTIONS", env = "DATABASE_POOL_MAX", default_value_t = 16)]
    pub database_pool_max: u32,

    /// How long a call waits for a connection, a free one or a new one, before it fails with UNAVAILABLE.
    ///
    /// Shorter sheds load earlier; longer rides out short peaks, and a database that is far away or wakes from sleep.
    #[arg(long, value_name = "DURATION", env = "DATABASE_ACQUIRE_TIMEOUT", default_value = "5s", value_parser = parse_duration)]
    pub database_acquire_timeout: Duration,

    /// Age at which a connection is replaced by a new one.
    ///
    /// Keeps connections spread over a database that fails over or scales; lower it where a proxy closes them earlier.
    #[arg(long, value_name = "DURATION", env = "DATABASE_MAX_LIFETIME", default_value = "30m", value_parser = parse_duration)]
    pub database_max_lifetime: Duration,

    /// How long a connection above the minimum may idle before it is closed.
    ///
    /// Lower it where connections are scarce, raise it where bursts come at long intervals.
    #[arg(long, value_name = "DURATION", env = "DATABASE_IDLE_TIMEOUT", default_value = "10m", value_parser = parse_duration)]
    pub database_idle_timeout: Duration,

    /// Quiet time after which the kernel probes a connection to the database, and time between two probes (TCP keepalive).
    ///
    /// Finds a server that vanished without a word while a statement ran there. Raise it on a line that is billed by packets.
    #[arg(long, value_name = "DURATION", env = "DATABASE_KEEPALIVE", default_value = "5s", value_parser = parse_duration)]
    pub database_keepalive: Duration,

    /// How long what was sent, or a probe, may stay unacknowledged before a connection to the database is given up (TCP_USER_TIMEOUT).
    ///
    /// The server is asked to do the same. Raise it where the network is known to be silent for longer and to come back.
    #[arg(long, value_name = "DURATION", env = "DATABASE_TCP_USER_TIMEOUT", default_value = "15s", value_parser = parse_duration)]
    pub database_tcp_user_timeout: Duration,
}

/// What stands between a process and the database.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabasePooler {
    /// Nothing, or what gives each connection a server session of its own.
    None,
    /// A pooler that gives a connection a server session for one transaction at a time.
    Transaction,
}

impl DatabaseConfig {
    /// Refuses what the pool could not work with.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let options = self.database_url.options()?;
        if self.database_pooler == DatabasePooler::Transaction && options.get_options().is_some() {
            let problem = "`options` (or PGOPTIONS) belong to a session, and there is none behind a transaction pooler";
            return Err(ConfigError::new("database-url", problem));
        }
        at_least("database-pool-max", self.database_pool_max, 1)?;
        if self.database_pool_min > self.database_pool_max {
            let (min, max) = (self.database_pool_min, self.database_pool_max);
            let problem = format!("{min} is more than --database-pool-max, {max}");
            return Err(ConfigError::new("database-pool-min", problem));
        }
        not_zero("database-acquire-timeout", self.database_acquire_timeout)?;
        not_zero("database-max-lifetime", self.database_max_lifetime)?;
        not_zero("database-idle-timeout", self.database_idle_timeout)?;
        // The kernel counts the one in seconds up to 32,767, the other in milliseconds (tcp(7)).
        span("database-keepalive", self.database_keepalive, Duration::from_secs(1), Duration::from_secs(32_767))?;
        let most = Duration::from_millis(i32::MAX as u64);
        span("database-tcp-user-timeout", self.database_tcp_user_timeout, Duration::from_secs(1), most)
    }
}
