//! `orrery-orders`: the orders slice as a process.

use orrery_kit::config::Configuration as _;
use orrery_kit::server::run_until_signal;
use orrery_orders::config::OrdersConfig;
use orrery_orders::{BINARY, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run_until_signal(OrdersConfig::from_command_line(BINARY), run).await
}
