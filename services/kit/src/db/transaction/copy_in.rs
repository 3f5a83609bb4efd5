//! Writes rows by `copy ... from stdin (format binary)`.

use std::time::Instant;

use futures::future::BoxFuture;

use super::{Transaction, from_new_rows};
use crate::error::Error;
use crate::metrics::StatementKind;
use crate::work::Yielder;

/// Signature, no flags, no extension (manual, COPY, "Binary Format").
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end marker, in the place of a row's column count: -1.
const COPY_TRAILER: &[u8] = &[0xff, 0xff];
/// Size of the pieces that are sent.
const COPY_PIECE: usize = 256 * 1024;

impl Transaction<'_> {
    /// Runs `copy ... from stdin (format binary)` with `count` rows; `put_next` appends one row at a time in binary
    /// form. They are sent in pieces, so that the server processes the first while the next are built.
    ///
    /// # Errors
    /// [`Error::TransactionConflict`] if one of the rows exists already; otherwise as in [`Transaction::write`].
    pub async fn copy_in(
        &mut self,
        sql: &str,
        count: usize,
        mut put_next: impl FnMut(&mut Vec<u8>) + Send,
    ) -> Result<(), Error> {
        self.copy_in_boxed(sql, count, &mut put_next).await
    }

    fn copy_in_boxed<'t>(
        &'t mut self,
        sql: &'t str,
        count: usize,
        put_next: &'t mut (dyn FnMut(&mut Vec<u8>) + Send),
    ) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(self.copy_in_here(sql, count, put_next))
    }

    async fn copy_in_here(
        &mut self,
        sql: &str,
        count: usize,
        put_next: &mut (dyn FnMut(&mut Vec<u8>) + Send),
    ) -> Result<(), Error> {
        self.check_rows(count)?;
        self.failed += 1;
        let begun = Instant::now();
        let mut copy = self.begun().await?.connection()?.copy_in_raw(sql).await?;
        let mut bytes = 0;
        let (mut piece, mut yielder) = (COPY_HEADER.to_vec(), Yielder::default());
        for _ in 0..count {
            put_next(&mut piece);
            if piece.len() >= COPY_PIECE {
                copy.send(piece.as_slice()).await?;
                bytes += piece.len();
                // Sending does not wait if the server takes everything at once, so yield to other tasks here.
                yielder.after(piece.len()).await;
                piece.clear();
            }
        }
        piece.extend_from_slice(COPY_TRAILER);
        copy.send(piece.as_slice()).await?;
        copy.finish().await.map_err(from_new_rows)?;
        self.failed -= 1;
        let bytes = (bytes + piece.len() - COPY_HEADER.len() - COPY_TRAILER.len()) as u64;
        self.lease.metrics.statement(StatementKind::CopyIn, count as u64, bytes, begun.elapsed());
        Ok(())
    }
}
