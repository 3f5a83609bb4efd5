//! The values of a column are copied into a table of the schema `undone`, and back.
//!
//! A column that is being copied has another name, so that no service writes to it: what is copied is what there is.
//! Its services were rolled back before the schema, and older ones do not know it. Renaming changes only the catalog.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::Copied;
use super::item::{self, Item, Phase};
use super::windows::Windows;
use crate::migrate::failure::{Failure, failure};
use crate::schema::{Dropped, identifier, literal};

/// The column of values in a table of `undone`.
const VALUE: &str = "undone_value";

/// What decides about a column.
struct Column {
    is_generated: bool,
    /// It may not be null and has no default: rows that do not name it are refused.
    is_required: bool,
}

/// Renames a column and creates the table for its values. Returns the item, or `None` if its values can be computed
/// again.
pub(in crate::migrate) async fn hide(
    connection: &mut PgConnection,
    version: &str,
    dropped: &Dropped,
    name: &str,
) -> Result<Option<Item>, Failure> {
    let item = Item::new(version, dropped);
    let (former, described) = (item.former(), item.described());
    let place = |error| failure(&error, &described);
    let column = described_column(connection, &item, name).await.map_err(place)?;
    if column.is_generated {
        return Ok(None);
    }
    let refused = |why: &str| Failure::Final(anyhow::anyhow!("{described} cannot be set aside: {why}"));
    if column.is_required {
        return Err(refused(
            "it may not be null and has no default, so older services could not insert rows meanwhile",
        ));
    }
    let windows = Windows::of(connection, (&dropped.schema, &dropped.table), Duration::ZERO).await.map_err(place)?;
    let windows = windows.ok_or_else(|| refused("its table has no primary key"))?;
    item::ensure(connection).await.map_err(place)?;
    let (aside, key, column) = (item.sql(), windows.key(""), identifier(name));
    let script = format!(
        "create table {aside} as select {key}, {column} as {VALUE} from {former} with no data;
         alter table {aside} add primary key ({key});
         alter table {former} rename column {column} to {}",
        identifier(&item.name)
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await.map_err(place)?;
    item::record(connection, &item, Phase::Copying).await.map_err(place)?;
    Ok(Some(item))
}

/// Copies the values of a hidden column.
pub(in crate::migrate) async fn copy_aside(
    connection: &mut PgConnection,
    url: &str,
    item: &Item,
    patience: Duration,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let windows = Windows::of(connection, (&item.of.schema, &item.of.table), patience).await?;
    let Some(windows) = windows else { anyhow::bail!("{} has no primary key any more", item.former()) };
    let hidden = format!(", {} as {VALUE}", identifier(&item.name));
    let change = format!(
        "counted as (
            insert into {} ({key}, {VALUE}) select {key}, {VALUE} from part on conflict do nothing returning 1)",
        item.sql(),
        key = windows.key("")
    );
    windows.each(url, &item.former(), &hidden, &change, tell).await.map(drop)
}

/// Gives a hidden column its name back. `and_forget` says that it is not set aside after all.
pub(in crate::migrate) async fn show(connection: &mut PgConnection, item: &Item, and_forget: bool) -> sqlx::Result<()> {
    let Some(column) = &item.of.column else { return Ok(()) };
    let rename =
        format!("alter table {} rename column {} to {}", item.former(), identifier(&item.name), identifier(column));
    sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut *connection).await?;
    if !and_forget {
        return item::record(connection, item, Phase::Aside).await;
    }
    sqlx::raw_sql(AssertSqlSafe(format!("drop table {}", item.sql()))).execute(&mut *connection).await?;
    item::remove(connection, item).await
}

/// Copies values back into the column that its migration has added. A row keeps the value that it has if that is
/// neither null nor the default: it is newer.
pub(super) async fn copy_back(
    connection: &mut PgConnection,
    url: &str,
    item: &Item,
    patience: Duration,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<Copied> {
    let Some(column) = &item.of.column else { return Ok(Copied::NoPlace) };
    // The default, and the value that it gave to the rows which were there when the column was added.
    let default: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "select pg_get_expr(d.adbin, d.adrelid), (a.attmissingval::text::text[])[1]
           from pg_attribute as a left join pg_attrdef as d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
          where a.attrelid = to_regclass($1) and a.attname = $2 and not a.attisdropped",
    )
    .bind(item.former())
    .bind(column)
    .fetch_optional(&mut *connection)
    .await?;
    let windows = Windows::of(connection, (super::SCHEMA, &item.name), patience).await?;
    let (Some((default, given)), Some(windows)) = (default, windows) else { return Ok(Copied::NoPlace) };
    let column = identifier(column);
    let mut old = vec![format!("t.{column} is null")];
    match (default, given) {
        (_, Some(given)) => old.push(format!("t.{column}::text = {}", literal(&given))),
        (Some(constant), None) if !constant.contains('(') => old.push(format!("t.{column}::text = ({constant})::text")),
        // Computed for each row, so nobody knows which values are newer.
        (Some(_), None) => old.push("true".to_owned()),
        (None, None) => {}
    }
    let change = format!(
        "counted as (
            update {former} as t set {column} = part.{VALUE} from part
             where ({of_table}) = ({of_part}) and t.{column}::text is distinct from part.{VALUE}::text and ({old})
            returning 1)",
        former = item.former(),
        of_table = windows.key("t."),
        of_part = windows.key("part."),
        old = old.join(" or "),
    );
    windows.each(url, &item.sql(), &format!(", {VALUE}"), &change, tell).await?;
    Ok(Copied::Whole)
}

async fn described_column(connection: &mut PgConnection, item: &Item, name: &str) -> sqlx::Result<Column> {
    let (is_generated, is_required) = sqlx::query_as(
        "select attgenerated <> '', attnotnull and not atthasdef and attidentity = ''
           from pg_attribute where attrelid = $1::regclass and attname = $2 and not attisdropped",
    )
    .bind(item.former())
    .bind(name)
    .fetch_one(connection)
    .await?;
    Ok(Column { is_generated, is_required })
}
