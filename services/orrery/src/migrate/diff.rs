//! `orrery migrate diff`: shows how the schemas of two databases differ.

use std::process::ExitCode;

use clap::Args;
use sqlx::Connection as _;

use super::Migrator;
use super::branch::{Branch, BranchContents, without_password};
use super::options::TargetOptions;
use crate::database;
use crate::schema::{Schema, difference};
use crate::terminal::{CommandOutput, eprint_line};

/// The arguments of `orrery migrate diff`.
#[derive(Debug, Args)]
pub(super) struct DiffOptions {
    /// A database: a URL; the name of a branch of the database; `main` for the database itself; or `migrations` for the
    /// result of all migrations of the folder, which are applied to a temporary branch.
    a: String,
    /// The other one.
    b: String,
    /// Exit with 1 if there is a difference.
    #[arg(long)]
    exit_code: bool,
}

pub(super) async fn run(options: &TargetOptions, diff: &DiffOptions) -> anyhow::Result<ExitCode> {
    let (a, b) = (read(options, &diff.a).await?, read(options, &diff.b).await?);
    for (side, schema) in [(&diff.a, &a), (&diff.b, &b)] {
        for what in schema.left_out() {
            eprint_line(format_args!("orrery: not compared: {what} of {}", without_password(side)));
        }
    }
    let mut answer = CommandOutput::default();
    let (there, back) = (difference(&a, &b), difference(&b, &a));
    let equal = there.is_empty() && back.is_empty();
    if equal {
        answer.line("-- no differences");
    } else {
        let (a, b) = (without_password(&diff.a), without_password(&diff.b));
        for (from, to, changes) in [(&a, &b, there), (&b, &a, back)] {
            answer.line(format_args!("-- from {from} to {to}"));
            for change in changes {
                answer.line(format_args!("{};", change.sql));
            }
        }
    }
    answer.finish()?;
    Ok(if diff.exit_code && !equal { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn read(options: &TargetOptions, side: &str) -> anyhow::Result<Schema> {
    if side.starts_with("postgres://") || side.starts_with("postgresql://") {
        return read_at(side).await;
    }
    let url = options.url()?;
    match side {
        "main" => read_at(&url).await,
        "migrations" => read_migrations(options, &url).await,
        name => read_at(&Branch::open(&url, name).await?.url()).await,
    }
}

async fn read_at(url: &str) -> anyhow::Result<Schema> {
    let mut connection = database::connect(url).await?;
    let schema = Schema::read(&mut connection).await?;
    connection.close().await?;
    Ok(schema)
}

/// Applies all migrations to a temporary branch.
async fn read_migrations(options: &TargetOptions, url: &str) -> anyhow::Result<Schema> {
    let folder = options.folder()?;
    let name = format!("migrations_{:08x}", rand::random::<u32>());
    let contents = BranchContents { empty: true, ..BranchContents::default() };
    let branch = Branch::create_with(url, &name, contents, |_| ()).await?;
    let schema = match Migrator::new(&branch.url(), folder, options.timeouts()).up(|_| ()).await {
        Ok(_) => read_at(&branch.url()).await,
        Err(error) => Err(error),
    };
    // The cause is the better message if both fail.
    let dropped = branch.drop().await;
    let schema = schema?;
    dropped?;
    Ok(schema)
}
