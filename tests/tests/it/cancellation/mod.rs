//! A caller who leaves takes the work with it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod driver;
mod queries;
mod storm;

use std::time::Duration;

/// Longer than anything takes to end that was cancelled.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How many sessions the catalog has.
const SESSIONS_OPEN: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and usename = 'catalog_service'";
