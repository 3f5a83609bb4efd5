//! The command line: one variant per subcommand, each with its options and its `run` in a module of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{export, import, migrate, up};

/// Runs and looks after Orrery: gRPC services over one Postgres.
#[derive(Debug, Parser)]
#[command(name = "orrery", version, arg_required_else_help = true, max_term_width = 120)]
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
    /// Moves a database's schema: dbmate's file format and ledger, so that dbmate itself works on the same folder.
    Migrate(migrate::Options),
    /// Writes the rows of a file through a service: CSV by a mapping, or JSONL.
    Import(Box<import::Options>),
    /// Writes a service's rows as JSONL, which import takes back.
    Export(Box<export::Options>),
}

/// Does what the command line says; the exit code is the process's. An error is for a person to read, whole in one line.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(options) => up::run(*options).await,
        Command::Migrate(options) => migrate::run(options).await,
        Command::Import(options) => import::run(*options).await,
        Command::Export(options) => export::run(*options).await,
    }
}
