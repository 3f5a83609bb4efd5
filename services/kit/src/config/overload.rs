//! How much is done at one time.

use clap::Args;

use super::ConfigError;
use super::checks::at_least;

/// How many calls a process has under way at one time. Further ones are RESOURCE_EXHAUSTED at once, with the time after which to come back.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Overload")]
pub struct OverloadConfig {
    /// Most calls under way in this process that are not streams; further ones are RESOURCE_EXHAUSTED at once. Default: 4 for each connection
    /// of --database-pool-max, and at least 64.
    ///
    /// Calls that wait for a connection count. More lets more callers wait, each for longer; fewer turns them away earlier. Health and
    /// reflection are always answered.
    #[arg(long, value_name = "CALLS", env = "ORRERY_MAX_CONCURRENT_CALLS")]
    pub max_concurrent_calls: Option<usize>,

    /// Most streams open in this process, read and written; further ones are RESOURCE_EXHAUSTED at once.
    ///
    /// An open stream may hold a few MiB: two pages, or the chunks of a write that wait for their commit. A reader that stops holds its
    /// stream until its deadline.
    #[arg(long, value_name = "STREAMS", env = "ORRERY_MAX_OPEN_STREAMS", default_value_t = 256)]
    pub max_open_streams: usize,
}

/// Calls for each connection to the database: the one that works, and those that wait, so that no connection waits for calls.
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
        at_least("max-open-streams", self.max_open_streams, 1)
    }
}
