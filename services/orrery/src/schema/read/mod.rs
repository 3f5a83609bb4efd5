//! Reads a schema from the catalogs, in one transaction that sees one state of them.
//!
//! Functions such as `pg_get_indexdef` lock the table for the moment of the call. So each attempt waits for a lock only
//! a short time, and is repeated a few times.

mod depend;
mod objects;
mod queries;
mod relations;
pub(crate) mod tables;
mod unsupported;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::bail;
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

pub(crate) use self::queries::GRANTS_OF_DATABASE;
use super::model::{Key, Schema};
use super::{LEDGERS, LEFT_OUT_SCHEMAS};
use crate::database;

/// How long one attempt waits for a lock. Statements that queue behind a lock of others wait no longer for this.
const LOCK_TIMEOUT: &str = "500ms";
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(250);
/// SQLSTATEs after which reading is tried again: lock not available, deadlock detected, and those of an object that was
/// dropped while it was read.
const WORTH_RETRYING: [&str; 5] = ["55P03", "40P01", "XX000", "42P01", "42704"];

impl Schema {
    /// Reads the schema of the connected database. Holds no lock for longer than that.
    ///
    /// # Errors
    ///
    /// The connection fails, a table stays locked, or the database has objects of an unsupported kind; the error names
    /// them.
    pub async fn read(connection: &mut PgConnection) -> anyhow::Result<Self> {
        let mut attempt = 1;
        loop {
            let error = match Self::read_once(connection).await {
                Ok((schema, unsupported)) if unsupported.is_empty() => return Ok(schema),
                Ok((_, unsupported)) => {
                    bail!("the schema has what is not supported: {}", unsupported.join(", "))
                }
                Err(ReadError::Database(error)) => error,
                Err(ReadError::Format(error)) => bail!("the catalogs cannot be read: {error}"),
            };
            let again = database::sql_state(&error).is_some_and(|state| WORTH_RETRYING.contains(&state.as_str()));
            if !again || attempt == ATTEMPTS {
                bail!("the schema cannot be read: {}", database::reason(&error));
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    /// Reads the schema as a transaction sees it. Changes settings of the transaction: the search path is empty then.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), at the first attempt.
    pub(crate) async fn read_within(transaction: &mut PgConnection) -> anyhow::Result<Self> {
        match Self::read_in(transaction).await {
            Ok((schema, unsupported)) if unsupported.is_empty() => Ok(schema),
            Ok((_, unsupported)) => bail!("the schema has what is not supported: {}", unsupported.join(", ")),
            Err(ReadError::Database(error)) => bail!("the schema cannot be read: {}", database::reason(&error)),
            Err(ReadError::Format(error)) => bail!("the catalogs cannot be read: {error}"),
        }
    }

    /// Reads once, in a transaction of its own. Also returns what is not supported.
    async fn read_once(connection: &mut PgConnection) -> Result<(Self, Vec<String>), ReadError> {
        let mut transaction = connection.begin_with("begin isolation level repeatable read, read only").await?;
        let read = Self::read_in(&mut transaction).await?;
        transaction.rollback().await?;
        Ok(read)
    }

    async fn read_in(transaction: &mut PgConnection) -> Result<(Self, Vec<String>), ReadError> {
        let settings = format!(
            "set local search_path = ''; set local lock_timeout = '{LOCK_TIMEOUT}'; set local quote_all_identifiers = \
             off"
        );
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *transaction).await?;
        let unsupported = unsupported::read(transaction).await?;
        let mut reader = Reader { connection: transaction, keys: HashMap::new(), columns: HashMap::new() };
        let mut schema = Self { objects: BTreeMap::new(), left_out: Vec::new(), role: None };
        // What is not supported may be a kind of object that the queries below do not expect.
        if unsupported.is_empty() {
            objects::read(&mut reader, &mut schema).await?;
            relations::read(&mut reader, &mut schema).await?;
            depend::read(&mut reader, &mut schema).await?;
            let connection = reader.connection;
            let role = sqlx::query_scalar("select quote_ident(current_user)").fetch_one(&mut *connection).await?;
            schema.role = Some(role);
            schema.left_out = unsupported::left_out(connection).await?;
            let invalid = schema.objects.values().filter(|object| object.is_invalid());
            schema.left_out.extend(invalid.map(|index| format!("the invalid index {}", index.sql)));
        }
        Ok((schema, unsupported))
    }
}

/// Why reading failed.
enum ReadError {
    Database(sqlx::Error),
    Format(serde_json::Error),
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        Self::Format(error)
    }
}

/// The catalog and the row of an object.
type Oid = (i64, i64);

/// A transaction, and what was read so far.
struct Reader<'c> {
    connection: &'c mut PgConnection,
    keys: HashMap<Oid, Key>,
    /// The names of the columns of tables by oid and number.
    columns: HashMap<(i64, i16), String>,
}

impl Reader<'_> {
    /// Runs a query and returns each row as a `T`, whose fields are the columns.
    async fn rows<T: DeserializeOwned>(&mut self, query: &str) -> Result<Vec<T>, ReadError> {
        rows(self.connection, query).await
    }
}

async fn rows<T: DeserializeOwned>(connection: &mut PgConnection, query: &str) -> Result<Vec<T>, ReadError> {
    let statement = format!("{} select to_json(found)::text from ({query}) found", queries::COMMON);
    let texts: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(LEFT_OUT_SCHEMAS.as_slice())
        .bind(LEDGERS.as_slice())
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?)
}
