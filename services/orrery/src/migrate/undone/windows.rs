//! Moves rows in windows by primary key, each a short transaction: a managed server ends long ones, and services wait
//! for the rows that a transaction has locked.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::super::failure::Retries;
use super::super::failure::failure;
use crate::database;
use crate::schema::{identifier, literal};

/// Rows in a window.
const ROWS: usize = 2_000;
/// How long a window waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// Rows in the order of a key.
pub(super) struct Windows {
    /// The columns of the key, quoted.
    key: Vec<String>,
    patience: Duration,
}

impl Windows {
    /// Windows by the primary key of the table `schema.table`; `None` if it has none.
    pub(super) async fn of(
        connection: &mut PgConnection,
        (schema, table): (&str, &str),
        patience: Duration,
    ) -> sqlx::Result<Option<Self>> {
        let key: Vec<String> = sqlx::query_scalar(
            "select a.attname::text
               from pg_constraint as c
               cross join unnest(c.conkey) with ordinality as k (number, place)
               join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.number
              where c.conrelid = format('%I.%I', $1::text, $2::text)::regclass and c.contype = 'p'
              order by k.place",
        )
        .bind(schema)
        .bind(table)
        .fetch_all(connection)
        .await?;
        let key: Vec<String> = key.iter().map(|column| identifier(column)).collect();
        Ok((!key.is_empty()).then_some(Self { key, patience }))
    }

    /// The columns of the key, with a prefix such as `t.`.
    pub(super) fn key(&self, prefix: &str) -> String {
        self.key.iter().map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether a quoted column belongs to the key.
    pub(super) fn is_key(&self, column: &str) -> bool {
        self.key.iter().any(|of_key| of_key == column)
    }

    /// Runs a change for each window of the rows of `from`, and returns how many rows it counted. `columns` are read
    /// beside the key. The change is the text of common table expressions that take the window from `part`; the one
    /// named `counted` has the rows to count.
    pub(super) async fn each(
        &self,
        url: &str,
        from: &str,
        columns: &str,
        change: &str,
        tell: &mut impl FnMut(&str),
    ) -> anyhow::Result<u64> {
        let key = self.key("");
        let texts: Vec<String> = self.key.iter().map(|column| format!("{column}::text")).collect();
        let backwards: Vec<String> = self.key.iter().map(|column| format!("{column} desc")).collect();
        let mut after = String::new();
        let mut counted = 0;
        let mut retries = Retries::new(self.patience);
        let mut connection = database::connect(url).await?;
        let set = format!("set lock_timeout = {}", LOCK_TIMEOUT.as_millis());
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection).await?;
        loop {
            let statement = format!(
                "with part as (
                    select {key}{columns} from {from} {after} order by {key} limit {ROWS}),
                 {change}
                 select array[{}], (select count(*) from counted) from part order by {} limit 1",
                texts.join(", "),
                backwards.join(", "),
            );
            let window: sqlx::Result<Option<(Vec<String>, i64)>> =
                sqlx::query_as(AssertSqlSafe(statement)).persistent(false).fetch_optional(&mut connection).await;
            match window {
                Ok(None) => return Ok(counted),
                Ok(Some((last, of_window))) => {
                    counted += of_window.unsigned_abs();
                    let literals: Vec<String> = last.iter().map(|text| literal(text)).collect();
                    after = format!("where ({key}) > ({})", literals.join(", "));
                    retries = Retries::new(self.patience);
                }
                Err(error) => retries.pause_after(failure(&error, from), tell).await?,
            }
        }
    }
}
