//! Reads by `copy (select ...) to stdout (format binary)`. It is the fastest way out of Postgres, needs no prepared
//! statement, and gives row by row, so that no result is held as a whole.

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
use crate::work::{self, Yielder};

/// Size of the header: signature, flags, and length of the extension (manual, COPY, "Binary Format").
const HEADER: usize = 19;

/// The callback for each row; see [`CopySource::copy_out`].
type OnRow<'r> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send + 'r;

/// A reading statement and its time limit.
#[derive(Clone, Copy, Debug)]
pub struct CopyRequest<'a> {
    /// `select ...`, with literals from [`super::sql`].
    pub select: &'a str,
    /// How long the server may run it.
    pub timeout: Duration,
    /// The caller's deadline.
    pub deadline: Deadline,
}

/// How a result ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// Every row was read.
    Whole,
    /// The callback stopped it; the rest was not read.
    Stopped,
    /// An error occurred. The rows read before it are valid.
    Broken(Error),
}

/// A source of several results, read one after the other, that all see the same rows: a [`Snapshot`], or a
/// [`Transaction`](super::Transaction) that holds the locks which keep the rows unchanged.
pub trait CopySource: Send {
    /// The limits of the source.
    fn limits(&self) -> &Limits;

    /// How many rows to ask for if their size is unknown. Callers report refused and complete pages to it.
    fn page_rows(&self) -> &PageRows;

    /// Runs a select and passes each row to `on_row` as a tuple: for every column a 4-byte length (-1 for null) and the
    /// value in Postgres's binary format. After any end but [`CopyEnd::Whole`] nothing more can be read from this
    /// source: its connection is closed, which ends the statement.
    ///
    /// # Errors
    /// Only errors before the first row. Later ones end the result with [`CopyEnd::Broken`].
    fn copy_out(
        &mut self,
        select: &str,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> impl Future<Output = Result<CopyEnd, Error>> + Send;
}

/// The state of the database at one moment, for several statements. It holds a connection. If it is dropped without
/// [`Snapshot::close`], that connection is closed.
pub struct Snapshot {
    lease: Lease,
    deadline: Deadline,
    limits: Arc<Limits>,
    page_rows: Arc<PageRows>,
}

impl Database {
    /// Opens a snapshot. Each statement may take at most `timeout`, and all together at most
    /// [`Limits::transaction_timeout`](crate::config::Limits::transaction_timeout).
    ///
    /// # Errors
    /// Errors of the database; [`Error::DeadlineExceeded`].
    pub async fn snapshot(&self, timeout: Duration, deadline: Deadline) -> Result<Snapshot, Error> {
        self.route().snapshot(timeout, deadline).await
    }

    /// Runs one select in a transaction of its own that enforces its limit; see [`CopySource::copy_out`].
    ///
    /// # Errors
    /// Only errors before the statement was sent, such as a missing connection. The result of the statement is in
    /// [`CopyEnd`].
    pub async fn copy_out(
        &self,
        request: CopyRequest<'_>,
        on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        self.route().copy_out(request, on_row).await
    }
}

/// A snapshot on a connection that has an open transaction, with the limits of `database`.
pub(super) fn snapshot_on(database: &Database, lease: Lease, deadline: Deadline) -> Snapshot {
    Snapshot { lease, deadline, limits: Arc::clone(&database.limits), page_rows: Arc::clone(&database.page_rows) }
}

impl Snapshot {
    /// Gives the connection back.
    ///
    /// # Errors
    /// [`Error::Internal`] after a result that was not read to its end; errors of the database.
    pub async fn close(mut self) -> Result<(), Error> {
        within(self.deadline, self.lease.execute("commit")).await?;
        self.lease.mark_clean();
        Ok(())
    }

    /// Gives the connection back if it is still usable. The rows that were read are valid in any case.
    pub async fn release(self) {
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
    /// See [`CopySource::copy_out`]. Until the result was read to its end, the connection cannot be used for anything
    /// else.
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
            let (mut first, mut yielder) = (true, Yielder::default());
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
                if work::run_in_place(tuple.len(), || on_row(tuple)).await?.is_break() {
                    return Ok(CopyEnd::Stopped);
                }
                // Rows that have already arrived are processed without waiting, so yield to other tasks here.
                yielder.after(tuple.len()).await;
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
