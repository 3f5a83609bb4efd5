//! What a place for documents must do. [`Bucket`](super::bucket::Bucket) and [`Folder`](super::folder::Folder) do it.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::PutPayload;
use orrery_kit::error::Error;
use orrery_kit::uid::UidKind;

/// Uploads are named by time, so that keys ascend.
const UPLOAD_UID: UidKind = UidKind { prefix: "upl_" };
/// The folder of finished objects.
const FOLDER: &str = "documents/";

/// The key of a finished object: `documents/upl_...`. Each belongs to one upload and so to one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectKey(String);

impl ObjectKey {
    /// A key that nobody has.
    pub(super) fn new() -> Self {
        Self(format!("{FOLDER}{}", UPLOAD_UID.new_uid()))
    }

    /// Reads a stored key. `None` if it cannot be one of ours; such a key is never passed on to a store, since another
    /// program may have written it.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let uid = key.strip_prefix(FOLDER)?;
        UPLOAD_UID.check(uid).ok()?;
        Some(Self(key.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the key, which is as unique as the whole.
    pub(super) fn name(&self) -> &str {
        self.0.strip_prefix(FOLDER).unwrap_or(&self.0)
    }
}

/// Why a request to a store failed.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The object, or the unfinished object of a part, does not exist.
    Missing,
    /// The store cannot be reached, refuses, or is full.
    Failed(Box<dyn StdError + Send + Sync>),
}

impl StoreError {
    pub(super) fn failed(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed(cause.into())
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        match &error {
            // A wrong bucket is a wrong setting: nothing is lost.
            object_store::Error::NotFound { source, .. } if !source.to_string().contains("NoSuchBucket") => {
                Self::Missing
            }
            _ => Self::failed(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound { Self::Missing } else { Self::failed(error) }
    }
}

impl From<StoreError> for Error {
    /// An object that should be there and is missing is a fault of the store, unless the caller knows better.
    fn from(error: StoreError) -> Self {
        let cause = match error {
            StoreError::Missing => "an object is missing".into(),
            StoreError::Failed(cause) => cause,
        };
        Self::DependencyUnavailable { service: "document storage", cause }
    }
}

/// The answer of a store, when it comes.
pub(super) type StoreFuture<'s, T> = BoxFuture<'s, Result<T, StoreError>>;

/// Content that is being read.
pub(super) struct StoredBytes {
    /// The size of the whole object.
    pub(super) object_bytes: u64,
    /// The bytes of the range, in pieces.
    pub(super) pieces: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// A place for objects. Writes are durable when they return. Each call can be repeated: the result is the same.
///
/// An object is stored at once, or in parts: begun, its parts in any order, completed. Nobody sees it before it is
/// complete. A part is only counted by the id that storing it returned.
pub(super) trait Store: fmt::Debug + Send + Sync {
    /// Stores an object at once.
    fn put<'s>(&'s self, key: &'s ObjectKey, content: PutPayload) -> StoreFuture<'s, ()>;

    /// Begins an object in parts and returns its id. Nothing is stored yet.
    fn begin_parts<'s>(&'s self, key: &'s ObjectKey) -> StoreFuture<'s, String>;

    /// Stores part `number`, from 0 on, of the object with this id, and returns the part's id. All parts but the last
    /// must be of one size. After the object is completed or removed, its id is [missing](StoreError::Missing).
    fn put_part<'s>(
        &'s self,
        key: &'s ObjectKey,
        id: &'s str,
        number: usize,
        content: PutPayload,
    ) -> StoreFuture<'s, String>;

    /// Makes one object of the parts with these ids, in this order. [`StoreError::Missing`] if they are not all there.
    fn complete<'s>(&'s self, key: &'s ObjectKey, id: &'s str, parts: Vec<String>) -> StoreFuture<'s, ()>;

    /// The size of a finished object in bytes.
    fn size<'s>(&'s self, key: &'s ObjectKey) -> StoreFuture<'s, u64>;

    /// Reads a range of a finished object, which is not empty.
    fn read<'s>(&'s self, key: &'s ObjectKey, range: Range<u64>) -> StoreFuture<'s, StoredBytes>;

    /// Removes a finished object and, with its id, an unfinished one with its parts. What is not there is removed.
    fn remove<'s>(&'s self, key: &'s ObjectKey, id: Option<&'s str>) -> StoreFuture<'s, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_ours_are_passed_on() {
        let key = ObjectKey::new();
        assert_eq!(ObjectKey::parse(key.as_str()).as_ref(), Some(&key));
        assert_eq!(format!("documents/{}", key.name()), key.as_str());
        assert_ne!(ObjectKey::new(), key);
        for foreign in [
            "",
            "documents/",
            "documents/upl_",
            "documents/upl_../x",
            "documents/../upl_a",
            "documents/upl_a/b",
            "documents/upl_a#1",
            "/documents/upl_a",
            "other/upl_a",
            "upl_a",
        ] {
            assert_eq!(ObjectKey::parse(foreign), None, "{foreign}");
        }
    }
}
