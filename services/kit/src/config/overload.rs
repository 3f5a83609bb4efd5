//! The limits of concurrent work.

use clap::Args;

use super::ConfigError;
use super::checks::{at_least, at_most};
use super::units::parse_bytes;

/// The limits of concurrent calls, and of the memory they hold. Calls beyond them fail with RESOURCE_EXHAUSTED and the
/// time after which to retry.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Overload")]
pub struct OverloadConfig {
    /// Maximum number of concurrent calls that are not streams. Further calls fail with RESOURCE_EXHAUSTED at once.
    /// Default: 4 for each connection of --database-pool-max, and at least 64.
    ///
    /// A call counts from the arrival of its message until its answer, also while it waits for a database connection.
    /// With a higher limit more callers wait, each for longer; with a lower one they are rejected earlier. Health and
    /// reflection are always answered.
    #[arg(long, value_name = "CALLS", env = "ORRERY_MAX_CONCURRENT_CALLS")]
    pub max_concurrent_calls: Option<usize>,

    /// Maximum number of open streams, for reading and writing together. Further streams fail with RESOURCE_EXHAUSTED
    /// at once.
    ///
    /// An open stream may hold a few MiB: two pages, or the chunks of a write that wait for their commit. A reader that
    /// stops reading keeps its stream until its deadline.
    #[arg(long, value_name = "STREAMS", env = "ORRERY_MAX_OPEN_STREAMS", default_value_t = 256)]
    pub max_open_streams: usize,

    /// The share of these limits that one connection may use, in percent: of calls, of streams and of bytes.
    ///
    /// A unary call beyond it waits until another call of the connection is answered; a stream fails with
    /// RESOURCE_EXHAUSTED. Raise it if there is only one client, or one proxy for many clients; lower it if many
    /// clients share the process.
    #[arg(
        long,
        value_name = "PERCENT",
        env = "ORRERY_CONNECTION_SHARE",
        default_value_t = 25,
        value_parser = clap::value_parser!(u8).range(1..=100)
    )]
    pub connection_share: u8,

    /// Maximum memory for messages: received and not processed yet, or sent and not read yet. Chunks of a write count,
    /// decoded, until they are committed; while more than half is used, a write accepts no further chunk before that.
    ///
    /// A caller that sends more waits for two seconds and then gets RESOURCE_EXHAUSTED. While more than half is used, a
    /// caller has two seconds for a message in place of --transfer-timeout. A message takes about twice its size while
    /// it is decoded.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_MAX_HELD_BYTES",
        default_value = "128MiB",
        value_parser = parse_bytes
    )]
    pub max_held_bytes: usize,
}

/// Calls per database connection: one that works and some that wait, so that no connection is idle.
const CALLS_PER_CONNECTION: usize = 4;
/// The minimum with a small pool: many calls share a statement or only wait, so the pool does not limit them.
const MIN_CALLS: usize = 64;

impl OverloadConfig {
    /// The limit of calls that are not streams, for a pool of this size.
    pub fn calls(&self, pool_max: u32) -> usize {
        let of_pool = (pool_max as usize).saturating_mul(CALLS_PER_CONNECTION).max(MIN_CALLS);
        self.max_concurrent_calls.unwrap_or(of_pool)
    }

    /// Refuses limits that are too low to work with.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("max-concurrent-calls", self.max_concurrent_calls.unwrap_or(1), 1)?;
        at_least("max-open-streams", self.max_open_streams, 1)?;
        at_least("connection-share", self.connection_share, 1)?;
        at_most("connection-share", usize::from(self.connection_share), 100)?;
        at_least("max-held-bytes", self.max_held_bytes, 4 << 20)
    }
}
