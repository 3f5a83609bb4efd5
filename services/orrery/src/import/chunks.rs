//! Passes chunks of rows from the thread that reads the file to the task that sends them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::record::Warning;
use super::rows::{EncodedRow, FileItem, FileRows, Loss};
use crate::client::SentChunk;
use crate::mapping::RecordRefusal;

/// The most rows in a chunk.
pub(crate) const MAX_ROWS: usize = 2_000;
/// The most bytes in a chunk with several rows, so that a message is below 1 MiB. A larger row is sent alone.
pub(crate) const MAX_BYTES: usize = 900 * 1024;

/// Counters of the reading thread.
#[derive(Debug, Default)]
pub(crate) struct ReadProgress {
    /// Records read so far.
    pub(crate) records: AtomicU64,
    /// Rows made so far.
    pub(crate) rows: AtomicU64,
    /// Refused records so far.
    pub(crate) refused_records: AtomicU64,
    /// Rows lost so far because records of them were refused.
    pub(crate) rows_of_refused_records: AtomicU64,
    /// Rows lost for other reasons.
    pub(crate) refused_rows: AtomicU64,
}

impl ReadProgress {
    fn lose(&self, loss: Loss) {
        let counters = match loss {
            Loss::RecordAndRow => &[&self.refused_records, &self.rows_of_refused_records][..],
            Loss::Record => &[&self.refused_records],
            Loss::RowOfRecords => &[&self.rows_of_refused_records],
            Loss::Row => &[&self.refused_rows],
        };
        for counter in counters {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A message about the file, other than a row.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The record or row that begins on this line was refused.
    Refused(u64, RecordRefusal, Loss),
    /// A warning.
    Warning(Warning),
}

/// Reads a file to its end and sends its rows. Stops at a refusal if `stop` is set, when the receiver is closed, or
/// with an error if the file cannot be read further. The rows before are sent in each case.
pub(crate) fn produce(
    mut rows: FileRows,
    stop: bool,
    progress: &ReadProgress,
    chunks: &mpsc::Sender<SentChunk>,
    notices: &mpsc::Sender<Notice>,
) -> anyhow::Result<()> {
    let mut chunk = SentChunk::default();
    let mut result = Ok(());
    loop {
        let item = rows.next();
        progress.records.store(rows.records, Ordering::Relaxed);
        match item {
            Ok(Some(FileItem::Row(row))) => {
                progress.rows.fetch_add(1, Ordering::Relaxed);
                if !fits(&chunk, &row) {
                    let next = SentChunk { offset: chunk.end(), ..SentChunk::default() };
                    if chunks.blocking_send(std::mem::replace(&mut chunk, next)).is_err() {
                        return Ok(());
                    }
                }
                chunk.bytes += row.bytes.len();
                chunk.rows.push(row.bytes);
                chunk.lines.push(row.line);
            }
            Ok(Some(FileItem::Refused(line, refusal, loss))) => {
                progress.lose(loss);
                if stop {
                    result = Err(anyhow::anyhow!("line {line}: {refusal}"));
                }
                if notices.blocking_send(Notice::Refused(line, refusal, loss)).is_err() || stop {
                    break;
                }
            }
            Ok(Some(FileItem::Warning(warning))) => {
                if notices.blocking_send(Notice::Warning(warning)).is_err() {
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
        // If the receiver is closed, the sender of the chunks reports its own error.
        let _closed = chunks.blocking_send(chunk);
    }
    result
}

fn fits(chunk: &SentChunk, row: &EncodedRow) -> bool {
    row.joins || chunk.rows.is_empty() || (chunk.rows.len() < MAX_ROWS && chunk.bytes + row.bytes.len() <= MAX_BYTES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Cursor;
    use std::path::Path;

    use super::super::input::Input;
    use super::*;
    use crate::mapping::Mapping;
    use crate::resource::PRODUCTS;

    /// The numbers of rows in the chunks of a file of products whose names have these lengths.
    fn chunks(names: &[usize]) -> Vec<usize> {
        let text = names
            .iter()
            .enumerate()
            .fold("id,name\n".to_owned(), |text, (row, bytes)| text + &format!("{row},{}\n", "x".repeat(*bytes)));
        let mapping = "[fields]\nuid = { column = \"id\" }\nname = { column = \"name\" }";
        let mapping = Mapping::parse(Path::new("m.toml"), mapping).unwrap();
        let input = Input::new("x.csv".into(), Box::new(Cursor::new(text)), None).unwrap();
        let rows = FileRows::open(&PRODUCTS, Path::new("x.csv"), input, None, Some(&mapping)).unwrap();
        let (sender, mut receiver) = mpsc::channel(names.len() + 1);
        let (notices, _) = mpsc::channel(1);
        produce(rows, true, &ReadProgress::default(), &sender, &notices).unwrap();
        drop(sender);
        let mut counts = Vec::new();
        let mut offset = 0;
        while let Some(chunk) = receiver.blocking_recv() {
            assert_eq!((chunk.offset, chunk.lines.len()), (offset, chunk.rows.len()));
            assert!(chunk.rows.len() == 1 || chunk.bytes <= MAX_BYTES);
            offset = chunk.end();
            counts.push(chunk.rows.len());
        }
        counts
    }

    #[test]
    fn chunks_are_bounded_by_rows_and_by_bytes() {
        assert_eq!(chunks(&vec![5; 4_001]), [2_000, 2_000, 1]);
        assert_eq!(chunks(&[400 * 1024; 5]), [2, 2, 1]);
        // A row larger than the limit is sent alone.
        assert_eq!(chunks(&[10, 3 * 1024 * 1024, 10, 10]), [1, 1, 2]);
    }
}
