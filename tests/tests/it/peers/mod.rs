//! The clients that services use to call each other, against real services: peers that are killed, drained, paused or
//! not there.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod lost;
mod slow;

use std::net::SocketAddr;
use std::time::Duration;

use orrery_kit::config::ServiceAddress;
use orrery_kit::error::Error;
use orrery_peers::config::{CatalogPeerConfig, OrdersPeerConfig};
use orrery_peers::{CatalogClient, OrdersClient};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Longer than any step of a test takes.
const PATIENT: Duration = Duration::from_secs(60);

fn at(address: SocketAddr) -> ServiceAddress {
    address.to_string().parse().unwrap()
}

fn catalog(address: SocketAddr, timeout: Duration) -> CatalogClient {
    CatalogClient::new(&CatalogPeerConfig { address: at(address), timeout })
}

fn orders(address: SocketAddr, timeout: Duration) -> OrdersClient {
    OrdersClient::new(&OrdersPeerConfig { address: at(address), timeout })
}

/// Checks what a caller sees of a lost peer: which service it is, and when to come back.
#[track_caller]
fn assert_unavailable(error: Error, service: &str) {
    let status = Status::from(error);
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "DEPENDENCY_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
    assert_eq!(status.message(), format!("the {service} service is unavailable"));
}
