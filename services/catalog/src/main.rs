//! `orrery-catalog`: the catalog slice as a process.

use orrery_catalog::{BINARY, run};
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::server::run_until_signal;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run_until_signal(ServiceConfig::from_command_line(BINARY), run).await
}
