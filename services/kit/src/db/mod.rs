//! The data layer: a pool of connections and the only ways to use one. Every statement of a service goes through
//! [`Database`], which keeps the [`Limits`] for it: a time limit that the server enforces, a bound on the rows it may touch, and
//! a connection that is never given back half used.
//!
//! What calls the driver is boxed, by functions that are neither async nor generic: those would be compiled in each crate that
//! uses them, and the driver with them.

pub mod array;
mod attempts;
mod copy;
mod page_rows;
mod replica;
mod session;
mod socket;
mod spares;
pub mod sql;
mod transaction;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgPool, Postgres, Row as _};

pub use copy::{CopyEnd, CopyRequest, CopySource, Snapshot};
pub use page_rows::PageRows;
pub use replica::Replica;
pub use transaction::{Ending, Part, Transaction};

use self::replica::Reading;
use self::session::Session;
use self::socket::{Endpoint, Tuning};
use self::spares::{Spare, Spares};
use crate::config::{DatabaseConfig, Limits};
use crate::consistency::Provenance;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metrics::{DatabaseMetrics, Metrics, PoolWaits, StatementKind};

/// How long a probe may take before the database counts as gone. Shorter than the patience of who asks for it, two seconds.
const PING_TIMEOUT: Duration = Duration::from_millis(1800);
/// Most rows of a page whose rows' size is not known.
const MAX_PAGE_ROWS: usize = 20_000;
/// How long connections in use may take to come back when the pool closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A pool of connections to one slice's database, and the limits that hold on all of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    /// One connection beside the pool: whether the database answers must not depend on how busy the pool is.
    probe: PgPool,
    /// Connections that are idle and not in the pool.
    spares: Spares,
    session: Session,
    limits: Arc<Limits>,
    /// Who waits for a connection.
    waits: PoolWaits,
    /// How many have lost a connection and have no other yet.
    lost: Arc<AtomicUsize>,
    metrics: DatabaseMetrics,
    /// How often the database has answered.
    answers: Arc<AtomicUsize>,
    /// Where the ends of transactions are noted; nowhere if `None`.
    provenance: Option<Provenance>,
    /// How many rows of unknown size are asked for at once.
    page_rows: Arc<PageRows>,
    /// What one call reads, which may come from a replica; nothing does if `None`.
    reading: Option<Arc<Reading>>,
}

/// One statement with its parameters.
#[derive(Clone)]
pub struct Statement {
    /// The text, with `$1`, `$2`, ... for parameters. Never holds a value from outside.
    pub sql: Arc<str>,
    /// The parameters.
    pub arguments: PgArguments,
    /// The most rows that it can touch or return, for [`Limits::max_statement_rows`].
    pub rows: usize,
    /// Whether the server keeps it prepared: yes for texts of which there are few. Behind a transaction pooler none is kept.
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
    /// A pool that connects when it is first needed; nothing is sent yet. It and its statements show in `metrics`
    /// from now on.
    ///
    /// # Errors
    /// The URL is not one of Postgres.
    pub fn new(config: &DatabaseConfig, limits: &Limits, metrics: &Metrics) -> Result<Self, sqlx::Error> {
        Self::named("primary", config, limits, metrics)
    }

