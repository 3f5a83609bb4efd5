//! The catalog slice: products and their metrics.
//!
//! - [`store`]: the descriptions of the slice's resources, and the meaning of their filters
//! - [`resolve`]: how products are found by their names
//! - [`procedures`]: background work
//! - [`rpc`]: the service, with a file for each method that only this slice has

pub mod procedures;
pub mod resolve;
pub mod rpc;
pub mod store;

use orrery_kit::config::{Binary, ServiceConfig};
use orrery_kit::context::Context;
use orrery_kit::db::{Database, Replica};
use orrery_kit::integrity::{References, RequiredColumns};
use orrery_kit::metrics::Metrics;
use orrery_kit::procedures::{Procedures, SERVICE_NAME};
use orrery_kit::server::{self, RunningService, Services};
use orrery_proto::catalog::v1::server::CatalogServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The name and the default address of the binary `orrery-catalog`.
pub const BINARY: Binary = Binary {
    name: "orrery-catalog",
    about: "Serves Orrery's catalog slice: products and their metrics",
    listen: "127.0.0.1:50051",
};

/// The gRPC services of this process, by the names that health uses.
pub const SERVICE_NAMES: [&str; 2] = ["orrery.catalog.v1.CatalogService", SERVICE_NAME];

/// The slice's schema.
pub const SCHEMA: &str = "catalog";

/// Serves the slice on `listener` until `shutdown` is cancelled and the drain has ended.
///
/// # Errors
///
/// An invalid configuration, a comment in the database that documents no valid reference, or a failed transport.
pub fn run(config: ServiceConfig, listener: TcpListener, shutdown: CancellationToken) -> RunningService {
    Box::pin(run_until_drained(config, listener, shutdown))
}

/// The columns that the service cannot work without.
pub fn required_columns() -> RequiredColumns {
    RequiredColumns::new(SCHEMA, include_str!("../required_columns.txt"))
}

async fn run_until_drained(
    config: ServiceConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    store::check();
    let metrics = Metrics::new(&SERVICE_NAMES);
    let database = Database::new(&config.database, &config.limits, &metrics)?;
    let replica = Replica::of(&config, &metrics)?;
    let context = Context::new(database.clone(), SCHEMA, config.stream, metrics.clone()).with_replica(replica);
    let service = CatalogServiceServer::new(rpc::Catalog::new(context.clone()))
        .max_decoding_message_size(config.stream.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let references = References::new(database.clone(), SCHEMA);
    let procedures = Procedures::new(&context, config.procedures, procedures::all(&context, &references));
    let services = Services::new(service).with(procedures.service());
    let (probe, stop) = (server::database_probe(&database, &references, &required_columns()), shutdown.clone());
    let serving = server::serve(&config, &metrics, listener, services, &SERVICE_NAMES, probe, shutdown);
    let served = procedures.work_beside(serving, &stop).await;
    context.close().await;
    served
}
