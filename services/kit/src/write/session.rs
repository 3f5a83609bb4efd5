//! The ledger of writes with a write_id: one row of `write_session` for each write_id, and in `write_commit` the
//! content of its last commits, as a hash of every row. Both change in the transaction that writes the rows, so that
//! acknowledgement and rows are committed together.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteMode, WriteStart};
use sqlx::Row as _;

use crate::context::Writes;
use crate::db::retry::retried;
use crate::db::{Statement, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;

/// How many commits of a write are remembered.
const REMEMBERED_COMMITS: i64 = 64;
/// How long a write is remembered after its last commit, in days. The contract promises 7.
const RETENTION_DAYS: u32 = 30;
/// The number of old writes that a new stream deletes.
const CLEARED_AT_ONCE: usize = 10;
/// After this many calls with a request_id a process deletes three times as many old entries.
const ENTRIES_PER_CLEARING: u32 = 100;

/// A write that this stream owns.
///
/// A write is stored by its first commit, so a caller who only begins writes leaves nothing behind. Of several streams
/// of a write, the one with the highest fence owns it. A fence is the time at which its stream began, in microseconds
/// since 1970 by the database's clock. So the order of the streams is known before the first of them stores anything.
#[derive(Clone, Debug)]
pub struct Session {
    schema: &'static str,
    resource: &'static str,
    write_id: String,
    parameters: String,
    fence: i64,
}

/// The result of moving a write on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It has moved on.
    Done,
    /// It was not stored when this stream began, and an older stream has committed rows of it since.
    Begun,
}

/// The fence of a stream that begins now. A sharded database refuses `clock_timestamp()`, which is volatile.
const NOW: &str = "(extract(epoch from statement_timestamp()) * 1000000)::bigint";

