//! The command line. Each subcommand has a module with its options and its `run` function.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures::future::LocalBoxFuture;

use orrery_kit::build_info;

use crate::{doctor, export, import, migrate, procedures, serve, up};

/// Runs and administers Orrery: gRPC services over one Postgres database.
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
    /// Runs all three services in one process. Finds or creates a Postgres database and migrates it first.
    Up(Box<up::UpOptions>),
    /// Runs one service on an existing database, as in production.
    #[command(subcommand)]
    Serve(serve::Service),
    /// Creates links named `orrery-catalog`, `orrery-orders` and `orrery-records` to this program. Each link runs that
    /// service.
    Link(serve::LinkOptions),
    /// Migrates a database. Files and the table of applied migrations are in dbmate's format, so dbmate can be used as
    /// well.
    Migrate(migrate::MigrateOptions),
    /// Imports the rows of a file through a service: CSV with a mapping, or JSONL; combo reports from CSV.
    Import(Box<import::ImportCommand>),
    /// Exports the rows of a service as JSONL or CSV. `orrery import` can read the result.
    Export(Box<export::ExportCommand>),
    /// Runs, watches, cancels and schedules the background work of a service, and lists orphans.
    Procedures(Box<procedures::ProceduresCommand>),
    /// Shows which columns refer to which, as the database documents it, and finds mistakes in that.
    Doctor(doctor::DoctorOptions),
}

/// Runs a command and returns the exit code of the process. An error is one line for the user.
///
/// Boxed, so that the code is compiled with this crate, and the program only has to be linked.
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
        Command::Procedures(options) => procedures::run(*options).await,
        Command::Doctor(options) => doctor::run(options).await,
    }
}
