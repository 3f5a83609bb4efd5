//! The search for the rows of a commit that the database refuses, within the commit's own transaction.

use std::time::{Duration, Instant};

use super::references::DanglingReference;
use super::statement::{BatchWriter, Incoming, Written};
use crate::db::Transaction;
use crate::error::Error;
use crate::error::refused::RowRefusal;

/// The maximum number of pieces in which rows are written during the search. Finding one of `n` rows takes twice the
/// logarithm of `n`.
const MAX_PIECES: usize = 4_096;
/// This many pieces are always written, however long they take: slowness only means that the machine is busy. The
/// transaction has a time limit of its own, after which the write is tried again.
const LEAST_PIECES: usize = 256;
/// The share of a transaction's time that the search may take: one part in this many.
const SHARE_OF_TIME: u32 = 2;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// As many rows as one statement takes. A row that the database refuses ends the transaction.
    Batches,
    /// If the database refuses a row of a batch, the batch is rolled back and written in two halves, and so on down to
    /// the single row.
    Pieces,
}

/// The search for the rows that the database refuses. All other rows are written when it ends, because a row may be
/// refused due to an earlier one.
pub(super) struct Search {
    by: By,
    pieces: usize,
    until: Instant,
}

impl Search {
    /// A search within a transaction with this time limit.
    pub(super) fn new(by: By, time: Duration) -> Self {
        Self { by, pieces: 0, until: Instant::now() + time / SHARE_OF_TIME }
    }

    /// Whether the search is over.
    pub(super) fn has_ended(&self) -> bool {
        self.pieces >= MAX_PIECES || (self.pieces >= LEAST_PIECES && Instant::now() >= self.until)
    }

    /// Writes rows. In pieces, rolls all of them back if the database refuses one.
    ///
    /// # Errors
    /// Without pieces, [`Error::RowRefused`] if the database refuses a row; as [`BatchWriter::run`].
    pub(super) async fn write(
        &mut self,
        writer: &BatchWriter,
        transaction: &mut Transaction<'_>,
        rows: &[Incoming<'_>],
        dangling: &[DanglingReference],
    ) -> Result<Result<Written, Box<RowRefusal>>, Error> {
        if self.by == By::Batches {
            return writer.run(transaction, rows, dangling).await.map(Ok);
        }
        self.pieces += 1;
        let savepoint = transaction.set_savepoint().await?;
        let written = match writer.run(transaction, rows, dangling).await {
            Ok(written) => transaction.release(&savepoint).await.map(|()| written),
            Err(error) => Err(error),
        };
        match written {
            Err(Error::RowRefused(refusal)) => {
                transaction.roll_back_to(savepoint).await?;
                Ok(Err(refusal))
            }
            written => written.map(Ok),
        }
    }
}
