//! The slice on a database of its own, and shelves for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::context::Context;
use orrery_kit::db::Database;
use orrery_kit::integrity::{References, RequiredColumns};
use orrery_kit::metrics::Metrics;
use orrery_kit::server::{self, Services};
use orrery_proto::r#type::v1::RowError;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::contract::server::ShelvesServiceServer;
use super::contract::shelves_service_client::ShelvesServiceClient;
use super::contract::{Box as ShelfBox, Shelf};
use super::service::Service;
use super::tables::{self, SCHEMA};
use crate::harness::{Role, TestDatabase, until_healthy};
use crate::writes::stream::connect;

/// The slice's service, as health names it.
const NAME: &str = "orrery.test.v1.ShelvesService";
/// The chunked writes.
pub(crate) const SHELVES: &str = "/orrery.test.v1.ShelvesService/WriteShelves";
pub(crate) const STOCKTAKES: &str = "/orrery.test.v1.ShelvesService/WriteStocktakes";

/// The slice's service on its own database, with direct access to that database.
pub(crate) struct Shelves {
    task: JoinHandle<anyhow::Result<()>>,
    address: SocketAddr,
    channel: Channel,
    pub(crate) pool: PgPool,
    pub(crate) database: TestDatabase,
}

impl Shelves {
    pub(crate) async fn new() -> Self {
        Self::on(TestDatabase::create().await).await
    }

    /// The same, on a database that has no tables of the slice yet.
    pub(crate) async fn on(database: TestDatabase) -> Self {
        Self::with(database, |_| ()).await
    }

    /// The same, with settings changed by `change`.
    pub(crate) async fn with(database: TestDatabase, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        tables::create(&database).await;
        let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
        config.database.database_pooler = database.pooler_mode();
        config.server.drain_timeout = Duration::from_secs(2);
        change(&mut config);
        database.enforce(&config.limits);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(config, listener));
        let channel = connect(address);
        until_healthy(&channel, NAME).await;
        let pool = database.pool(Role::Operator).await;
        Self { task, address, channel, pool, database }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A connection of its own.
    pub(crate) fn separate_channel(&self) -> Channel {
        connect(self.address)
    }

    pub(crate) fn client(&self) -> ShelvesServiceClient<Channel> {
        ShelvesServiceClient::new(self.channel())
    }

    /// One value, as text.
    pub(crate) async fn value(&self, select: &str) -> Option<String> {
        sqlx::query_scalar(AssertSqlSafe(format!("select ({select})::text"))).fetch_one(&self.pool).await.unwrap()
    }

    /// How many rows a table of the slice has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let select = format!("select count(*) from warehouse.{table}");
        sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(&self.pool).await.unwrap()
    }
}

impl Drop for Shelves {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the slice, like a real slice does.
async fn serve(config: ServiceConfig, listener: TcpListener) -> anyhow::Result<()> {
    let metrics = Metrics::new(&[NAME]);
    let database = Database::new(&config.database, &config.limits, &metrics)?;
    let context = Context::new(database.clone(), SCHEMA, config.stream, metrics.clone());
    let service = ShelvesServiceServer::new(Service::new(&context))
        .max_decoding_message_size(config.stream.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let references = References::new(database.clone(), SCHEMA);
    let probe = server::database_probe(&database, &references, &RequiredColumns::new(SCHEMA, "shelf.slot"));
    server::serve(&config, &metrics, listener, Services::new(service), &[NAME], probe, CancellationToken::new()).await
}

/// A shelf of the site `north`, with all required fields.
pub(crate) fn shelf(slot: i32) -> Shelf {
    Shelf {
        warehouse: "north".to_owned(),
        aisle: "a".to_owned(),
        slot,
        kind: "open".to_owned(),
        weight: "1.500".to_owned(),
        ..Shelf::default()
    }
}

/// A box with only a position and content.
pub(crate) fn boxed(position: i32, content: &str) -> ShelfBox {
    ShelfBox { position, content: content.to_owned(), ..ShelfBox::default() }
}

/// The offset, reason and field of each row error.
pub(crate) fn told(errors: &[RowError]) -> Vec<(i64, &'static str, &str)> {
    errors.iter().map(|error| (error.offset, error.reason().as_str_name(), error.field.as_str())).collect()
}
