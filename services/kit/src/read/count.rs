//! `CountX`: how many rows pass a filter.

use sqlx::Row as _;

use super::filter::Filter;
use crate::context::Reads;
use crate::db::Statement;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;

/// Counts the rows that pass a filter.
///
/// # Errors
/// The errors of the database.
pub(crate) async fn count(
    reads: &Reads,
    resource: &Resource,
    filter: &Filter,
    deadline: Deadline,
) -> Result<i64, Error> {
    let sql = format!("select count(*)\n  from {} as t\n where {}", resource.description.table, filter.sql());
    // The values of the filter are part of the text, which is seldom the same again.
    let count = Statement { keep_prepared: filter.is_empty(), ..Statement::new(sql, 1) };
    let rows = reads.read(|| reads.fetch(&count, deadline)).await?;
    let row = rows.first().ok_or_else(|| Error::internal("a count returned no row"))?;
    Ok(row.try_get(0)?)
}
