//! The command line of `orrery migrate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::options::TargetOptions;
use super::{Migrator, branch, deploy, diff, dump, lint, new, undo};
use crate::terminal::CommandOutput;

/// The options of all `orrery migrate` commands.
#[derive(Debug, Args)]
pub struct MigrateOptions {
    #[command(flatten)]
    target: TargetOptions,
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
    Undone(undo::purge::UndoneCommand),
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

/// Runs `orrery migrate`.
pub async fn run(options: MigrateOptions) -> anyhow::Result<ExitCode> {
    let MigrateOptions { target, command } = options;
    let mut answer = CommandOutput::default();
    match command {
        MigrateCommand::Lint(lint) => return lint::run(target.migrations.as_deref(), &lint),
        MigrateCommand::Diff(diff) => return diff::run(&target, &diff).await,
        MigrateCommand::Branch(command) => return branch::command::run(&target, &command).await,
        MigrateCommand::New { name } => {
            let folder = target.migrations.unwrap_or_else(|| PathBuf::from("migrations"));
            answer.line(new::write(&folder, &name, chrono::Utc::now())?.display());
        }
        MigrateCommand::Dump { output } => write_dump(&target, output, &mut answer).await?,
        MigrateCommand::Up => up(&target.migrator()?, &mut answer).await?,
        MigrateCommand::Down { steps } => {
            let migrator = target.migrator()?;
            undo::unfinished::give_up_copies(&migrator, &mut |line| answer.line(line)).await?;
            for _ in 0..steps {
                migrator.down(|line| answer.line(line)).await?;
            }
        }
        MigrateCommand::Deploy { yes } => deploy::run(&target.migrator()?, yes, &mut answer).await?,
        MigrateCommand::Undo { yes } => undo::run(&target.migrator()?, yes, &mut answer).await?,
        MigrateCommand::Undone(command) => undo::purge::run(&target.migrator()?, &command, &mut answer).await?,
        MigrateCommand::Status { exit_code } => {
            let pending = print_status(&target.migrator()?, &mut answer).await?;
            if exit_code && pending > 0 {
                answer.finish()?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    answer.finish()?;
    Ok(ExitCode::SUCCESS)
}

async fn up(migrator: &Migrator, answer: &mut CommandOutput) -> anyhow::Result<()> {
    undo::unfinished::give_up_copies(migrator, &mut |line| answer.line(line)).await?;
    if migrator.up(|line| answer.line(line)).await? == 0 {
        answer.line("Nothing to apply");
    }
    undo::unfinished::call_off(migrator, answer).await
}

/// Writes the schema to `output`, or to the folder of the migrations.
async fn write_dump(target: &TargetOptions, output: Option<PathBuf>, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let folder = target.migrations.as_deref().unwrap_or(Path::new("migrations"));
    let output = output.unwrap_or_else(|| folder.join(dump::FILE));
    let schema = dump::dump(&target.url()?).await?;
    if output == Path::new("-") {
        answer.line(schema.trim_end_matches('\n'));
        return Ok(());
    }
    dump::write(&output, &schema)
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
