//! A database for one test.

use orrery::cluster::Role;
use orrery_kit::config::{Configuration as _, DatabasePooler, Limits, ServiceConfig};
use orrery_kit::db::Database;
use orrery_kit::metrics::Metrics;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::route::{Route, Way};
use super::watchdog::Watchdog;
use super::wire::{Violation, WireLimits};
use super::{Pooler, Postgres};

/// A database that one test has for itself. Dropping it drops the database, and disconnects who is still connected. It panics if a
/// session of a service passed a limit and the test did not [ask](Self::take_violations) for that, or if a service behind a pooler used what
/// outlives a transaction. A test that does not end while it has one is [given up](Watchdog), and the run with it.
pub(crate) struct TestDatabase {
    postgres: Postgres,
    name: String,
    way: Way,
    _watchdog: Watchdog,
}

impl TestDatabase {
    pub(super) async fn new(postgres: Postgres, name: String) -> Self {
        let way = Route::from_environment().open(&postgres).await;
        Self { postgres, name, way, _watchdog: Watchdog::new() }
    }

    /// A migrated database on the shared server.
    pub(crate) async fn create() -> Self {
        Postgres::shared().await.create_database().await
    }

    /// A migrated database on the shared server to which services get by a proxy with these limits, whatever the suite's route is.
    pub(crate) async fn limited(limits: WireLimits) -> Self {
        let mut database = Self::create().await;
        database.way = Route::Limits.open(&database.postgres).await;
        database.set_limits(limits);
        database
    }

    /// A migrated database on the shared server that services reach through a transaction pooler, whatever the suite's route is.
    pub(crate) async fn pooled() -> Self {
        Self::create().await.by(Route::Pooler).await
    }

    /// The same, which services reach past a pooler where that is the suite's route, because of `reason`.
    pub(crate) async fn past_pooler(self, reason: &str) -> Self {
        if self.way.pooler().is_none() {
            return self;
        }
        println!("not through the pooler: {reason}");
        self.by(Route::Direct).await
    }

    /// The same, which services reach by `route`.
    pub(crate) async fn by(mut self, route: Route) -> Self {
        self.way = route.open(&self.postgres).await;
        self
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

    /// What a service must be told about the way to it.
    pub(crate) fn pooler_mode(&self) -> DatabasePooler {
        if self.way.pooler().is_some() { DatabasePooler::Transaction } else { DatabasePooler::None }
    }

    /// The pooler on the way. The route must be [`Route::Pooler`], which [`pooled`](Self::pooled) makes sure.
    pub(crate) fn pooler(&self) -> &Pooler {
        self.way.pooler().unwrap()
    }

    /// Where a test itself connects: it holds sessions, which the pooler's do not outlive a transaction.
    fn session_url(&self, role: Role) -> String {
        match self.way.pooler() {
            Some(_) => self.postgres.url(role, &self.name),
            None => self.url(role),
        }
    }

    /// Changes the limits of what connects from now on. The route must be that of the limits, which [`limited`](Self::limited) makes sure.
    pub(crate) fn set_limits(&self, limits: WireLimits) {
        self.way.proxy().unwrap().set_limits(limits);
    }

    /// Holds what connects from now on to no more rows than a service was told to keep to: what it believes it keeps, it keeps. Of its other
    /// limits a service may see a little more before it ends what exceeds them.
    pub(super) fn hold_to(&self, limits: &Limits) {
        if let Some(proxy) = self.way.proxy() {
            let held = proxy.limits();
            proxy.set_limits(WireLimits {
                query_rows: held.query_rows.min(limits.max_query_rows as u64),
                statement_rows: held.statement_rows.min(limits.max_statement_rows as u64),
                ..held
            });
        }
    }

    /// The limits that services have passed since this was asked last. Whoever asks answers for them.
    pub(crate) fn take_violations(&self) -> Vec<Violation> {
        self.way.proxy().map(super::wire::Proxy::take_violations).unwrap_or_default()
    }

    /// The data layer of the catalog on it, without a service, and with settings changed by `change`. It connects when it is first needed.
    pub(crate) fn data_layer(&self, change: impl FnOnce(&mut ServiceConfig)) -> Database {
        let mut config = ServiceConfig::for_database(&self.url(Role::Catalog)).unwrap();
        config.database.database_pooler = self.pooler_mode();
        config.database.database_pool_min = 0;
        change(&mut config);
        Database::new(&config.database, &config.limits, &Metrics::default()).unwrap()
    }

    /// A single connection as `role`, never through a pooler.
    pub(crate) async fn connect(&self, role: Role) -> PgConnection {
        PgConnection::connect(&self.session_url(role)).await.unwrap()
    }

    /// A pool of up to five connections as `role`, never through a pooler.
    pub(crate) async fn pool(&self, role: Role) -> PgPool {
        PgPoolOptions::new().max_connections(5).connect(&self.session_url(role)).await.unwrap()
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
        let refusals = self.way.pooler().map(|pooler| pooler.sessions_missed(self)).unwrap_or_default();
        let violations = self.take_violations();
        if !std::thread::panicking() {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            assert!(all.is_empty(), "limits were exceeded:\n{}", all.join("\n"));
            assert!(refusals.is_empty(), "what a transaction pooler does not carry was used:\n{}", refusals.join("\n"));
        }
    }
}
