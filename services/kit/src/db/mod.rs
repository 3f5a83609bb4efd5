//! The data layer: a pool of connections, and the only ways to use one. Every statement of a service goes through
//! [`Database`], which enforces the [`Limits`]: a time limit that the server enforces too, a limit on the rows that a
//! statement may touch, and no connection that returns to the pool half used.
//!
//! Calls into the driver are boxed by functions that are neither async nor generic. Otherwise each crate that uses them
//! would compile them again, together with the driver.

pub mod array;
mod attempts;
mod copy;
mod page_rows;
mod positions;
mod replica;
pub mod retry;
mod route;
mod session;
mod sharding;
mod socket;
mod spares;
pub mod sql;
mod transaction;

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgPool, Postgres, Row as _};

pub use copy::{CopyEnd, CopyRequest, CopySource, Snapshot};
pub use page_rows::PageRows;
pub use replica::Replica;
pub(crate) use replica::ReplicaRoute;
pub(crate) use route::Route;
pub(crate) use transaction::Begins;
pub use transaction::{Savepoint, Transaction, TransactionEnd};

use self::positions::Positions;
use self::session::SessionScope;
use self::socket::{Endpoint, Tuning};
use self::spares::{Spare, Spares};
use crate::config::{DatabaseConfig, Limits};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metrics::{DatabaseMetrics, Metrics, PoolWaits, StatementKind};

/// Timeout of a probe of the database. Shorter than the two seconds that its caller waits.
const PING_TIMEOUT: Duration = Duration::from_millis(1800);
/// Maximum number of rows of a page if the size of its rows is unknown.
const MAX_PAGE_ROWS: usize = 20_000;
/// How long after an answer a connection is taken for alive. No server restarts in less: to callers, one that does is
/// unavailable while they call.
const RECENT: Duration = Duration::from_millis(50);
/// How long to wait for connections in use when the pool closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A pool of connections to the database of one slice, and the limits for all of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    /// A connection outside the pool for probes: whether the database answers must not depend on how busy the pool is.
    probe: PgPool,
    /// Connections that are idle and not in the pool.
    spares: Spares,
    /// The WAL position, which callers share.
    positions: Positions,
    session: SessionScope,
    limits: Arc<Limits>,
    /// Counts the callers that wait for a connection.
    waits: PoolWaits,
    /// How many callers have lost a connection and have no other one yet.
    lost: Arc<AtomicUsize>,
    metrics: DatabaseMetrics,
    /// How often the database has answered.
    answers: Arc<AtomicUsize>,
    /// How many rows to ask for if their size is unknown.
    page_rows: Arc<PageRows>,
    /// Whether the server spreads its tables over shards. The first connection finds out.
    sharded: Arc<OnceLock<bool>>,
}

/// One statement with its parameters.
#[derive(Clone)]
pub struct Statement {
    /// The SQL text, with `$1`, `$2`, ... for parameters. It never contains a value from outside.
    pub sql: Arc<str>,
    /// The parameters.
    pub arguments: PgArguments,
    /// The maximum number of rows that it can touch or return, for [`Limits::max_statement_rows`].
    pub rows: usize,
    /// Whether the server keeps it prepared: set it for texts that are often reused. Behind a transaction pooler, none
    /// is kept.
    pub keep_prepared: bool,
}

impl Statement {
    /// A statement that stays prepared and touches at most `rows` rows.
    pub fn new(sql: impl Into<Arc<str>>, rows: usize) -> Self {
        Self { sql: sql.into(), arguments: PgArguments::default(), rows, keep_prepared: true }
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// [`Error::Internal`] if the value cannot be encoded.
    pub fn bind<'q, T>(mut self, value: T) -> Result<Self, Error>
    where
        T: sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres>,
    {
        sqlx::Arguments::add(&mut self.arguments, value).map_err(Error::Internal)?;
        Ok(self)
    }
}

impl Database {
    /// Creates a pool that connects on first use. Its connections and statements are counted in `metrics`.
    ///
    /// # Errors
    /// The URL is not a Postgres URL.
    pub fn new(config: &DatabaseConfig, limits: &Limits, metrics: &Metrics) -> Result<Self, sqlx::Error> {
        Self::named("primary", config, limits, metrics)
    }

