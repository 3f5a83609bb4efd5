//! Transactions that a caller cannot abandon half way. The work runs in a task of its own, so a call that is cancelled
//! only drops its interest in the result.

mod copy_in;

use std::any::Any;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use tokio_util::sync::CancellationToken;

use super::positions::WAL_POSITION;
use super::session::SessionScope;
use super::{CopyEnd, CopySource, Database, Lease, PageRows, Statement, within};
use crate::config::Limits;
use crate::consistency::Provenance;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::error::refused::is_primary_key_violation;
use crate::metrics::StatementKind;

/// A transaction, borrowed by the work that runs in it.
pub struct Transaction<'c> {
    lease: &'c mut Lease,
    database: &'c Database,
    phase: Phase,
    /// Until when it must end.
    until: Deadline,
    /// The time limit that the server enforces, from when it begins.
    bound: Duration,
    /// The number of statements that failed or are running. After a failure the server accepts no other statement, and
    /// answers `commit` with a rollback, which the driver reports as success.
    failed: usize,
}

/// What the server knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing yet. The connection has just answered.
    NotBegun,
    /// It has begun, or `begin` is under way.
    Begun,
    /// One statement ran alone and is committed. Another one would begin a transaction.
    RanAlone,
}

impl Transaction<'_> {
    /// The maximum number of rows that one statement may touch.
    pub fn max_statement_rows(&self) -> usize {
        self.database.limits.max_statement_rows
    }

    /// The connection, in a transaction that has begun.
    ///
    /// # Errors
    /// Errors of the database.
    async fn begun(&mut self) -> Result<&mut Lease, Error> {
        if self.phase != Phase::Begun {
            self.phase = Phase::Begun;
            // Boxed: most transactions have begun by now.
            Box::pin(self.database.route().begin_on(self.lease, "begin", self.until, self.bound)).await?;
        }
        Ok(self.lease)
    }

    /// Whether the database spreads its tables over shards.
    #[must_use]
    pub fn is_sharded(&self) -> bool {
        self.lease.sharded
    }

    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// Errors of the database. [`Error::Internal`] if the statement may touch more rows than allowed;
    /// [`Error::ResultTooLarge`] if the result exceeds its limit.
    pub async fn fetch(&mut self, statement: Statement) -> Result<Vec<PgRow>, Error> {
        self.run(statement, usize::MAX, Error::from).await
    }

    /// Runs one statement that writes rows, and returns its result.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the database refuses a row; otherwise as in [`Transaction::fetch`].
    pub async fn write(&mut self, statement: Statement) -> Result<Vec<PgRow>, Error> {
        self.run(statement, usize::MAX, Error::from_written_rows).await
    }

    /// As [`Transaction::write`], with a result of at most `max_bytes` bytes.
    ///
    /// # Errors
    /// As [`Transaction::write`]. After [`Error::ResultTooLarge`] the transaction cannot be used any more.
    pub async fn write_within(&mut self, statement: Statement, max_bytes: usize) -> Result<Vec<PgRow>, Error> {
        self.run(statement, max_bytes, Error::from_written_rows).await
    }

    async fn run(
        &mut self,
        statement: Statement,
        max_bytes: usize,
        map_error: fn(sqlx::Error) -> Error,
    ) -> Result<Vec<PgRow>, Error> {
        self.check_rows(statement.rows)?;
        self.failed += 1;
        let mut rows = Vec::new();
        let max_bytes = max_bytes.min(self.database.limits.max_result_bytes);
        self.begun().await?.fetch(statement, max_bytes, &mut rows, map_error).await?;
        self.failed -= 1;
        Ok(rows)
    }

    /// Runs one statement that writes rows, after which the work writes nothing more, and returns its result. If it is
    /// the first one of a [lazy transaction](Database::lazy_transaction), it runs alone: without `begin` and `commit`,
    /// in one round trip. Then it is committed when this returns, however the work ends.
    ///
    /// # Errors
    /// As in [`Transaction::write`]. An error of the server means that nothing is written, and the transaction can go
    /// on. After the loss of the connection and after [`Error::ResultTooLarge`] the outcome is unknown.
    pub async fn write_alone(&mut self, statement: Statement) -> Result<Vec<PgRow>, Error> {
        if self.phase != Phase::NotBegun {
            return self.write(statement).await;
        }
        self.check_rows(statement.rows)?;
        self.failed += 1;
        let (mut rows, max_bytes) = (Vec::new(), self.database.limits.max_result_bytes);
        let ran = self.lease.fetch(statement, max_bytes, &mut rows, Error::from_written_rows).await;
        match &ran {
            Ok(()) => self.phase = Phase::RanAlone,
            // It still counts as running.
            Err(error) if error.is_connection_loss() || matches!(error, Error::ResultTooLarge(_)) => self.failed += 1,
            Err(_) => {}
        }
        self.failed -= 1;
        ran.map(|()| rows)
    }

    /// Checks the written rows against deferred constraints now, not at the commit.
    ///
    /// # Errors
    /// [`Error::RowRefused`]; errors of the database.
    pub async fn check_now(&mut self) -> Result<(), Error> {
        self.failed += 1;
        self.begun().await?.execute_on_written_rows("set constraints all immediate").await?;
        self.failed -= 1;
        Ok(())
    }

    /// Sets a savepoint, which begins a part of the transaction that can be undone alone. One at a time: end it with
    /// [`release`](Self::release) or [`roll_back_to`](Self::roll_back_to).
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn set_savepoint(&mut self) -> Result<Savepoint, Error> {
        self.begun().await?.execute("savepoint part").await?;
        Ok(Savepoint { failed: self.failed })
    }

    /// Releases a savepoint and so keeps its part of the transaction, if the database accepts all rows. Deferred
    /// constraints are checked now.
    ///
    /// # Errors
    /// [`Error::RowRefused`], after which the transaction can be rolled back to the savepoint; errors of the database.
    pub async fn release(&mut self, _: &Savepoint) -> Result<(), Error> {
        self.check_now().await?;
        self.lease.execute("release savepoint part").await
    }

    /// Rolls back to a savepoint, even if a statement after it failed, and releases it.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn roll_back_to(&mut self, savepoint: Savepoint) -> Result<(), Error> {
        self.lease.execute("rollback to savepoint part; release savepoint part").await?;
        self.failed = savepoint.failed;
        Ok(())
    }

    /// Runs one statement and returns its first rows, of at most `max_bytes` bytes, and whether they are all. If they
    /// are not, the transaction cannot be used any more.
    ///
    /// # Errors
    /// As in [`Transaction::fetch`]; [`Error::ResultTooLarge`] if the first row alone is larger.
    pub async fn fetch_first(&mut self, statement: Statement, max_bytes: usize) -> Result<(Vec<PgRow>, bool), Error> {
        self.check_rows(statement.rows)?;
        self.failed += 1;
        let mut rows = Vec::new();
        let max_bytes = max_bytes.min(self.database.limits.max_result_bytes);
        match self.begun().await?.fetch(statement, max_bytes, &mut rows, Error::from).await {
            Ok(()) => {
                self.failed -= 1;
                Ok((rows, true))
            }
            Err(Error::ResultTooLarge(_)) if !rows.is_empty() => Ok((rows, false)),
            Err(error) => Err(error),
        }
    }

    /// Runs an `insert`.
    ///
    /// # Errors
    /// [`Error::TransactionConflict`] if one of the rows exists already; otherwise as in [`Transaction::write`].
    pub fn insert(&mut self, statement: Statement) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.insert_here(statement))
    }

    async fn insert_here(&mut self, statement: Statement) -> Result<(), Error> {
        self.check_rows(statement.rows)?;
        let query = self.lease.session.query(statement);
        self.failed += 1;
        let lease = self.begun().await?;
        let begun = Instant::now();
        let done = query.execute(lease.connection()?).await.map_err(from_new_rows)?;
        self.failed -= 1;
        self.lease.metrics.statement(StatementKind::Write, done.rows_affected(), 0, begun.elapsed());
        Ok(())
    }

    fn check_rows(&self, rows: usize) -> Result<(), Error> {
        self.database.check_rows(rows)
    }
}

