//! Who waits for a lock, as the database says it. A test that holds a lock from outside learns here that what it sent has arrived there.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, query_scalar};

use super::Role;

/// Longer than any call takes to reach the lock that it is meant to wait for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// How many sessions of a role wait for a lock in the database of `connection` at this moment. Other tests' databases do not count.
pub(crate) async fn waiting(connection: &mut PgConnection, role: Role) -> i64 {
    let count = "select count(*) from pg_stat_activity \
                 where datname = current_database() and usename = $1 and wait_event_type = 'Lock'";
    query_scalar(count).bind(role.name()).fetch_one(connection).await.unwrap()
}

/// Waits until so many sessions of a role wait for a lock.
pub(crate) async fn until_waiting(connection: &mut PgConnection, role: Role, count: i64) {
    until_waiting_or(connection, role, count, || false).await;
}

/// Waits until so many sessions of a role wait for a lock, or `done` says that nobody will: a call that should wait has ended.
pub(crate) async fn until_waiting_or(connection: &mut PgConnection, role: Role, count: i64, done: impl Fn() -> bool) {
    let begun = Instant::now();
    loop {
        let waiting = waiting(connection, role).await;
        if waiting == count || done() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{waiting} sessions of {} wait, not {count}", role.name());
        tokio::time::sleep(PAUSE).await;
    }
}
