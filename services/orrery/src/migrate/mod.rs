//! `orrery migrate`: migrates a database's schema with the files of `migrations/`. The file format and the table of
//! applied migrations are dbmate's, so that dbmate can be used as well.
//!
//! - [`folder`], [`file`](mod@file), [`statement`]: the files, their sections, and the statements in these
//! - [`check`], [`lint`]: what a file must not contain, and what it should not
//! - [`history`]: the table of applied migrations
//! - [`apply`]: one migration after the other, up or down, by means of [`lock`] (one run at a time), [`run`] (the
//!   statements of a section) and [`unfinished`] (what an interrupted run left)
//! - [`branch`], [`trial`]: copies of the schema, and trials on them
//! - [`deploy`], [`undo`], [`undone`]: migrations of a database that is used, the way back, and what it sets aside
//! - [`diff`], [`dump`], [`new`]: the schema as SQL, and a new file

mod apply;
mod branch;
mod check;
mod deploy;
mod diff;
mod dump;
mod file;
mod folder;
mod history;
mod lint;
mod lock;
mod new;
mod run;
mod statement;
mod trial;
mod undo;
mod undone;
mod unfinished;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

pub use self::apply::{LockTimeouts, Migrator};
pub use self::branch::{Branch, BranchContents, BranchInfo, Windows};
pub use self::dump::dump;
pub use self::file::{FileError, Migration, Section};
pub use self::folder::Folder;
use crate::cluster;
use crate::terminal::CommandOutput;