    /// Like [`new`](Self::new); `metrics` shows the pool under `name`.
    fn named(
        name: &'static str,
        config: &DatabaseConfig,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Result<Self, sqlx::Error> {
        let tuning = Tuning::of(config);
        let session = SessionScope::new(config.database_pooler);
        let options = config.database_url.expose().parse::<PgConnectOptions>()?;
        let options = session.connect_options(options, limits, tuning);
        let database = Endpoint::of(&options);
        let sharded = Arc::new(OnceLock::new());
        // Both pools use these options.
        let tuned = PgPoolOptions::new()
            .after_connect({
                let sharded = Arc::clone(&sharded);
                move |connection, _| {
                    let (database, sharded) = (database.clone(), Arc::clone(&sharded));
                    Box::pin(async move {
                        database.tune(tuning).await;
                        sharding::prepare(connection, &sharded, session).await
                    })
                }
            })
            // A ping before every use would cost one round trip each. Dead connections are detected on use instead.
            .test_before_acquire(false);
        let probe = tuned.clone().max_connections(1).acquire_timeout(PING_TIMEOUT).connect_lazy_with(options.clone());
        let pool = tuned
            .min_connections(config.database_pool_min)
            .max_connections(config.database_pool_max)
            .acquire_timeout(config.database_acquire_timeout)
            .max_lifetime(config.database_max_lifetime)
            .idle_timeout(config.database_idle_timeout)
            .connect_lazy_with(options);
        let waits = metrics.database.pool(name, &pool);
        Ok(Self {
            pool,
            probe,
            spares: Spares::new(waits.clone()),
            positions: Positions::default(),
            session,
            limits: Arc::new(*limits),
            waits,
            lost: Arc::default(),
            metrics: metrics.database.clone(),
            answers: Arc::default(),
            page_rows: Arc::new(PageRows::new(MAX_PAGE_ROWS.min(limits.max_query_rows))),
            sharded,
        })
    }

    /// The limits of this database.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the database spreads its tables over shards, as far as any connection has found out.
    pub(crate) fn is_sharded(&self) -> bool {
        self.sharded.get() == Some(&true)
    }

    /// Whether the database answers within two seconds. An answer to any call counts: behind a busy pooler, the probe
    /// waits for a server session like every other call.
    pub fn ping(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.answers())
    }

    async fn answers(&self) -> bool {
        let before = self.answers.load(Ordering::Relaxed);
        let probe = async {
            // The connection may have died since the last probe; the second attempt then opens a new one.
            for _ in 0..2 {
                let mut lease = Lease::new(self.probe.acquire().await?, self);
                if lease.connection()?.ping().await.is_ok() {
                    lease.mark_clean();
                    return Ok(true);
                }
            }
            Ok::<_, Error>(false)
        };
        let answered = matches!(tokio::time::timeout(PING_TIMEOUT, Box::pin(probe)).await, Ok(Ok(true)));
        answered || self.answers.load(Ordering::Relaxed) != before
    }

