//! Copies the rows of a database to a branch.
//!
//! Each table is read in windows by its primary key: one query finds the last key of a window, another copies what is
//! between. Both are short, as managed servers demand, and nothing is kept in memory. The windows are not one snapshot.

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::database;
use crate::schema::{PrimaryKey, StoredTable, literal, stored_sequences, stored_tables};

/// The largest table without a primary key that is copied, because that takes one query.
const MOST_ROWS_WITHOUT_KEY: i64 = 100_000;
/// The first window, before the size of rows is known.
const FIRST_ROWS: u64 = 1_000;
/// How much larger a window is than the one before, at most.
const GROWTH: u64 = 4;
/// How much is sent at once.
const CHUNK: usize = 64 * 1024;

/// The most that is copied by one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows, exactly, unless others insert at the same time.
    pub rows: u64,
    /// Bytes, about: the size of the next rows is estimated from that of the last ones.
    pub bytes: u64,
}

impl Default for Windows {
    /// 50,000 rows and 32 MiB: half of what managed servers allow.
    fn default() -> Self {
        Self { rows: 50_000, bytes: 32 * 1024 * 1024 }
    }
}

/// The rows that are going to be copied.
pub(super) struct Rows {
    tables: Vec<StoredTable>,
    windows: Windows,
}

/// Numbers of what was copied.
#[derive(Clone, Copy, Default)]
struct Copied {
    rows: u64,
    bytes: u64,
    windows: u64,
}

impl Rows {
    /// Finds the tables and checks that all of them can be copied.
    pub(super) async fn plan(source: &mut PgConnection, windows: Windows) -> anyhow::Result<Self> {
        let tables = stored_tables(source).await?;
        let mut refused = Vec::new();
        for table in tables.iter().filter(|table| table.key.is_empty() || table.columns.is_empty()) {
            let most = if table.columns.is_empty() { 0 } else { MOST_ROWS_WITHOUT_KEY };
            let query = format!("select count(*) from (select from {} limit {}) counted", table.sql, most + 1);
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut *source).await?;
            if count > most {
                refused.push(table.sql.as_str());
            }
        }
        if !refused.is_empty() {
            bail!(
                "cannot copy tables without a primary key and with more than {MOST_ROWS_WITHOUT_KEY} rows: {}",
                refused.join(", ")
            );
        }
        Ok(Self { tables, windows })
    }

    /// Copies all rows, then the positions of sequences.
    pub(super) async fn copy(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        tell: &mut impl FnMut(&str),
    ) -> anyhow::Result<()> {
        for table in &self.tables {
            if table.columns.is_empty() {
                continue;
            }
            let copied = copy_table(source, target, table, self.windows)
                .await
                .with_context(|| format!("the rows of {} cannot be copied", table.sql))?;
            let unit = if copied.windows == 1 { "window" } else { "windows" };
            tell(&format!("{}: {} rows in {} {unit}", table.sql, copied.rows, copied.windows));
        }
        for sequence in stored_sequences(source).await? {
            let query = format!("select last_value, is_called from {sequence}");
            let (value, called): (i64, bool) = sqlx::query_as(AssertSqlSafe(query)).fetch_one(&mut *source).await?;
            sqlx::query("select setval($1::regclass, $2, $3)")
                .bind(&sequence)
                .bind(value)
                .bind(called)
                .execute(&mut *target)
                .await?;
        }
        Ok(())
    }
}

async fn copy_table(
    source: &mut PgConnection,
    target: &mut PgConnection,
    table: &StoredTable,
    windows: Windows,
) -> anyhow::Result<Copied> {
    let mut copied = Copied::default();
    if table.key.is_empty() {
        (copied.rows, copied.bytes) = copy_window(source, target, table, "").await?;
        copied.windows = 1;
        return Ok(copied);
    }
    let mut rows = FIRST_ROWS.min(windows.rows).max(1);
    let mut after: Option<Vec<String>> = None;
    while let Some(last) = last_key(source, table, after.as_deref(), rows).await? {
        let compared = |operator: &str, values: &[String]| {
            format!("{} {operator} {}", columns(&table.key), row(&table.key, values))
        };
        let condition = match &after {
            Some(after) => format!("where {} and {}", compared(">", after), compared("<=", &last)),
            None => format!("where {}", compared("<=", &last)),
        };
        let (window_rows, window_bytes) = copy_window(source, target, table, &condition).await?;
        copied.rows += window_rows;
        copied.bytes += window_bytes;
        copied.windows += 1;
        rows = next_rows(rows, window_rows, window_bytes, windows);
        after = Some(last);
    }
    Ok(copied)
}

