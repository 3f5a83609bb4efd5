//! Reads what is needed for copying rows: tables, their columns and primary keys.

use serde::Deserialize;
use sqlx::PgConnection;

use super::unsupported::Named;
use super::{ReadError, rows};
use crate::database;

/// A table whose rows can be copied.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StoredTable {
    /// Quoted and qualified.
    pub(crate) sql: String,
    /// The quoted columns, without generated ones.
    pub(crate) columns: Vec<String>,
    /// The columns of the primary key, in its order. Empty if there is none.
    pub(crate) key: Vec<Key>,
}

/// A column of a primary key.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Key {
    /// Quoted.
    pub(crate) column: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) data_type: String,
}

const TABLES: &str = "
select c.sql,
    (select coalesce(json_agg(quote_ident(attname) order by attnum), '[]') from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '') as columns,
    (select coalesce(json_agg(json_build_object('column', quote_ident(a.attname),
            'type', format_type(a.atttypid, a.atttypmod)) order by part.position), '[]')
        from pg_constraint x, unnest(x.conkey) with ordinality part (number, position), pg_attribute a
        where x.conrelid = c.oid and x.contype = 'p' and a.attrelid = c.oid and a.attnum = part.number) as key
from relation c
where c.relkind = 'r'
order by 1";

const SEQUENCES: &str = "select sql as name from relation where relkind = 'S' order by 1";

/// The tables of the connected database. Its search path must be empty.
pub(crate) async fn stored_tables(connection: &mut PgConnection) -> anyhow::Result<Vec<StoredTable>> {
    rows(connection, TABLES).await.map_err(|error| described(&error))
}

/// The sequences of the connected database, quoted and qualified.
pub(crate) async fn stored_sequences(connection: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let found: Vec<Named> = rows(connection, SEQUENCES).await.map_err(|error| described(&error))?;
    Ok(found.into_iter().map(|sequence| sequence.name).collect())
}

fn described(error: &ReadError) -> anyhow::Error {
    match error {
        ReadError::Database(error) => anyhow::anyhow!("the tables cannot be read: {}", database::reason(error)),
        ReadError::Format(error) => anyhow::anyhow!("the catalogs cannot be read: {error}"),
    }
}
