//! Which service a command is for: `--catalog`, `--orders` or `--records`, each with or without an address.

use std::iter::once;

use clap::Args;

use crate::client::ServiceAddress;

/// The services with the addresses at which they listen by default.
const SERVICES: [(&str, &str); 3] = [("catalog", CATALOG), ("orders", ORDERS), ("records", RECORDS)];
const CATALOG: &str = "127.0.0.1:50051";
const ORDERS: &str = "127.0.0.1:50052";
const RECORDS: &str = "127.0.0.1:50053";

/// At most one service.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub(super) struct AnyService {
    /// The catalog service, at this address or else at 127.0.0.1:50051.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = CATALOG, value_parser = parse_address)]
    catalog: Option<ServiceAddress>,
    /// The orders service, at this address or else at 127.0.0.1:50052.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = ORDERS, value_parser = parse_address)]
    orders: Option<ServiceAddress>,
    /// The records service, at this address or else at 127.0.0.1:50053.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = RECORDS, value_parser = parse_address)]
    records: Option<ServiceAddress>,
}

/// Exactly one service.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false, args = ["catalog", "orders", "records"])]
pub(super) struct OneService {
    #[command(flatten)]
    service: AnyService,
}

/// A service and its address.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its name: `catalog`, `orders` or `records`.
    pub(super) name: &'static str,
    /// Where it listens.
    pub(super) address: ServiceAddress,
}

impl AnyService {
    fn one(self) -> Option<Target> {
        let Self { catalog, orders, records } = self;
        let of =
            |(name, _): (&'static str, _), address: Option<ServiceAddress>| Some(Target { name, address: address? });
        SERVICES.into_iter().zip([catalog, orders, records]).find_map(|(service, address)| of(service, address))
    }

    /// The service that is named, or all three at their default addresses.
    ///
    /// # Errors
    /// None in practice: a default address is wrong.
    pub(super) fn targets(self) -> anyhow::Result<Vec<Target>> {
        if let Some(target) = self.one() {
            return Ok(once(target).collect());
        }
        let parsed = |(name, address): (_, &str)| {
            let address = address.parse().map_err(anyhow::Error::msg)?;
            Ok(Target { name, address })
        };
        SERVICES.into_iter().map(parsed).collect()
    }
}

impl OneService {
    /// Its address.
    ///
    /// # Errors
    /// None in practice: the command line names no service.
    pub(super) fn address(self) -> anyhow::Result<ServiceAddress> {
        let target =
            self.service.one().ok_or_else(|| anyhow::anyhow!("name a service: --catalog, --orders, --records"))?;
        Ok(target.address)
    }
}

fn parse_address(text: &str) -> Result<ServiceAddress, String> {
    text.parse().map_err(|error| {
        format!("{error}; without an address, let the option be the last one, or followed by another option")
    })
}