/// How many rows the next window has.
fn next_rows(planned: u64, rows: u64, bytes: u64, windows: Windows) -> u64 {
    let fitting = windows.bytes.saturating_mul(rows.max(1)).checked_div(bytes).unwrap_or(windows.rows);
    fitting.min(planned.saturating_mul(GROWTH)).min(windows.rows).max(1)
}

fn columns(key: &[PrimaryKey]) -> String {
    let columns: Vec<&str> = key.iter().map(|part| part.column.as_str()).collect();
    format!("({})", columns.join(", "))
}

fn row(key: &[PrimaryKey], values: &[String]) -> String {
    let values = key.iter().zip(values).map(|(part, value)| format!("{}::{}", literal(value), part.data_type));
    format!("({})", values.collect::<Vec<_>>().join(", "))
}

/// The key of the last of the next `rows` rows. `None` if there are none.
async fn last_key(
    source: &mut PgConnection,
    table: &StoredTable,
    after: Option<&[String]>,
    rows: u64,
) -> sqlx::Result<Option<Vec<String>>> {
    let names: Vec<&str> = table.key.iter().map(|part| part.column.as_str()).collect();
    let condition =
        after.map(|after| format!("where {} > {}", columns(&table.key), row(&table.key, after))).unwrap_or_default();
    let texts: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
    let query = format!(
        "select array[{texts}] from (select {names} from {table} {condition} order by {names} limit {rows}) page \
         order by {descending} limit 1",
        texts = texts.join(", "),
        names = names.join(", "),
        table = table.sql,
        descending = names.iter().map(|name| format!("{name} desc")).collect::<Vec<_>>().join(", "),
    );
    sqlx::query_scalar(AssertSqlSafe(query)).persistent(false).fetch_optional(source).await
}

/// Copies the rows of a table that fulfil a condition, and returns the number of rows and of their bytes.
async fn copy_window(
    source: &mut PgConnection,
    target: &mut PgConnection,
    table: &StoredTable,
    condition: &str,
) -> anyhow::Result<(u64, u64)> {
    let columns = table.columns.join(", ");
    let reading = format!("copy (select {columns} from {} {condition}) to stdout", table.sql);
    let writing = format!("copy {} ({columns}) from stdin", table.sql);
    let mut found = source.copy_out_raw(&reading).await.map_err(described)?;
    let mut copy = target.copy_in_raw(&writing).await.map_err(described)?;
    let mut chunk = BytesMut::with_capacity(2 * CHUNK);
    let mut bytes = 0;
    loop {
        let next = match found.try_next().await {
            Ok(next) => next,
            Err(error) => {
                let reason = described(error);
                copy.abort("the source cannot be read").await.map_err(described)?;
                return Err(reason);
            }
        };
        if let Some(part) = &next {
            bytes += part.len() as u64;
            chunk.extend_from_slice(part);
        }
        if chunk.len() >= CHUNK || next.is_none() {
            copy.send(&*chunk).await.map_err(described)?;
            chunk.clear();
        }
        if next.is_none() {
            return Ok((copy.finish().await.map_err(described)?, bytes));
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
fn described(error: sqlx::Error) -> anyhow::Error {
    anyhow::anyhow!(database::reason(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_step_by_step_and_shrink_at_once() {
        let windows = Windows { rows: 50_000, bytes: 1_000_000 };
        assert_eq!(next_rows(1_000, 1_000, 10_000, windows), 4_000);
        assert_eq!(next_rows(20_000, 20_000, 20_000, windows), 50_000);
        assert_eq!(next_rows(4_000, 4_000, 4_000_000, windows), 1_000);
        assert_eq!(next_rows(1, 1, 5_000_000, windows), 1);
        assert_eq!(next_rows(1_000, 0, 0, windows), 4_000);
    }
}