    /// Closes all connections. Connections in use have one second to return: a database that does not answer must not
    /// keep the process from exiting.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.close_pools()).await.is_err() {
            tracing::warn!("some database connections are still in use; exiting without closing them");
        }
    }

    fn close_pools(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.spares.close();
            self.pool.close().await;
            self.probe.close().await;
        })
    }

    /// Runs one reading statement and returns its rows.
    ///
    /// # Errors
    /// Errors of the database; [`Error::DeadlineExceeded`] if the deadline passes first; [`Error::ResultTooLarge`] if
    /// the result exceeds its limit.
    pub async fn fetch(&self, statement: &Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
        self.route().fetch(statement, deadline).await
    }

    fn check_rows(&self, rows: usize) -> Result<(), Error> {
        if rows > self.limits.max_statement_rows {
            return Err(Error::internal(format!("a statement over {rows} rows exceeds the limit of a statement")));
        }
        Ok(())
    }

    async fn lease(&self, deadline: Deadline) -> Result<Lease, Error> {
        self.lease_if(|_| true, deadline).await
    }

    /// A connection, if possible one whose session has a time limit of this kind.
    async fn lease_if(
        &self,
        suits: impl Fn(Option<Duration>) -> bool + Send,
        deadline: Deadline,
    ) -> Result<Lease, Error> {
        let spare = match self.idle_connection(suits) {
            Some(idle) => idle,
            None => self.wait_for_connection(deadline).await?,
        };
        Ok(self.lease_of(spare))
    }

    fn lease_of(&self, spare: Spare) -> Lease {
        let Spare { connection, since, timeout, .. } = spare;
        let mut lease = Lease::new(connection, self);
        // Behind a transaction pooler the end of a transaction may still be under way; the pool waits for it.
        if self.session == SessionScope::Connection {
            lease.timeout = timeout;
            lease.returns_to = Some((self.spares.clone(), since));
        }
        lease
    }

    /// A connection that is idle, if possible one whose session has a time limit of this kind, and whether the server
    /// has answered on it [a moment ago](RECENT).
    fn spare_lease(&self, suits: impl Fn(Option<Duration>) -> bool) -> Option<(Lease, bool)> {
        self.spares.take(suits).map(|spare| {
            let recent = spare.answered.elapsed() < RECENT;
            (self.lease_of(spare), recent)
        })
    }

    /// Waits until a connection is free or opened. A caller whose deadline passes in this wait is told that there was
    /// no connection.
    async fn wait_for_connection(&self, deadline: Deadline) -> Result<Spare, Error> {
        let _waiting = self.waits.begin();
        // From here on none is kept; one may have been since it was looked for.
        if let Some(spare) = self.spares.take(|_| true) {
            return Ok(spare);
        }
        let acquired = within(deadline.with_margin(), self.acquire()).await;
        match acquired {
            Err(Error::DeadlineExceeded) => Err(Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut)),
            acquired => acquired.map(Spare::new),
        }
    }

    /// Boxed: waiting and connecting make a large future that is rarely needed.
    fn acquire(&self) -> BoxFuture<'_, Result<PoolConnection<Postgres>, Error>> {
        Box::pin(async { Ok(self.pool.acquire().await?) })
    }

    fn idle_connection(&self, suits: impl Fn(Option<Duration>) -> bool) -> Option<Spare> {
        self.spares.take(suits).or_else(|| self.pool.try_acquire().map(Spare::new))
    }

    /// Whether any caller is waiting for a connection now.
    pub(crate) fn has_waiters(&self) -> bool {
        self.waits.waiting() > 0 || self.lost.load(Ordering::Relaxed) > 0
    }
}

/// Adds one to a counter until it is dropped.
struct CountGuard<'w>(&'w AtomicUsize);

impl<'w> CountGuard<'w> {
    fn new(waiting: &'w AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for CountGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work`, at most until the deadline.
async fn within<T>(deadline: Deadline, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match deadline.remaining() {
        None => work.await,
        Some(left) => tokio::time::timeout(left, work).await.unwrap_or(Err(Error::DeadlineExceeded)),
    }
}

/// The size of a row's values in bytes.
fn size(row: &PgRow) -> usize {
    let bytes = |column| row.try_get_raw(column).ok()?.as_bytes().ok().map(<[u8]>::len);
    (0..row.len()).filter_map(bytes).sum()
}

/// A borrowed connection. If it is dropped before [`mark_clean`](Self::mark_clean) (a cancelled call, a panic, a
/// protocol error), it is closed instead of returned, so that nobody else gets its open transaction or unread result.
struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    session: SessionScope,
    /// Whether the database spreads its tables over shards.
    sharded: bool,
    /// The session's time limit of a statement, if it is not that of every new session.
    timeout: Option<Duration>,
    metrics: DatabaseMetrics,
    /// How often the database has answered.
    answers: Arc<AtomicUsize>,
    /// Where the connection goes once it is clean, and when it left the pool; into the pool if `None`.
    returns_to: Option<(Spares, Instant)>,
    clean: bool,
    /// Whether a result is being read. Its unread rest would be taken for the answer to the next statement.
    half_read: bool,
}

impl Lease {
    fn new(connection: PoolConnection<Postgres>, database: &Database) -> Self {
        Self {
            connection: Some(connection),
            session: database.session,
            sharded: database.sharded.get() == Some(&true),
            timeout: None,
            metrics: database.metrics.clone(),
            answers: Arc::clone(&database.answers),
            returns_to: None,
            clean: false,
            half_read: false,
        }
    }

