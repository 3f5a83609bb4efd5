//! The library under every Orrery service. It knows no table, no product and no order.
//!
//! Functions that slices call return a boxed future or stream. An async function would be compiled again, with
//! everything it awaits, in each crate that awaits it.

mod admin;
pub mod answer;
pub mod budget;
pub mod build_info;
mod cache;
pub mod collection;
pub mod compression;
pub mod config;
pub mod consistency;
pub mod context;
pub mod db;
pub mod deadline;
pub mod decimal;
pub mod drain;
pub mod error;
mod health;
pub mod integrity;
pub mod label;
pub mod label_selector;
pub mod lifecycle;
pub mod lsn;
pub mod metrics;
pub mod page_token;
pub mod procedures;
pub mod read;
pub mod references;
pub mod resource;
pub mod rpc_layer;
pub mod server;
pub mod statements;
pub mod telemetry;
pub mod timestamp;
pub mod token_keys;
pub mod uid;
pub mod work;
pub mod write;