impl Session {
    /// Begins a write, or takes it over from its owner, and returns the offset to continue from.
    ///
    /// # Errors
    /// [`Error::WriteMismatch`] if it was begun with other parameters.
    pub async fn open(
        context: &Writes,
        resource: &'static Resource,
        start: &WriteStart,
        deadline: Deadline,
    ) -> Result<(Self, i64), Error> {
        let (schema, resource) = (context.schema, resource.description.message);
        let parameters = parameters(start).to_string();
        retried(deadline, || {
            let (write_id, parameters) = (start.write_id.clone(), parameters.clone());
            context.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    transaction.fetch(clearing(schema, transaction.is_sharded())).await?;
                    let take = Statement::new(
                        format!(
                            "update {schema}.write_session as s \
                             set fence = greatest(s.fence + 1, {NOW}), update_ts = now() \
                             where resource = $1 and write_id = $2 \
                             returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb"
                        ),
                        1,
                    )
                    .bind(resource)?
                    .bind(&write_id)?
                    .bind(&parameters)?;
                    let mut rows = transaction.fetch(take).await?;
                    if rows.is_empty() {
                        let new = Statement::new(format!("select {NOW}, 0::bigint, true"), 1);
                        rows = transaction.fetch(new).await?;
                    }
                    let row = rows.first().ok_or_else(|| Error::internal("no write session"))?;
                    if !row.try_get::<bool, _>(2)? {
                        return Err(Error::WriteMismatch("start.write_id", "parameters"));
                    }
                    let session = Self { schema, resource, write_id, parameters, fence: row.try_get(0)? };
                    Ok(TransactionEnd::Commit((session, row.try_get(1)?)))
                })
            })
        })
        .await
    }

    /// Moves the write's offset, within the transaction that writes the rows, and stores their hashes. The first commit
    /// stores the write.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`] if another stream owns the write; [`Error::WriteMismatch`] if another stream stored it
    /// in the meantime with other parameters.
    pub async fn advance(
        &self,
        transaction: &mut Transaction<'_>,
        from: i64,
        hashes: &[u64],
    ) -> Result<Advance, Error> {
        let schema = self.schema;
        let to = from + hashes.len() as i64;
        let advance = if from == 0 {
            Statement::new(
                format!(
                    "insert into {schema}.write_session as s (resource, write_id, fence, committed_offset, parameters) \
                     values ($1, $2, $3, $5, $6::text::jsonb) \
                     on conflict (resource, write_id) do update \
                     set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts \
                     where s.fence = $3 and s.committed_offset = $4 returning 1"
                ),
                1,
            )
        } else {
            Statement::new(
                format!(
                    "update {schema}.write_session set committed_offset = $5, update_ts = now() \
                     where resource = $1 and write_id = $2 and fence = $3 and committed_offset = $4 returning 1"
                ),
                1,
            )
        };
        let advance = advance.bind(self.resource)?.bind(&self.write_id)?.bind(self.fence)?.bind(from)?.bind(to)?;
        let advance = if from == 0 { advance.bind(&self.parameters)? } else { advance };
        if transaction.fetch(advance).await?.is_empty() {
            return if from == 0 { self.held_by_other(transaction).await } else { Err(Error::WriteTakenOver) };
        }
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect();
        let remember = Statement::new(
            format!(
                "with forgotten as (\
                     delete from {schema}.write_commit where resource = $1 and write_id = $2 and first_offset < (\
                         select first_offset from {schema}.write_commit where resource = $1 and write_id = $2 \
                         order by first_offset desc offset {} limit 1) \
                     returning 1), \
                 remembered as (\
                     insert into {schema}.write_commit (resource, write_id, first_offset, row_count, row_hashes) \
                     values ($1, $2, $3, $4, $5) returning 1) \
                 select (select count(*) from forgotten) + (select count(*) from remembered) as written",
                REMEMBERED_COMMITS - 1
            ),
            2,
        )
        .bind(self.resource)?
        .bind(&self.write_id)?
        .bind(from)?
        .bind(hashes.len() as i64)?
        .bind(bytes)?;
        transaction.fetch(remember).await?;
        Ok(Advance::Done)
    }

    /// The meaning of a write that another stream has stored since this one began.
    async fn held_by_other(&self, transaction: &mut Transaction<'_>) -> Result<Advance, Error> {
        let select = Statement::new(
            format!(
                "select fence < $3, parameters = $4::text::jsonb from {}.write_session \
                 where resource = $1 and write_id = $2",
                self.schema
            ),
            1,
        )
        .bind(self.resource)?
        .bind(&self.write_id)?
        .bind(self.fence)?
        .bind(&self.parameters)?;
        let rows = transaction.fetch(select).await?;
        let row = rows.first().ok_or(Error::TransactionConflict(sqlx::Error::RowNotFound))?;
        if !row.try_get::<bool, _>(1)? {
            return Err(Error::WriteMismatch("start.write_id", "parameters"));
        }
        if row.try_get::<bool, _>(0)? { Ok(Advance::Begun) } else { Err(Error::WriteTakenOver) }
    }

    /// Takes the write over from an older stream, which stored it since this one began, and returns the offset to
    /// continue from.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`] if a newer stream owns it.
    pub async fn take_over(&self, context: &Writes, deadline: Deadline) -> Result<i64, Error> {
        retried(deadline, || {
            let session = self.clone();
            context.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let take = Statement::new(
                        format!(
                            "update {}.write_session set fence = $3, update_ts = now() \
                             where resource = $1 and write_id = $2 and fence <= $3 returning committed_offset",
                            session.schema
                        ),
                        1,
                    )
                    .bind(session.resource)?
                    .bind(&session.write_id)?
                    .bind(session.fence)?;
                    let rows = transaction.fetch(take).await?;
                    let row = rows.first().ok_or(Error::WriteTakenOver)?;
                    Ok(TransactionEnd::Commit(row.try_get(0)?))
                })
            })
        })
        .await
    }

    /// Compares repeated rows with the committed ones. Rows of commits that are no longer remembered pass.
    ///
    /// # Errors
    /// [`Error::OffsetConflict`] at the first row that differs.
    pub async fn verify(&self, context: &Writes, from: i64, hashes: &[u64], deadline: Deadline) -> Result<(), Error> {
        let to = from + hashes.len() as i64;
        let select = Statement::new(
            format!(
                "select first_offset, row_hashes from {}.write_commit \
                 where resource = $1 and write_id = $2 and first_offset < $4 and first_offset + row_count > $3 \
                 order by first_offset",
                self.schema
            ),
            REMEMBERED_COMMITS as usize + 1,
        )
        .bind(self.resource)?
        .bind(&self.write_id)?
        .bind(from)?
        .bind(to)?;
        for row in context.fetch(&select, deadline).await? {
            let (first, stored): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            for (offset, stored) in (first..).zip(stored.chunks_exact(8)) {
                let sent = usize::try_from(offset - from).ok().and_then(|at| hashes.get(at));
                if sent.is_some_and(|sent| sent.to_be_bytes() != stored) {
                    return Err(Error::OffsetConflict { offset });
                }
            }
        }
        Ok(())
    }
}