    /// As [`new`](Self::new); `metrics` shows the pool under this name.
    fn named(
        name: &'static str,
        config: &DatabaseConfig,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Result<Self, sqlx::Error> {
        let tuning = Tuning::of(config);
        let session = Session::new(config.database_pooler);
        let options = config.database_url.expose().parse::<PgConnectOptions>()?;
        let options = session.connect_options(options, limits, tuning);
        let database = Endpoint::of(&options);
        // Both pools are made of this.
        let tuned = PgPoolOptions::new()
            .after_connect(move |_, _| {
                let database = database.clone();
                Box::pin(async move {
                    database.tune(tuning).await;
                    Ok(())
                })
            })
            // A ping before every statement would cost a round trip each; a dead connection is found by using it.
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
            session,
            limits: Arc::new(*limits),
            waits,
            lost: Arc::default(),
            metrics: metrics.database.clone(),
            answers: Arc::default(),
            provenance: None,
            page_rows: Arc::new(PageRows::new(MAX_PAGE_ROWS.min(limits.max_query_rows))),
            reading: None,
        })
    }

    /// The same, for a call: where each of its transactions ended in the write-ahead log is noted in `provenance`.
    #[must_use]
    pub(crate) fn noting(&self, provenance: Provenance) -> Self {
        Self { provenance: Some(provenance), ..self.clone() }
    }

    /// The limits that hold here.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the database answers, within two seconds. An answer to anybody counts: behind a pooler that is busy the probe waits for a
    /// server's attention as all do.
    pub fn ping(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.answers())
    }

    async fn answers(&self) -> bool {
        let before = self.answers.load(Ordering::Relaxed);
        let probe = async {
            // The connection may have died since the last time; the second one is new then.
            for _ in 0..2 {
                let mut lease = Lease::new(self.probe.acquire().await?, self.session, &self.metrics);
                if lease.connection()?.ping().await.is_ok() {
                    lease.settle();
                    return Ok(true);
                }
            }
            Ok::<_, Error>(false)
        };
        let answered = matches!(tokio::time::timeout(PING_TIMEOUT, Box::pin(probe)).await, Ok(Ok(true)));
        answered || self.answers.load(Ordering::Relaxed) != before
    }

    /// Closes all connections. Those in use have a second to come back; a database that does not answer must not keep the process
    /// from ending.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.close_pools()).await.is_err() {
            tracing::warn!("connections to the database are still in use; leaving them");
        }
    }

    fn close_pools(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.spares.close();
            self.pool.close().await;
            self.probe.close().await;
        })
    }

    /// Runs one reading statement on its own and returns its rows.
    ///
    /// # Errors
    /// Whatever the database says; [`Error::DeadlineExceeded`] when the deadline passes first; [`Error::ResultTooLarge`] beyond the limit
    /// of a result.
    pub async fn fetch(&self, statement: &Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
        self.check_rows(statement.rows)?;
        // The session's own limit, or the transaction's, says the same to a server that answers.
        let bound = deadline.bound(self.session.longest_reading(&self.limits));
        let deadline = Deadline::after(bound);
        let mut attempts = self.attempts(deadline);
        loop {
            let mut rows = Vec::new();
            let work = async {
                let mut lease = attempts.lease(self.lease_for_reading(attempts.until, bound)).await?;
                lease.fetch(statement.clone(), self.limits.max_result_bytes, &mut rows, Error::from).await?;
                self.note_answer();
                lease.leave_after_reading();
                Ok(())
            };
            match self.unless_replica_fails(within(deadline, work)).await {
                None => {}
                Some(Ok(())) => return Ok(rows),
                // A connection that brought rows was not dead.
                Some(Err(error)) if rows.is_empty() => attempts.go_on(error).await?,
                Some(Err(error)) => return Err(error),
            }
        }
    }

    fn note_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn check_rows(&self, rows: usize) -> Result<(), Error> {
        if rows > self.limits.max_statement_rows {
            return Err(Error::internal(format!("a statement over {rows} rows was about to be sent")));
        }
        Ok(())
    }

    async fn lease(&self, deadline: Deadline) -> Result<Lease, Error> {
        let database = self.serving(deadline).await;
        let idle = database.idle_connection();
        let Spare { connection, since } = match idle {
            Some(idle) => idle,
            None => database.wait_for_connection(deadline).await?,
        };
        let mut lease = Lease::new(connection, database.session, &database.metrics);
        // Behind a transaction pooler the end of a transaction may still be under way; the pool waits for it.
        if database.session == Session::Connection {
            lease.returns_to = Some((database.spares.clone(), since));
        }
        Ok(lease)
    }

    /// Waits until a connection is free or opened. A caller who waits no longer than for that is told that there was none.
    async fn wait_for_connection(&self, deadline: Deadline) -> Result<Spare, Error> {
        let _waiting = self.waits.begin();
        // From here on none is kept; one may have been since it was looked for.
        if let Some(spare) = self.spares.take() {
            return Ok(spare);
        }
        let acquired = within(deadline.shortly_before(), self.acquire()).await;
        match acquired {
            Err(Error::DeadlineExceeded) => Err(Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut)),
            acquired => acquired.map(Spare::new),
        }
    }

    /// Waiting, and perhaps connecting, is a large future and rarely needed.
    fn acquire(&self) -> BoxFuture<'_, Result<PoolConnection<Postgres>, Error>> {
        Box::pin(async { Ok(self.pool.acquire().await?) })
    }

    fn idle_connection(&self) -> Option<Spare> {
        self.spares.take().or_else(|| self.pool.try_acquire().map(Spare::new))
    }

    /// Whether somebody waits for a connection at this moment.
    pub(crate) fn lacks_connections(&self) -> bool {
        self.waits.waiting() > 0 || self.lost.load(Ordering::Relaxed) > 0
    }
}

