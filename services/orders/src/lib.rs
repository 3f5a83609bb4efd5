//! The orders slice: order headers, line items, addresses and summaries.
//!
//! - [`config`]: the settings
//! - [`store`]: the descriptions of the slice's resources, and its queries
//! - [`lifecycle`] and [`summary`]: the rules of orders
//! - [`procedures`]: background work
//! - [`rpc`]: the service, with a file for each method that only this slice has

pub mod config;
pub mod lifecycle;
pub mod procedures;
pub mod rpc;
pub mod rules;
pub mod store;
pub mod summary;

use std::sync::Arc;

use orrery_kit::config::{Binary, Configuration as _};
use orrery_kit::context::Context;
use orrery_kit::db::{Database, Replica};
use orrery_kit::integrity::{References, RequiredColumns};
use orrery_kit::metrics::Metrics;
use orrery_kit::procedures::{Procedures, SERVICE_NAME};
use orrery_kit::server::{self, RunningService, Services};
use orrery_peers::CatalogClient;
use orrery_proto::orders::v1::server::OrdersServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The name and the default address of the binary `orrery-orders`.
pub const BINARY: Binary = Binary {
    name: "orrery-orders",
    about: "Serves Orrery's orders slice: order headers, line items, addresses and summaries",
    listen: "127.0.0.1:50052",
};

/// The gRPC services of this process, by the names that health uses.
pub const SERVICE_NAMES: [&str; 2] = ["orrery.orders.v1.OrdersService", SERVICE_NAME];

/// The slice's schema.
pub const SCHEMA: &str = "orders";

/// Serves the slice on `listener` until `shutdown` is cancelled and the drain has ended.
///
/// # Errors
///
/// An invalid configuration, a comment in the database that documents no valid reference, or a failed transport.
pub fn run(config: config::OrdersConfig, listener: TcpListener, shutdown: CancellationToken) -> RunningService {
    Box::pin(run_until_drained(config, listener, shutdown))
}

/// The columns that the service cannot work without.
pub fn required_columns() -> RequiredColumns {
    RequiredColumns::new(SCHEMA, include_str!("../required_columns.txt"))
}

async fn run_until_drained(
    config: config::OrdersConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.validate()?;
    store::check();
    let settings = &config.service;
    let metrics = Metrics::new(&SERVICE_NAMES);
    let database = Database::new(&settings.database, &settings.limits, &metrics)?;
    let catalog = Arc::new(CatalogClient::new(&config.catalog));
    let replica = Replica::of(settings, &metrics)?;
    let context = Context::new(database.clone(), SCHEMA, settings.stream, metrics.clone())
        .with_replica(replica)
        .with_foreign(catalog.clone())
        .with_foreign_uids(catalog);
    let service = OrdersServiceServer::new(rpc::Orders::new(context.clone()))
        .max_decoding_message_size(settings.stream.max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let references = References::new(database.clone(), SCHEMA);
    let procedures = Procedures::new(&context, settings.procedures, procedures::all(&context, &references));
    let services = Services::new(service).with(procedures.service());
    let (probe, stop) = (server::database_probe(&database, &references, &required_columns()), shutdown.clone());
    let serving = server::serve(settings, &metrics, listener, services, &SERVICE_NAMES, probe, shutdown);
    let served = procedures.work_beside(serving, &stop).await;
    context.close().await;
    served
}
