//! `orrery migrate`: moves a database's schema along the files of `migrations/`, in dbmate's format and with dbmate's ledger, so that dbmate itself
//! works on the same folder before and after.

mod apply;
mod check;
mod file;
mod folder;
mod ledger;
mod new;
mod statement;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};

pub use self::apply::{Migrator, Patience};
pub use self::file::{FileError, Migration, Section};
pub use self::folder::Folder;
use crate::cluster;
use crate::terminal::Answer;

/// What every `orrery migrate` command takes.
#[derive(Debug, Args)]
pub struct Options {
    /// The database, as postgres://user:password@host:port/database. Default: the private cluster that `orrery up` made in --data-dir.
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where `orrery up` keeps its private cluster, which must be running.
    #[arg(long, global = true, value_name = "DIR", default_value = cluster::DATA_DIR)]
    data_dir: PathBuf,
    /// The folder of migrations. Default: ./migrations where that is Orrery's own, else the files that were compiled in.
    #[arg(long, global = true, value_name = "DIR")]
    migrations: Option<PathBuf>,
    /// How long one attempt waits for a lock, in milliseconds. Traffic may wait behind it as long.
    #[arg(long, global = true, value_name = "MS", default_value_t = 2_000)]
    lock_timeout: u64,
    /// How long to go on trying to get locks, in seconds.
    #[arg(long, global = true, value_name = "S", default_value_t = 300)]
    patience: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Applies every migration that is not applied yet, oldest first.
    ///
    /// Nothing runs if one of them, in either section, begins or ends a transaction, or holds what cannot run in one
    /// without saying transaction:false: file, line and statement are named.
    Up,
    /// Rolls back the newest applied migration, after the same checks.
    #[command(alias = "rollback")]
    Down {
        /// How many to roll back, newest first.
        #[arg(long, default_value_t = 1)]
        steps: usize,
    },
    /// Lists all migrations, the applied ones marked.
    Status {
        /// Exit with 1 if any is not applied.
        #[arg(long)]
        exit_code: bool,
    },
    /// Writes an empty migration, named by the time and NAME.
    New {
        /// What the migration does, as in `add_order_summary`.
        name: String,
    },
}

/// Where the statements of a script begin.
pub(crate) fn statement_starts(sql: &str) -> Vec<usize> {
    statement::statements(sql).into_iter().map(|statement| statement.start).collect()
}

/// Runs `orrery migrate`.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut answer = Answer::default();
    if let Command::New { name } = &options.command {
        let folder = options.migrations.unwrap_or_else(|| PathBuf::from("migrations"));
        answer.line(new::write(&folder, name, chrono::Utc::now())?.display());
        answer.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    let migrator = options.migrator()?;
    match options.command {
        Command::Up => {
            if migrator.up(|line| answer.line(line)).await? == 0 {
                answer.line("Nothing to apply");
            }
        }
        Command::Down { steps } => {
            for _ in 0..steps {
                migrator.down(|line| answer.line(line)).await?;
            }
        }
        Command::Status { exit_code } => {
            let pending = print_status(&migrator, &mut answer).await?;
            if exit_code && pending > 0 {
                answer.finish()?;
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::New { .. } => {}
    }
    answer.finish()?;
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn migrator(&self) -> anyhow::Result<Migrator> {
        let url = match &self.database_url {
            Some(url) => url.clone(),
            None => match cluster::remembered_url(&self.data_dir, cluster::DATABASE)? {
                Some(url) => url,
                None => bail!(
                    "which database? Name it with --database-url, or run `orrery up` first, which makes one in {}",
                    self.data_dir.display()
                ),
            },
        };
        let patience = Patience {
            lock_timeout: Duration::from_millis(self.lock_timeout),
            total: Duration::from_secs(self.patience),
        };
        Ok(Migrator::new(&url, Folder::choose(self.migrations.as_deref())?, patience))
    }
}

/// Prints what is applied, as dbmate does, and returns how many migrations are not.
async fn print_status(migrator: &Migrator, answer: &mut Answer) -> anyhow::Result<usize> {
    let (migrations, unknown) = migrator.status().await?;
    for (migration, applied) in &migrations {
        answer.line(format_args!("[{}] {}", if *applied { 'X' } else { ' ' }, migration.file_name));
    }
    for version in &unknown {
        answer.line(format_args!("[?] {version} is applied, but there is no such file"));
    }
    let applied = migrations.iter().filter(|(_, applied)| *applied).count();
    answer.line(format_args!("\nApplied: {applied}\nPending: {}", migrations.len() - applied));
    Ok(migrations.len() - applied)
}
