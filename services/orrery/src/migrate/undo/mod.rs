//! `orrery migrate undo`: rolls the last deployment back without losing data. What a rollback would drop is set aside
//! first ([`undone`](super::undone)), and comes back when the migration is applied again.
//!
//! 1. Roll back on a branch, to know what each migration drops and which schema it leaves ([`rehearsal`]).
//! 2. For each migration, newest first: hide the columns that it drops and copy their values; then, in one transaction,
//!    move the tables that it drops away, change what else differs, and take the version out of the ledger.
//!
//! Where data is set aside, the schema is changed by the difference that was seen on the branch, not by the down
//! section itself, which would drop the data. What an undo leaves that did not finish is the matter of [`unfinished`];
//! [`purge`] lists what is set aside and gives it up.

pub(super) mod purge;
mod rehearsal;
pub(super) mod unfinished;

use anyhow::{Context as _, bail};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::deploy::ledger::{self, Deployment, Phase};
use super::failure::{Failure, failure};
use super::lock::LockBudget;
use super::undone::item::Item;
use super::undone::{columns, tables};
use super::{Branch, Migration, Migrator, deploy, history, trial};
use crate::database;
use crate::schema::{Dropped, Schema, difference};
use crate::terminal::CommandOutput;

/// The name of the branch.
const BRANCH: &str = "undo";

/// A migration to roll back.
struct Step {
    migration: Migration,
    before: Schema,
    after: Schema,
    /// The tables and columns that are set aside.
    drops: Vec<Dropped>,
}

impl Step {
    /// Refuses to go on where the schema is not what it was on the branch: the trial said nothing about it.
    async fn check(&self, gate: &mut PgConnection) -> Result<(), Failure> {
        let live = Schema::read_within(gate).await.map_err(Failure::Final)?;
        match difference(&live, &self.before).first() {
            None => Ok(()),
            Some(change) => Err(Failure::Final(anyhow::anyhow!(
                "the schema has changed since the trial, and undoing that takes `{}`; undo again",
                change.sql
            ))),
        }
    }
}

/// Undoes the last deployment. `agreed` says not to ask.
pub(super) async fn run(migrator: &Migrator, agreed: bool, answer: &mut CommandOutput) -> anyhow::Result<()> {
    unfinished::give_up_copies(migrator, &mut |line| answer.line(line)).await?;
    let (deployment, migrations) = last(migrator).await?;
    let steps = if migrations.is_empty() {
        Vec::new()
    } else {
        let mut tell = |line: &str| answer.line(line);
        let work = async |branch: &Branch| rehearsal::roll_back(branch, migrator, &migrations).await;
        trial::on_a_branch(migrator.url(), BRANCH, &mut tell, work).await?
    };
    show(&deployment, &steps, answer);
    if !agreed {
        deploy::ask("Undo it", migrator.url())?;
    }
    deploy::record(migrator, &deployment, Phase::Undoing, answer).await?;
    for step in &steps {
        if let Err(error) = undo(migrator, step, answer).await {
            // The cause is the better message if both fail.
            if let Err(other) = unfinished::give_up(migrator, answer).await {
                answer.line(format_args!("The undo cannot be called off: {other:#}; run it again"));
            }
            return Err(error);
        }
        answer.line(format_args!("Undid {}", step.migration.file_name));
    }
    deploy::record(migrator, &deployment, Phase::Undone, answer).await?;
    answer.line(format_args!("Undone {}: {} migrations", deployment.uid, deployment.versions.len()));
    Ok(())
}

