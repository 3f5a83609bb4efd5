//! The `orrery` command as a library, for its `main` and for tests.

pub mod cli;
mod client;
pub mod cluster;
mod contract;
mod database;
pub mod doctor;
pub mod export;
#[doc(hidden)]
pub mod fuzzing;
pub mod import;
mod mapping;
mod message;
pub mod migrate;
mod numbers;
pub mod procedures;
mod progress;
mod resource;
pub mod schema;
pub mod serve;
mod terminal;
pub mod up;
mod whole_file;

use std::process::ExitCode;

use clap::Parser as _;

/// The whole program: the `orrery` command, or a service if the program was called through a link with that service's
/// name. Prints an error as one line.
///
/// # Panics
/// If the operating system cannot create a thread.
pub fn program() -> ExitCode {
    orrery_kit::server::share_arenas();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let result = match serve::Slice::of_program(&name) {
        Some(slice) => slice.serve(std::env::args_os().collect()).await.map(|()| ExitCode::SUCCESS),
        None => cli::run(cli::Cli::try_parse().unwrap_or_else(|error| terminal::exit_with(&error))).await,
    };
    result.unwrap_or_else(|error| terminal::exit_code_of(&error))
}
