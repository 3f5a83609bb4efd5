//! The sessions of the database.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// Waits until no session of the catalog satisfies a condition on `pg_stat_activity`.
pub(crate) async fn until_no_session(operator: &mut PgConnection, condition: &str, patience: Duration) {
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
        assert!(started.elapsed() < patience, "{condition}: {left}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
