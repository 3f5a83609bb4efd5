//! The command line: one variant per subcommand, each with its options and its `run` in a module of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures::future::LocalBoxFuture;

use orrery_kit::build_info;

use crate::{export, import, migrate, serve, up};

/// Runs and looks after Orrery: gRPC services over one Postgres.
#[derive(Debug, Parser)]
#[command(name = "orrery", version = build_info::LONG_VERSION, arg_required_else_help = true, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves everything in one process: finds or makes a Postgres, migrates it, runs the three services.
    Up(Box<up::Options>),
    /// Runs one service on a database that exists, as in production.
    #[command(subcommand)]
    Serve(serve::Service),
    /// Makes the links `orrery-catalog`, `orrery-orders` and `orrery-records` to this program, which then runs that service.
    Link(serve::LinkOptions),
    /// Moves a database's schema: dbmate's file format and ledger, so that dbmate itself works on the same folder.
    Migrate(migrate::Options),
    /// Writes the rows of a file through a service: CSV by a mapping, or JSONL.
    Import(Box<import::Options>),
    /// Writes a service's rows as JSONL, which import takes back.
    Export(Box<export::Options>),
}

/// Does what the command line says; the exit code is the process's. An error is for a person to read, whole in one line.
///
/// Boxed, so that all of it is compiled here and the program itself is linked only.
pub fn run(cli: Cli) -> LocalBoxFuture<'static, anyhow::Result<ExitCode>> {
    Box::pin(run_command(cli.command))
}

async fn run_command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(options) => up::run(*options).await,
        Command::Serve(service) => serve::run(service).await,
        Command::Link(options) => serve::link(&options),
        Command::Migrate(options) => migrate::run(options).await,
        Command::Import(options) => import::run(*options).await,
        Command::Export(options) => export::run(*options).await,
    }
}
