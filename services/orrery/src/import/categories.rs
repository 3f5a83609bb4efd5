//! The categories of imported tags, which are written after the tags. Until then a temporary file keeps them, so that
//! memory does not grow with the file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use orrery_proto::records::v1::TagClassification;
use orrery_proto::r#type::v1::ReferenceCheck;
use prost::Message as _;
use tokio::sync::mpsc;

use super::chunks::{MAX_BYTES, MAX_ROWS};
use crate::client::{SentChunk, WriteCounts, WriteEvent, WriteFault, WriteOptions, write};

/// The path of their chunked write.
const WRITE_METHOD: &str = "/orrery.records.v1.TagsService/WriteTagClassifications";

/// The classifications in the order of the tags.
#[derive(Debug)]
pub(crate) struct CategorySpool {
    folder: PathBuf,
    /// None until the first one.
    file: Option<BufWriter<File>>,
}

impl CategorySpool {
    /// None yet. The file will be in `folder`, without a name.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.file.is_none()
    }

    /// Adds the classification of the tag on a line.
    pub(crate) fn add(&mut self, line: u64, row: &TagClassification) -> anyhow::Result<()> {
        let cannot = || {
            let folder = self.folder.display();
            format!("a temporary file in {folder} cannot be written; choose another folder with --temp-dir")
        };
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(tempfile::tempfile_in(&self.folder).with_context(cannot)?),
        };
        let file = self.file.insert(file);
        let row = row.encode_to_vec();
        file.write_all(&line.to_le_bytes())
            .and_then(|()| file.write_all(&(row.len() as u64).to_le_bytes()))
            .and_then(|()| file.write_all(&row))
            .context("a temporary file cannot be written; choose another folder with --temp-dir")
    }

    /// Sends all of them, in chunks, until the receiver is closed.
    pub(crate) fn send(self, chunks: &mpsc::Sender<SentChunk>) -> anyhow::Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        let mut file = file.into_inner().context("a temporary file cannot be written")?;
        file.rewind().context(NOT_READ)?;
        let mut file = BufReader::new(file);
        let mut chunk = SentChunk::default();
        while !file.fill_buf().context(NOT_READ)?.is_empty() {
            let line = number(&mut file)?;
            let mut row = vec![0; usize::try_from(number(&mut file)?).context(NOT_READ)?];
            file.read_exact(&mut row).context(NOT_READ)?;
            if chunk.rows.len() >= MAX_ROWS || (!chunk.rows.is_empty() && chunk.bytes + row.len() > MAX_BYTES) {
                let next = SentChunk { offset: chunk.end(), ..SentChunk::default() };
                if chunks.blocking_send(std::mem::replace(&mut chunk, next)).is_err() {
                    return Ok(());
                }
            }
            chunk.bytes += row.len();
            chunk.rows.push(row.into());
            chunk.lines.push(line);
        }
        // If the receiver is closed, the sender of the chunks reports its own error.
        let _closed = chunks.blocking_send(chunk);
        Ok(())
    }
}

/// Writes the categories of tags that were written: the counts, how the write ended, and whether all were sent.
pub(crate) async fn write_all(
    of_tags: &WriteOptions,
    spool: CategorySpool,
    on_event: &mut (dyn FnMut(WriteEvent<'_>) + Send),
) -> (WriteCounts, Result<(), WriteFault>, anyhow::Result<()>) {
    let options = WriteOptions {
        method: WRITE_METHOD,
        // A check has written no tags that could exist.
        reference_check: if of_tags.validate_only { ReferenceCheck::Accept } else { ReferenceCheck::Reject },
        update_mask: Vec::new(),
        ..of_tags.clone()
    };
    let (sender, chunks) = mpsc::channel(2);
    let sending = tokio::task::spawn_blocking(move || spool.send(&sender));
    let (counts, result) = write(&options, chunks, on_event).await;
    let sent =
        sending.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread that reads the temporary file panicked")));
    (counts, result, sent)
}

const NOT_READ: &str = "a temporary file cannot be read back";

fn number(file: &mut BufReader<File>) -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).context(NOT_READ)?;
    Ok(u64::from_le_bytes(bytes))
}
