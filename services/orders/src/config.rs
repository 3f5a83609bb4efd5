//! The settings of the orders service: what every service has, and where Catalog is.

use std::time::Duration;

use clap::Args;
use orrery_kit::config::{ConfigError, Configuration, ServiceAddress, ServiceConfig, parse_duration};

/// What the orders service needs to know to run.
#[derive(Args, Clone, Debug)]
pub struct OrdersConfig {
    /// What every service has.
    #[command(flatten)]
    pub service: ServiceConfig,
    /// The catalog, which knows whether products exist.
    #[command(flatten)]
    pub catalog: CatalogConfig,
}

/// Where the catalog service is, and how long to wait for it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Catalog")]
pub struct CatalogConfig {
    /// Where the catalog service is: host:port, or http://host:port.
    ///
    /// It is asked whether the products that lines name exist. Without it, writes that check this are UNAVAILABLE; everything else works.
    #[arg(
        long = "catalog",
        id = "catalog",
        value_name = "ADDR",
        env = "CATALOG",
        default_value = "http://127.0.0.1:50051"
    )]
    pub address: ServiceAddress,

    /// How long a write waits for the catalog service before it is UNAVAILABLE.
    ///
    /// A caller's deadline shortens it. Longer rides out a restart of the catalog; shorter tells callers sooner.
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

impl OrdersConfig {
    /// These settings, and the defaults of the orders service for its own, whatever the environment says.
    ///
    /// # Errors
    ///
    /// As [`Configuration::for_database`].
    pub fn with_service(service: ServiceConfig) -> Result<Self, ConfigError> {
        let defaults = Self::for_database(service.database.database_url.expose())?;
        Ok(Self { service, ..defaults })
    }
}

impl Configuration for OrdersConfig {
    fn service(&self) -> &ServiceConfig {
        &self.service
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.service.validate()?;
        if self.catalog.timeout.is_zero() {
            return Err(ConfigError::new("catalog-timeout", "must be longer than 0s"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::BINARY;

    fn parse(arguments: &[&str]) -> Result<OrdersConfig, clap::Error> {
        let all = ["orrery-orders", "--database-url=postgres://me@localhost/shop"].iter().chain(arguments);
        OrdersConfig::from_arguments(BINARY, all)
    }

    #[test]
    fn the_catalog_is_where_the_flag_says() {
        let defaults = OrdersConfig::for_database("postgres://me@localhost/shop").unwrap().catalog;
        assert_eq!(
            (defaults.address.to_string().as_str(), defaults.timeout),
            ("127.0.0.1:50051", Duration::from_secs(5))
        );
        let said = parse(&["--catalog", "catalog.internal:7", "--catalog-timeout", "250ms"]).unwrap().catalog;
        assert_eq!(
            (said.address.to_string().as_str(), said.timeout),
            ("catalog.internal:7", Duration::from_millis(250))
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_flag() {
        for arguments in [["--catalog", "catalog"], ["--catalog-timeout", "0s"], ["--catalog-timeout", "5"]] {
            let refused = parse(&arguments).unwrap_err().to_string();
            assert!(refused.contains(arguments[0]), "{refused}");
        }
        // What every service has is checked as well.
        assert!(parse(&["--listen", "0.0.0.0:1"]).unwrap_err().to_string().contains("--insecure"));
    }

    #[test]
    fn the_manual_names_the_catalog_and_the_usual_address() {
        let manual = OrdersConfig::command(BINARY).render_long_help().to_string();
        for part in ["--catalog <ADDR>", "[env: CATALOG=", "--catalog-timeout", "127.0.0.1:50052", "--max-query-rows"] {
            assert!(manual.contains(part), "{part} is missing in {manual}");
        }
    }
}
