//! The behaviour of orders that products do not have.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod answers;
mod arbitrary_input;
mod bad_input;
mod claims;
mod filters;
pub(crate) mod fixture;
pub(crate) mod foreign_rows;
mod lifecycle;
mod lookup;
mod new_rows;
mod pages;
mod plans;
mod races;
mod reads;
mod references;
mod refused_by_database;
mod request_ids;
mod retries;
mod sales;
mod sales_streams;
pub(crate) mod seed;
mod single_writes;
mod snapshots;
mod timer;
mod up;
mod views;
mod writes;
