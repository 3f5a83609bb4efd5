//! The search for the rows of a commit that the database refuses, within the commit's own transaction.

use std::time::{Duration, Instant};

use super::references::DanglingReference;
use super::statement::{BatchWriter, Incoming, Presence, Written};
use crate::db::{Savepoint, Transaction};
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
        presence: Presence,
    ) -> Result<Result<Written, Box<RowRefusal>>, Error> {
        let savepoint = self.begin(transaction).await?;
        let written = writer.run(transaction, rows, dangling, presence).await;
        self.end(transaction, savepoint, written).await
    }

    /// Begins a piece. Its savepoint goes to [`end`](Self::end) or [`undo`](Self::undo).
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn begin(&mut self, transaction: &mut Transaction<'_>) -> Result<Option<Savepoint>, Error> {
        if self.by == By::Batches {
            return Ok(None);
        }
        self.pieces += 1;
        transaction.set_savepoint().await.map(Some)
    }

    /// Ends a piece with its result. Rolls it back if the database refuses one of its rows.
    ///
    /// # Errors
    /// The errors of the result; without pieces also [`Error::RowRefused`].
    pub(super) async fn end<T>(
        &self,
        transaction: &mut Transaction<'_>,
        savepoint: Option<Savepoint>,
        done: Result<T, Error>,
    ) -> Result<Result<T, Box<RowRefusal>>, Error> {
        let Some(savepoint) = savepoint else { return done.map(Ok) };
        let done = match done {
            Ok(done) => transaction.release(&savepoint).await.map(|()| done),
            Err(error) => Err(error),
        };
        match done {
            Err(Error::RowRefused(refusal)) => {
                transaction.roll_back_to(savepoint).await?;
                Ok(Err(refusal))
            }
            done => done.map(Ok),
        }
    }

    /// Rolls back a piece of which a row was refused, though not by the database. Returns whether that is possible:
    /// without pieces it is not.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn undo(
        &self,
        transaction: &mut Transaction<'_>,
        savepoint: Option<Savepoint>,
    ) -> Result<bool, Error> {
        match savepoint {
            Some(savepoint) => transaction.roll_back_to(savepoint).await.map(|()| true),
            None => Ok(false),
        }
    }
}
