//! A database for one test.

use orrery::cluster::Role;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::Postgres;

/// A database that one test has for itself. Dropping it drops the database, and disconnects who is still connected.
pub(crate) struct TestDatabase {
    postgres: Postgres,
    name: String,
}

impl TestDatabase {
    pub(super) fn new(postgres: Postgres, name: String) -> Self {
        Self { postgres, name }
    }

    /// A migrated database on the shared server.
    pub(crate) async fn create() -> Self {
        Postgres::shared().await.create_database().await
    }

    /// A database on the shared server that was never migrated.
    pub(crate) async fn create_empty() -> Self {
        Postgres::shared().await.create_empty_database().await
    }

    /// The server that it is on.
    pub(crate) fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its URL for `role`, with the password.
    pub(crate) fn url(&self, role: Role) -> String {
        self.postgres.url(role, &self.name)
    }

    /// A single connection as `role`.
    pub(crate) async fn connect(&self, role: Role) -> PgConnection {
        PgConnection::connect(&self.url(role)).await.unwrap()
    }

    /// A pool of up to five connections as `role`.
    pub(crate) async fn pool(&self, role: Role) -> PgPool {
        PgPoolOptions::new().max_connections(5).connect(&self.url(role)).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = self.postgres.url(Role::Operator, "postgres");
        let statement = format!("drop database if exists {} with (force)", self.name);
        // In the background and without looking back: the server may be gone already, or paused.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
                connection.close().await?;
                anyhow::Ok(())
            })
        });
    }
}
