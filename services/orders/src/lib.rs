//! The orders slice: order headers, line items, addresses and summaries.

pub mod catalog;
pub mod config;

use orrery_kit::config::{Binary, Configuration as _};
use orrery_kit::db::Database;
use orrery_kit::server;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// What the binary `orrery-orders` is called and where it listens.
pub const BINARY: Binary = Binary {
    name: "orrery-orders",
    about: "Serves Orrery's orders slice: order headers, line items, addresses and summaries",
    listen: "127.0.0.1:50052",
};

/// The gRPC services of this process, as health names them.
pub const SERVICE_NAMES: [&str; 1] = ["orrery.orders.v1.OrdersService"];

/// Serves the slice on `listener` until `shutdown` is cancelled and the drain is over.
///
/// # Errors
///
/// When the configuration cannot be used or the transport fails.
pub async fn run(
    config: config::OrdersConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.validate()?;
    let service = &config.service;
    let database = Database::new(&service.database, &service.limits)?;
    let probe = server::database_probe(&database);
    let served = server::serve(service, listener, Routes::default(), &SERVICE_NAMES, probe, shutdown).await;
    database.close().await;
    served
}
