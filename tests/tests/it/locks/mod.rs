//! Where an answer depends on a row, the row is held until the answer is a fact. Every test here holds a lock from outside, sends, sees that
//! what it sent has come as far as it is meant to, and lets go: what happens in between happens every time.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod claims;
mod deletes;
mod preconditions;
mod references;
mod vanished;

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

/// Runs statements in a transaction of another program, which stays open.
async fn begin(pool: &PgPool, sql: &str) -> Transaction<'static, Postgres> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *transaction).await.unwrap();
    transaction
}

/// Runs statements of another program, which are committed.
async fn commit(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

/// The one value of a select, as text.
async fn text(pool: &PgPool, select: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(format!("select ({select})::text"))).fetch_one(pool).await.unwrap()
}
