//! The chunked write, end to end: what is written, what is refused, and that each row is written once whatever happens.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, and not every test uses everything"
)]

mod backpressure;
mod batching;
mod contention;
mod endings;
mod exactly_once;
mod input;
mod kills;
mod ledger;
mod metrics;
mod model;
mod modes;
mod new_rows;
mod properties;
mod refused_by_database;
mod row_errors;
mod sessions;
pub(crate) mod stream;
mod unchanged;
pub(crate) mod workload;

use orrery_kit::config::ServiceConfig;
use sqlx::{AssertSqlSafe, PgPool};

use crate::harness::{CatalogServer, Role, TestDatabase, until_waiting};

/// A service with its own database, and direct access to that database.
pub(crate) struct Fixture {
    // In this order, so that the service stops before its database is dropped.
    pub(crate) server: CatalogServer,
    pub(crate) pool: PgPool,
    pub(crate) database: TestDatabase,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServiceConfig)) -> Self {
        Self::on(TestDatabase::create().await, change).await
    }

    pub(crate) async fn on(database: TestDatabase, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        let server = CatalogServer::start_with(&database, change).await;
        let pool = database.pool(Role::Operator).await;
        Self { server, pool, database }
    }

    /// The number of rows of a table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&self.pool).await.unwrap()
    }

    /// A value of a product, as text.
    pub(crate) async fn product(&self, uid: &str, what: &str) -> Option<String> {
        let select = format!("select ({what})::text from catalog.product where uid = $1");
        sqlx::query_scalar(AssertSqlSafe(select)).bind(format!("prd_{uid}")).fetch_one(&self.pool).await.unwrap()
    }

    /// Blocks all writes to a table, but not reads, until the returned transaction ends.
    pub(crate) async fn hold(&self, table: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("lock table {table} in exclusive mode")))
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction
    }

    /// Waits until a write waits for a lock.
    pub(crate) async fn until_blocked(&self) {
        self.until_waiting(1).await;
    }

    /// Waits until this many sessions of the service wait for locks in this database.
    pub(crate) async fn until_waiting(&self, count: i64) {
        until_waiting(&mut self.pool.acquire().await.unwrap(), Role::Catalog, count).await;
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, condition: &'static str) {
        let wait = async {
            while !sqlx::query_scalar::<_, bool>(condition).fetch_one(&self.pool).await.unwrap() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect(condition);
    }
}
