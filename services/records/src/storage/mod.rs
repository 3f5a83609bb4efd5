//! The content of documents, in object storage: a folder or a bucket.
//!
//! - [`Documents::upload`] begins or continues an [`Upload`], whose [`finish`](Upload::finish) gives [`StoredContent`];
//!   a document [adopts](StoredContent::adopt) it in the transaction that stores its key
//! - [`Documents::read`] reads a range of [`Content`]
//! - [`Documents::release`] and [`Documents::remove`] remove what a document no longer has
//! - [`Documents::sweep_every`] removes what no document ever had
//!
//! `deploy/adr/0013-where-documents-are-kept.md` says why it is so.

mod bucket;
mod config;
mod environment;
mod folder;
mod hash;
mod http;
mod ledger;
mod location;
mod read;
mod removals;
mod store;
mod sweep;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use orrery_kit::config::ConfigError;
use orrery_kit::db::Database;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use tokio::sync::Semaphore;

use self::bucket::Bucket;
pub use self::config::DocumentsConfig;
pub use self::environment::AwsEnvironment;
use self::folder::Folder;
pub use self::hash::ContentHash;
use self::ledger::Ledger;
pub use self::location::DocumentsLocation;
pub use self::read::{Content, ContentStream};
use self::store::Store;
pub use self::sweep::Swept;
pub use self::upload::{NewUpload, StoredContent, Upload, UploadProgress};

/// The content of documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Documents {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Box<dyn Store>,
    ledger: Ledger,
    part_bytes: usize,
    max_bytes: u64,
    /// A permit for each part that may be in memory.
    memory: Arc<Semaphore>,
    /// How long an upload waits for memory.
    memory_wait: Duration,
    /// How long an upload that holds memory may send nothing.
    timeout: Duration,
}

impl Documents {
    /// Opens the storage. It is connected to, or its folder is created, when it is first used.
    ///
    /// # Errors
    /// An invalid setting, or a bucket without credentials in `environment`.
    pub fn open(
        config: &DocumentsConfig,
        environment: &AwsEnvironment,
        database: Database,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let store: Box<dyn Store> = match &config.location {
            DocumentsLocation::Folder(path) => {
                let path = std::path::absolute(path)
                    .map_err(|error| ConfigError::new("documents", format!("is no folder: {error}")))?;
                Box::new(Folder::new(path))
            }
            DocumentsLocation::Bucket { name, prefix } => Box::new(Bucket::open(name, prefix, config, environment)?),
        };
        tracing::info!(documents = %config.location, "documents are kept here");
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                ledger: Ledger::new(database, config.unfinished_lifetime),
                part_bytes: config.part_bytes,
                max_bytes: config.max_bytes as u64,
                memory: Arc::new(Semaphore::new(config.parts_in_memory)),
                memory_wait: config.retry_time,
                timeout: config.timeout,
            }),
        })
    }

    /// The most bytes that the content of a document may have.
    pub fn max_bytes(&self) -> u64 {
        self.shared.max_bytes
    }
}

/// Runs `work`, at most until the deadline.
async fn within<T>(deadline: Deadline, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match deadline.remaining() {
        None => work.await,
        Some(left) => tokio::time::timeout(left, work).await.unwrap_or(Err(Error::DeadlineExceeded)),
    }
}
