//! What is set aside, `undone.item`: one row for each table in the schema that holds rows or values.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::SCHEMA;
use crate::schema::{Dropped, identifier};

/// The longest name of a table here, in bytes. Its indexes have longer ones, and Postgres allows 63.
const MAX_NAME: usize = 56;

/// How far setting aside is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migrate) enum Phase {
    /// The values of a column are being copied. Meanwhile the column has the item's name.
    Copying,
    /// It waits for its migration, or for being purged.
    Aside,
}

impl Phase {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Aside => "aside",
        }
    }
}

/// A table or column that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::migrate) struct Item {
    /// The name of the table in the schema `undone`.
    pub(in crate::migrate) name: String,
    /// The migration that made it.
    pub(in crate::migrate) version: String,
    /// Where it was.
    pub(in crate::migrate) of: Dropped,
    /// The names of indexes that moved with a table: present and former.
    pub(super) indexes: BTreeMap<String, String>,
}

impl Item {
    /// What will be set aside when the migration `version` is undone.
    pub(in crate::migrate) fn new(version: &str, of: &Dropped) -> Self {
        let parts = [Some(version), Some(&of.schema), Some(&of.table), of.column.as_deref()];
        let mut name = parts.into_iter().flatten().collect::<Vec<_>>().join("_");
        if name.len() > MAX_NAME {
            let hash = Sha256::digest(&name).iter().take(4).fold(0_u32, |hash, &byte| hash << 8 | u32::from(byte));
            let hash = format!("{hash:08x}");
            let end = (0..MAX_NAME - hash.len()).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
            name = format!("{}_{hash}", &name[..end]);
        }
        Self { name, version: version.to_owned(), of: of.clone(), indexes: BTreeMap::new() }
    }

    /// The table in the schema `undone`, as SQL.
    pub(in crate::migrate) fn sql(&self) -> String {
        format!("{SCHEMA}.{}", identifier(&self.name))
    }

    /// The table where it was, as SQL.
    pub(super) fn former(&self) -> String {
        format!("{}.{}", identifier(&self.of.schema), identifier(&self.of.table))
    }

    /// Where it was, for people: `catalog.product.shade`.
    pub(in crate::migrate) fn described(&self) -> String {
        let Dropped { schema, table, column } = &self.of;
        match column {
            Some(column) => format!("{schema}.{table}.{column}"),
            None => format!("{schema}.{table}"),
        }
    }
}

/// Creates the schema and its list if they are missing. The caller holds the lock of migrations.
pub(super) async fn ensure(connection: &mut PgConnection) -> sqlx::Result<()> {
    let create = format!(
        "create schema if not exists {SCHEMA};
         create table if not exists {SCHEMA}.item (
            name        text collate \"C\" primary key,
            version     text not null,
            schema_name text not null,
            table_name  text not null,
            column_name text,
            indexes     text not null default '{{}}',
            phase       text not null,
            create_ts   timestamptz not null default now()
         )"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await.map(drop)
}

/// What is in a phase, or everything, in the order of the names; of one migration or of all.
pub(in crate::migrate) async fn list(
    connection: &mut PgConnection,
    phase: Option<Phase>,
    version: Option<&str>,
) -> sqlx::Result<Vec<Item>> {
    // Nothing was ever set aside in this database.
    if !exists(connection, &format!("{SCHEMA}.item")).await? {
        return Ok(Vec::new());
    }
    let select = format!(
        "select name, version, schema_name, table_name, column_name, indexes from {SCHEMA}.item
          where ($1 is null or phase = $1) and ($2 is null or version = $2)
          order by name"
    );
    let rows =
        sqlx::query(AssertSqlSafe(select)).bind(phase.map(Phase::name)).bind(version).fetch_all(connection).await?;
    let item = |row: &sqlx::postgres::PgRow| {
        Ok(Item {
            name: row.try_get(0)?,
            version: row.try_get(1)?,
            of: Dropped { schema: row.try_get(2)?, table: row.try_get(3)?, column: row.try_get(4)? },
            indexes: serde_json::from_str(row.try_get(5)?).map_err(|error| sqlx::Error::Decode(error.into()))?,
        })
    };
    rows.iter().map(item).collect()
}

/// Whether a table exists.
pub(super) async fn exists(connection: &mut PgConnection, table: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass($1) is not null").bind(table).fetch_one(connection).await
}

/// Adds an item to the list, or changes its phase.
pub(super) async fn record(connection: &mut PgConnection, item: &Item, phase: Phase) -> sqlx::Result<()> {
    let upsert = format!(
        "insert into {SCHEMA}.item as t (name, version, schema_name, table_name, column_name, indexes, phase)
         values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (name) do update set indexes = excluded.indexes, phase = excluded.phase"
    );
    let indexes = serde_json::to_string(&item.indexes).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(AssertSqlSafe(upsert))
        .bind(&item.name)
        .bind(&item.version)
        .bind(&item.of.schema)
        .bind(&item.of.table)
        .bind(&item.of.column)
        .bind(indexes)
        .bind(phase.name())
        .execute(connection)
        .await
        .map(drop)
}

/// Takes an item off the list.
pub(in crate::migrate) async fn remove(connection: &mut PgConnection, item: &Item) -> sqlx::Result<()> {
    let delete = format!("delete from {SCHEMA}.item where name = $1");
    sqlx::query(AssertSqlSafe(delete)).bind(&item.name).execute(connection).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(table: &str, column: Option<&str>) -> Dropped {
        Dropped { schema: "catalog".to_owned(), table: table.to_owned(), column: column.map(str::to_owned) }
    }

    #[test]
    fn names_are_short_and_differ() {
        let item = Item::new("20260101000000", &of("product", Some("shade")));
        assert_eq!(item.name, "20260101000000_catalog_product_shade");
        let written = (item.described(), item.former());
        assert_eq!(written, ("catalog.product.shade".to_owned(), "\"catalog\".\"product\"".to_owned()));
        let (long, other) = ("ä".repeat(31), "ä".repeat(30) + "o");
        let names = [&long, &other].map(|table| Item::new("20260101000000", &of(table, Some(&long))).name);
        assert!(names[0] != names[1] && names.iter().all(|name| name.len() <= MAX_NAME), "{names:?}");
    }
}
