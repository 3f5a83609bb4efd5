//! The limits of a managed Postgres, checked by a proxy that counts and breaks connections. The whole suite uses it.
//! The tests here show that it counts correctly, and bring the services close to each limit and beyond what one
//! statement or transaction may do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod chunked_deletes;
mod deletes;
mod orders;
mod proxy;
mod refused_batches;
mod refused_pages;
mod streams;
mod updates;

use crate::harness::wire::WireLimits;

/// The limits of a managed Postgres.
fn managed() -> WireLimits {
    WireLimits::default()
}

/// With an error, and without one.
fn refusing(limits: WireLimits) -> [WireLimits; 2] {
    [WireLimits { silent: false, ..limits }, WireLimits { silent: true, ..limits }]
}
