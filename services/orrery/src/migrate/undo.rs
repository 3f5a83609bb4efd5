//! `orrery migrate undo`: rolls the last deployment back without losing data. What a rollback would drop is set aside
//! first ([`undone`](super::undone)), and comes back when the migration is applied again.
//!
//! 1. Roll back on a branch, to know what each migration drops and which schema it leaves.
//! 2. For each migration, newest first: hide the columns that it drops and copy their values; then, in one transaction,
//!    move the tables that it drops away, change what else differs, and take the version out of the ledger.
//!
//! The schema is changed by the difference to the one that the branch had, not by the down section itself, which would
//! drop the data.

use anyhow::{Context as _, bail};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::deploy::ledger::{self, Deployment, Phase};
use super::run::{Failure, failure};
use super::statement::statements;
use super::undone::item::{self, Item};
use super::undone::{columns, tables};
use super::{Migration, Migrator, Section, deploy, history, lock, trial};
use crate::database;
use crate::schema::{Dropped, Schema, difference};
use crate::terminal::CommandOutput;

/// The name of the branch.
const BRANCH: &str = "undo";

/// Statements that change rows. What they change cannot be set aside.
const LOSSY: [&str; 9] = ["delete", "truncate", "update", "insert", "merge", "with", "do", "call", "copy"];

/// A migration to roll back.
struct Step {
    migration: Migration,
    before: Schema,
    after: Schema,
    /// The tables and columns that are set aside.
    drops: Vec<Dropped>,
}

/// Undoes the last deployment. `agreed` says not to ask.
pub(super) async fn run(migrator: &Migrator, agreed: bool, answer: &mut CommandOutput) -> anyhow::Result<()> {
    give_up_copies(migrator, answer).await?;
    let (deployment, migrations) = last(migrator).await?;
    let steps = if migrations.is_empty() {
        Vec::new()
    } else {
        let mut tell = |line: &str| answer.line(line);
        let work = async |branch: &super::Branch| rehearse(branch, migrator, &migrations).await;
        trial::on_a_branch(migrator.url(), BRANCH, &mut tell, work).await?
    };
    show(&deployment, &steps, answer);
    if !agreed {
        deploy::ask("Undo it", migrator.url())?;
    }
    deploy::record(migrator, &deployment, Phase::Undoing, answer).await?;
    for step in &steps {
        undo(migrator, step, answer).await?;
        answer.line(format_args!("Undid {}", step.migration.file_name));
    }
    deploy::record(migrator, &deployment, Phase::Undone, answer).await?;
    answer.line(format_args!("Undone {}: {} migrations", deployment.uid, deployment.versions.len()));
    Ok(())
}

/// Gives columns their names back that an interrupted run was copying. Copying begins anew.
async fn give_up_copies(migrator: &Migrator, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let place = |error| failure(&error, "a column cannot get its name back");
    let given_up = migrator
        .locked(&mut |line| answer.line(line), async |gate: &mut PgConnection| {
            let items = item::list(gate, Some(item::Phase::Copying), None).await.map_err(place)?;
            for item in &items {
                columns::show(gate, item, true).await.map_err(place)?;
            }
            Ok(items)
        })
        .await?;
    for item in given_up {
        answer.line(format_args!("Found {} half set aside by an interrupted undo; beginning anew", item.described()));
    }
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

/// Rolls back on a branch, and says what each step drops and leaves.
async fn rehearse(branch: &super::Branch, migrator: &Migrator, migrations: &[Migration]) -> anyhow::Result<Vec<Step>> {
    let mut connection = database::connect(&branch.url()).await?;
    let on_branch = Migrator::new(&branch.url(), migrator.folder().clone(), super::LockTimeouts::default());
    let mut before = Schema::read(&mut connection).await?;
    let mut steps = Vec::new();
    for migration in migrations {
        let name = migrator.folder().display(migration);
        refuse_lossy(&migration.down, &name)?;
        on_branch.down(|_| ()).await?;
        let after = Schema::read(&mut connection).await?;
        let changes = difference(&before, &after);
        let retyped =
            changes.iter().find(|change| change.sql.contains(" alter column ") && change.sql.contains(" type "));
        if let Some(change) = retyped {
            bail!("{name}: rolling back changes the type of a column, which may lose values: {}", change.sql);
        }
        let drops: Vec<Dropped> = changes.into_iter().filter_map(|change| change.drops).collect();
        if !migration.down.transaction && !drops.is_empty() {
            bail!("{name}: the down section drops data and says transaction:false, so it cannot be undone");
        }
        steps.push(Step { migration: migration.clone(), before, after: after.clone(), drops });
        before = after;
    }
    connection.close().await?;
    Ok(steps)
}

/// Refuses a section that changes rows.
fn refuse_lossy(section: &Section, name: &str) -> anyhow::Result<()> {
    for statement in statements(&section.sql) {
        if let Some(word) = LOSSY.iter().find(|word| statement.begins(&[word])) {
            let line = section.first_line + section.sql[..statement.start].matches('\n').count();
            bail!(
                "{name}:{line}: `{word}` changes rows when it rolls back, and they cannot be set aside; \
                   `orrery migrate down` rolls back without that"
            );
        }
    }
    Ok(())
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
    let Step { migration, before, after, drops } = step;
    let mut tell = |line: &str| answer.line(line);
    if !migration.down.transaction {
        return migrator.down(&mut tell).await.map(drop);
    }
    let name = migrator.folder().display(migration);
    let place = |error: sqlx::Error| failure(&error, &name);
    let hidden = migrator
        .locked(&mut tell, async |gate: &mut PgConnection| {
            if !difference(&Schema::read_within(gate).await.map_err(Failure::Final)?, before).is_empty() {
                let changed = "the schema has changed since the trial; undo again";
                return Err(Failure::Final(anyhow::anyhow!(changed)));
            }
            let mut items = Vec::new();
            for dropped in drops {
                if let Some(column) = &dropped.column {
                    items.extend(columns::hide(gate, &migration.version, dropped, column).await?);
                }
            }
            Ok(items)
        })
        .await?;
    let patience = migrator.patience();
    let mut connection = database::connect(migrator.url()).await?;
    for item in &hidden {
        columns::copy_aside(&mut connection, migrator.url(), item, patience, &mut tell).await?;
    }
    connection.close().await?;
    migrator
        .locked(&mut tell, async |gate: &mut PgConnection| {
            for item in &hidden {
                columns::show(gate, item, false).await.map_err(place)?;
            }
            for dropped in drops.iter().filter(|dropped| dropped.column.is_none()) {
                tables::set_aside(gate, &migration.version, dropped).await.map_err(place)?;
            }
            let live = Schema::read_within(gate).await.map_err(Failure::Final)?;
            let changes = difference(&live, after);
            // What another program has added since the trial is not set aside.
            let is_other = |dropped: &&Dropped| !drops.contains(dropped);
            if let Some(other) = changes.iter().filter_map(|change| change.drops.as_ref()).find(is_other) {
                let other = Item::new(&migration.version, other).described();
                return Err(Failure::Final(anyhow::anyhow!("{other} was added since the trial; undo again")));
            }
            for change in changes {
                lock::set_lock_timeout(gate, migrator.lock_timeout()).await.map_err(place)?;
                sqlx::raw_sql(AssertSqlSafe(change.sql)).execute(&mut *gate).await.map_err(place)?;
            }
            history::delete(gate, &migration.version).await.map_err(place)
        })
        .await
}
