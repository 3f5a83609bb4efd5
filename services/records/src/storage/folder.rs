//! Documents in a folder.
//!
//! ```text
//! documents/upl_...             a finished object
//! uploads/upl_.../00000-...     parts of an unfinished one
//! ```
//!
//! A folder has no parts that become one object, so they are files, which are copied into one file and renamed. All
//! that is not finished is below `uploads/`, whatever kills the process.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::{StreamExt as _, try_unfold};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore as _, ObjectStoreExt as _, PutPayload};

use super::store::{ObjectKey, Store, StoreError, StoreFuture, StoredBytes};

/// The size of the pieces in which content is read.
const PIECE_BYTES: u64 = 256 * 1024;

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    store: OnceLock<LocalFileSystem>,
}

impl Folder {
    /// The folder is created when it is first used.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, store: OnceLock::new() }
    }

    /// The folder as an object store. Documents may be private, so nobody else may enter the folder.
    fn store(&self) -> Result<&LocalFileSystem, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        // Not with `?`: it is no object that is missing.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(StoreError::failed)?;
        let store = LocalFileSystem::new_with_prefix(&self.root).map_err(StoreError::failed)?.with_fsync(true);
        Ok(self.store.get_or_init(|| store))
    }

    /// Where the parts of an unfinished object are.
    fn parts(&self, key: &ObjectKey) -> PathBuf {
        self.root.join("uploads").join(key.name())
    }

    /// Where the finished object is.
    fn object(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Makes the folder of the parts.
    async fn begin(&self, key: &ObjectKey) -> Result<String, StoreError> {
        self.store()?;
        let folder = self.parts(key);
        blocking(move || fs::create_dir_all(folder)).await?;
        // The key says where the parts are.
        Ok(key.name().to_owned())
    }

    async fn store_part(&self, key: &ObjectKey, number: usize, content: PutPayload) -> Result<String, StoreError> {
        let folder = self.parts(key);
        // Otherwise a part would be stored after its object was completed, and stay.
        if !blocking(move || Ok(folder.is_dir())).await? {
            return Err(StoreError::Missing);
        }
        // Two streams of one upload never write the same file.
        let part = format!("{number:05}-{:016x}", rand::random::<u64>());
        let path = ObjectPath::from(format!("uploads/{}/{part}", key.name()));
        self.store()?.put(&path, content).await?;
        Ok(part)
    }

    async fn join(&self, key: &ObjectKey, parts: Vec<String>) -> Result<(), StoreError> {
        self.store()?;
        let (folder, object) = (self.parts(key), self.object(key));
        blocking(move || join(&folder, &parts, &object)).await
    }

    async fn read_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<StoredBytes, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store()?.get_opts(&ObjectPath::from(key.as_str()), options).await?;
        let (object_bytes, range) = (found.meta.size, found.range);
        let GetResultPayload::File(file, _) = found.payload else {
            return Err(StoreError::failed("a folder gave something other than a file"));
        };
        Ok(StoredBytes { object_bytes, pieces: try_unfold((Arc::new(file), range), next_piece).boxed() })
    }
}

async fn next_piece(
    (file, rest): (Arc<File>, Range<u64>),
) -> Result<Option<(Bytes, (Arc<File>, Range<u64>))>, StoreError> {
    let bytes = (rest.end - rest.start).min(PIECE_BYTES);
    if bytes == 0 {
        return Ok(None);
    }
    let read = Arc::clone(&file);
    let piece = blocking(move || {
        let mut piece = vec![0; bytes as usize];
        read.read_exact_at(&mut piece, rest.start)?;
        Ok(piece)
    })
    .await?;
    Ok(Some((piece.into(), (file, rest.start + bytes..rest.end))))
}

/// Copies the parts into one file, which then appears as the object, and removes them.
fn join(folder: &Path, parts: &[String], object: &Path) -> io::Result<()> {
    // Another stream of the upload may be doing the same.
    let whole = folder.join(format!("whole-{:016x}", rand::random::<u64>()));
    let mut file = File::create_new(&whole)?;
    for part in parts {
        // Within Linux's file systems this copies without passing the bytes through the process.
        io::copy(&mut File::open(folder.join(part))?, &mut file)?;
    }
    file.sync_all()?;
    drop(file);
    let home = object.parent().unwrap_or(folder);
    fs::create_dir_all(home)?;
    fs::rename(&whole, object)?;
    // The entries of a folder are as durable as the folder.
    for changed in home.ancestors().take(2) {
        File::open(changed)?.sync_all()?;
    }
    gone(fs::remove_dir_all(folder))
}

/// What is missing needs no removing.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Runs `work`, which waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StoreError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(StoreError::failed)??)
}

impl Store for Folder {
    fn put<'s>(&'s self, key: &'s ObjectKey, content: PutPayload) -> StoreFuture<'s, ()> {
        Box::pin(async move {
            self.begin(key).await?;
            let part = self.store_part(key, 0, content).await?;
            self.join(key, vec![part]).await
        })
    }

    fn begin_parts<'s>(&'s self, key: &'s ObjectKey) -> StoreFuture<'s, String> {
        Box::pin(self.begin(key))
    }

    fn put_part<'s>(
        &'s self,
        key: &'s ObjectKey,
        _: &'s str,
        number: usize,
        content: PutPayload,
    ) -> StoreFuture<'s, String> {
        Box::pin(self.store_part(key, number, content))
    }

    fn complete<'s>(&'s self, key: &'s ObjectKey, _: &'s str, parts: Vec<String>) -> StoreFuture<'s, ()> {
        Box::pin(self.join(key, parts))
    }

    fn size<'s>(&'s self, key: &'s ObjectKey) -> StoreFuture<'s, u64> {
        Box::pin(async move { Ok(self.store()?.head(&ObjectPath::from(key.as_str())).await?.size) })
    }

    fn read<'s>(&'s self, key: &'s ObjectKey, range: Range<u64>) -> StoreFuture<'s, StoredBytes> {
        Box::pin(self.read_range(key, range))
    }

    fn remove<'s>(&'s self, key: &'s ObjectKey, _: Option<&'s str>) -> StoreFuture<'s, ()> {
        let (folder, object) = (self.parts(key), self.object(key));
        Box::pin(blocking(move || {
            gone(fs::remove_dir_all(folder))?;
            gone(fs::remove_file(object))
        }))
    }
}