impl CopySource for Transaction<'_> {
    fn limits(&self) -> &Limits {
        &self.database.limits
    }

    fn page_rows(&self) -> &PageRows {
        &self.database.page_rows
    }

    async fn copy_out(
        &mut self,
        select: &str,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        self.failed += 1;
        let max_bytes = self.database.limits.max_result_bytes;
        // The deadline of the transaction covers everything in it.
        let end = self.begun().await?.copy_out(select, max_bytes, Deadline::none(), on_row).await?;
        if matches!(end, CopyEnd::Whole) {
            self.failed -= 1;
        }
        Ok(end)
    }
}

/// If the primary key is taken, another transaction has just created the row.
fn from_new_rows(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(_) if is_primary_key_violation(&error) => Error::TransactionConflict(error),
        error => Error::from_written_rows(error),
    }
}

/// A savepoint of a transaction: what follows it can be undone alone.
#[derive(Debug)]
pub struct Savepoint {
    /// The number of failed statements before it.
    failed: usize,
}

/// How a transaction ends after its work succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd<T> {
    /// It is committed.
    Commit(T),
    /// It is rolled back: a dry run, or a refusal that is not an error.
    RollBack(T),
}

/// When a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Before its work.
    AtOnce,
    /// With the first statement that does not run alone.
    WhenNeeded,
}

