//! The route of a read: to the primary, or to a replica while that serves the call.

use std::io;
use std::time::Duration;

use sqlx::postgres::PgRow;

use super::copy::snapshot_on;
use super::replica::ReplicaRoute;
use super::session::SessionScope;
use super::{CopyEnd, CopyRequest, CopySource as _, Database, Lease, Replica, Snapshot, Statement, within};
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::error::Error;

/// Where the statements of a read get their connections. Everything that reads takes a route; it offers no transaction
/// that could write. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'d> {
    primary: &'d Database,
    replica: Option<&'d ReplicaRoute>,
}

impl Database {
    /// The route to this database alone.
    pub(crate) fn route(&self) -> Route<'_> {
        Route::new(self, None)
    }
}

impl<'d> Route<'d> {
    /// A route to `primary`, and to a replica while `replica` allows it.
    pub(crate) fn new(primary: &'d Database, replica: Option<&'d ReplicaRoute>) -> Self {
        Self { primary, replica }
    }

    /// The limits of its statements.
    pub(crate) fn limits(self) -> &'d Limits {
        self.primary.limits()
    }

    /// Runs one reading statement and returns its rows.
    ///
    /// # Errors
    /// Errors of the database; [`Error::DeadlineExceeded`] when the deadline passes first;
    /// [`Error::ResultTooLarge`] beyond the limit of a result.
    pub(crate) async fn fetch(self, statement: &Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
        self.primary.check_rows(statement.rows)?;
        // A server that answers enforces the same limit, by the session's or the transaction's timeout.
        let bound = deadline.bound(self.primary.session.read_timeout(self.limits()));
        let deadline = Deadline::after(bound);
        let mut attempts = self.primary.attempts(deadline);
        loop {
            let mut rows = Vec::new();
            let work = async {
                let mut lease = attempts.lease(self.lease_for_read(attempts.until, bound)).await?;
                lease.fetch(statement.clone(), self.limits().max_result_bytes, &mut rows, Error::from).await?;
                lease.note_answer();
                lease.release_after_read();
                Ok(())
            };
            match self.attempt_read(within(deadline, work)).await {
                None => {}
                Some(Ok(())) => return Ok(rows),
                // A connection that returned rows was not dead.
                Some(Err(error)) if rows.is_empty() => attempts.retry_after(error).await?,
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Opens a snapshot. Each statement may take at most `timeout`, and all together at most
    /// [`Limits::transaction_timeout`].
    ///
    /// # Errors
    /// Errors of the database; [`Error::DeadlineExceeded`].
    pub(crate) async fn snapshot(self, timeout: Duration, deadline: Deadline) -> Result<Snapshot, Error> {
        let whole = deadline.bound(self.limits().transaction_timeout);
        let deadline = Deadline::after(whole);
        let lease = self.begin("begin isolation level repeatable read read only", deadline, timeout.min(whole)).await?;
        Ok(snapshot_on(self.primary, lease, deadline))
    }

    /// Runs one select in a transaction of its own that enforces its limit; see
    /// [`CopySource::copy_out`](super::CopySource::copy_out).
    ///
    /// # Errors
    /// Only errors before the statement was sent, such as a missing connection. The result of the statement is in
    /// [`CopyEnd`].
    pub(crate) async fn copy_out(
        self,
        request: CopyRequest<'_>,
        on_row: impl FnMut(&[u8]) -> Result<std::ops::ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        let CopyRequest { select, timeout, deadline } = request;
        // A server that does not answer does not enforce a timeout, so the client does.
        let deadline = Deadline::after(deadline.bound(self.limits().transaction_timeout));
        let timeout = deadline.bound(timeout.min(self.limits().statement_timeout));
        let lease = self.begin("begin", deadline, timeout).await?;
        let mut alone = snapshot_on(self.primary, lease, deadline);
        let end = alone.copy_out(select, on_row).await.unwrap_or_else(CopyEnd::Broken);
        if matches!(end, CopyEnd::Whole) {
            alone.release().await;
        }
        Ok(end)
    }

    /// The replica, if it serves the reads of this call now.
    pub(crate) async fn replica(self, deadline: Deadline) -> Option<&'d Replica> {
        self.replica?.serving(deadline).await
    }

    /// Runs a read of which nothing was sent to the caller yet. `None` if the replica failed it: run it again, and the
    /// primary serves it.
    pub(crate) async fn attempt_read<T>(
        self,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Option<Result<T, Error>> {
        let Some(replica) = self.replica else { return Some(read.await) };
        let outcome = tokio::select! {
            biased;
            outcome = read => outcome,
            () = replica.lost() => Err(sqlx::Error::Io(io::Error::other("the replica is gone")).into()),
        };
        match outcome {
            Err(error) if replica.is_fallback_cause(&error) => None,
            outcome => Some(outcome),
        }
    }

    /// Runs a read of which nothing was sent to the caller yet. If the replica fails it, runs it again on the primary.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) async fn read<T, F>(self, read: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match self.attempt_read(read()).await {
            Some(outcome) => outcome,
            // Boxed: it is rarely needed, and as large as the first.
            None => Box::pin(read()).await,
        }
    }

    /// A connection of the pool that serves the call now: the replica's, possibly after a wait, or the primary's.
    async fn lease(self, deadline: Deadline) -> Result<Lease, Error> {
        self.database(deadline).await.lease(deadline).await
    }

    /// The database that serves the call now.
    async fn database(self, deadline: Deadline) -> &'d Database {
        self.replica(deadline).await.map_or(self.primary, Replica::database)
    }

    /// A connection for one reading statement that may run for `bound`. Give it back with
    /// [`Lease::release_after_read`]. Behind a transaction pooler even a single statement needs a transaction: it
    /// takes two round trips, parse and execute, which might reach two server processes.
    async fn lease_for_read(self, deadline: Deadline, bound: Duration) -> Result<Lease, Error> {
        match self.primary.session {
            SessionScope::Connection => {
                let suffices = |timeout: Option<Duration>| timeout.is_none_or(|timeout| timeout >= bound);
                let database = self.database(deadline).await;
                let mut lease = database.lease_if(suffices, deadline).await?;
                if !suffices(lease.timeout) {
                    within(deadline, lease.set_timeout(None)).await?;
                }
                Ok(lease)
            }
            SessionScope::Transaction => self.try_begin("begin read only", deadline, bound).await,
        }
    }

    /// Takes a connection and opens a transaction with `begin` and the server's time limits, in one round trip. Nothing
    /// has happened yet, so a dead connection is replaced.
    pub(super) async fn begin(self, begin: &str, deadline: Deadline, bound: Duration) -> Result<Lease, Error> {
        let mut attempts = self.primary.attempts(deadline);
        loop {
            match attempts.lease(self.try_begin(begin, attempts.until, bound)).await {
                Err(error) if self.replica.is_some_and(|replica| replica.is_fallback_cause(&error)) => {}
                Err(error) => attempts.retry_after(error).await?,
                Ok(lease) => return Ok(lease),
            }
        }
    }

    /// Opens a transaction on a connection that answered a moment ago. If it is lost, another one takes its place.
    pub(super) async fn begin_on(
        self,
        lease: &mut Lease,
        begin: &str,
        deadline: Deadline,
        bound: Duration,
    ) -> Result<(), Error> {
        let text = self.primary.session.begin(begin, bound, self.limits(), lease.sharded);
        match within(deadline, lease.execute(text)).await {
            Err(error) if error.is_connection_loss() => {
                *lease = self.begin(begin, deadline, bound).await?;
                Ok(())
            }
            outcome => {
                lease.note_answer();
                outcome
            }
        }
    }

    /// Takes a connection for a single statement that the server ends after `bound`, or shortly after. The connection
    /// is alive: it was in use in the last moments, or has answered.
    pub(super) async fn live_lease(self, deadline: Deadline, bound: Duration) -> Result<Lease, Error> {
        let timeout = SessionScope::timeout(bound, self.limits());
        let mut spare = match self.primary.spare_lease(|of_spare| of_spare == timeout) {
            Some((lease, true)) if lease.timeout == timeout => return Ok(lease),
            spare => spare.map(|(lease, _)| lease),
        };
        let mut attempts = self.primary.attempts(deadline);
        loop {
            let (until, spare) = (attempts.until, spare.take());
            let answered = async {
                let mut lease = match spare {
                    Some(lease) => lease,
                    None => self.lease(until).await?,
                };
                if lease.timeout == timeout {
                    within(until, lease.ping()).await?;
                } else {
                    within(until, lease.set_timeout(timeout)).await?;
                }
                lease.note_answer();
                Ok(lease)
            };
            match attempts.lease(answered).await {
                Err(error) => attempts.retry_after(error).await?,
                Ok(lease) => return Ok(lease),
            }
        }
    }

    /// Like [`Route::begin`], without a retry.
    async fn try_begin(self, begin: &str, deadline: Deadline, bound: Duration) -> Result<Lease, Error> {
        let Database { session, pool, .. } = self.primary;
        let mut lease = self.lease(deadline).await?;
        let begin = session.begin(begin, bound, self.limits(), lease.sharded);
        let (until, late) = session.begin_deadline(deadline, pool.options().get_acquire_timeout());
        let opened = within(until, lease.execute(begin)).await;
        opened.map_err(|error| if matches!(error, Error::DeadlineExceeded) { late } else { error })?;
        lease.note_answer();
        Ok(lease)
    }
}