/// The parameters of a write.
fn parameters(start: &WriteStart) -> serde_json::Value {
    let mut mask = start.update_mask.clone().unwrap_or_default().paths;
    mask.sort();
    let mut parameters = serde_json::json!({
        "mode": match start.mode() {
            WriteMode::Unspecified => WriteMode::Upsert,
            mode => mode,
        }.as_str_name(),
        "on_row_error": match start.on_row_error() {
            RowErrorPolicy::Unspecified => RowErrorPolicy::Stop,
            policy => policy,
        }.as_str_name(),
        "reference_check": match start.reference_check() {
            ReferenceCheck::Unspecified => ReferenceCheck::Accept,
            check => check,
        }.as_str_name(),
        "update_mask": mask,
    });
    if start.keep_unset {
        parameters["keep_unset"] = true.into();
    }
    parameters
}

/// Counts a call with a request_id, and from time to time starts to delete old entries beside the call. Streams do this
/// when they begin, but there may be no streams.
pub(super) fn count_named_call(context: &Writes) {
    if (context.named_calls.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ENTRIES_PER_CLEARING) {
        tokio::spawn(clear(context.clone()));
    }
}

/// Deletes old entries in short transactions, up to a limit. If one fails, another call does it later.
async fn clear(context: Writes) {
    let deadline = Deadline::after(Duration::from_secs(5));
    for _ in 0..3 * ENTRIES_PER_CLEARING as usize / CLEARED_AT_ONCE {
        let schema = context.schema;
        let cleared = context.transaction(deadline, move |transaction| {
            Box::pin(async move {
                let rows = transaction.fetch(clearing(schema, transaction.is_sharded())).await?;
                Ok(TransactionEnd::Commit(rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0))?))
            })
        });
        match cleared.await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return tracing::debug!(%error, "the ledger of writes was not cleared"),
        }
    }
}

/// Deletes a few writes that were not used for a long time.
fn clearing(schema: &str, sharded: bool) -> Statement {
    let old = format!("now() - interval '{RETENTION_DAYS} days'");
    deletion(schema, &old, CLEARED_AT_ONCE, sharded)
}

/// Deletes up to `most` writes that were not used for `retention`, fewer if a statement may not touch so many rows. Its
/// result has two columns: how many rows it deleted, and how many writes.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub(crate) fn expire(
    schema: &str,
    retention: Duration,
    most: usize,
    transaction: &Transaction<'_>,
) -> Result<Statement, Error> {
    let most = most.min(transaction.max_statement_rows() / ROWS_OF_WRITE).max(1);
    let old = "now() - $1 * interval '1 microsecond'";
    deletion(schema, old, most, transaction.is_sharded()).bind(retention.as_secs_f64() * 1e6)
}

/// Most rows of the ledger that belong to one write.
const ROWS_OF_WRITE: usize = REMEMBERED_COMMITS as usize + 2;

/// Deletes up to `most` writes that were not used since `old`, the longest unused first.
fn deletion(schema: &str, old: &str, most: usize, sharded: bool) -> Statement {
    // A sharded database locks no rows of several shards; the deletes wait for those that others hold.
    let skip = if sharded { "" } else { " for update skip locked" };
    let sql = format!(
        "with old as materialized (\
             select resource, write_id from {schema}.write_session \
             where update_ts < {old} \
             order by update_ts limit {most}{skip}), \
         commits as (\
             delete from {schema}.write_commit as c using old \
             where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), \
         sessions as (\
             delete from {schema}.write_session as s using old \
             where (s.resource, s.write_id) = (old.resource, old.write_id) \
               and s.update_ts < {old} returning 1) \
         select (select count(*) from commits) + (select count(*) from sessions) as written, \
                (select count(*) from sessions) as sessions"
    );
    Statement::new(sql, most * ROWS_OF_WRITE)
}
