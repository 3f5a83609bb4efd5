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
    /// URL of the database: postgres://user:password@host:port/database.
    ///
    /// Prefer the environment variable: other users of the machine can read a command line. `?sslmode=verify-full`
    /// requires TLS.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,

    /// The pooler between this process and the database.
    ///
    /// Set `transaction` for PgBouncer with pool_mode=transaction and for the poolers of managed servers. Every
    /// statement then runs in a transaction, and no session state outlives it. A single read then costs two more round
    /// trips than on a direct connection.
    #[arg(long, value_name = "POOLER", env = "DATABASE_POOLER", value_enum, default_value_t = DatabasePooler::None)]
    pub database_pooler: DatabasePooler,

    /// Connections that stay open even when idle.
    ///
    /// More makes the first calls after a quiet time faster; each connection costs the database memory.
    #[arg(long, value_name = "CONNECTIONS", env = "DATABASE_POOL_MIN", default_value_t = 2)]
    pub database_pool_min: u32,

    /// Maximum number of connections that this process opens.
    ///
    /// All processes together must stay below the server's max_connections. More than a few per core of the database
    /// server rarely helps.
    #[arg(long, value_name = "CONNECTIONS", env = "DATABASE_POOL_MAX", default_value_t = 16)]
    pub database_pool_max: u32,

    /// How long a call waits for a free or new connection before it fails with UNAVAILABLE.
    ///
    /// Shorter rejects calls earlier under overload; longer survives short peaks, and a database that is far away or
    /// must start first.
    #[arg(
        long,
        value_name = "DURATION",
        env = "DATABASE_ACQUIRE_TIMEOUT",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub database_acquire_timeout: Duration,

    /// Age at which a connection is closed and replaced.
    ///
    /// Keeps connections spread over a database that fails over or scales out. Lower it if a proxy closes connections
    /// earlier.
    #[arg(
        long,
        value_name = "DURATION",
        env = "DATABASE_MAX_LIFETIME",
        default_value = "30m",
        value_parser = parse_duration
    )]
    pub database_max_lifetime: Duration,

    /// How long a connection above the minimum may be idle before it is closed.
    ///
    /// Lower it if connections are scarce; raise it if bursts come at long intervals.
    #[arg(
        long,
        value_name = "DURATION",
        env = "DATABASE_IDLE_TIMEOUT",
        default_value = "10m",
        value_parser = parse_duration
    )]
    pub database_idle_timeout: Duration,

    /// Idle time after which the kernel probes a connection to the database, and the time between two probes (TCP
    /// keepalive).
    ///
    /// Detects a server that disappears while a statement runs. Raise it on a network that bills by packets.
    #[arg(
        long,
        value_name = "DURATION",
        env = "DATABASE_KEEPALIVE",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub database_keepalive: Duration,

    /// How long data or a probe may stay unacknowledged before a connection to the database is closed
    /// (TCP_USER_TIMEOUT).
    ///
    /// The server is asked to do the same. Raise it if the network can be down for longer and recover.
    #[arg(
        long,
        value_name = "DURATION",
        env = "DATABASE_TCP_USER_TIMEOUT",
        default_value = "15s",
        value_parser = parse_duration
    )]
    pub database_tcp_user_timeout: Duration,
}

/// The pooler between a process and the database.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabasePooler {
    /// No pooler, or one that gives each connection a server session of its own.
    None,
    /// A pooler that assigns a server session to a connection for one transaction at a time.
    Transaction,
}

impl DatabaseConfig {
    /// Refuses settings with which the pool cannot work.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let options = self.database_url.options()?;
        if self.database_pooler == DatabasePooler::Transaction && options.get_options().is_some() {
            let problem = "`options` (or PGOPTIONS) need a session, which a transaction pooler does not provide";
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
        // The kernel takes keepalive in seconds up to 32,767 and the user timeout in milliseconds (tcp(7)).
        span("database-keepalive", self.database_keepalive, Duration::from_secs(1), Duration::from_secs(32_767))?;
        let most = Duration::from_millis(i32::MAX as u64);
        span("database-tcp-user-timeout", self.database_tcp_user_timeout, Duration::from_secs(1), most)
    }
}