/// One who waits, until it is dropped.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn new(waiting: &'w AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work` until the deadline.
async fn within<T>(deadline: Deadline, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match deadline.remaining() {
        None => work.await,
        Some(left) => tokio::time::timeout(left, work).await.unwrap_or(Err(Error::DeadlineExceeded)),
    }
}

/// The bytes of a row's values.
fn size(row: &PgRow) -> usize {
    let bytes = |column| row.try_get_raw(column).ok()?.as_bytes().ok().map(<[u8]>::len);
    (0..row.len()).filter_map(bytes).sum()
}

/// A connection on loan. One that is dropped before it was settled (a cancelled call, a panic, an error in mid-protocol) is
/// closed, not given back: nobody else ever meets its half-finished transaction or its unread result.
struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    session: Session,
    metrics: DatabaseMetrics,
    /// Where the connection goes once it is settled, and when it left the pool; into the pool if `None`.
    returns_to: Option<(Spares, Instant)>,
    settled: bool,
    /// Whether a result is being read: what is still to come of it would be taken for the answer to the next statement.
    half_read: bool,
}

impl Lease {
    fn new(connection: PoolConnection<Postgres>, session: Session, metrics: &DatabaseMetrics) -> Self {
        let metrics = metrics.clone();
        Self { connection: Some(connection), session, metrics, returns_to: None, settled: false, half_read: false }
    }

    fn connection(&mut self) -> Result<&mut sqlx::PgConnection, Error> {
        match &mut self.connection {
            Some(_) if self.half_read => Err(Error::internal("a result was not read to its end")),
            Some(connection) => Ok(connection),
            None => Err(Error::internal("the connection was given back")),
        }
    }

    /// Runs a statement and adds its rows to `rows`, as they come. `judge` says what the driver's word means.
    ///
    /// # Errors
    /// What the database says. After [`Error::ResultTooLarge`], beyond `max_bytes`, the connection is of no use for anything else.
    fn fetch<'l>(
        &'l mut self,
        statement: Statement,
        max_bytes: usize,
        rows: &'l mut Vec<PgRow>,
        judge: fn(sqlx::Error) -> Error,
    ) -> BoxFuture<'l, Result<(), Error>> {
        Box::pin(self.fetch_here(statement, max_bytes, rows, judge))
    }

    async fn fetch_here(
        &mut self,
        statement: Statement,
        max_bytes: usize,
        rows: &mut Vec<PgRow>,
        judge: fn(sqlx::Error) -> Error,
    ) -> Result<(), Error> {
        let kind = if statement.sql.starts_with("select") { StatementKind::Read } else { StatementKind::Write };
        let query = self.session.query(statement);
        let begun = Instant::now();
        let mut bytes = 0;
        let mut result = query.fetch(self.connection()?);
        while let Some(row) = result.try_next().await.map_err(judge)? {
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

    /// Runs a statement without parameters, whose rows are of no interest.
    fn execute(&mut self, sql: impl Into<Cow<'static, str>>) -> BoxFuture<'_, Result<(), Error>> {
        self.execute_text(sql.into())
    }

    fn execute_text(&mut self, sql: Cow<'static, str>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.connection()?.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
            Ok(())
        })
    }

    /// As [`execute`](Self::execute), of what has the database judge rows that were written: some constraints wait for
    /// that.
    fn execute_on_written_rows(&mut self, sql: &'static str) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let executed = self.connection()?.execute(sqlx::raw_sql(sql)).await;
            executed.map(drop).map_err(Error::of_written_rows)
        })
    }

    /// The connection, for a result that is read row by row.
    fn connection_for_result(&mut self) -> Result<&mut sqlx::PgConnection, Error> {
        self.connection()?;
        self.half_read = true;
        self.connection.as_deref_mut().ok_or_else(|| Error::internal("the connection was given back"))
    }

    /// Says that the result was read to its end.
    fn result_was_read(&mut self) {
        self.half_read = false;
    }

    /// Says that the connection is idle and outside a transaction.
    fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match self.returns_to.take() {
            // Detached from the pool and dropped, which closes the socket; the server rolls back.
            _ if !self.settled => drop(connection.detach()),
            Some((spares, since)) => spares.put(Spare { connection, since }),
            None => drop(connection),
        }
    }
}
