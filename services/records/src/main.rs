//! `orrery-records`: the records slice as a process.

use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::server::run_until_signal;
use orrery_records::{BINARY, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run_until_signal(ServiceConfig::from_command_line(BINARY), run).await
}
