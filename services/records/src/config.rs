//! The settings of the records service: the common ones, those of the catalog and of orders, and those of the storage
//! of documents.

use clap::Args;
use orrery_kit::config::{ConfigError, Configuration, ServiceConfig};
use orrery_peers::config::{CatalogPeerConfig, OrdersPeerConfig};

use crate::storage::{AwsEnvironment, DocumentsConfig};

/// The settings of the records service.
#[derive(Args, Clone, Debug)]
pub struct RecordsConfig {
    /// The common settings.
    #[command(flatten)]
    pub service: ServiceConfig,
    /// The catalog service, which knows products and their metrics.
    #[command(flatten)]
    pub catalog: CatalogPeerConfig,
    /// The orders service, which knows how much of each product was sold.
    #[command(flatten)]
    pub orders: OrdersPeerConfig,
    /// The object storage that keeps the content of documents.
    #[command(flatten)]
    pub documents: DocumentsConfig,
    /// The credentials of the object storage, if it is a bucket.
    #[arg(skip = AwsEnvironment::of_process())]
    pub environment: AwsEnvironment,
}

impl RecordsConfig {
    /// These common settings, with the defaults of the records service for its own, ignoring the environment.
    ///
    /// # Errors
    ///
    /// As in [`Configuration::for_database`].
    pub fn with_service(service: ServiceConfig) -> Result<Self, ConfigError> {
        let defaults = Self::for_database(service.database.database_url.expose())?;
        Ok(Self { service, ..defaults })
    }
}

impl Configuration for RecordsConfig {
    fn service(&self) -> &ServiceConfig {
        &self.service
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.service.validate()?;
        self.catalog.validate()?;
        self.orders.validate()?;
        self.documents.validate()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;
    use crate::BINARY;

    fn parse(arguments: &[&str]) -> Result<RecordsConfig, clap::Error> {
        let all = ["orrery-records", "--database-url=postgres://me@localhost/shop"].iter().chain(arguments);
        RecordsConfig::from_arguments(BINARY, all)
    }

    /// Addresses and timeouts of the catalog and of orders.
    fn peers(config: &RecordsConfig) -> [(String, Duration); 2] {
        let RecordsConfig { catalog, orders, .. } = config;
        [(catalog.address.to_string(), catalog.timeout), (orders.address.to_string(), orders.timeout)]
    }

    #[test]
    fn its_peers_are_where_the_flags_say() {
        let defaults = RecordsConfig::for_database("postgres://me@localhost/shop").unwrap();
        let seconds = Duration::from_secs(5);
        assert_eq!(
            peers(&defaults),
            [("127.0.0.1:50051".to_owned(), seconds), ("127.0.0.1:50052".to_owned(), seconds)]
        );
        let said =
            ["--catalog", "c.internal:7", "--catalog-timeout", "250ms", "--orders", "o:8", "--orders-timeout", "1m"];
        let (catalog, orders) = (("c.internal:7".to_owned(), seconds / 20), ("o:8".to_owned(), seconds * 12));
        assert_eq!(peers(&parse(&said).unwrap()), [catalog, orders]);
    }

    #[test]
    fn the_common_settings_are_kept() {
        let mut service = ServiceConfig::for_database("postgres://me@localhost/shop").unwrap();
        service.stream.page_bytes = 4_321;
        let config = RecordsConfig::with_service(service).unwrap();
        assert_eq!(
            (config.service().stream.page_bytes, config.orders.address.to_string().as_str()),
            (4_321, "127.0.0.1:50052")
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_flag() {
        for arguments in [
            ["--catalog", "catalog"],
            ["--catalog-timeout", "0s"],
            ["--orders", "https://orders:1"],
            ["--orders-timeout", "0s"],
            ["--orders-timeout", "5"],
            ["--documents", "gs://shop"],
            ["--documents-part-bytes", "4MiB"],
        ] {
            let refused = parse(&arguments).unwrap_err().to_string();
            assert!(refused.contains(arguments[0]), "{refused}");
        }
        // The common settings are checked as well.
        assert!(parse(&["--listen", "0.0.0.0:1"]).unwrap_err().to_string().contains("--insecure"));
    }

    #[test]
    fn the_manual_names_its_peers_and_the_usual_address() {
        let manual = RecordsConfig::command(BINARY).render_long_help().to_string();
        for part in [
            "--catalog <ADDR>",
            "[env: CATALOG=",
            "--catalog-timeout",
            "--orders <ADDR>",
            "[env: ORDERS=",
            "[env: ORDERS_TIMEOUT=",
            "--documents <URL>",
            "[env: DOCUMENTS=",
            "--documents-endpoint <URL>",
            "--documents-max-bytes",
            "AWS_SECRET_ACCESS_KEY",
            "127.0.0.1:50053",
            "--max-query-rows",
        ] {
            assert!(manual.contains(part), "{part} is missing in {manual}");
        }
    }
}
