//! A database for one test.

use orrery::cluster::Role;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::Postgres;
use super::route::{Route, Way};
use super::wire::{Violation, WireLimits};

/// A database that one test has for itself. Dropping it drops the database, and disconnects who is still connected. It panics if a
/// session of a service passed a limit and the test did not [ask](Self::take_violations) for that.
pub(crate) struct TestDatabase {
    postgres: Postgres,
    name: String,
    way: Way,
}

impl TestDatabase {
    pub(super) fn new(postgres: Postgres, name: String) -> Self {
        let way = Route::from_environment().open(postgres.port_now());
        Self { postgres, name, way }
    }

    /// A migrated database on the shared server.
    pub(crate) async fn create() -> Self {
        Postgres::shared().await.create_database().await
    }

    /// A migrated database on the shared server to which services get by a proxy with these limits, whatever the suite's route is.
    pub(crate) async fn limited(limits: WireLimits) -> Self {
        let mut database = Self::create().await;
        database.way = Route::Limits.open(database.postgres.port_now());
        database.set_limits(limits);
        database
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

    /// A URL of it for `role`, with the password: by the suite's [`Route`], or straight for the operator.
    pub(crate) fn url(&self, role: Role) -> String {
        self.way.url(role, self.postgres.url(role, &self.name))
    }

    /// Changes the limits of what connects from now on. The route must be that of the limits, which [`limited`](Self::limited) makes sure.
    pub(crate) fn set_limits(&self, limits: WireLimits) {
        self.way.proxy().unwrap().set_limits(limits);
    }

    /// The limits that services have passed since this was asked last. Whoever asks answers for them.
    pub(crate) fn take_violations(&self) -> Vec<Violation> {
        self.way.proxy().map(super::wire::Proxy::take_violations).unwrap_or_default()
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
        let violations = self.take_violations();
        if !std::thread::panicking() {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            assert!(all.is_empty(), "limits were exceeded:\n{}", all.join("\n"));
        }
    }
}
