//! What was set aside comes back when its migration is applied again, by whichever program.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::item::{self, Item, Phase};
use super::{Copied, columns, tables};
use crate::database;
use crate::migrate::failure::{Failure, failure};

/// Puts the tables of a migration back within the transaction that applies it, so that nobody sees them empty.
pub(in crate::migrate) async fn with_its_migration(
    transaction: &mut PgConnection,
    version: &str,
    tell: &mut impl FnMut(&str),
) -> Result<(), Failure> {
    let place = |error| failure(&error, "a table that was set aside cannot be put back");
    let items = item::list(transaction, Some(Phase::Aside), Some(version)).await.map_err(place)?;
    for item in items.iter().filter(|item| item.of.column.is_none()) {
        if tables::put_back(transaction, item).await.map_err(place)? {
            tell(&format!("Put {} back with its rows", item.described()));
        }
    }
    Ok(())
}

/// Copies back what is set aside of migrations that are applied.
pub(in crate::migrate) async fn of_applied(
    url: &str,
    applied: &BTreeSet<String>,
    patience: Duration,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let mut connection = database::connect(url).await?;
    let items = item::list(&mut connection, Some(Phase::Aside), None).await?;
    for item in items.into_iter().filter(|item| applied.contains(&item.version)) {
        let describe = || format!("{} cannot be copied back", item.described());
        let line = match one(&mut connection, url, &item, patience, tell).await.with_context(describe)? {
            Copied::Whole => format!("Copied {} back", item.described()),
            Copied::NoPlace => format!("{} stays set aside: {} has no place for it", item.described(), item.former()),
            Copied::Without(rows) => format!(
                "{} stays set aside: a unique index does not allow {rows} of its rows beside newer ones; the others \
                 are copied back",
                item.described()
            ),
        };
        tell(&line);
    }
    connection.close().await?;
    Ok(())
}

async fn one(
    connection: &mut PgConnection,
    url: &str,
    item: &Item,
    patience: Duration,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<Copied> {
    if !item::exists(connection, &item.former()).await? {
        return Ok(Copied::NoPlace);
    }
    let copied = match item.of.column {
        Some(_) => columns::copy_back(connection, url, item, patience, tell).await?,
        None => tables::copy_back(connection, url, item, patience, tell).await?,
    };
    if matches!(copied, Copied::Whole) {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("drop table {}", item.sql()))).execute(&mut *transaction).await?;
        item::remove(&mut transaction, item).await?;
        transaction.commit().await?;
    }
    Ok(copied)
}
