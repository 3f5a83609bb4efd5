//! The ledger of named writes: one row of `write_session` per write_id, and in `write_commit` the content of its last commits, as a hash of
//! every row. Both move in the transaction that writes the rows, so that an acknowledgement and its rows are one fact.

use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteMode, WriteStart};
use sqlx::Row as _;

use super::attempts::retried;
use crate::context::Context;
use crate::db::{Ending, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;

/// How many commits of a write are remembered.
const REMEMBERED_COMMITS: i64 = 64;
/// How long a write is remembered after its last commit, in days. The contract promises 7.
const RETENTION_DAYS: u32 = 30;
/// How many forgotten writes one new stream clears away.
const CLEARED_AT_ONCE: usize = 10;

/// A write that this stream holds.
#[derive(Clone, Debug)]
pub struct Session {
    schema: &'static str,
    resource: &'static str,
    write_id: String,
    fence: i64,
}

impl Session {
    /// Begins a write or takes it over from whoever held it, and returns where to go on.
    ///
    /// # Errors
    /// [`Error::WriteMismatch`] if it was begun with other parameters.
    pub async fn open(
        context: &Context,
        resource: &'static Resource,
        start: &WriteStart,
        deadline: Deadline,
    ) -> Result<(Self, i64), Error> {
        let (schema, resource) = (context.schema, resource.description.message);
        let parameters = parameters(start).to_string();
        retried(deadline, || {
            let (write_id, parameters) = (start.write_id.clone(), parameters.clone());
            context.database.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    transaction.fetch(clearing(schema)).await?;
                    let open = Statement::new(
                        format!(
                            "insert into {schema}.write_session as s (resource, write_id, parameters) \
                             values ($1, $2, $3::text::jsonb) \
                             on conflict (resource, write_id) do update set fence = s.fence + 1, update_ts = now() \
                             returning s.committed_offset, s.fence, s.parameters = $3::text::jsonb"
                        ),
                        1,
                    )
                    .bind(resource)?
                    .bind(&write_id)?
                    .bind(&parameters)?;
                    let rows = transaction.fetch(open).await?;
                    let row = rows.first().ok_or_else(|| Error::internal("no write session"))?;
                    if !row.try_get::<bool, _>(2)? {
                        return Err(Error::WriteMismatch("start.write_id", "parameters"));
                    }
                    let session = Self { schema, resource, write_id, fence: row.try_get(1)? };
                    Ok(Ending::Commit((session, row.try_get(0)?)))
                })
            })
        })
        .await
    }

    /// Moves the write on, within the transaction that writes the rows, and remembers their hashes.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`] if another stream holds the write.
    pub async fn advance(&self, transaction: &mut Transaction<'_>, from: i64, hashes: &[u64]) -> Result<(), Error> {
        let schema = self.schema;
        let advance = Statement::new(
            format!(
                "update {schema}.write_session set committed_offset = $5, update_ts = now() \
                 where resource = $1 and write_id = $2 and fence = $3 and committed_offset = $4 returning 1"
            ),
            1,
        )
        .bind(self.resource)?
        .bind(&self.write_id)?
        .bind(self.fence)?
        .bind(from)?
        .bind(from + hashes.len() as i64)?;
        if transaction.fetch(advance).await?.is_empty() {
            return Err(Error::WriteTakenOver);
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
        Ok(())
    }

    /// Compares rows that were committed before with what was committed. Commits that are no longer remembered pass.
    ///
    /// # Errors
    /// [`Error::OffsetConflict`] at the first row that differs.
    pub async fn verify(&self, context: &Context, from: i64, hashes: &[u64], deadline: Deadline) -> Result<(), Error> {
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
        for row in context.database.fetch(&select, deadline).await? {
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

/// What a write was begun with.
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

/// Clears a few writes away that nobody has touched for long.
fn clearing(schema: &str) -> Statement {
    let sql = format!(
        "with old as (\
             select resource, write_id from {schema}.write_session \
             where update_ts < now() - interval '{RETENTION_DAYS} days' \
             order by update_ts limit {CLEARED_AT_ONCE} for update skip locked), \
         commits as (\
             delete from {schema}.write_commit as c using old \
             where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), \
         sessions as (\
             delete from {schema}.write_session as s using old \
             where (s.resource, s.write_id) = (old.resource, old.write_id) returning 1) \
         select (select count(*) from commits) + (select count(*) from sessions) as written"
    );
    Statement::new(sql, CLEARED_AT_ONCE * (REMEMBERED_COMMITS as usize + 2))
}
