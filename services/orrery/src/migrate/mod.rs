//! `orrery migrate`: moves a database's schema along the files of `migrations/`.

mod new;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// What every `orrery migrate` command takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes an empty migration, named by the time and NAME.
    New {
        /// What the migration does, as in `add_order_summary`.
        name: String,
        /// The folder to write into.
        #[arg(long, value_name = "DIR", default_value = "migrations")]
        migrations: PathBuf,
    },
}

/// Runs `orrery migrate`.
#[expect(clippy::unused_async, reason = "the commands that speak to a database are asynchronous")]
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    match options.command {
        Command::New { name, migrations } => {
            let path = new::write(&migrations, &name, chrono::Utc::now())?;
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
