//! `orrery migrate deploy`: pending migrations on the way to a database that is used. Each step refuses what fails it:
//!
//! 1. check the files against the rules of `orrery migrate lint`;
//! 2. try them out on a branch of the schema: up, down, up ([`rehearsal`]);
//! 3. show how the schema changes, and ask;
//! 4. apply them, with short waits for locks;
//! 5. record them as one deployment ([`ledger`]).

pub(super) mod ledger;
mod rehearsal;

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use sqlx::{Connection as _, PgConnection};
use ulid::Ulid;

use self::ledger::{Deployment, Phase};
use super::failure::failure;
use super::{Branch, Migration, Migrator, lint, trial};
use crate::database;
use crate::schema::Change;
use crate::terminal::{CommandOutput, eprint_line};

/// The name of the branch of the trial.
const BRANCH: &str = "deploy";
/// A deployment's uid.
const UID_PREFIX: &str = "dep_";

/// Deploys all pending migrations. `agreed` says not to ask.
pub(super) async fn run(migrator: &Migrator, agreed: bool, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let unfinished = unfinished(migrator).await?;
    let pending = pending(migrator).await?;
    if let Some(found) = unfinished.as_ref().filter(|found| found.phase == Phase::Undoing) {
        bail!(
            "the undo of {} was interrupted; finish it with `orrery migrate undo`, or call it off with `orrery migrate \
             up`",
            found.uid
        );
    }
    if let Some(found) = &unfinished {
        let left = found.versions.iter().filter(|version| pending.iter().any(|file| file.version == **version)).count();
        let all = found.versions.len();
        answer.line(format_args!("Found the deployment {}: {} of {all} migrations are applied", found.uid, all - left));
    }
    if pending.is_empty() {
        match unfinished {
            Some(deployment) => finish(migrator, &deployment, answer).await?,
            None => answer.line("Nothing to deploy"),
        }
        return Ok(());
    }
    let findings = lint::findings_of(migrator.folder(), &pending)?;
    if !findings.is_empty() {
        findings.iter().for_each(eprint_line);
        bail!("{} problems in pending migrations, and nothing was deployed", findings.len());
    }
    let mut tell = |line: &str| answer.line(line);
    let work = async |branch: &Branch| rehearsal::up_down_up(branch, migrator.folder(), pending.len()).await;
    let changes = trial::on_a_branch(migrator.url(), BRANCH, &mut tell, work).await?;
    show(&pending, &changes, answer);
    if !agreed {
        ask("Deploy", migrator.url())?;
    }
    let mut versions = unfinished.as_ref().map_or_else(Vec::new, |found| found.versions.clone());
    versions.extend(pending.iter().map(|migration| migration.version.clone()));
    versions.sort();
    versions.dedup();
    let uid = unfinished
        .map_or_else(|| format!("{UID_PREFIX}{}", Ulid::generate().to_string().to_lowercase()), |found| found.uid);
    let deployment = Deployment { uid, versions, phase: Phase::Applying };
    record(migrator, &deployment, Phase::Applying, answer).await?;
    migrator.reviewed(&deployment.versions).up(|line| answer.line(line)).await?;
    finish(migrator, &deployment, answer).await
}

/// The migrations that are not applied.
async fn pending(migrator: &Migrator) -> anyhow::Result<Vec<Migration>> {
    let (migrations, unknown) = migrator.status().await?;
    if let Some(version) = unknown.first() {
        bail!("version {version} is applied, but its file is missing; deploy with all files");
    }
    let pending = migrations.into_iter().filter(|(_, applied)| !applied);
    Ok(pending.map(|(migration, _)| migration.clone()).collect())
}

/// Shows what will be applied, and how the schema changes.
fn show(pending: &[Migration], changes: &[Change], answer: &mut CommandOutput) {
    answer.line(format_args!("Migrations to deploy: {}", pending.len()));
    for migration in pending {
        answer.line(format_args!("  {}", migration.file_name));
    }
    if changes.is_empty() {
        answer.line("\nThe schema stays as it is.\n");
        return;
    }
    answer.line("\nThe schema changes as by:\n");
    for change in changes {
        answer.line(format_args!("{};", change.sql));
    }
    answer.line("");
}

/// Asks whoever is at the terminal.
pub(super) fn ask(what: &str, url: &str) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        bail!("nothing was changed: nobody is there to ask; agree with --yes");
    }
    eprint_line(format_args!("{what} on {}? [y/N]", database::described(url)?));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the answer cannot be read")?;
    if !["y", "yes"].contains(&line.trim().to_lowercase().as_str()) {
        bail!("nothing was changed");
    }
    Ok(())
}

pub(super) async fn unfinished(migrator: &Migrator) -> anyhow::Result<Option<Deployment>> {
    let mut connection = database::connect(migrator.url()).await?;
    let found = ledger::unfinished(&mut connection).await.map_err(|error| failure(&error, LEDGER))?;
    connection.close().await?;
    Ok(found)
}

/// What errors name.
pub(super) const LEDGER: &str = "public.schema_deployments";

pub(super) async fn record(
    migrator: &Migrator,
    deployment: &Deployment,
    phase: Phase,
    answer: &mut CommandOutput,
) -> anyhow::Result<()> {
    let place = |error| failure(&error, LEDGER);
    let work = async |gate: &mut PgConnection| {
        ledger::ensure(gate).await.map_err(place)?;
        ledger::record(gate, deployment, phase).await.map_err(place)
    };
    migrator.locked(&mut |line| answer.line(line), work).await
}

async fn finish(migrator: &Migrator, deployment: &Deployment, answer: &mut CommandOutput) -> anyhow::Result<()> {
    record(migrator, deployment, Phase::Deployed, answer).await?;
    answer.line(format_args!("Deployed {}: {} migrations", deployment.uid, deployment.versions.len()));
    Ok(())
}
