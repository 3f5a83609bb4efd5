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
pub mod up;

/// Says a line to the person at the terminal. One who has stopped listening (`orrery up | head`) is no error.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
