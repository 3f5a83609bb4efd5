//! Storage for one test, which any number of replicas open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use futures::{StreamExt as _, TryStreamExt as _};
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::db::{Database, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::metrics::Metrics;
use orrery_records::storage::{
    AwsEnvironment, Content, ContentHash, Documents, DocumentsConfig, NewUpload, StoredContent, Upload,
};
use orrery_tests_needs::{self as needs, Need};
use sqlx::PgConnection;
use tempfile::TempDir;

use crate::harness::s3::{S3Server, environment};
use crate::harness::s3_proxy::S3Proxy;
use crate::harness::{Role, TestDatabase};

/// The size of parts, the smallest that S3 accepts.
pub(crate) const PART: usize = 5 * 1024 * 1024;

/// The settings of storage, with their defaults.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    documents: DocumentsConfig,
}

/// Where documents are kept.
pub(super) enum Place {
    Folder(TempDir),
    Bucket { name: String, proxy: S3Proxy },
}

/// Storage for one test.
pub(super) struct Fixture {
    pub(super) database: TestDatabase,
    pub(super) place: Place,
}

impl Fixture {
    /// A folder, which does not exist yet.
    pub(super) async fn folder() -> Self {
        let folder = tempfile::Builder::new().prefix("orrery-documents-").tempdir().unwrap();
        Self { database: TestDatabase::create().await, place: Place::Folder(folder) }
    }

    /// A bucket behind a proxy. `None` if there is no server for it, which is noted.
    #[track_caller]
    pub(super) fn bucket() -> impl Future<Output = Option<Self>> {
        let met = needs::met(&[Need::Moto]);
        async move {
            if !met {
                return None;
            }
            let server = S3Server::shared().await;
            let (name, proxy) = (server.create_bucket().await, S3Proxy::start(server.address()).await);
            Some(Self { database: TestDatabase::create().await, place: Place::Bucket { name, proxy } })
        }
    }

    /// The folder of a [`folder`](Self::folder).
    pub(super) fn path(&self) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => folder.path().join("data/documents"),
            Place::Bucket { .. } => unreachable!("a bucket has no path"),
        }
    }

    /// The proxy of a [`bucket`](Self::bucket).
    pub(super) fn proxy(&self) -> &S3Proxy {
        match &self.place {
            Place::Bucket { proxy, .. } => proxy,
            Place::Folder(_) => unreachable!("a folder has no proxy"),
        }
    }

    /// The bucket's name.
    pub(super) fn name(&self) -> &str {
        match &self.place {
            Place::Bucket { name, .. } => name,
            Place::Folder(_) => unreachable!("a folder has no name"),
        }
    }

    /// The settings of this place.
    pub(crate) fn config(&self) -> DocumentsConfig {
        let arguments = match &self.place {
            Place::Folder(_) => vec![format!("--documents=file://{}", self.path().display())],
            Place::Bucket { name, proxy } => vec![
                format!("--documents=s3://{name}/shop/all"),
                format!("--documents-endpoint=http://{}", proxy.address()),
            ],
        };
        config(&arguments)
    }

    /// The storage as a new replica sees it.
    pub(super) fn open(&self) -> Documents {
        self.open_with(|_| ())
    }

    /// As [`open`](Self::open), with settings changed by `change`.
    pub(super) fn open_with(&self, change: impl FnOnce(&mut DocumentsConfig)) -> Documents {
        let mut config = self.config();
        change(&mut config);
        let credentials = match &self.place {
            Place::Folder(_) => AwsEnvironment::default(),
            Place::Bucket { .. } => environment(&[]),
        };
        Documents::open(&config, &credentials, self.data_layer()).unwrap()
    }

    /// A connection pool of the service's role.
    pub(super) fn data_layer(&self) -> Database {
        data_layer(&self.database)
    }

    pub(super) async fn connect(&self) -> PgConnection {
        self.database.connect(Role::Records).await
    }

    /// Everything that the place holds: the names of finished objects and of parts of unfinished ones, without the
    /// prefix.
    pub(super) async fn objects(&self) -> Vec<String> {
        match &self.place {
            Place::Folder(_) => files(&self.path()),
            Place::Bucket { name, .. } => {
                let server = S3Server::shared().await;
                let keys = server.keys(name).await.into_iter();
                let mut all: Vec<String> =
                    keys.map(|key| key.strip_prefix("shop/all/").unwrap_or(&key).to_owned()).collect();
                all.extend(server.unfinished(name).await.iter().map(|id| format!("uploads/{id}")));
                all
            }
        }
    }

    /// Removes an object behind the service's back.
    pub(super) async fn lose(&self, key: &str) {
        match &self.place {
            Place::Folder(_) => std::fs::remove_file(self.path().join(key)).unwrap(),
            Place::Bucket { name, .. } => S3Server::shared().await.delete(name, &format!("shop/all/{key}")).await,
        }
    }

    /// Overwrites an object behind the service's back.
    pub(super) async fn overwrite(&self, key: &str, content: &'static str) {
        match &self.place {
            Place::Folder(_) => std::fs::write(self.path().join(key), content).unwrap(),
            Place::Bucket { name, .. } => {
                S3Server::shared().await.put(name, &format!("shop/all/{key}"), content).await;
            }
        }
    }

    /// The numbers of rows in `records.upload` and `records.object_removal`.
    pub(super) async fn rows(&self) -> (i64, i64) {
        let count = "select (select count(*) from records.upload), (select count(*) from records.object_removal)";
        sqlx::query_as(count).fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// Ends an upload as a handler does, in a transaction of its own.
    pub(super) async fn adopt(&self, content: &StoredContent) -> Result<(), Error> {
        let (content, database) = (content.clone(), self.data_layer());
        let adopted = database.transaction(soon(), move |transaction| {
            Box::pin(async move {
                content.adopt(transaction).await?;
                Ok(TransactionEnd::Commit(()))
            })
        });
        adopted.await
    }

    /// Uploads content and adopts it.
    pub(super) async fn store(&self, name: &str, bytes: &[u8]) -> StoredContent {
        let mut upload = begin(&self.open(), name, bytes).await.unwrap();
        upload.write(0, bytes).await.unwrap();
        let content = upload.finish().await.unwrap();
        self.adopt(&content).await.unwrap();
        content
    }
}

