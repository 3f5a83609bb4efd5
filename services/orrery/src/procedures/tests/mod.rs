//! The command line, and the commands against a service that fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod commands;
mod double;
mod options;
mod texts;
