//! Reading by `copy (select ...) to stdout (format binary)`: the fastest way out of Postgres, without a prepared statement
//! and row by row, so that a result is never held as a whole.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::Executor as _;

use super::{Database, within};
use crate::deadline::Deadline;
use crate::error::Error;

/// Signature, flags and the length of the header's extension (manual, COPY, "Binary Format").
const HEADER: usize = 19;

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

impl Database {
    /// Runs a select and gives each row to `on_row` as a tuple: for every column a 4-byte length (-1 for null) and the
    /// value in Postgres's binary format. When `on_row` breaks, the rest is not read and the connection is closed, which
    /// ends the statement.
    ///
    /// # Errors
    /// Only those that come before the first row could; later ones end the result with [`CopyEnd::Broken`].
    pub async fn copy_out(
        &self,
        request: CopyRequest<'_>,
        mut on_row: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + Send,
    ) -> Result<CopyEnd, Error> {
        let timeout = request.deadline.bound(request.timeout.min(self.limits.statement_timeout));
        let mut lease = self.begin(request.deadline, timeout).await?;
        let statement = format!("copy ({}) to stdout (format binary)", request.select);
        let deadline = request.deadline;
        let max_bytes = self.limits.max_result_bytes;
        let end = {
            let connection = lease.connection()?;
            let mut rows = within(deadline, async { Ok(connection.copy_out_raw(&statement).await?) }).await?;
            let read = async {
                let mut bytes = 0;
                let mut first = true;
                while let Some(message) = rows.try_next().await? {
                    // The server sends one row per message, the header before the first (manual, 55.2.6 and 55.7).
                    let row = if first { message.get(HEADER..).unwrap_or_default() } else { &message[..] };
                    first = false;
                    let Some((count, tuple)) = row.split_at_checked(2) else { continue };
                    if count == [0xff, 0xff] {
                        continue; // the trailer
                    }
                    bytes += tuple.len();
                    if bytes > max_bytes {
                        return Err(Error::ResultTooLarge(max_bytes));
                    }
                    if on_row(tuple)?.is_break() {
                        return Ok(CopyEnd::Stopped);
                    }
                }
                Ok(CopyEnd::Whole)
            };
            within(deadline, read).await.unwrap_or_else(CopyEnd::Broken)
        };
        if !matches!(end, CopyEnd::Whole) {
            return Ok(end);
        }
        within(deadline, async { Ok(lease.connection()?.execute("commit").await?) }).await?;
        lease.settle();
        Ok(end)
    }
}
