//! A whole table moves into the schema `undone` and back. Both only change the catalog.

use sqlx::{AssertSqlSafe, PgConnection};

use super::item::{self, Item, Phase};
use super::{Copied, SCHEMA, windows::Windows};
use crate::schema::{Dropped, identifier};

/// Moves a table out of its schema, with its indexes, which get names of their own: names are unique in a schema.
pub(in crate::migrate) async fn set_aside(
    connection: &mut PgConnection,
    version: &str,
    table: &Dropped,
) -> sqlx::Result<()> {
    item::ensure(connection).await?;
    let mut item = Item::new(version, table);
    let (former, schema, name) = (item.former(), identifier(&table.schema), identifier(&item.name));
    let indexes: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_index as i join pg_class as c on c.oid = i.indexrelid
          where i.indrelid = $1::regclass order by 1",
    )
    .bind(&former)
    .fetch_all(&mut *connection)
    .await?;
    let mut script = vec![format!("lock table {former} in access exclusive mode")];
    for (number, index) in indexes.into_iter().enumerate() {
        let own = format!("{}_{number}", item.name);
        script.push(format!("alter index {schema}.{} rename to {}", identifier(&index), identifier(&own)));
        item.indexes.insert(own, index);
    }
    script.push(format!("alter table {former} rename to {name}"));
    script.push(format!("alter table {schema}.{name} set schema {SCHEMA}"));
    run(connection, &script).await?;
    item::record(connection, &item, Phase::Aside).await
}

/// Puts a table in the place of the one that its migration has made just now, if that is empty and has the same
/// columns. Returns whether it did; it does not if somebody has written to the new table, or the file was changed.
pub(super) async fn put_back(connection: &mut PgConnection, item: &Item) -> sqlx::Result<bool> {
    let (former, aside) = (item.former(), item.sql());
    if !item::exists(connection, &former).await? {
        return Ok(false);
    }
    run(connection, &[format!("lock table {former} in access exclusive mode")]).await?;
    let is_empty = format!("select not exists (select from {former})");
    let is_empty: bool =
        sqlx::query_scalar(AssertSqlSafe(is_empty)).persistent(false).fetch_one(&mut *connection).await?;
    if !is_empty || columns(connection, &former).await? != columns(connection, &aside).await? {
        return Ok(false);
    }
    let (schema, name) = (identifier(&item.of.schema), identifier(&item.name));
    let mut script = vec![
        format!("drop table {former}"),
        format!("alter table {aside} set schema {schema}"),
        format!("alter table {schema}.{name} rename to {}", identifier(&item.of.table)),
    ];
    for (own, index) in &item.indexes {
        script.push(format!("alter index {schema}.{} rename to {}", identifier(own), identifier(index)));
    }
    run(connection, &script).await?;
    item::remove(connection, item).await?;
    Ok(true)
}

/// Copies the rows of a table into the one that its migration has made, and keeps rows that are there already.
pub(super) async fn copy_back(
    connection: &mut PgConnection,
    url: &str,
    item: &Item,
    patience: std::time::Duration,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<Copied> {
    let (former, aside) = (item.former(), item.sql());
    let windows = Windows::of(connection, (SCHEMA, &item.name), patience).await?;
    let Some(windows) = windows else { return Ok(Copied::NoPlace) };
    let there = columns(connection, &former).await?;
    let names = columns(connection, &aside).await?;
    // Values without a column would be lost with the table.
    let has = |(name, kind, _): &(String, String, bool)| there.iter().any(|(is, of, _)| (is, of) == (name, kind));
    if !names.iter().all(has) {
        return Ok(Copied::NoPlace);
    }
    let names: Vec<String> = names.iter().map(|(name, ..)| identifier(name)).collect();
    let others: Vec<String> =
        names.iter().filter(|name| !windows.is_key(name)).map(|name| format!(", {name}")).collect();
    let others = others.concat();
    let list = format!("{}{others}", windows.key(""));
    // A row whose key is not there afterwards is in conflict with another row, by another unique index.
    let change = format!(
        "done as (
            insert into {former} ({list}) select {list} from part on conflict do nothing returning {key}),
         counted as (
            select from part
             where not exists (select from done where ({of_done}) = ({of_part}))
               and not exists (select from {former} as t where ({of_table}) = ({of_part})))",
        key = windows.key(""),
        of_done = windows.key("done."),
        of_part = windows.key("part."),
        of_table = windows.key("t."),
    );
    Ok(match windows.each(url, &aside, &others, &change, tell).await? {
        0 => Copied::Whole,
        refused => Copied::Without(refused),
    })
}

/// The columns of a table: name, type and whether they may be null.
async fn columns(connection: &mut PgConnection, table: &str) -> sqlx::Result<Vec<(String, String, bool)>> {
    sqlx::query_as(
        "select attname::text, format_type(atttypid, atttypmod), attnotnull from pg_attribute
          where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by 1",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

async fn run(connection: &mut PgConnection, script: &[String]) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(script.join(";\n"))).execute(connection).await.map(drop)
}
