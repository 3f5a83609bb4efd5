//! The settings of the orders service: the common ones, and those of the catalog.

use clap::Args;
use orrery_kit::config::{ConfigError, Configuration, ServiceConfig};
use orrery_peers::config::CatalogPeerConfig;

/// The settings of the orders service.
#[derive(Args, Clone, Debug)]
pub struct OrdersConfig {
    /// The common settings.
    #[command(flatten)]
    pub service: ServiceConfig,
    /// The catalog service, which knows whether products exist.
    #[command(flatten)]
    pub catalog: CatalogPeerConfig,
}

impl OrdersConfig {
    /// These common settings, with the defaults of the orders service for its own, ignoring the environment.
    ///
    /// # Errors
    ///
    /// As in [`Configuration::for_database`].
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
        self.catalog.validate()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

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
        let catalog = parse(&["--catalog", "catalog.internal:7", "--catalog-timeout", "250ms"]).unwrap().catalog;
        assert_eq!(
            (catalog.address.to_string().as_str(), catalog.timeout),
            ("catalog.internal:7", Duration::from_millis(250))
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_flag() {
        for arguments in [["--catalog", "catalog"], ["--catalog-timeout", "0s"], ["--catalog-timeout", "5"]] {
            let refused = parse(&arguments).unwrap_err().to_string();
            assert!(refused.contains(arguments[0]), "{refused}");
        }
        // The common settings are checked as well.
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
