//! The search for the rows of a commit that the database refuses, within the commit's own transaction.

use std::time::{Duration, Instant};

use super::references::DanglingReference;
use super::statement::{BatchWriter, Incoming, Written};
use crate::db::Transaction;
use crate::error::Error;
use crate::error::refused::RowRefusal;

/// In how many pieces rows are written, at most, while those are looked for that the database refuses. To find one row
/// of `n` takes twice the logarithm of `n`.
const MAX_PIECES: usize = 4_096;
/// So many pieces are written however long that takes: a few slow ones are a machine that is busy, and the transaction
/// has a bound of its own, beyond which the write is tried again.
const LEAST_PIECES: usize = 256;
/// Which part of a transaction's time the search may take: one in so many.
const SHARE_OF_TIME: u32 = 2;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// As many as a statement takes; a row that the database refuses ends the transaction.
    Batches,
    /// A batch of which the database refuses a row is undone and written in two halves, and so on, down to the row.
    Pieces,
}

/// The search for the rows that the database refuses. What it takes is written by the end of it: a row may be refused
/// because of one before it.
pub(super) struct Search {
    by: By,
    pieces: usize,
    until: Instant,
}

impl Search {
    /// A search within a transaction that may take so long.
    pub(super) fn new(by: By, time: Duration) -> Self {
        Self { by, pieces: 0, until: Instant::now() + time / SHARE_OF_TIME }
    }

    /// Whether no more rows are looked for.
    pub(super) fn has_ended(&self) -> bool {
        self.pieces >= MAX_PIECES || (self.pieces >= LEAST_PIECES && Instant::now() >= self.until)
    }

    /// Writes rows, or, by pieces, nothing of them if the database refuses one.
    ///
    /// # Errors
    /// By batches, [`Error::RowRefused`] if the database refuses one; as [`BatchWriter::run`].
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
