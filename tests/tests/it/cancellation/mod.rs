//! A cancelled call ends its work.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod driver;
mod queries;
mod storm;

use std::time::Duration;

/// Longer than a cancelled call takes to end.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The number of the catalog's sessions.
const SESSIONS_OPEN: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and usename = 'catalog_service'";
