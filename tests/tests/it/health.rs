//! Health reflects the state of the database, and a drain ends even if the database does not respond.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_proto::catalog::v1::GetProductRequest;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::harness::{Postgres, Role, TestDatabase};

const DRAIN: Duration = Duration::from_millis(500);

/// The catalog on a database of `postgres`.
struct Catalog {
    channel: Channel,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    _database: TestDatabase,
}

impl Catalog {
    async fn start(postgres: &Postgres) -> Self {
        let database = postgres.create_database().await;
        let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
        config.database.database_pooler = database.pooler_mode();
        config.procedures.procedure_workers = 0;
        config.server.drain_timeout = DRAIN;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(orrery_catalog::run(config, listener, shutdown.clone()));
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        Self { channel, shutdown, task, _database: database }
    }

    async fn watch(&self) -> Streaming<HealthCheckResponse> {
        let request = HealthCheckRequest { service: "orrery.catalog.v1.CatalogService".to_owned() };
        HealthClient::new(self.channel.clone()).watch(request).await.unwrap().into_inner()
    }
}

/// Waits until the watcher receives `status`.
async fn until(watch: &mut Streaming<HealthCheckResponse>, status: ServingStatus) {
    let told = async { while watch.message().await.unwrap().unwrap().status() != status {} };
    timeout(Duration::from_secs(20), told).await.unwrap();
}

#[tokio::test]
async fn it_follows_a_database_that_hangs_dies_and_comes_back() {
    let postgres = Postgres::own().await;
    let catalog = Catalog::start(&postgres).await;
    let mut watch = catalog.watch().await;
    until(&mut watch, ServingStatus::Serving).await;
    postgres.pause();
    until(&mut watch, ServingStatus::NotServing).await;
    postgres.resume();
    until(&mut watch, ServingStatus::Serving).await;
    postgres.kill().await;
    until(&mut watch, ServingStatus::NotServing).await;
    postgres.restart().await;
    until(&mut watch, ServingStatus::Serving).await;
    catalog.shutdown.cancel();
    until(&mut watch, ServingStatus::NotServing).await;
    catalog.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_ends_although_the_database_does_not_answer() {
    let postgres = Postgres::own().await;
    let catalog = Catalog::start(&postgres).await;
    until(&mut catalog.watch().await, ServingStatus::Serving).await;
    postgres.pause();
    let mut client = CatalogServiceClient::new(catalog.channel.clone());
    let request = GetProductRequest { uid: "prd_01".to_owned(), ..GetProductRequest::default() };
    let stuck = tokio::spawn(async move { client.get_product(request).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    catalog.shutdown.cancel();
    timeout(DRAIN + Duration::from_secs(5), catalog.task).await.expect("the drain ends").unwrap().unwrap();
    assert!(begun.elapsed() >= DRAIN);
    assert_eq!(stuck.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    postgres.resume();
}
