//! An upload: content arrives in pieces of any size, is stored in parts of one size, and is checked before it counts.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use object_store::{PutPayload, PutPayloadMut};
use orrery_kit::db::Transaction;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::work::offload;
use tokio::sync::OwnedSemaphorePermit;

use super::hash::{ContentHash, Hasher};
use super::ledger::{UploadFence, UploadRow};
use super::store::{ObjectKey, StoreError};
use super::{Documents, within};

/// Arriving bytes are collected in blocks of this size.
const BLOCK_BYTES: usize = 128 * 1024;
/// The longest upload_id, in bytes.
const MAX_ID_BYTES: usize = 1024;

/// A new upload, or one to continue.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// The name of the upload, which the caller chooses: 1 to 1,024 bytes. The same name continues it.
    pub upload_id: String,
    /// The SHA-256 of the whole content.
    pub content_hash: ContentHash,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadProgress {
    /// How many bytes are stored, whatever happens to this process: 0 if there is no such upload.
    pub offset: u64,
    /// Whether these are all, and their hash is right.
    pub is_complete: bool,
}

/// Content that is stored and checked, and belongs to no document yet. Unless a document [adopts](Self::adopt) it, it
/// is removed after some hours.
#[derive(Clone, Debug)]
pub struct StoredContent {
    /// The key of the object, for [`Content`](super::Content).
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub hash: ContentHash,
    fence: UploadFence,
}

impl StoredContent {
    /// Ends the upload in the transaction that stores the key, the size and the hash with a document.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`] if another stream has taken the upload over, or it has expired: the transaction must
    /// not be committed. Errors of the database.
    pub async fn adopt(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        self.fence.adopt(transaction).await
    }
}

/// One stream of an upload. Dropping it loses the bytes after the last whole part; the upload can be continued.
#[derive(Debug)]
pub struct Upload {
    documents: Documents,
    id: String,
    hash: ContentHash,
    row: UploadRow,
    /// Whether the row is in the database. It is written together with the first part.
    is_stored: bool,
    part: Part,
    deadline: Deadline,
}

/// The part that arrives.
#[derive(Debug, Default)]
struct Part {
    content: PutPayloadMut,
    /// The right to hold it in memory.
    permit: Option<OwnedSemaphorePermit>,
}

impl Documents {
    /// Begins an upload, or continues it. Older streams of the same upload end with [`Error::WriteTakenOver`]. The
    /// deadline bounds the whole upload.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unusable upload_id; [`Error::WriteMismatch`] if it was begun with another hash; errors
    /// of the database.
    pub async fn upload(&self, new: NewUpload, deadline: Deadline) -> Result<Upload, Error> {
        let NewUpload { upload_id, content_hash } = new;
        if upload_id.is_empty() || upload_id.len() > MAX_ID_BYTES || upload_id.contains('\0') {
            let rule = format!("must be 1 to {MAX_ID_BYTES} bytes, without NUL");
            return Err(Error::invalid("start.upload_id", rule));
        }
        let stored = self.shared.ledger.take_over(&upload_id, content_hash, deadline).await?;
        let is_stored = stored.is_some();
        let row = stored.unwrap_or_else(|| UploadRow {
            fence: 1,
            key: ObjectKey::new(),
            part_bytes: self.shared.part_bytes,
            offset: 0,
            multipart_id: None,
            part_ids: Vec::new(),
            hasher: Hasher::default(),
            stored_bytes: None,
        });
        let (documents, part) = (self.clone(), Part::default());
        Ok(Upload { documents, id: upload_id, hash: content_hash, row, is_stored, part, deadline })
    }

    /// Removes content that no document has adopted, because another stream of the same upload was faster and is in the
    /// ledger of writes already. What cannot be removed now is removed when it expires.
    pub async fn give_up_unused(&self, content: &StoredContent, deadline: Deadline) {
        match self.shared.ledger.give_up(&content.fence, deadline).await {
            Ok(true) => self.remove(&content.key, deadline).await,
            // The usual case: it is adopted.
            Ok(false) => {}
            Err(error) => tracing::warn!(key = content.key, %error, "content without a document is removed later"),
        }
    }

    /// How far an upload is, without taking it over.
    ///
    /// # Errors
    /// Errors of the database.
    pub async fn progress(&self, upload_id: &str, deadline: Deadline) -> Result<UploadProgress, Error> {
        self.shared.ledger.progress(upload_id, deadline).await
    }
}

impl Upload {
    /// How many bytes the upload has: the offset of the next one that it needs. Right after [`Documents::upload`] they
    /// are all stored, whatever happens to this process.
    pub fn position(&self) -> u64 {
        self.row.stored_bytes.unwrap_or(self.row.offset + self.part.content.content_length() as u64)
    }

    /// Whether the content is complete, so that only [`finish`](Self::finish) is left to do.
    pub fn is_complete(&self) -> bool {
        self.row.stored_bytes.is_some()
    }

