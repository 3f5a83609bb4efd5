//! If a response depends on a row, the row is locked until the response is certain. Each test here holds a lock, sends
//! a call, waits until the call has reached the lock, and releases it, so that the race always happens.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod claims;
mod deletes;
mod preconditions;
mod references;
mod vanished;

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

/// Runs statements in an open transaction of another program.
async fn begin(pool: &PgPool, sql: &str) -> Transaction<'static, Postgres> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *transaction).await.unwrap();
    transaction
}

/// Runs and commits statements of another program.
async fn commit(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

/// The only value of a select, as text.
async fn text(pool: &PgPool, select: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(format!("select ({select})::text"))).fetch_one(pool).await.unwrap()
}
