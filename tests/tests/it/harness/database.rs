//! A database for one test.

use orrery::cluster::Role;
use orrery_kit::config::{Configuration as _, DatabasePooler, Limits, ServiceConfig};
use orrery_kit::db::Database;
use orrery_kit::metrics::Metrics;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::route::{OpenRoute, Route};
use super::watchdog::Watchdog;
use super::wire::{Violation, WireLimits};
use super::{Pooler, Postgres};

/// A database for one test. Dropping it drops the database and disconnects its sessions. It panics if a session of a
/// service exceeded a limit and the test did not [ask](Self::take_violations) for that, or if a service behind a pooler
/// used session state. A [watchdog](Watchdog) stops a test that does not end, and the whole run.
pub(crate) struct TestDatabase {
    postgres: Postgres,
    name: String,
    route: OpenRoute,
    _watchdog: Watchdog,
}

impl TestDatabase {
    pub(super) async fn new(postgres: Postgres, name: String) -> Self {
        let route = Route::from_environment().open(&postgres).await;
        Self { postgres, name, route, _watchdog: Watchdog::new() }
    }

    /// Creates a migrated database on the shared server.
    pub(crate) async fn create() -> Self {
        Postgres::shared().await.create_database().await
    }

    /// Creates a migrated database on the shared server. Services reach it through a proxy with these limits, whatever
    /// the suite's route is.
    pub(crate) async fn limited(limits: WireLimits) -> Self {
        let mut database = Self::create().await;
        database.route = Route::Limits.open(&database.postgres).await;
        database.set_limits(limits);
        database
    }

    /// Creates a migrated database on the shared server. Services reach it through a transaction pooler, whatever the
    /// suite's route is.
    pub(crate) async fn pooled() -> Self {
        Self::create().await.by(Route::Pooler).await
    }

    /// The same database. Services bypass the pooler if that is the suite's route, because of `reason`.
    pub(crate) async fn bypassing_pooler(self, reason: &str) -> Self {
        if self.route.pooler().is_none() {
            return self;
        }
        println!("not through the pooler: {reason}");
        self.by(Route::Direct).await
    }

    /// The same database, which services reach by `route`.
    pub(crate) async fn by(mut self, route: Route) -> Self {
        self.route = route.open(&self.postgres).await;
        self
    }

    /// Creates a database on the shared server without migrating it.
    pub(crate) async fn create_empty() -> Self {
        Postgres::shared().await.create_empty_database().await
    }

    /// The server.
    pub(crate) fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The URL for `role`, with the password. It uses the suite's [`Route`], or a direct connection for the operator.
    pub(crate) fn url(&self, role: Role) -> String {
        self.route.url(role, self.postgres.url(role, &self.name))
    }

    /// The setting that tells a service about the route.
    pub(crate) fn pooler_mode(&self) -> DatabasePooler {
        if self.route.pooler().is_some() { DatabasePooler::Transaction } else { DatabasePooler::None }
    }

    /// The pooler of the route, which must be [`Route::Pooler`], as of [`pooled`](Self::pooled).
    pub(crate) fn pooler(&self) -> &Pooler {
        self.route.pooler().unwrap()
    }

    /// The URL for connections of the test itself, which need sessions and therefore bypass the pooler.
    fn session_url(&self, role: Role) -> String {
        match self.route.pooler() {
            Some(_) => self.postgres.url(role, &self.name),
            None => self.url(role),
        }
    }

    /// Changes the limits for new connections. The database must be [`limited`](Self::limited).
    pub(crate) fn set_limits(&self, limits: WireLimits) {
        self.route.proxy().unwrap().set_limits(limits);
    }

    /// Limits the rows of new connections to what the service was configured for. Other limits are not enforced
    /// exactly, because a service may slightly exceed them before it stops.
    pub(crate) fn enforce(&self, limits: &Limits) {
        if let Some(proxy) = self.route.proxy() {
            let held = proxy.limits();
            proxy.set_limits(WireLimits {
                query_rows: held.query_rows.min(limits.max_query_rows as u64),
                statement_rows: held.statement_rows.min(limits.max_statement_rows as u64),
                ..held
            });
        }
    }

    /// Records the statements of services that connect from now on; the database must be a [limited](Self::limited)
    /// one.
    pub(crate) fn record_statements(&self) {
        self.route.proxy().expect("a proxy").record();
    }

    /// Returns and clears the texts of the statements that services sent, in their order.
    pub(crate) fn take_statements(&self) -> Vec<String> {
        self.route.proxy().map(super::wire::Proxy::take_recorded).unwrap_or_default()
    }

    /// Returns and clears the limits that services exceeded. The test has to check them.
    pub(crate) fn take_violations(&self) -> Vec<Violation> {
        self.route.proxy().map(super::wire::Proxy::take_violations).unwrap_or_default()
    }

    /// The catalog's data layer on this database, without a service, with settings changed by `change`. It connects
    /// when it is first used.
    pub(crate) fn data_layer(&self, change: impl FnOnce(&mut ServiceConfig)) -> Database {
        let mut config = ServiceConfig::for_database(&self.url(Role::Catalog)).unwrap();
        config.database.database_pooler = self.pooler_mode();
        config.database.database_pool_min = 0;
        change(&mut config);
        Database::new(&config.database, &config.limits, &Metrics::default()).unwrap()
    }

    /// A connection as `role` that bypasses the pooler.
    pub(crate) async fn connect(&self, role: Role) -> PgConnection {
        PgConnection::connect(&self.session_url(role)).await.unwrap()
    }

    /// A pool of up to five connections as `role` that bypasses the pooler.
    pub(crate) async fn pool(&self, role: Role) -> PgPool {
        PgPoolOptions::new().max_connections(5).connect(&self.session_url(role)).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = self.postgres.url(Role::Operator, "postgres");
        let statement = format!("drop database if exists {} with (force)", self.name);
        // In the background and ignoring errors: the server may be stopped or paused.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
                connection.close().await?;
                anyhow::Ok(())
            })
        });
        let refusals = self.route.pooler().map(|pooler| pooler.sessions_missed(self)).unwrap_or_default();
        let violations = self.take_violations();
        if !std::thread::panicking() {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            assert!(all.is_empty(), "limits were exceeded:\n{}", all.join("\n"));
            assert!(refusals.is_empty(), "what a transaction pooler does not carry was used:\n{}", refusals.join("\n"));
        }
    }
}
