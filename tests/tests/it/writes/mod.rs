//! The chunked write, end to end: what is written, what is refused, and that every row is written once whatever happens on the way.

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

/// A service on a database of its own, and a look at that database past the service.
pub(crate) struct Fixture {
    // In this order, so that the service ends before its database.
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

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&self.pool).await.unwrap()
    }

    /// One value of one product, as text.
    pub(crate) async fn product(&self, uid: &str, what: &str) -> Option<String> {
        let select = format!("select ({what})::text from catalog.product where uid = $1");
        sqlx::query_scalar(AssertSqlSafe(select)).bind(format!("prd_{uid}")).fetch_one(&self.pool).await.unwrap()
    }

    /// Stops every write to a table until the transaction that this returns ends; reads go on.
    pub(crate) async fn hold(&self, table: &str) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("lock table {table} in exclusive mode")))
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction
    }

    /// Waits until a write stands before a lock that somebody holds.
    pub(crate) async fn until_blocked(&self) {
        self.until_waiting(1).await;
    }

    /// Waits until so many sessions of the service stand before locks. Locks of other tests' databases are no matter of this one.
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
