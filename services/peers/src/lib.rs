//! The clients that services use to call each other. Services meet nowhere else.
//!
//! - [`config`]: the address of each peer, and how long to wait for it
//! - [`CatalogClient`], [`OrdersClient`]: the methods that other services call
//! - [`Pages`]: a stream that survives the loss of the peer
//! - [`ResumingStream`], [`Backoff`], [`retry_after`]: how to continue after a failure, also for the operator's command

mod backoff;
mod catalog;
pub mod config;
mod fault;
mod orders;
mod pages;
mod peer;
mod resume;
#[cfg(test)]
mod tests;

pub use self::backoff::Backoff;
pub use self::catalog::CatalogClient;
pub use self::fault::retry_after;
pub use self::orders::OrdersClient;
pub use self::pages::Pages;
pub use self::resume::{Page, ResumingStream};
