//! A caller who leaves takes the work with it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod driver;
mod queries;
mod storm;

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// Longer than anything takes to end that was cancelled.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many sessions the catalog has.
const SESSIONS_OPEN: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and usename = 'catalog_service'";

/// Waits until no session of the catalog fulfils a condition on `pg_stat_activity`.
async fn until_no_session(operator: &mut PgConnection, condition: &str) {
    let sql = format!(
        "select coalesce(string_agg(format('%s %s since %s: %s', pid, state, now() - state_change, query), '; '), '') \
         from pg_stat_activity where datname = current_database() and usename = 'catalog_service' and {condition}"
    );
    let started = Instant::now();
    loop {
        let left: String = sqlx::query(AssertSqlSafe(sql.clone())).fetch_one(&mut *operator).await.unwrap().get(0);
        if left.is_empty() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{condition}: {left}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