/// The result of a transaction's work. Type-erased, so that the code that runs it is compiled once, not for each kind
/// of work.
type AnyValue = Box<dyn Any + Send>;

/// The work of a transaction.
type TransactionWork = Box<
    dyn for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<AnyValue>, Error>>
        + Send
        + 'static,
>;

impl Lease {
    /// Ends a transaction with `end` and, in the same round trip, records the WAL position after it.
    ///
    /// # Errors
    /// Errors of `end`. An error after it is ignored: the transaction has ended as it should.
    fn end<'l>(
        &'l mut self,
        end: &'static str,
        provenance: Option<&'l Provenance>,
        deadline: Deadline,
    ) -> BoxFuture<'l, Result<(), Error>> {
        Box::pin(self.end_here(end, provenance, deadline))
    }

    async fn end_here(
        &mut self,
        end: &'static str,
        provenance: Option<&Provenance>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let Some(provenance) = provenance else {
            within(deadline, self.execute_on_written_rows(end)).await?;
            self.mark_clean();
            return Ok(());
        };
        let mut has_ended = false;
        let whole = within(deadline, async {
            let both = sqlx::raw_sql(AssertSqlSafe(format!("{end}; {WAL_POSITION}")));
            let mut results = both.fetch_many(self.connection()?);
            while let Some(result) = results.try_next().await.map_err(Error::from_written_rows)? {
                has_ended = true;
                if let Some(row) = result.right()
                    && let Ok(lsn) = row.try_get::<&str, _>(0)?.parse()
                {
                    provenance.committed(lsn);
                }
            }
            Ok(())
        })
        .await;
        match whole {
            Ok(()) => {
                self.mark_clean();
                Ok(())
            }
            Err(error) if has_ended => {
                tracing::warn!(%error, "a transaction has ended, but its WAL position is unknown");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Database {
    /// Runs `work` in a transaction and ends it as `work` says. The deadline and
    /// [`Limits::transaction_timeout`](crate::config::Limits::transaction_timeout) bound the transaction; the server
    /// enforces both, too.
    ///
    /// It runs in a task that the caller does not own, since a caller can be dropped at any point. If that happens
    /// before the work is done, its statement is cancelled and nothing is committed. A commit that has begun is
    /// completed.
    ///
    /// # Errors
    /// The error of `work`, after a rollback; errors of the database. [`Error::Internal`], after a rollback, if `work`
    /// hid the error of a statement and wanted to commit. If the connection breaks during the commit, the outcome is
    /// unknown and the error is [`Error::DatabaseUnavailable`].
    pub async fn transaction<T, W>(&self, deadline: Deadline, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<T>, Error>> + Send + 'static,
    {
        self.transaction_noted(deadline, Begins::AtOnce, None, work).await
    }

    /// As [`Database::transaction`], for work that is likely to need a single statement: the transaction begins only
    /// with a statement that does not [run alone](Transaction::write_alone). Behind a transaction pooler it begins at
    /// once.
    ///
    /// # Errors
    /// As [`Database::transaction`]. A statement that runs alone is its own commit: if the caller is dropped, the
    /// deadline passes or the connection breaks while it runs, the outcome is unknown. A server that waits for a lock
    /// then gives up within half a second.
    pub async fn lazy_transaction<T, W>(&self, deadline: Deadline, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<T>, Error>> + Send + 'static,
    {
        self.transaction_noted(deadline, Begins::WhenNeeded, None, work).await
    }

    /// Like [`Database::transaction`] or [`Database::lazy_transaction`], and records in `noted_in` the WAL position at
    /// its end, if it succeeded.
    ///
    /// # Errors
    /// As [`Database::transaction`].
    pub(crate) async fn transaction_noted<T, W>(
        &self,
        deadline: Deadline,
        begins: Begins,
        noted_in: Option<Provenance>,
        work: W,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<TransactionEnd<T>, Error>> + Send + 'static,
    {
        let work: TransactionWork = Box::new(move |transaction| {
            let ending = work(transaction);
            Box::pin(async move {
                let of_any_type = |value: T| -> AnyValue { Box::new(value) };
                Ok(match ending.await? {
                    TransactionEnd::Commit(value) => TransactionEnd::Commit(of_any_type(value)),
                    TransactionEnd::RollBack(value) => TransactionEnd::RollBack(of_any_type(value)),
                })
            })
        });
        let value = self.transact(deadline, begins, noted_in, work).await?;
        value.downcast().map(|value| *value).map_err(|_| Error::internal("a transaction gave a value of another type"))
    }

    fn transact(
        &self,
        deadline: Deadline,
        begins: Begins,
        noted_in: Option<Provenance>,
        work: TransactionWork,
    ) -> BoxFuture<'_, Result<AnyValue, Error>> {
        Box::pin(self.transact_here(deadline, begins, noted_in, work))
    }

    async fn transact_here(
        &self,
        deadline: Deadline,
        begins: Begins,
        noted_in: Option<Provenance>,
        work: TransactionWork,
    ) -> Result<AnyValue, Error> {
        let database = self.clone();
        let gone = CancellationToken::new();
        let _caller = gone.clone().drop_guard();
        let task = tokio::spawn(async move {
            let bound = deadline.bound(database.limits.transaction_timeout);
            // This covers the wait for a connection too. A server that does not answer does not enforce a timeout, so
            // the client does.
            let whole = Deadline::after(bound);
            let worked = async {
                let (mut lease, phase) = match begins {
                    // Behind a pooler, the parts of a single statement may reach two server processes.
                    Begins::WhenNeeded if database.session == SessionScope::Connection => {
                        (database.route().live_lease(whole, bound).await?, Phase::NotBegun)
                    }
                    _ => (database.route().begin("begin", whole, bound).await?, Phase::Begun),
                };
                let mut transaction =
                    Transaction { lease: &mut lease, database: &database, phase, until: whole, bound, failed: 0 };
                let outcome = within(whole, work(&mut transaction)).await;
                let Transaction { phase, failed, .. } = transaction;
                let outcome = match outcome {
                    Ok(TransactionEnd::Commit(_)) if failed > 0 => {
                        Err(Error::internal("a transaction with a failed statement cannot be committed"))
                    }
                    outcome => outcome,
                };
                Ok::<_, Error>((lease, phase, failed, outcome))
            };
            let (mut lease, phase, failed, outcome) = tokio::select! {
                biased;
                worked = worked => worked?,
                // Dropping the work drops its lease and closes the connection, which ends the statement.
                () = gone.cancelled() => return Err(Error::internal("the caller of the transaction is gone")),
            };
            let outcome = match outcome {
                // Dropping the lease closes the connection. That rolls back, and discards the outdated plan.
                Err(error @ Error::PlanOutdated(_)) => return Err(error),
                outcome => outcome,
            };
            if phase != Phase::Begun {
                // A statement that still runs, or whose outcome is unknown, keeps its connection from being used again.
                if failed == 0 {
                    match noted_in.filter(|_| phase == Phase::RanAlone) {
                        Some(noted_in) => database.end_alone(lease, &noted_in, whole, bound).await,
                        None => lease.mark_clean(),
                    }
                }
                return outcome.map(|end| match end {
                    TransactionEnd::Commit(value) | TransactionEnd::RollBack(value) => value,
                });
            }
            let (end, outcome) = match outcome {
                Ok(TransactionEnd::Commit(value)) => ("commit", Ok(value)),
                Ok(TransactionEnd::RollBack(value)) => ("rollback", Ok(value)),
                Err(error) => ("rollback", Err(error)),
            };
            // A rollback has a position too: its answer may depend on what others have committed.
            let noted_in = noted_in.as_ref().filter(|_| outcome.is_ok());
            let ended = lease.end(end, noted_in, whole).await;
            // A failed rollback also undoes everything: dropping the lease closes the connection.
            if end == "commit" {
                ended?;
            }
            outcome
        });
        task.await.unwrap_or_else(|panic| Err(Error::internal(panic)))
    }
}