/// The last deployment, and those of its migrations that are applied, newest first.
async fn last(migrator: &Migrator) -> anyhow::Result<(Deployment, Vec<Migration>)> {
    let mut connection = database::connect(migrator.url()).await?;
    let found = ledger::last(&mut connection).await.map_err(|error| failure(&error, deploy::LEDGER))?;
    let applied = history::applied(&mut connection).await?;
    connection.close().await?;
    let Some(deployment) = found else { bail!("there is no deployment to undo") };
    let mut migrations = Vec::new();
    for version in applied.iter().rev().take_while(|version| deployment.versions.contains(version)) {
        let context = || format!("version {version} is applied, but its file is missing");
        migrations.push(migrator.folder().find(version).with_context(context)?.clone());
    }
    let of_it = applied.iter().filter(|version| deployment.versions.contains(version)).count();
    if of_it > migrations.len() {
        let newest = applied.last().map(String::as_str).unwrap_or_default();
        bail!("{newest} is applied after the deployment {}; roll it back first", deployment.uid);
    }
    Ok((deployment, migrations))
}

fn show(deployment: &Deployment, steps: &[Step], answer: &mut CommandOutput) {
    answer.line(format_args!("Deployment {}: {} migrations to undo", deployment.uid, steps.len()));
    for step in steps {
        answer.line(format_args!("  {}", step.migration.file_name));
        for dropped in &step.drops {
            let described = Item::new(&step.migration.version, dropped).described();
            answer.line(format_args!("    sets aside {described} with its rows"));
        }
    }
}

async fn undo(migrator: &Migrator, step: &Step, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let Step { migration, drops, .. } = step;
    let mut tell = |line: &str| answer.line(line);
    if drops.is_empty() {
        // The section may drop what another program has added since the trial.
        migrator.locked(&mut tell, async |gate| step.check(gate).await).await?;
        let only = migrator.reviewed(std::slice::from_ref(&migration.version));
        return only.down(&mut tell).await.map(drop);
    }
    let columns = drops.iter().filter_map(|dropped| dropped.column.as_deref().map(|column| (dropped, column)));
    let columns: Vec<(&Dropped, &str)> = columns.collect();
    let mut hidden = Vec::new();
    if !columns.is_empty() {
        let (items, outside) =
            migrator.locked_on(&mut tell, async |gate| hide(gate, migrator, step, &columns).await).await?;
        let mut connection = database::connect(migrator.url()).await?;
        for item in &items {
            columns::copy_aside(&mut connection, migrator.url(), item, migrator.patience(), &mut tell).await?;
        }
        connection.close().await?;
        drop(outside);
        hidden = items;
    }
    migrator.locked(&mut tell, async |gate| roll_back(gate, migrator, step, &hidden).await).await
}

/// Hides columns, before their values are copied.
async fn hide(
    gate: &mut PgConnection,
    migrator: &Migrator,
    step: &Step,
    columns: &[(&Dropped, &str)],
) -> Result<Vec<Item>, Failure> {
    step.check(gate).await?;
    let budget = LockBudget::new(migrator.lock_timeout());
    let mut items = Vec::new();
    for (dropped, column) in columns {
        budget.limit_next(gate).await.map_err(|error| failure(&error, &dropped.table))?;
        items.extend(columns::hide(gate, &step.migration.version, dropped, column).await?);
    }
    Ok(items)
}

/// Moves tables away and changes the schema to what it was before the migration, except for what was added meanwhile.
async fn roll_back(gate: &mut PgConnection, migrator: &Migrator, step: &Step, hidden: &[Item]) -> Result<(), Failure> {
    let version = &step.migration.version;
    let name = migrator.folder().display(&step.migration);
    let place = |error: sqlx::Error| failure(&error, &name);
    let budget = LockBudget::new(migrator.lock_timeout());
    for item in hidden {
        budget.limit_next(gate).await.map_err(place)?;
        columns::show(gate, item, false).await.map_err(place)?;
    }
    step.check(gate).await?;
    for change in difference(&step.before, &step.after) {
        budget.limit_next(gate).await.map_err(place)?;
        match &change.drops {
            Some(table) if table.column.is_none() => tables::set_aside(gate, version, table).await.map_err(place)?,
            _ => sqlx::raw_sql(AssertSqlSafe(change.sql)).execute(&mut *gate).await.map(drop).map_err(place)?,
        }
    }
    history::delete(gate, version).await.map_err(place)
}
