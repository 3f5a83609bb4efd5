//! Rows in chunks, from the thread that reads the file to the task that sends.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::record::Warning;
use super::rows::{Item, Loss, Row, Rows};
use crate::client::Chunk;
use crate::mapping::Refusal;

/// The most rows in a chunk.
const MOST_ROWS: usize = 2_000;
/// The most bytes in a chunk of more than one row; below 1 MiB with what the message adds. A row may be larger and goes alone.
const MOST_BYTES: usize = 900 * 1024;

/// What the reading thread shares while it reads.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Records read so far.
    pub(crate) records: AtomicU64,
    /// Rows made so far.
    pub(crate) rows: AtomicU64,
    /// Records refused so far.
    pub(crate) refused_records: AtomicU64,
    /// Rows that there are not, so far, on account of records that were refused.
    pub(crate) rows_of_refused_records: AtomicU64,
    /// Rows that there are not for other reasons.
    pub(crate) refused_rows: AtomicU64,
}

impl Progress {
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

/// What there is to tell of a file besides its rows.
#[derive(Debug)]
pub(crate) enum Notice {
    /// What begins on this line was refused.
    Refused(u64, Refusal, Loss),
    /// Something is odd.
    Warning(Warning),
}

/// Reads a file to its end and sends its rows on. Ends early if a record is refused and `stop` is set, if nobody takes the chunks any
/// more, or with the error of a file that cannot be read on; the rows before are sent on in any case.
pub(crate) fn produce(
    mut rows: Rows,
    stop: bool,
    progress: &Progress,
    chunks: &mpsc::Sender<Chunk>,
    notices: &mpsc::Sender<Notice>,
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
            Ok(Some(Item::Refused(line, refusal, loss))) => {
                progress.lose(loss);
                if stop {
                    result = Err(anyhow::anyhow!("line {line}: {refusal}"));
                }
                if notices.blocking_send(Notice::Refused(line, refusal, loss)).is_err() || stop {
                    break;
                }
            }
            Ok(Some(Item::Warning(warning))) => {
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
        // Where nobody listens any more the sender's own fault is reported.
        let _closed = chunks.blocking_send(chunk);
    }
    result
}

fn fits(chunk: &Chunk, row: &Row) -> bool {
    chunk.rows.is_empty() || (chunk.rows.len() < MOST_ROWS && chunk.bytes + row.bytes.len() <= MOST_BYTES)
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

    /// How many rows the chunks have that a file of products becomes whose names have so many bytes.
    fn chunks(names: &[usize]) -> Vec<usize> {
        let text = names
            .iter()
            .enumerate()
            .fold("id,name\n".to_owned(), |text, (row, bytes)| text + &format!("{row},{}\n", "x".repeat(*bytes)));
        let mapping = "[fields]\nuid = { column = \"id\" }\nname = { column = \"name\" }";
        let mapping = Mapping::parse(Path::new("m.toml"), mapping).unwrap();
        let input = Input::new("x.csv".into(), Box::new(Cursor::new(text)), None).unwrap();
        let rows = Rows::open(&PRODUCTS, Path::new("x.csv"), input, None, Some(&mapping)).unwrap();
        let (sender, mut receiver) = mpsc::channel(names.len() + 1);
        let (notices, _) = mpsc::channel(1);
        produce(rows, true, &Progress::default(), &sender, &notices).unwrap();
        drop(sender);
        let mut counts = Vec::new();
        let mut offset = 0;
        while let Some(chunk) = receiver.blocking_recv() {
            assert_eq!((chunk.offset, chunk.lines.len()), (offset, chunk.rows.len()));
            assert!(chunk.rows.len() == 1 || chunk.bytes <= MOST_BYTES);
            offset = chunk.end();
            counts.push(chunk.rows.len());
        }
        counts
    }

    #[test]
    fn chunks_are_bounded_by_rows_and_by_bytes() {
        assert_eq!(chunks(&vec![5; 4_001]), [2_000, 2_000, 1]);
        assert_eq!(chunks(&[400 * 1024; 5]), [2, 2, 1]);
        // A row that is larger than a chunk should be is one, and nothing is sent with it.
        assert_eq!(chunks(&[10, 3 * 1024 * 1024, 10, 10]), [1, 1, 2]);
    }
}