/// The settings that these arguments give, whatever the environment says.
pub(crate) fn config(arguments: &[String]) -> DocumentsConfig {
    let command = CommandLine::command().mut_args(|argument| argument.env(None::<&str>));
    let matches = command.get_matches_from(["records"].into_iter().chain(arguments.iter().map(String::as_str)));
    CommandLine::from_arg_matches(&matches).unwrap().documents
}

/// A connection pool of the service's role.
pub(crate) fn data_layer(database: &TestDatabase) -> Database {
    let mut config = ServiceConfig::for_database(&database.url(Role::Records)).unwrap();
    config.database.database_pooler = database.pooler_mode();
    config.database.database_pool_min = 0;
    Database::new(&config.database, &config.limits, &Metrics::default()).unwrap()
}

/// Later than any step takes.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

/// Begins or continues the upload `name` of this content.
pub(crate) async fn begin(documents: &Documents, name: &str, bytes: &[u8]) -> Result<Upload, Error> {
    let new = NewUpload { upload_id: name.to_owned(), content_hash: ContentHash::of(bytes) };
    documents.upload(new, soon()).await
}

/// Content of a size, different for each seed. No two parts are equal.
pub(crate) fn bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // xorshift
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut all: Vec<u8> = std::iter::repeat_with(&mut next).take(size.div_ceil(8)).flatten().collect();
    all.truncate(size);
    all
}

/// What is known of content that is stored.
pub(super) fn content(stored: &StoredContent) -> Content {
    Content { document: "mda_a".to_owned(), key: stored.key.clone(), bytes: stored.bytes }
}

/// Reads a range.
pub(super) async fn read(
    documents: &Documents,
    stored: &StoredContent,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, Error> {
    let pieces = documents.read(content(stored), range, soon()).await?;
    pieces
        .try_fold(Vec::new(), |mut all, piece| async move {
            assert!(piece.len() <= 256 * 1024, "{}", piece.len());
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

/// A stream of pieces of this size.
pub(super) fn pieces(bytes: &[u8], size: usize) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send + Unpin {
    let all: Vec<_> = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures::stream::iter(all).boxed()
}

/// All files below a folder, by their paths in it, in order.
pub(super) fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, all);
            } else {
                all.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut all = Vec::new();
    walk(folder, folder, &mut all);
    all.sort();
    all
}
