//! Rows in chunks, from the thread that reads the file to the task that sends.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::rows::{Item, Row, Rows};
use crate::client::Chunk;
use crate::mapping::Refusal;

/// The most rows in a chunk.
const MOST_ROWS: usize = 2_000;
/// The most bytes in a chunk of more than one row; below 1 MiB with what the message adds.
const MOST_BYTES: usize = 900 * 1024;

/// What the reading thread shares while it reads.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Records read so far.
    pub(crate) records: AtomicU64,
    /// Rows made so far.
    pub(crate) rows: AtomicU64,
    /// Records refused so far.
    pub(crate) refused: AtomicU64,
}

/// Reads a file to its end and sends its rows on. Ends early if a record is refused and `stop` is set, if nobody takes the chunks any
/// more, or with the error of a file that cannot be read on; the rows before are sent on in any case.
pub(crate) fn produce(
    mut rows: Rows,
    stop: bool,
    progress: &Progress,
    chunks: &mpsc::Sender<Chunk>,
    refused: &mpsc::Sender<(u64, Refusal)>,
) -> anyhow::Result<()> {
    let mut chunk = Chunk::default();
    let mut result = Ok(());
    loop {
        let item = rows.next();
        progress.records.store(rows.records, Ordering::Relaxed);
        match item {
            Ok(Some(Item::Row(row))) => {
                progress.rows.fetch_add(1, Ordering::Relaxed);
                if !fits(&chunk, &row) {
                    let next = Chunk { offset: chunk.end(), ..Chunk::default() };
                    if chunks.blocking_send(std::mem::replace(&mut chunk, next)).is_err() {
                        return Ok(());
                    }
                }
                chunk.bytes += row.bytes.len();
                chunk.rows.push(row.bytes);
                chunk.lines.push(row.line);
            }
            Ok(Some(Item::Refused(line, refusal))) => {
                progress.refused.fetch_add(1, Ordering::Relaxed);
                if stop {
                    result = Err(anyhow::anyhow!("line {line}: {refusal}"));
                }
                if refused.blocking_send((line, refusal)).is_err() || stop {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    if !chunk.rows.is_empty() {
        // Where nobody listens any more the sender's own fault is reported.
        let _closed = chunks.blocking_send(chunk);
    }
    result
}

fn fits(chunk: &Chunk, row: &Row) -> bool {
    chunk.rows.is_empty() || (chunk.rows.len() < MOST_ROWS && chunk.bytes + row.bytes.len() <= MOST_BYTES)
}