    /// Records that the database has answered.
    fn note_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn connection(&mut self) -> Result<&mut sqlx::PgConnection, Error> {
        match &mut self.connection {
            Some(_) if self.half_read => Err(Error::internal("a result was not read to its end")),
            Some(connection) => Ok(connection),
            None => Err(Error::internal("the connection was given back")),
        }
    }

    /// Runs a statement and appends its rows to `rows` as they arrive. `map_error` converts the driver's error.
    ///
    /// # Errors
    /// Errors of the database. After [`Error::ResultTooLarge`], beyond `max_bytes`, the connection cannot be used any
    /// more.
    fn fetch<'l>(
        &'l mut self,
        statement: Statement,
        max_bytes: usize,
        rows: &'l mut Vec<PgRow>,
        map_error: fn(sqlx::Error) -> Error,
    ) -> BoxFuture<'l, Result<(), Error>> {
        Box::pin(self.fetch_here(statement, max_bytes, rows, map_error))
    }

    async fn fetch_here(
        &mut self,
        statement: Statement,
        max_bytes: usize,
        rows: &mut Vec<PgRow>,
        map_error: fn(sqlx::Error) -> Error,
    ) -> Result<(), Error> {
        let kind = if statement.sql.starts_with("select") { StatementKind::Read } else { StatementKind::Write };
        let query = self.session.query(statement);
        let begun = Instant::now();
        let mut bytes = 0;
        let mut result = query.fetch(self.connection()?);
        while let Some(row) = result.try_next().await.map_err(map_error)? {
            bytes += size(&row);
            if bytes > max_bytes {
                drop(result);
                self.half_read = true;
                return Err(Error::ResultTooLarge(max_bytes));
            }
            rows.push(row);
        }
        drop(result);
        self.metrics.statement(kind, rows.len() as u64, bytes as u64, begun.elapsed());
        Ok(())
    }

    /// Sets the session's time limit of a statement, and so waits for an answer of the server.
    async fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.execute(session::set_timeout(timeout)).await?;
        self.timeout = timeout;
        Ok(())
    }

    /// Waits for an answer of the server.
    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { Ok(self.connection()?.ping().await?) })
    }

    /// Runs a statement without parameters and ignores its rows.
    fn execute(&mut self, sql: impl Into<Cow<'static, str>>) -> BoxFuture<'_, Result<(), Error>> {
        self.execute_text(sql.into())
    }

    fn execute_text(&mut self, sql: Cow<'static, str>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.connection()?.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
            Ok(())
        })
    }

    /// Like [`execute`](Self::execute), for statements that make the database check written rows, such as deferred
    /// constraints at a commit.
    fn execute_on_written_rows(&mut self, sql: &'static str) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let executed = self.connection()?.execute(sqlx::raw_sql(sql)).await;
            executed.map(drop).map_err(Error::from_written_rows)
        })
    }

    /// The connection, for reading a result row by row.
    fn connection_for_result(&mut self) -> Result<&mut sqlx::PgConnection, Error> {
        self.connection()?;
        self.half_read = true;
        self.connection.as_deref_mut().ok_or_else(|| Error::internal("the connection was given back"))
    }

    /// Marks the result as read to its end.
    fn result_was_read(&mut self) {
        self.half_read = false;
    }

    /// Marks the connection as idle and outside a transaction, so that it returns to the pool.
    fn mark_clean(&mut self) {
        self.clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match self.returns_to.take() {
            // Detaching and dropping it closes the socket, and the server rolls back.
            _ if !self.clean => drop(connection.detach()),
            Some((spares, since)) => {
                spares.put(Spare { connection, since, answered: Instant::now(), timeout: self.timeout });
            }
            None => drop(connection),
        }
    }
}
