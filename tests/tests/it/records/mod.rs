//! The records service: artifacts, and tags, the categories that they are in, the products that have them, and groups
//! of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod arbitrary_input;
pub(crate) mod artifacts;
mod categories;
mod combo_reports;
mod groups;
mod links;
mod merges;
mod operations;
pub(crate) mod performance;
mod tags;

use std::path::Path;
use std::time::Duration;

use orrery_proto::records::v1::tags_service_client::TagsServiceClient;
use orrery_proto::records::v1::{ProductTag, StreamProductTagsRequest, Tag};
use orrery_proto::r#type::v1::WriteStart;
use orrery_records::config::RecordsConfig;
use orrery_records::storage::DocumentsLocation;
use prost::Message;
use sqlx::{AssertSqlSafe, PgPool};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::{CatalogServer, RecordsServer, Role, TestDatabase, refusal};
use crate::writes::stream::write;

/// The chunked writes of the service.
pub(crate) const TAGS: &str = "/orrery.records.v1.TagsService/WriteTags";
pub(crate) const CLASSIFICATIONS: &str = "/orrery.records.v1.TagsService/WriteTagClassifications";
pub(crate) const PRODUCT_TAGS: &str = "/orrery.records.v1.TagsService/WriteProductTags";

/// The services of records and catalog on a database of their own, with direct access to it.
pub(crate) struct Records {
    // In this order, so that the services stop before their database is dropped.
    pub(crate) server: RecordsServer,
    pub(crate) catalog: CatalogServer,
    pub(crate) pool: PgPool,
    pub(crate) database: TestDatabase,
}

impl Records {
    pub(crate) async fn new() -> Self {
        Self::start(TestDatabase::create().await, |_| ()).await
    }

    /// As [`new`](Self::new). The services bypass the pooler if that is the suite's route, because of `reason`.
    pub(crate) async fn bypassing_pooler(reason: &str) -> Self {
        Self::start(TestDatabase::create().await.bypassing_pooler(reason).await, |_| ()).await
    }

    /// As [`new`](Self::new), with a worker of procedures.
    pub(crate) async fn working() -> Self {
        Self::start(TestDatabase::create().await, |config| config.service.procedures.procedure_workers = 1).await
    }

    /// As [`new`](Self::new), with a folder for documents.
    pub(crate) async fn with_documents(folder: &Path) -> Self {
        let location = DocumentsLocation::Folder(folder.to_owned());
        Self::start(TestDatabase::create().await, |config| {
            config.documents.location = location;
            // Not during the test.
            config.documents.sweep_interval = Duration::from_mins(30);
        })
        .await
    }

    async fn start(database: TestDatabase, change: impl FnOnce(&mut RecordsConfig)) -> Self {
        let catalog = CatalogServer::start(&database).await;
        let address = catalog.address().to_string().parse().unwrap();
        let server = RecordsServer::start_with(&database, |config| {
            config.catalog.address = address;
            change(config);
        })
        .await;
        let pool = database.pool(Role::Operator).await;
        Self { server, catalog, pool, database }
    }

    pub(crate) fn client(&self) -> TagsServiceClient<Channel> {
        self.server.client()
    }

    /// Writes rows in one chunk, which must be committed.
    pub(crate) async fn write<M: Message>(&self, method: &'static str, rows: &[M]) {
        write(self.server.channel(), method, WriteStart::default(), rows).await.1.unwrap();
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }

    /// The values of one column of text, in order.
    pub(crate) async fn texts(&self, select: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(select.to_owned())).fetch_all(&self.pool).await.unwrap()
    }

    /// The products and tags of all links, in order.
    pub(crate) async fn links(&self) -> Vec<(String, String)> {
        let mut stream =
            self.client().stream_product_tags(StreamProductTagsRequest::default()).await.unwrap().into_inner();
        let mut links = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            links.extend(
                page.product_tags.into_iter().map(|ProductTag { product_uid, tag_uid, .. }| (product_uid, tag_uid)),
            );
        }
        links
    }
}

/// A tag without a uid.
pub(crate) fn named(name: &str) -> Tag {
    Tag { name: name.to_owned(), ..Tag::default() }
}

/// Checks that a call was refused because of this field.
#[track_caller]
pub(crate) fn assert_refused(status: &Status, field: &str) {
    let told = refusal(status);
    assert_eq!((told.code, told.fields), (Code::InvalidArgument, vec![field.to_owned()]), "{status:?}");
}
