//! Reading content: a range at a time, in pieces, at the pace of the reader.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;

use super::store::{ObjectKey, StoreError, StoredBytes};
use super::{Documents, within};

/// The message type of what has content.
const RESOURCE: &str = "orrery.records.v1.Artifact";
/// How often reading is tried again without a byte in between. Each try has its own retries of the request.
const MAX_TRIES: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(100);

/// The content of a document, as the document's row says.
#[derive(Clone, Debug)]
pub struct Content {
    /// The uid of the document, for errors.
    pub document: String,
    /// The key of the object.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Content in pieces of at most 256 KiB. No more than a few pieces are read ahead.
pub type ContentStream = BoxStream<'static, Result<Bytes, Error>>;

impl Documents {
    /// Reads a range of content. If the storage breaks off, reading continues where it was. The deadline bounds the
    /// time that the storage takes, not the whole read.
    ///
    /// # Errors
    /// At once, or later from the stream: [`Error::ContentLost`] if the object is gone or has another size;
    /// [`Error::DependencyUnavailable`] if the storage fails; [`Error::DeadlineExceeded`]. At once: [`Error::Invalid`]
    /// for a range that is not within the content.
    pub async fn read(&self, content: Content, range: Range<u64>, deadline: Deadline) -> Result<ContentStream, Error> {
        if range.start > range.end || range.end > content.bytes {
            let rule = format!("must be within the content, which has {} bytes", content.bytes);
            return Err(Error::invalid("range", rule));
        }
        let Some(key) = ObjectKey::parse(&content.key) else { return Err(content.lost("its key is of another kind")) };
        let mut reader = Reader { documents: self.clone(), content, key, rest: range, deadline };
        let mut pieces = reader.open().await?;
        Ok(Box::pin(async_stream::try_stream! {
            let mut tries = 0;
            while !reader.rest.is_empty() {
                let piece = within(deadline, async { Ok(pieces.next().await) }).await?;
                let cause = match piece {
                    Some(Ok(piece)) if piece.len() as u64 <= reader.rest.end - reader.rest.start => {
                        reader.rest.start += piece.len() as u64;
                        tries = 0;
                        yield piece;
                        continue;
                    }
                    Some(Ok(_)) => StoreError::failed("more was read than was asked for"),
                    Some(Err(error)) => error,
                    None => StoreError::failed("the content ended early"),
                };
                tracing::debug!(?cause, "reading content was interrupted");
                tries += 1;
                if tries == MAX_TRIES {
                    Err(cause)?;
                }
                within(deadline, async {
                    tokio::time::sleep(BACKOFF * 2u32.pow(tries)).await;
                    Ok(())
                })
                .await?;
                pieces = reader.open().await?;
            }
        }))
    }
}

/// What is left to read.
struct Reader {
    documents: Documents,
    content: Content,
    key: ObjectKey,
    rest: Range<u64>,
    deadline: Deadline,
}

impl Reader {
    /// Asks for the rest.
    async fn open(&mut self) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, Error> {
        if self.rest.is_empty() {
            // A store would refuse to read nothing.
            self.check_size().await?;
            return Ok(futures::stream::empty().boxed());
        }
        let store = &self.documents.shared.store;
        match within(self.deadline, async { Ok(store.read(&self.key, self.rest.clone()).await) }).await? {
            Ok(StoredBytes { object_bytes, pieces }) if object_bytes == self.content.bytes => Ok(pieces),
            Ok(_) => Err(self.content.lost("it has another size")),
            Err(StoreError::Missing) => Err(self.content.lost("it is missing")),
            // Perhaps because the object is too short for the range.
            Err(error) => match within(self.deadline, async { Ok(store.size(&self.key).await) }).await? {
                Ok(size) if size != self.content.bytes => Err(self.content.lost("it has another size")),
                _ => Err(error.into()),
            },
        }
    }

    async fn check_size(&self) -> Result<(), Error> {
        let store = &self.documents.shared.store;
        match within(self.deadline, async { Ok(store.size(&self.key).await) }).await? {
            Ok(size) if size == self.content.bytes => Ok(()),
            Ok(_) => Err(self.content.lost("it has another size")),
            Err(StoreError::Missing) => Err(self.content.lost("it is missing")),
            Err(error) => Err(error.into()),
        }
    }
}

impl Content {
    fn lost(&self, why: &'static str) -> Error {
        let Self { document, key, .. } = self;
        tracing::error!(document, key, why, "the object of a document is lost");
        Error::ContentLost { resource: RESOURCE, name: document.clone() }
    }
}
