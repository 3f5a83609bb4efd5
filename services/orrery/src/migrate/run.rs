//! Runs the statements of a section, and says on which line of the file one failed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::failure::{Failure, failure};
use super::file::Section;
use super::lock::LockBudget;
use super::statement::statements;

/// Runs a section in a transaction, whose statements wait for locks no longer than `patience` in all. Checks that the
/// section did not end the transaction itself. Otherwise the schema and the table of applied migrations could differ.
pub(super) async fn in_transaction(
    connection: &mut PgConnection,
    section: &Section,
    name: &str,
    version: &str,
    patience: Duration,
) -> Result<(), Failure> {
    let place = |error| failure(&error, name);
    sqlx::query("select set_config('orrery.migration', $1, true)")
        .bind(version)
        .execute(&mut *connection)
        .await
        .map_err(place)?;
    let budget = LockBudget::new(patience);
    for (start, end) in pieces(&section.sql) {
        // After the end of the transaction the setting only causes a warning.
        budget.limit_next(&mut *connection).await.map_err(place)?;
        execute(connection, section, start, end, name).await?;
    }
    let still: Option<String> = sqlx::query_scalar("select current_setting('orrery.migration', true)")
        .fetch_one(connection)
        .await
        .map_err(place)?;
    if still.as_deref() != Some(version) {
        return Err(Failure::Final(anyhow::anyhow!(
            "{name}: the file ends the transaction in which it runs; remove begin, commit and rollback, or add \
             transaction:false"
        )));
    }
    Ok(())
}

/// Runs a section outside of a transaction, as it stands.
pub(super) async fn outside(connection: &mut PgConnection, section: &Section, name: &str) -> Result<(), Failure> {
    execute(connection, section, 0, section.sql.len(), name).await.map_err(|failure| match failure {
        Failure::Busy(reason) => Failure::Final(anyhow::anyhow!(reason)),
        last @ Failure::Final(_) => last,
    })
}

/// The statements of a section: where each begins, and where the next one does. The server reads what is between.
fn pieces(sql: &str) -> Vec<(usize, usize)> {
    let starts: Vec<usize> = statements(sql).into_iter().map(|statement| statement.start).collect();
    let ends = starts.iter().skip(1).copied().chain([sql.len()]);
    starts.iter().copied().zip(ends).collect()
}

/// Sends a part of a section unchanged, and maps the position of an error to a line of the file.
async fn execute(
    connection: &mut PgConnection,
    section: &Section,
    start: usize,
    end: usize,
    name: &str,
) -> Result<(), Failure> {
    let sql = &section.sql[start..end];
    let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await else { return Ok(()) };
    let before = section.sql[..start + offset_of(&error, sql)].matches('\n').count();
    Err(failure(&error, &format!("{name}:{}", section.first_line + before)))
}

/// Where the failed statement is: at the position that the server reports, or else where the first statement begins.
fn offset_of(error: &sqlx::Error, sql: &str) -> usize {
    let position = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>())
        .and_then(sqlx::postgres::PgDatabaseError::position);
    let offset = match position {
        // In characters, from 1.
        Some(sqlx::postgres::PgErrorPosition::Original(position)) => {
            sql.char_indices().nth(position.saturating_sub(1)).map(|(offset, _)| offset)
        }
        _ => statements(sql).first().map(|statement| statement.start),
    };
    offset.unwrap_or(0)
}
