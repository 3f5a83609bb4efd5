//! The settings of each peer. A service takes the groups of the peers that it calls.

use std::time::Duration;

use clap::Args;
use orrery_kit::config::{ConfigError, ServiceAddress, parse_duration};

/// The address of the catalog service, and how long to wait for it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Catalog")]
pub struct CatalogPeerConfig {
    /// Address of the catalog service: host:port, or http://host:port.
    ///
    /// It knows which products exist, and their metrics. While it cannot be reached, calls that need it fail with
    /// UNAVAILABLE, such as writes that check their products; everything else works.
    #[arg(
        long = "catalog",
        id = "catalog",
        value_name = "ADDR",
        env = "CATALOG",
        default_value = "http://127.0.0.1:50051"
    )]
    pub address: ServiceAddress,

    /// How long a call waits for the catalog service before it fails with UNAVAILABLE.
    ///
    /// A stream waits so long for each page, and reconnects meanwhile; this must be longer than --progress-interval of
    /// the catalog service. A shorter deadline of the caller takes precedence. Longer survives a restart of the catalog
    /// service; shorter fails sooner.
    #[arg(
        long = "catalog-timeout",
        id = "catalog-timeout",
        value_name = "DURATION",
        env = "CATALOG_TIMEOUT",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub timeout: Duration,
}

impl CatalogPeerConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        not_zero("catalog-timeout", self.timeout)
    }
}

/// The address of the orders service, and how long to wait for it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Orders")]
pub struct OrdersPeerConfig {
    /// Address of the orders service: host:port, or http://host:port.
    ///
    /// It knows how much of each product was sold. While it cannot be reached, calls that need it fail with
    /// UNAVAILABLE; everything else works.
    #[arg(
        long = "orders",
        id = "orders",
        value_name = "ADDR",
        env = "ORDERS",
        default_value = "http://127.0.0.1:50052"
    )]
    pub address: ServiceAddress,

    /// How long a call waits for the orders service before it fails with UNAVAILABLE.
    ///
    /// A stream waits so long for each page, and reconnects meanwhile; this must be longer than --progress-interval of
    /// the orders service. A shorter deadline of the caller takes precedence. Longer survives a restart of the orders
    /// service; shorter fails sooner.
    #[arg(
        long = "orders-timeout",
        id = "orders-timeout",
        value_name = "DURATION",
        env = "ORDERS_TIMEOUT",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub timeout: Duration,
}

impl OrdersPeerConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        not_zero("orders-timeout", self.timeout)
    }
}

fn not_zero(flag: &'static str, timeout: Duration) -> Result<(), ConfigError> {
    if timeout.is_zero() { Err(ConfigError::new(flag, "must be longer than 0s")) } else { Ok(()) }
}
