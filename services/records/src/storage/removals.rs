//! The table `records.object_removal`: objects that belong to no document and no upload.

use std::time::Duration;

use orrery_kit::db::array::{ArrayParameter, ElementType, ValueParameter};
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::ledger::{Ledger, SWEEP_ROWS, micros, timestamp};
use super::store::ObjectKey;

/// An object to remove.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) object_key: String,
    pub(super) multipart_id: Option<String>,
    /// Whether the time of requests that were under way is over: then this is the last time.
    pub(super) is_last: bool,
}

impl Ledger {
    /// Up to [`SWEEP_ROWS`] objects that are to be removed at `now`, the longest due first. `grace` is for how long
    /// after it was planned a removal is repeated.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn removals(&self, now: i64, grace: Duration, deadline: Deadline) -> Result<Vec<Removal>, Error> {
        let due = Statement::new(
            format!(
                "select t.object_key, t.multipart_id, t.create_ts <= $2
  from records.object_removal as t
 where t.remove_ts <= $1
 order by t.remove_ts
 limit {SWEEP_ROWS}"
            ),
            SWEEP_ROWS,
        )
        .bind(timestamp(now))?
        .bind(timestamp(now.saturating_sub(micros(grace))))?;
        let rows = self.database.fetch(&due, deadline).await?;
        let removal = |row: &PgRow| {
            Ok(Removal { object_key: row.try_get(0)?, multipart_id: row.try_get(1)?, is_last: row.try_get(2)? })
        };
        rows.iter().map(removal).collect()
    }

    /// Forgets objects that are removed.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn removed(&self, keys: &[String], deadline: Deadline) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let delete = Statement::new(
            "delete from records.object_removal as t where t.object_key = any ($1) returning 1",
            keys.len(),
        )
        .bind(ArrayParameter::texts(keys))?;
        self.write(delete, deadline).await.map(drop)
    }

    /// Puts removals off until `time`, in microseconds since 2000.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn put_off(&self, keys: &[String], time: i64, deadline: Deadline) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let put_off = Statement::new(
            "update records.object_removal as t set remove_ts = $2 where t.object_key = any ($1) returning 1",
            keys.len(),
        )
        .bind(ArrayParameter::texts(keys))?
        .bind(timestamp(time))?;
        self.write(put_off, deadline).await.map(drop)
    }
}

/// Plans the removal of objects that stop being the content of documents in this transaction.
///
/// # Errors
/// Errors of the database.
pub(super) async fn release(transaction: &mut Transaction<'_>, keys: &[ObjectKey]) -> Result<(), Error> {
    for keys in keys.chunks(transaction.max_statement_rows()) {
        let insert = Statement::new(
            "insert into records.object_removal (object_key)
select i.object_key
  from unnest($1::text[]) as i (object_key)
on conflict (object_key) do nothing
returning 1",
            keys.len(),
        )
        .bind(ArrayParameter::texts(keys.iter().map(ObjectKey::as_str)))?;
        transaction.write(insert).await?;
    }
    Ok(())
}

/// Plans the removal of the objects of deleted uploads at the time `now`, in microseconds since 2000; by default now.
pub(super) async fn plan_removal(
    transaction: &mut Transaction<'_>,
    uploads: &[PgRow],
    now: Option<i64>,
) -> Result<(), Error> {
    if uploads.is_empty() {
        return Ok(());
    }
    let (mut keys, mut ids) = (Vec::new(), Vec::new());
    for row in uploads {
        keys.push(row.try_get::<String, _>(0)?);
        // An empty id stands for none.
        ids.push(row.try_get::<Option<String>, _>(1)?.unwrap_or_default());
    }
    let insert = Statement::new(
        "insert into records.object_removal (object_key, multipart_id, remove_ts, create_ts)
select i.object_key, nullif(i.multipart_id, ''), coalesce($3, now()), coalesce($3, now())
  from unnest($1::text[], $2::text[]) as i (object_key, multipart_id)
on conflict (object_key) do nothing
returning 1",
        keys.len(),
    )
    .bind(ArrayParameter::texts(&keys))?
    .bind(ArrayParameter::texts(&ids))?
    .bind(ValueParameter::new(ElementType::Timestamp, now.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice)))?;
    transaction.write(insert).await.map(drop)
}
