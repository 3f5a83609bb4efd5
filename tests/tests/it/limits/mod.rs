//! The limits of a managed Postgres, held against the services from outside: by a proxy on the wire that counts and breaks connections. The
//! whole suite runs through it; here it is shown to count right, and the services are brought close to every limit and beyond what one
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

/// Those of a managed Postgres.
fn managed() -> WireLimits {
    WireLimits::default()
}

/// Each way in which a server refuses.
fn refusing(limits: WireLimits) -> [WireLimits; 2] {
    [WireLimits { silent: false, ..limits }, WireLimits { silent: true, ..limits }]
}
