//! The response cache.

use std::time::Duration;

use clap::Args;

use super::ConfigError;
use super::checks::at_least;
use super::units::{parse_bytes, parse_duration};

/// The response cache. Callers ask for it per call, with the metadata `cache-control: max-age=60`.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Cache")]
pub struct CacheConfig {
    /// Memory for cached responses; 0B turns the cache off.
    ///
    /// Useful where dashboards ask the same question many times a minute and may show data that is some seconds old. At
    /// least 1MiB.
    #[arg(long, value_name = "BYTES", env = "ORRERY_CACHE_BYTES", default_value = "0B", value_parser = parse_bytes)]
    pub cache_bytes: usize,

    /// Maximum age of a cached response, if the caller asks for the cache and gives no max-age.
    ///
    /// Longer reduces the load on the database; callers read older data.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_CACHE_MAX_AGE",
        default_value = "60s",
        value_parser = parse_duration
    )]
    pub cache_max_age: Duration,

    /// Time after max-age during which a caller still gets the old response while a new one is fetched, if the caller
    /// gives no stale-while-revalidate.
    ///
    /// With 0s, a caller always waits when the cached response is too old.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_CACHE_STALE_WHILE_REVALIDATE",
        default_value = "15s",
        value_parser = parse_duration
    )]
    pub cache_stale_while_revalidate: Duration,
}

impl CacheConfig {
    /// Refuses a cache that is too small to hold anything.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.cache_bytes == 0 { Ok(()) } else { at_least("cache-bytes", self.cache_bytes, 1024 * 1024) }
    }
}
