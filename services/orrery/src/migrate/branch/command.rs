//! `orrery migrate branch`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{Branch, BranchContents, Windows, without_password};
use crate::migrate::options::TargetOptions;
use crate::terminal::CommandOutput;

/// The arguments of `orrery migrate branch`.
#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true)]
pub(in crate::migrate) struct BranchCommand {
    /// The name of the new branch: at most 30 lower-case letters, digits and _.
    #[arg(required = true)]
    name: Option<String>,
    /// Copies the rows of all tables too, in windows of at most 50,000 rows and about 32 MiB.
    ///
    /// The windows are not one snapshot: rows that are written in the meantime may be copied or not.
    #[arg(long)]
    data: bool,
    #[command(subcommand)]
    action: Option<BranchAction>,
}

#[derive(Debug, Subcommand)]
enum BranchAction {
    /// Lists the branches of the database: name, time of creation, size, URL without the password.
    List,
    /// Drops a branch, also one whose creation has not ended. Sessions are not ended.
    Drop {
        /// The name of the branch.
        name: String,
    },
}

pub(in crate::migrate) async fn run(options: &TargetOptions, command: &BranchCommand) -> anyhow::Result<ExitCode> {
    if command.action.is_some() && (command.name.is_some() || command.data) {
        bail!("list and drop stand alone: orrery migrate branch list, orrery migrate branch drop NAME");
    }
    let url = options.url()?;
    let mut answer = CommandOutput::default();
    match &command.action {
        None => {
            let name = command.name.as_deref().context("the branch has no name")?;
            let rows = command.data.then(Windows::default);
            let contents = BranchContents { rows, empty: false };
            let branch = Branch::create_with(&url, name, contents, |line| answer.line(line)).await?;
            answer.line(format_args!("Created {}", without_password(&branch.url())));
        }
        Some(BranchAction::List) => list(&url, &mut answer).await?,
        Some(BranchAction::Drop { name }) => {
            Branch::remove(&url, name).await?;
            answer.line(format_args!("Dropped {name}"));
        }
    }
    answer.finish()?;
    Ok(ExitCode::SUCCESS)
}

async fn list(url: &str, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let branches = Branch::list(url).await?;
    if branches.is_empty() {
        answer.line("No branches");
    }
    let width = branches.iter().map(|info| info.branch.name().len()).max().unwrap_or(0);
    for info in &branches {
        let created = info.created.map_or_else(
            || "unknown             ".to_owned(),
            |created| created.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        );
        let size = info.size.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.1} MiB", mebibytes(bytes)));
        let state = if info.ready { "" } else { "  (its creation has not ended)" };
        answer.line(format_args!(
            "{:width$}  {created}  {size:>12}  {}{state}",
            info.branch.name(),
            without_password(&info.branch.url())
        ));
    }
    Ok(())
}

fn mebibytes(bytes: i64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
