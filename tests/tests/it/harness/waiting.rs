//! Sessions that wait for a lock. A test that holds a lock uses this to know that a call has reached it.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, query_scalar};

use super::Role;

/// Longer than any call needs to reach the lock.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The interval between two checks.
const PAUSE: Duration = Duration::from_millis(5);

/// The number of sessions of a role that wait for a lock in the database of `connection`.
pub(crate) async fn waiting(connection: &mut PgConnection, role: Role) -> i64 {
    let count = "select count(*) from pg_stat_activity \
                 where datname = current_database() and usename = $1 and wait_event_type = 'Lock'";
    query_scalar(count).bind(role.name()).fetch_one(connection).await.unwrap()
}

/// Waits until this many sessions of a role wait for a lock.
pub(crate) async fn until_waiting(connection: &mut PgConnection, role: Role, count: i64) {
    until_waiting_or(connection, role, count, || false).await;
}

/// As [`until_waiting`], but also returns when `done` returns true, because a call that should wait has ended.
pub(crate) async fn until_waiting_or(connection: &mut PgConnection, role: Role, count: i64, done: impl Fn() -> bool) {
    let begun = Instant::now();
    loop {
        let waiting = waiting(connection, role).await;
        if waiting == count || done() {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "{waiting} sessions of {} wait, not {count}", role.name());
        tokio::time::sleep(PAUSE).await;
    }
}