/// The options of all `orrery migrate` commands.
#[derive(Debug, Args)]
pub struct MigrateOptions {
    /// The database, as postgres://user:password@host:port/database. Default: the private cluster of `orrery up` in
    /// --data-dir.
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The data folder of `orrery up`, whose private cluster must be running.
    #[arg(long, global = true, value_name = "DIR", default_value = cluster::DATA_DIR)]
    data_dir: PathBuf,
    /// The folder of migrations. Default: ./migrations if it holds Orrery's migrations, else the compiled-in files.
    #[arg(long, global = true, value_name = "DIR")]
    migrations: Option<PathBuf>,
    /// How long one attempt waits for locks, in milliseconds. Traffic may be blocked that long.
    #[arg(long, global = true, value_name = "MS", default_value_t = 500)]
    lock_timeout: u64,
    /// How long to keep trying to get locks, in seconds.
    #[arg(long, global = true, value_name = "S", default_value_t = 300)]
    patience: u64,
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Applies all pending migrations, oldest first.
    ///
    /// Nothing runs if a section of one of them begins or ends a transaction, or contains a statement that cannot run
    /// in one without saying transaction:false. The error names file, line and statement. An interrupted `undo` is
    /// called off.
    Up,
    /// Rolls back the newest applied migration, after the same checks.
    #[command(alias = "rollback")]
    Down {
        /// How many to roll back, newest first.
        #[arg(long, default_value_t = 1)]
        steps: usize,
    },
    /// Applies all pending migrations on a database that is used, after a trial.
    ///
    /// Checks the files as `lint` does, tries them out on a branch (up, down and up again), shows how the schema
    /// changes, asks, applies them with short waits for locks, and records them as one deployment. Refuses what fails a
    /// step.
    Deploy {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Rolls the last deployment back without losing data.
    ///
    /// The tables and columns that this drops are set aside in the schema `undone`, with their rows. They come back
    /// when their migrations are applied again. Roll the services back first: they must not need what is set aside.
    Undo {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Lists what `undo` has set aside, and purges it.
    Undone(undone::command::UndoneCommand),
    /// Lists all migrations and marks those that are applied.
    Status {
        /// Exit with 1 if a migration is pending.
        #[arg(long)]
        exit_code: bool,
    },
    /// Creates an empty migration, named by the time and NAME.
    New {
        /// What the migration does, such as `add_order_summary`.
        name: String,
    },
    /// Prints the SQL that turns the schema of A into that of B, and back.
    Diff(diff::DiffOptions),
    /// Creates, lists and drops branches: isolated copies of the schema, each a database on the same server.
    Branch(branch::command::BranchCommand),
    /// Checks files against rules, without a database, and exits with 1 if they find something.
    ///
    /// A comment `-- lint: allow RULE: WHY` directly above a statement allows what RULE finds there. At the head of a
    /// section it allows what RULE finds in the section as a whole. Comments for squawk have no effect.
    Lint(lint::LintOptions),
    /// Writes the database's schema as SQL, as `dbmate dump` does. Needs pg_dump, not older than the server.
    Dump {
        /// The file; - for standard output. Default: schema.sql in the folder --migrations, or in ./migrations.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// The offsets at which the statements of a script begin.
pub(crate) fn statement_starts(sql: &str) -> Vec<usize> {
    statement::statements(sql).into_iter().map(|statement| statement.start).collect()
}

/// Runs `orrery migrate`.
pub async fn run(options: MigrateOptions) -> anyhow::Result<ExitCode> {
    let mut answer = CommandOutput::default();
    if let MigrateCommand::New { name } = &options.command {
        let folder = options.migrations.unwrap_or_else(|| PathBuf::from("migrations"));
        answer.line(new::write(&folder, name, chrono::Utc::now())?.display());
        answer.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    match &options.command {
        MigrateCommand::Lint(lint) => return lint::run(options.migrations.as_deref(), lint),
        MigrateCommand::Dump { output } => return options.dump(output.as_deref()).await,
        MigrateCommand::Diff(diff) => return diff::run(&options, diff).await,
        MigrateCommand::Branch(command) => return branch::command::run(&options, command).await,
        _ => {}
    }
    let migrator = options.migrator()?;
    match options.command {
        MigrateCommand::Up => {
            undo::unfinished::give_up_copies(&migrator, &mut |line| answer.line(line)).await?;
            if migrator.up(|line| answer.line(line)).await? == 0 {
                answer.line("Nothing to apply");
            }
            undo::unfinished::call_off(&migrator, &mut answer).await?;
        }
        MigrateCommand::Down { steps } => {
            undo::unfinished::give_up_copies(&migrator, &mut |line| answer.line(line)).await?;
            for _ in 0..steps {
                migrator.down(|line| answer.line(line)).await?;
            }
        }
        MigrateCommand::Deploy { yes } => deploy::run(&migrator, yes, &mut answer).await?,
        MigrateCommand::Undo { yes } => undo::run(&migrator, yes, &mut answer).await?,
        MigrateCommand::Undone(command) => undone::command::run(&migrator, &command, &mut answer).await?,
        MigrateCommand::Status { exit_code } => {
            let pending = print_status(&migrator, &mut answer).await?;
            if exit_code && pending > 0 {
                answer.finish()?;
                return Ok(ExitCode::FAILURE);
            }
        }
        MigrateCommand::New { .. }
        | MigrateCommand::Lint(_)
        | MigrateCommand::Dump { .. }
        | MigrateCommand::Diff(_)
        | MigrateCommand::Branch(_) => {}
    }
    answer.finish()?;
    Ok(ExitCode::SUCCESS)
}

impl MigrateOptions {
    /// Writes the schema to `output`, or to the folder of the migrations.
    async fn dump(&self, output: Option<&Path>) -> anyhow::Result<ExitCode> {
        let folder = self.migrations.as_deref().unwrap_or(Path::new("migrations"));
        let output = output.map_or_else(|| folder.join(dump::FILE), Path::to_owned);
        let url = cluster::url_or_remembered(self.database_url.clone(), &self.data_dir)?;
        let schema = dump::dump(&url).await?;
        if output == Path::new("-") {
            let mut answer = CommandOutput::default();
            answer.line(schema.trim_end_matches('\n'));
            answer.finish()?;
        } else {
            dump::write(&output, &schema)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn migrator(&self) -> anyhow::Result<Migrator> {
        let url = cluster::url_or_remembered(self.database_url.clone(), &self.data_dir)?;
        let timeouts = LockTimeouts {
            lock_timeout: Duration::from_millis(self.lock_timeout),
            total: Duration::from_secs(self.patience),
        };
        Ok(Migrator::new(&url, Folder::choose(self.migrations.as_deref())?, timeouts))
    }
}

/// Prints the state in dbmate's format and returns the number of pending migrations.
async fn print_status(migrator: &Migrator, answer: &mut CommandOutput) -> anyhow::Result<usize> {
    let (migrations, unknown) = migrator.status().await?;
    for (migration, applied) in &migrations {
        answer.line(format_args!("[{}] {}", if *applied { 'X' } else { ' ' }, migration.file_name));
    }
    for version in &unknown {
        answer.line(format_args!("[?] {version} is applied, but its file is missing"));
    }
    let applied = migrations.iter().filter(|(_, applied)| *applied).count();
    answer.line(format_args!("\nApplied: {applied}\nPending: {}", migrations.len() - applied));
    Ok(migrations.len() - applied)
}
