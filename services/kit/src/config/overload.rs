//! How much is done at one time.

use clap::Args;

use super::ConfigError;
use super::checks::{at_least, at_most};
use super::units::parse_bytes;

/// How many calls a process has under way at one time, and what they may make it hold. Further ones are
/// RESOURCE_EXHAUSTED, with the time after which to come back.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Overload")]
pub struct OverloadConfig {
    /// Most calls under way in this process that are not streams; further ones are RESOURCE_EXHAUSTED at once.
    /// Default: 4 for each connection of --database-pool-max, and at least 64.
    ///
    /// A call counts from the moment at which its message has arrived until it is answered; calls that wait for a
    /// connection to the database count. More lets more callers wait, each for longer; fewer turns them away earlier.
    /// Health and reflection are always answered.
    #[arg(long, value_name = "CALLS", env = "ORRERY_MAX_CONCURRENT_CALLS")]
    pub max_concurrent_calls: Option<usize>,

    /// Most streams open in this process, read and written; further ones are RESOURCE_EXHAUSTED at once.
    ///
    /// An open stream may hold a few MiB: two pages, or the chunks of a write that wait for their commit. A reader
    /// that stops holds its stream until its deadline.
    #[arg(long, value_name = "STREAMS", env = "ORRERY_MAX_OPEN_STREAMS", default_value_t = 256)]
    pub max_open_streams: usize,

    /// What one connection may hold of these bounds, in percent: of calls, of streams and of bytes.
    ///
    /// A unary call beyond it waits until another one of its connection is answered; a stream is RESOURCE_EXHAUSTED.
    /// Raise it where one client, or one proxy that gathers many, is all there is; lower it where many share the
    /// process.
    #[arg(long, value_name = "PERCENT", env = "ORRERY_CONNECTION_SHARE", default_value_t = 25, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub connection_share: u8,

    /// Most bytes of messages that are held for callers: received and not worked off yet, or answered and not taken
    /// yet. Chunks of a write count decoded until they are committed; from half of it on, a write takes no further
    /// chunk before.
    ///
    /// Who would send more waits for two seconds and is then RESOURCE_EXHAUSTED. From half of it on, a caller has two
    /// seconds for a message in place of --transfer-timeout. A message takes about twice its size while it is decoded.
    #[arg(long, value_name = "BYTES", env = "ORRERY_MAX_HELD_BYTES", default_value = "128MiB", value_parser = parse_bytes)]
    pub max_held_bytes: usize,
}

/// Calls for each connection to the database: the one that works, and those that wait, so that no connection waits for
/// calls.
const CALLS_PER_CONNECTION: usize = 4;
/// Where the pool is small, calls that share a statement or only wait are not what is scarce.
const LEAST_CALLS: usize = 64;

impl OverloadConfig {
    /// The bound on calls that are not streams, for a pool of so many connections.
    pub fn calls(&self, pool_max: u32) -> usize {
        let of_pool = (pool_max as usize).saturating_mul(CALLS_PER_CONNECTION).max(LEAST_CALLS);
        self.max_concurrent_calls.unwrap_or(of_pool)
    }

    /// Refuses bounds under which nothing could be done.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("max-concurrent-calls", self.max_concurrent_calls.unwrap_or(1), 1)?;
        at_least("max-open-streams", self.max_open_streams, 1)?;
        at_least("connection-share", self.connection_share, 1)?;
        at_most("connection-share", usize::from(self.connection_share), 100)?;
        at_least("max-held-bytes", self.max_held_bytes, 4 << 20)
    }
}
