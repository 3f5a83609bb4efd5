//! `orrery migrate undone`: lists what is set aside, and purges it.

use anyhow::bail;
use clap::{Args, Subcommand};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::database;
use crate::migrate::Migrator;
use crate::migrate::failure::failure;
use crate::migrate::undone::{self, item, item::Phase};
use crate::terminal::CommandOutput;

/// The options of `orrery migrate undone`.
#[derive(Debug, Args)]
pub(in crate::migrate) struct UndoneCommand {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists what is set aside: name, where it was, its migration, its size and since when. The default.
    List,
    /// Drops what is set aside, with its rows, for good.
    Purge {
        /// The names, as listed.
        #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
        names: Vec<String>,
        /// Everything.
        #[arg(long)]
        all: bool,
    },
}

/// Runs `orrery migrate undone`.
pub(in crate::migrate) async fn run(
    migrator: &Migrator,
    command: &UndoneCommand,
    answer: &mut CommandOutput,
) -> anyhow::Result<()> {
    match &command.action {
        None | Some(Action::List) => list(migrator, answer).await,
        Some(Action::Purge { names, .. }) => purge(migrator, names, answer).await,
    }
}

async fn list(migrator: &Migrator, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let mut connection = database::connect(migrator.url()).await?;
    let items = item::list(&mut connection, None, None).await?;
    if items.is_empty() {
        answer.line("Nothing is set aside");
    }
    for item in items {
        let (phase, size, since): (String, String, String) = sqlx::query_as(AssertSqlSafe(format!(
            "select phase, pg_size_pretty(pg_total_relation_size(to_regclass($2))),
                    to_char(create_ts at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
               from {}.item where name = $1",
            undone::SCHEMA
        )))
        .bind(&item.name)
        .bind(item.sql())
        .fetch_one(&mut connection)
        .await?;
        let of = item.described();
        answer.line(format_args!("{}  {of}  {phase}  {size}  since {since}", item.name));
    }
    connection.close().await?;
    Ok(())
}

async fn purge(migrator: &Migrator, names: &[String], answer: &mut CommandOutput) -> anyhow::Result<()> {
    let place = |error| failure(&error, "undone");
    let purged = migrator
        .locked(&mut |line| answer.line(line), async |gate: &mut PgConnection| {
            let items = item::list(gate, None, None).await.map_err(place)?;
            let wanted = items.into_iter().filter(|item| names.is_empty() || names.contains(&item.name));
            let wanted: Vec<item::Item> = wanted.collect();
            let copying = item::list(gate, Some(Phase::Copying), None).await.map_err(place)?;
            if wanted.iter().any(|item| copying.contains(item)) || wanted.len() < names.len() {
                return Ok(Err((wanted, copying)));
            }
            for item in &wanted {
                let drop = format!("drop table {}", item.sql());
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *gate).await.map_err(place)?;
                item::remove(gate, item).await.map_err(place)?;
            }
            Ok(Ok(wanted))
        })
        .await?;
    match purged {
        Ok(items) => items.iter().for_each(|item| answer.line(format_args!("Purged {}", item.name))),
        Err((found, copying)) => {
            if let Some(name) = names.iter().find(|name| found.iter().all(|item| item.name != **name)) {
                bail!("nothing is set aside as {name}; `orrery migrate undone` lists the names");
            }
            let name = copying.first().map(|item| item.name.as_str()).unwrap_or_default();
            bail!("{name} belongs to an undo that runs or was interrupted; run `orrery migrate undo`");
        }
    }
    Ok(())
}
