//! Reading by `copy (select ...) to stdout (format binary)`: the fastest way out of Postgres, without a prepared statement
//! and row by row, so that a result is never held as a whole.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;

use super::{Database, Lease, PageRows, within};
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metrics::StatementKind;
use crate::work::{self, Pauses};

/// Signature, flags and the length of the header's extension (manual, COPY, "Binary Format").
const HEADER: usize = 19;

/// What takes each row, as [`CopySource::copy_out`] says.
type OnRow<'r> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send + 'r;

/// One reading statement and its time limit.
#[derive(Clone, Copy, Debug)]
pub struct CopyRequest<'a> {
    /// `select ...`, with literals from [`super::sql`].
    pub select: &'a str,
    /// How long the server may work on it.
    pub timeout: Duration,
    /// The caller's deadline.
    pub deadline: Deadline,
}

/// How a result ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// Every row was read.
    Whole,
    /// The reader had enough; the rest was not read.
    Stopped,
    /// An error after the rows that were read so far, which are good.
    Broken(Error),
}

/// What several results can be read from, one after the other, each seeing the same rows: a [`Snapshot`], or a
/// [`Transaction`](super::Transaction) that holds the locks which keep them as they are.
pub trait CopySource: Send {
    /// The limits that hold here.
    fn limits(&self) -> &Limits;

    /// How many rows of unknown size are asked for at once. Who meets a refusal or a full page tells it.
    fn page_rows(&self) -> &PageRows;

    /// Runs a select and gives each row to `on_row` as a tuple: for every column a 4-byte length (-1 for null) and the
    /// value in Postgres's binary format. After any other end than [`CopyEnd::Whole`] nothing more can be read from this source:
    /// its connection is closed, which ends the statement.
    ///
    /// # Errors
    /// Only those that come before the first row could; later ones end the result with [`CopyEnd::Broken`].
    fn copy_out(
        &mut self,
        select: &str,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> impl Future<Output = Result<CopyEnd, Error>> + Send;
}

/// The database as it stood at one moment, read by several statements. Holds a connection; one that is dropped without
/// [`Snapshot::close`] closes it.
pub struct Snapshot {
    lease: Lease,
    deadline: Deadline,
    limits: Arc<Limits>,
    page_rows: Arc<PageRows>,
}

impl Database {
    /// Opens a snapshot for statements that take the server at most `timeout` each, and all together at most
    /// [`Limits::transaction_timeout`](crate::config::Limits::transaction_timeout).
    ///
    /// # Errors
    /// What the database says; [`Error::DeadlineExceeded`].
    pub async fn snapshot(&self, timeout: Duration, deadline: Deadline) -> Result<Snapshot, Error> {
        self.route().snapshot(timeout, deadline).await
    }

    /// Runs one select on its own, in a transaction that keeps its limit; as [`CopySource::copy_out`].
    ///
    /// # Errors
    /// Only those that come before the statement was sent, such as that there is no connection; what became of the statement stands in
    /// [`CopyEnd`].
    pub async fn copy_out(
        &self,
        request: CopyRequest<'_>,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        self.route().copy_out(request, on_row).await
    }
}

/// A snapshot on a connection that is in a transaction, with the limits of `database`.
pub(super) fn snapshot_on(database: &Database, lease: Lease, deadline: Deadline) -> Snapshot {
    Snapshot { lease, deadline, limits: Arc::clone(&database.limits), page_rows: Arc::clone(&database.page_rows) }
}

impl Snapshot {
    /// Gives the connection back.
    ///
    /// # Errors
    /// [`Error::Internal`] after a result that was not read to its end; what the database says.
    pub async fn close(mut self) -> Result<(), Error> {
        within(self.deadline, self.lease.execute("commit")).await?;
        self.lease.settle();
        Ok(())
    }

    /// Gives the connection back if it is good for anything; what was read stands in any case.
    pub async fn leave(self) {
        if let Err(error) = self.close().await {
            tracing::debug!(%error, "a snapshot's connection was closed");
        }
    }
}

impl CopySource for Snapshot {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn page_rows(&self) -> &PageRows {
        &self.page_rows
    }

    async fn copy_out(
        &mut self,
        select: &str,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        self.lease.copy_out(select, self.limits.max_result_bytes, self.deadline, on_row).await
    }
}

impl Lease {
    /// As [`CopySource::copy_out`]. Until the result was read to its end the connection is of no use for anything else.
    pub(super) async fn copy_out(
        &mut self,
        select: &str,
        max_bytes: usize,
        deadline: Deadline,
        mut on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        self.copy_out_boxed(select, max_bytes, deadline, &mut on_row).await
    }

    fn copy_out_boxed<'l>(
        &'l mut self,
        select: &'l str,
        max_bytes: usize,
        deadline: Deadline,
        on_row: &'l mut OnRow<'l>,
    ) -> BoxFuture<'l, Result<CopyEnd, Error>> {
        Box::pin(self.copy_out_here(select, max_bytes, deadline, on_row))
    }

    async fn copy_out_here(
        &mut self,
        select: &str,
        max_bytes: usize,
        deadline: Deadline,
        on_row: &mut OnRow<'_>,
    ) -> Result<CopyEnd, Error> {
        let begun = Instant::now();
        let statement = format!("copy ({select}) to stdout (format binary)");
        let connection = self.connection_for_result()?;
        let mut rows = within(deadline, async { Ok(connection.copy_out_raw(&statement).await?) }).await?;
        let (mut count_read, mut bytes) = (0, 0);
        let read = async {
            let (mut first, mut pauses) = (true, Pauses::default());
            while let Some(message) = rows.try_next().await? {
                // The server sends one row per message, the header before the first (manual, 55.2.6 and 55.7).
                let row = if first { message.get(HEADER..).unwrap_or_default() } else { &message[..] };
                first = false;
                let Some((count, tuple)) = row.split_at_checked(2) else { continue };
                if count == [0xff, 0xff] {
                    continue; // the trailer
                }
                count_read += 1;
                bytes += tuple.len();
                if bytes > max_bytes {
                    return Err(Error::ResultTooLarge(max_bytes));
                }
                if work::aside(tuple.len(), || on_row(tuple)).await?.is_break() {
                    return Ok(CopyEnd::Stopped);
                }
                // Rows that have arrived already are taken without a pause.
                pauses.after(tuple.len()).await;
            }
            Ok(CopyEnd::Whole)
        };
        let end = within(deadline, read).await.unwrap_or_else(CopyEnd::Broken);
        drop(rows);
        self.metrics.statement(StatementKind::CopyOut, count_read, bytes as u64, begun.elapsed());
        if matches!(end, CopyEnd::Whole) {
            self.result_was_read();
        }
        Ok(end)
    }
}
