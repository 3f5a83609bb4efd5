//! The operator's command as a library: what `orrery` does, for its `main` and for tests.

pub mod cli;
mod client;
pub mod cluster;
mod database;
pub mod export;
pub mod import;
mod mapping;
mod message;
pub mod migrate;
mod resource;
mod up;
