//! The records slice: tags, assets, suggestions, templates, combo reports and documents.
//!
//! - [`config`]: the settings
//! - [`lifecycle`] and [`classes`]: the phases of artifacts, and the classes of products
//! - [`report_files`]: combo reports as CSV
//! - [`store`]: the descriptions of the slice's resources, and its queries
//! - [`rules`]: the rules of the resources
//! - [`storage`]: the content of documents
//! - [`refresh`]: the steps in which the performance of tags is rebuilt
//! - [`procedures`]: background work
//! - [`rpc`]: the services, with a file for each group of methods that only this slice has

pub mod classes;
pub mod config;
pub mod lifecycle;
pub mod procedures;
pub mod refresh;
pub mod report_files;
pub mod rpc;
pub mod rules;
pub mod storage;
pub mod store;

use std::sync::Arc;

use orrery_kit::config::{Binary, Configuration as _};
use orrery_kit::context::Context;
use orrery_kit::db::{Database, Replica};
use orrery_kit::integrity::{References, RequiredColumns};
use orrery_kit::metrics::Metrics;
use orrery_kit::procedures::{Procedures, SERVICE_NAME};
use orrery_kit::server::{self, RunningService, Services};
use orrery_peers::{CatalogClient, OrdersClient};
use orrery_proto::records::v1::server::{RecordsServiceServer, TagsServiceServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::refresh::Sources;
use crate::storage::Documents;

/// The name and the default address of the binary `orrery-records`.
pub const BINARY: Binary = Binary {
    name: "orrery-records",
    about: "Serves Orrery's records slice: tags, assets, suggestions, templates, combo reports and documents",
    listen: "127.0.0.1:50053",
};

/// The gRPC services of this process, by the names that health uses.
pub const SERVICE_NAMES: [&str; 3] =
    ["orrery.records.v1.RecordsService", "orrery.records.v1.TagsService", SERVICE_NAME];

/// The slice's schema.
pub const SCHEMA: &str = "records";

/// Serves the slice on `listener` until `shutdown` is cancelled and the drain has ended.
///
/// # Errors
///
/// An invalid configuration, a comment in the database that documents no valid reference, or a failed transport.
pub fn run(config: config::RecordsConfig, listener: TcpListener, shutdown: CancellationToken) -> RunningService {
    Box::pin(run_until_drained(config, listener, shutdown))
}

/// The columns that the service cannot work without.
pub fn required_columns() -> RequiredColumns {
    RequiredColumns::new(SCHEMA, include_str!("../required_columns.txt"))
}

async fn run_until_drained(
    config: config::RecordsConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.validate()?;
    store::check();
    let settings = &config.service;
    let metrics = Metrics::new(&SERVICE_NAMES);
    let database = Database::new(&settings.database, &settings.limits, &metrics)?;
    let catalog = CatalogClient::new(&config.catalog);
    let replica = Replica::of(settings, &metrics)?;
    let context = Context::new(database.clone(), SCHEMA, settings.stream, metrics.clone())
        .with_replica(replica)
        .with_foreign(Arc::new(catalog.clone()))
        .with_foreign_uids(Arc::new(catalog.clone()));
    let sources = Sources { catalog: catalog.clone(), orders: OrdersClient::new(&config.orders) };
    let documents = Documents::open(&config.documents, &config.environment, database.clone())?;
    let sweep = documents.clone().sweep_every(config.documents.sweep_interval, shutdown.clone());
    let sweeping = AbortOnDropHandle::new(tokio::spawn(sweep));
    let records = RecordsServiceServer::new(rpc::records::Records::new(context.clone(), catalog, documents))
        .max_decoding_message_size(settings.stream.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let tags = TagsServiceServer::new(rpc::tags::Tags::new(context.clone(), sources.clone()))
        .max_decoding_message_size(settings.stream.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let references = References::new(database.clone(), SCHEMA);
    let procedures = Procedures::new(&context, settings.procedures, procedures::all(&context, &references, &sources));
    let services = Services::new(records).with(tags).with(procedures.service());
    let (probe, stop) = (server::database_probe(&database, &references, &required_columns()), shutdown.clone());
    let serving = server::serve(settings, &metrics, listener, services, &SERVICE_NAMES, probe, shutdown);
    let served = procedures.work_beside(serving, &stop).await;
    // All that it does can be repeated.
    drop(sweeping);
    context.close().await;
    served
}
