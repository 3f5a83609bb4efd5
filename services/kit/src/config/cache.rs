//! The cache of answers.

use std::time::Duration;

use clap::Args;

use super::ConfigError;
use super::checks::at_least;
use super::units::{parse_bytes, parse_duration};

/// The cache of answers, which callers ask for call by call with the metadata `cache-control: max-age=60`.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Cache")]
pub struct CacheConfig {
    /// Memory that answers may be kept in; 0B turns the cache off.
    ///
    /// Worth having where dashboards ask the same question many times a minute and may see an answer that is some seconds old.
    /// At least 1MiB.
    #[arg(long, value_name = "BYTES", env = "ORRERY_CACHE_BYTES", default_value = "0B", value_parser = parse_bytes)]
    pub cache_bytes: usize,

    /// Age up to which an answer is given, where the caller asks for the cache and names no max-age.
    ///
    /// Longer spares the database more; what callers read is older.
    #[arg(long, value_name = "DURATION", env = "ORRERY_CACHE_MAX_AGE", default_value = "60s", value_parser = parse_duration)]
    pub cache_max_age: Duration,

    /// Further age up to which it is given once more while a new one is fetched, where the caller names no
    /// stale-while-revalidate.
    ///
    /// With 0s a caller always waits when an answer became too old.
    #[arg(long, value_name = "DURATION", env = "ORRERY_CACHE_STALE_WHILE_REVALIDATE", default_value = "15s", value_parser = parse_duration)]
    pub cache_stale_while_revalidate: Duration,
}

impl CacheConfig {
    /// Refuses a cache in which nothing would stay.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.cache_bytes == 0 { Ok(()) } else { at_least("cache-bytes", self.cache_bytes, 1024 * 1024) }
    }
}
