//! What every Orrery service stands on. It knows no table, no product and no order.

pub mod config;
pub mod deadline;
pub mod decimal;
mod drain;
mod health;
pub mod label;
pub mod label_selector;
pub mod page_token;
pub mod rpc_layer;
pub mod server;
pub mod telemetry;
pub mod timestamp;
pub mod uid;