    /// Until when to wait for more bytes. An upload that sends nothing must not hold memory, which others may be
    /// waiting for.
    pub fn patience(&self) -> Deadline {
        match &self.part.permit {
            Some(_) => Deadline::after(self.documents.shared.timeout).min(self.deadline),
            None => self.deadline,
        }
    }

    /// Writes all pieces of a stream, the first of which begins at `offset`. A stream that ends with an error is not
    /// complete.
    ///
    /// # Errors
    /// Those of the stream and of [`write`](Self::write). [`Error::DeadlineExceeded`] if nothing arrives for some time
    /// while the upload holds a part in memory, which others may be waiting for.
    pub async fn write_all(
        &mut self,
        mut offset: u64,
        mut pieces: impl Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    ) -> Result<(), Error> {
        loop {
            let Some(piece) = within(self.patience(), async { pieces.next().await.transpose() }).await? else {
                return Ok(());
            };
            self.write(offset, &piece).await?;
            offset += piece.len() as u64;
        }
    }

    /// Adds bytes that begin at `offset`. Those before [`position`](Self::position) are there already and skipped.
    /// Whenever a part is full, it is stored before this returns; so the caller reads no faster than that.
    ///
    /// # Errors
    /// [`Error::OffsetGap`] if bytes are missing before these, also after parts were lost; [`Error::Invalid`] for
    /// content that is too large; [`Error::WriteTakenOver`] after a newer stream of the upload has begun;
    /// [`Error::Overloaded`] if other uploads hold the memory; [`Error::DependencyUnavailable`] if the storage fails;
    /// [`Error::DeadlineExceeded`]; errors of the database.
    pub async fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let expected = self.position();
        if offset > expected {
            return Err(Error::OffsetGap { expected: expected as i64 });
        }
        let skipped = usize::try_from(expected - offset).unwrap_or(usize::MAX);
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        if self.is_complete() && !rest.is_empty() {
            return Err(Error::invalid("chunk.data", "is beyond the end of the content that content_hash names"));
        }
        let most = self.documents.shared.max_bytes;
        if expected + rest.len() as u64 > most {
            return Err(Error::invalid("chunk.data", format!("the content is larger than {most} bytes")));
        }
        while !rest.is_empty() {
            if self.part.permit.is_none() {
                self.begin_part().await?;
            }
            let room = self.row.part_bytes - self.part.content.content_length();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.part.content.extend_from_slice(now);
            rest = later;
            if now.len() == room {
                self.store_part().await?;
            }
        }
        Ok(())
    }

    /// Ends the upload: stores the rest, and makes the content one object if its hash is right. A wrong hash leaves
    /// nothing behind.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a wrong hash; as [`write`](Self::write).
    pub async fn finish(mut self) -> Result<StoredContent, Error> {
        if let Some(bytes) = self.row.stored_bytes {
            return Ok(self.content(bytes));
        }
        let (position, part) = (self.position(), std::mem::take(&mut self.part));
        let content = part.content.freeze();
        let found = hashed(self.row.hasher.clone(), content.clone()).await?.finish();
        if found != self.hash {
            self.give_up().await?;
            let wrong = format!("the content has the SHA-256 {found}; nothing of it is kept");
            return Err(Error::invalid("start.content_hash", wrong));
        }
        let stored = match self.row.multipart_id.clone() {
            None => self.store_at_once(content).await,
            Some(id) => self.complete(&id, content).await,
        };
        match stored {
            Err(Failure::Store(StoreError::Missing)) => self.find_completed(position).await?,
            stored => stored?,
        }
        drop(part.permit);
        self.documents.shared.ledger.finish(&self.fence(), position, self.deadline).await?;
        Ok(self.content(position))
    }

    /// Gives the upload up and removes what is stored of it. Nothing happens if another stream has taken it over.
    ///
    /// # Errors
    /// Errors of the database. Objects that cannot be removed now are removed later.
    pub async fn give_up(&mut self) -> Result<(), Error> {
        self.part = Part::default();
        let given_up = self.is_stored && self.documents.shared.ledger.give_up(&self.fence(), self.deadline).await?;
        if given_up {
            self.documents.remove_now(&self.row.key, self.row.multipart_id.as_deref(), self.deadline).await;
        }
        Ok(())
    }

    fn fence(&self) -> UploadFence {
        UploadFence { upload_id: self.id.clone(), fence: self.row.fence }
    }

    fn content(&self, bytes: u64) -> StoredContent {
        StoredContent { key: self.row.key.as_str().to_owned(), bytes, hash: self.hash, fence: self.fence() }
    }

    /// Waits until a part may be held in memory.
    async fn begin_part(&mut self) -> Result<(), Error> {
        let shared = &self.documents.shared;
        let patience = Deadline::after(shared.memory_wait).min(self.deadline);
        let turn = Arc::clone(&shared.memory).acquire_owned();
        let permit = within(patience, async { turn.await.map_err(Error::internal) }).await;
        self.part = match permit {
            Err(Error::DeadlineExceeded) if !self.deadline.expired() => return Err(Error::Overloaded),
            permit => Part {
                content: PutPayloadMut::new().with_block_size(BLOCK_BYTES.min(self.row.part_bytes)),
                permit: Some(permit?),
            },
        };
        Ok(())
    }

    /// Stores the part, which is full.
    async fn store_part(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.part);
        let content = part.content.freeze();
        let id = match self.row.multipart_id.clone() {
            Some(id) => id,
            None => self.begin_parts().await?,
        };
        let (hasher, stored) =
            tokio::join!(hashed(self.row.hasher.clone(), content.clone()), self.put_part(&id, content.clone()));
        let part_id = match stored {
            Err(Failure::Store(StoreError::Missing)) => return Err(self.begin_again().await?),
            stored => stored?,
        };
        let (hasher, from) = (hasher?, self.row.offset);
        let to = from + content.content_length() as u64;
        self.documents.shared.ledger.add_part(&self.fence(), &part_id, (from, to), &hasher, self.deadline).await?;
        self.row.part_ids.push(part_id);
        self.row.offset = to;
        self.row.hasher = hasher;
        // The memory is free again.
        drop((content, part.permit));
        Ok(())
    }

    /// Begins an object in parts. If the process is killed before its id is stored, an object without parts remains at
    /// the store, which holds no bytes.
    async fn begin_parts(&mut self) -> Result<String, Error> {
        let shared = Arc::clone(&self.documents.shared);
        let begun = async { Ok(shared.store.begin_parts(&self.row.key).await?) };
        let id = within(self.deadline, begun).await?;
        self.row.multipart_id = Some(id.clone());
        if self.is_stored {
            shared.ledger.begin_parts(&self.fence(), Some(&id), self.deadline).await?;
        } else {
            shared.ledger.insert(&self.id, self.hash, &self.row, self.deadline).await?;
            self.is_stored = true;
        }
        Ok(id)
    }

    /// Begins again, after the parts vanished from the store: it keeps unfinished objects for a limited time only.
    /// Returns the error that tells the caller to send everything again.
    async fn begin_again(&mut self) -> Result<Error, Error> {
        tracing::warn!(key = self.row.key.as_str(), "the parts of an upload are gone; it begins again");
        self.documents.shared.ledger.begin_parts(&self.fence(), None, self.deadline).await?;
        self.row.multipart_id = None;
        self.row.part_ids.clear();
        self.row.offset = 0;
        self.row.hasher = Hasher::default();
        Ok(Error::OffsetGap { expected: 0 })
    }

    /// Stores content that is smaller than a part.
    async fn store_at_once(&mut self, content: PutPayload) -> Result<(), Failure> {
        let shared = Arc::clone(&self.documents.shared);
        if !self.is_stored {
            shared.ledger.insert(&self.id, self.hash, &self.row, self.deadline).await?;
            self.is_stored = true;
        }
        stored_within(self.deadline, shared.store.put(&self.row.key, content)).await
    }

    /// Stores the last part, and makes one object of all.
    async fn complete(&mut self, id: &str, content: PutPayload) -> Result<(), Failure> {
        let mut parts = self.row.part_ids.clone();
        if content.content_length() > 0 {
            parts.push(self.put_part(id, content).await?);
        }
        stored_within(self.deadline, self.documents.shared.store.complete(&self.row.key, id, parts)).await
    }

    async fn put_part(&self, id: &str, content: PutPayload) -> Result<String, Failure> {
        let store = &self.documents.shared.store;
        stored_within(self.deadline, store.put_part(&self.row.key, id, self.row.part_ids.len(), content)).await
    }

    /// Decides what it means that the unfinished object is gone. An earlier stream, or an earlier try, may have made it
    /// one object, and not lived to note it; the hash was right then too.
    async fn find_completed(&mut self, bytes: u64) -> Result<(), Error> {
        let store = Arc::clone(&self.documents.shared);
        match stored_within(self.deadline, store.store.size(&self.row.key)).await {
            Ok(size) if size == bytes => Ok(()),
            Ok(_) | Err(Failure::Store(StoreError::Missing)) => Err(self.begin_again().await?),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// Why a step of an upload failed.
#[derive(Debug)]
enum Failure {
    Store(StoreError),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}

async fn stored_within<T>(deadline: Deadline, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    within(deadline, async { Ok(work.await) }).await?.map_err(Failure::Store)
}

/// A hash and more bytes of its content.
async fn hashed(mut hasher: Hasher, content: PutPayload) -> Result<Hasher, Error> {
    offload(content.content_length(), move || {
        content.iter().for_each(|block| hasher.update(block));
        hasher
    })
    .await
}
