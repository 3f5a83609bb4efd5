//! The records slice: tags, assets, suggestions, templates, combo reports and documents.
//!
//! - [`config`]: the settings

pub mod config;

use orrery_kit::config::{Binary, Configuration as _};
use orrery_kit::db::Database;
use orrery_kit::metrics::Metrics;
use orrery_kit::server::{self, RunningService, Services};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The name and the default address of the binary `orrery-records`.
pub const BINARY: Binary = Binary {
    name: "orrery-records",
    about: "Serves Orrery's records slice: tags, assets, suggestions, templates, combo reports and documents",
    listen: "127.0.0.1:50053",
};

/// The gRPC services of this process, by the names that health uses.
pub const SERVICE_NAMES: [&str; 2] = ["orrery.records.v1.RecordsService", "orrery.records.v1.TagsService"];

/// Serves the slice on `listener` until `shutdown` is cancelled and the drain has ended.
///
/// # Errors
///
/// An invalid configuration, or a failed transport.
pub fn run(config: config::RecordsConfig, listener: TcpListener, shutdown: CancellationToken) -> RunningService {
    Box::pin(run_until_drained(config, listener, shutdown))
}

async fn run_until_drained(
    config: config::RecordsConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.validate()?;
    let settings = &config.service;
    let metrics = Metrics::new(&SERVICE_NAMES);
    let database = Database::new(&settings.database, &settings.limits, &metrics)?;
    let probe = server::database_probe(&database);
    let served =
        server::serve(settings, &metrics, listener, Services::default(), &SERVICE_NAMES, probe, shutdown).await;
    database.close().await;
    served
}
