//! One commit of a chunked write: the rows of one or several chunks and the ledger, in one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use orrery_proto::r#type::v1::{ReferenceCheck, RowError, RowErrorPolicy, WriteMode};
use orrery_proto::wire::WriteResponse;
use sqlx::Row as _;

use super::attempts::on_present_plans;
use super::chunk::{Chunk, Row};
use super::references::{Pointless, pointing_nowhere};
use super::refusal::{Refusals, row_error, row_error_of, whole_row_error};
use super::search::{By, Search};
use super::session::{Advance, Session};
use super::statement::{WriteStatement, Written};
use crate::context::Writes;
use crate::db::array::ArrayParameter;
use crate::db::{CopySource as _, Ending, PageRows, Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::refused::RowRefusal;
use crate::error::{Error, Violation};
use crate::read::point::put_tuple;
use crate::resource::decode::{Keys, Precondition};
use crate::resource::mask::UpdateMask;
use crate::resource::select::{Selection, etag};
use crate::resource::tuple::Columns;
use crate::resource::{Reference, Resource, Target};

/// How often a commit that gave way to another transaction is tried.
const ATTEMPTS: u32 = 6;
/// How many whole rows are read at once for their etags: 32 of the largest that can be written stay within a result's limit. Other programs
/// write larger ones: after a result that was too large fewer are.
pub(super) const LOCKED_AT_ONCE: usize = 32;
/// How long the first pause between tries is; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// How the rows of a write are written.
#[derive(Debug)]
pub struct Writer {
    /// What they are.
    pub resource: &'static Resource,
    /// Never `UNSPECIFIED`.
    pub mode: WriteMode,
    /// What is overwritten, if rows are only updated: a row that is created takes all its fields.
    pub update: Option<UpdateMask>,
    /// The statement.
    pub statement: WriteStatement,
    /// What a refused row does to its chunk.
    pub policy: RowErrorPolicy,
    /// Whether what rows point at must exist.
    pub references: ReferenceCheck,
    /// Whether everything is undone in the end.
    pub validate_only: bool,
    /// Most rows in a statement.
    pub statement_rows: usize,
    /// Most bytes of rows in a statement; one larger row stands alone.
    pub statement_bytes: usize,
    /// How many whole rows are read at once for their etags.
    pub locked_at_once: PageRows,
}

/// What became of a commit.
#[derive(Debug)]
pub enum Outcome {
    /// It is committed; this is the acknowledgement.
    Committed(WriteResponse),
    /// Rows were refused, the policy is STOP, and nothing was written.
    Refused(Refusals),
    /// An older stream of the same write committed first, and nothing was written: this stream is to take the write over.
    Begun,
}

/// A row that the database's state refuses.
struct RefusedRow<'r> {
    offset: i64,
    key: &'r [u8],
    why: Why,
}

/// Why.
enum Why {
    /// The row demands an etag which is not the stored row's.
    Etag,
    /// The row demands a revision which is not the stored row's.
    Revision,
    /// What the field at this path points at does not exist.
    Reference(String, String),
    /// It breaks a rule together with what is stored.
    Broken(Violation),
    /// The database refuses it.
    Database(Box<RowRefusal>),
    /// It exists and was to be created, or it does not and was to be updated.
    Mode,
}

impl Writer {
    /// Which keys rows may have as long as it is not known whether they are new.
    pub fn keys(&self) -> Keys {
        if self.mode == WriteMode::Create { Keys::New } else { Keys::Any }
    }

    /// Writes chunks, whose keys must all differ, and moves the write on. Rows that did not pass the decoding must have been
    /// refused before if the policy is STOP.
    ///
    /// # Errors
    /// What the database says; [`Error::WriteTakenOver`].
    pub async fn commit(
        self: &Arc<Self>,
        context: &Writes,
        session: Option<&Session>,
        chunks: &Arc<Vec<Chunk>>,
        deadline: Deadline,
    ) -> Result<Outcome, Error> {
        let elsewhere = Arc::new(self.pointing_elsewhere(context, chunks, deadline).await?);
        let mut pause = PAUSE;
        let mut by = By::Batches;
        for attempt in 1.. {
            let outcome = on_present_plans(deadline, || {
                let (writer, session, chunks) = (Arc::clone(self), session.cloned(), Arc::clone(chunks));
                let elsewhere = Arc::clone(&elsewhere);
                context.transaction(deadline, move |transaction| {
                    Box::pin(async move {
                        if let (Some(session), Some(first)) = (&session, chunks.first()) {
                            let hashes: Vec<u64> = chunks.iter().flat_map(|chunk| &chunk.hashes).copied().collect();
                            if session.advance(transaction, first.first_offset, &hashes).await? == Advance::Begun {
                                return Ok(Ending::RollBack(Outcome::Begun));
                            }
                        }
                        let outcome = writer.write(transaction, &chunks, &elsewhere, by, deadline).await?;
                        let refused = matches!(outcome, Outcome::Refused(_));
                        if writer.validate_only && !refused {
                            transaction.check_now().await?;
                        }
                        let undone = writer.validate_only || refused;
                        Ok(if undone { Ending::RollBack(outcome) } else { Ending::Commit(outcome) })
                    })
                })
            })
            .await;
            match outcome {
                Err(Error::RowRefused(_)) if by == By::Batches => by = By::Pieces,
                Err(Error::TransactionConflict(_)) if attempt < ATTEMPTS && !deadline.expired() => {
                    tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                    pause *= 2;
                }
                outcome => return outcome,
            }
        }
        Err(Error::internal("a commit was not tried"))
    }

    /// The rows that point at nothing in another slice, by their place among all rows of the chunks.
    async fn pointing_elsewhere(
        &self,
        context: &Writes,
        chunks: &[Chunk],
        deadline: Deadline,
    ) -> Result<Vec<Pointless>, Error> {
        if self.references != ReferenceCheck::Reject {
            return Ok(Vec::new());
        }
        let tuples: Vec<&[u8]> = rows_of(chunks).map(|(chunk, row)| chunk.tuple(row)).collect();
        pointing_nowhere(context, self.resource, &tuples, deadline).await
    }

    async fn write(
        &self,
        transaction: &mut Transaction<'_>,
        chunks: &[Chunk],
        elsewhere: &[Pointless],
        by: By,
        deadline: Deadline,
    ) -> Result<Outcome, Error> {
        let mut rows: Vec<(&Chunk, &Row)> = rows_of(chunks).collect();
        let mut refused: Vec<RefusedRow<'_>> = elsewhere
            .iter()
            .filter_map(|pointless| {
                let (chunk, row) = *rows.get(pointless.row)?;
                let why = Why::Reference(pointless.path.clone(), pointless.target.clone());
                Some(RefusedRow { offset: row.offset, key: chunk.key(row), why })
            })
            .collect();
        // All writers lock rows in the same order. Each chunk is sorted already.
        if chunks.len() > 1 {
            rows.sort_by(|a, b| a.0.order_key(a.1).cmp(b.0.order_key(b.1)));
        }
        refused.extend(self.changed_meanwhile(transaction, &rows).await?);
        if self.references == ReferenceCheck::Reject {
            for Reference { column, target } in self.resource.description.references {
                if let Target::Table { table, column: key } = *target {
                    refused.extend(self.pointing_nowhere(transaction, &rows, column, table, key).await?);
                }
            }
        }
        if !refused.is_empty() {
            if self.policy == RowErrorPolicy::Stop {
                return Ok(Outcome::Refused(self.refusals(refused)));
            }
            let offsets: HashSet<i64> = refused.iter().map(|refused| refused.offset).collect();
            rows.retain(|(_, row)| !offsets.contains(&row.offset));
        }
        let mut ack = WriteResponse::default();
        let mut search = Search::new(by, deadline.bound(transaction.limits().transaction_timeout));
        let mut pieces: Vec<&[(&Chunk, &Row)]> = self.batches(&rows).collect();
        pieces.reverse();
        while let Some(piece) = pieces.pop() {
            let Written { created, updated, refused: places, broken } =
                match (search.write(&self.statement, transaction, &tuples(piece)).await?, piece) {
                    (Ok(written), _) => written,
                    (Err(refusal), [(chunk, row)]) => {
                        let refusal = refusal.of(self.resource, &name(chunk.key(row)), "");
                        let why = Why::Database(Box::new(refusal));
                        refused.push(RefusedRow { offset: row.offset, key: chunk.key(row), why });
                        if search.has_ended() {
                            return Ok(Outcome::Refused(self.refusals(refused)));
                        }
                        continue;
                    }
                    (Err(_), rows) => {
                        let (first, second) = rows.split_at(rows.len() / 2);
                        pieces.extend([second, first]);
                        continue;
                    }
                };
            ack.created += created as i64;
            ack.updated += updated as i64;
            ack.unchanged += (piece.len() - created - updated - places.len() - broken.len()) as i64;
            let places = places.into_iter().map(|at| (at, Why::Mode));
            let broken = broken.into_iter().map(|(at, violation)| (at, Why::Broken(violation)));
            refused.extend(places.chain(broken).filter_map(|(at, why)| {
                let (chunk, row) = *piece.get(at)?;
                Some(RefusedRow { offset: row.offset, key: chunk.key(row), why })
            }));
        }
        if !refused.is_empty() && self.policy == RowErrorPolicy::Stop {
            return Ok(Outcome::Refused(self.refusals(refused)));
        }
        let mut refusals = self.refusals(refused);
        for chunk in chunks {
            refusals.merge(&chunk.refusals);
        }
        ack.rejected = refusals.count() as i64;
        ack.row_errors = refusals.into_errors();
        ack.superseded = chunks.iter().map(|chunk| chunk.superseded as i64).sum();
        ack.committed_offset = chunks.last().map_or(0, Chunk::end_offset);
        Ok(Outcome::Committed(ack))
    }

    /// Cuts rows into what one statement takes.
    fn batches<'a, 'r>(
        &'a self,
        mut rows: &'a [(&'r Chunk, &'r Row)],
    ) -> impl Iterator<Item = &'a [(&'r Chunk, &'r Row)]> {
        std::iter::from_fn(move || {
            let mut bytes = 0;
            let fits = |(chunk, row): &&(&Chunk, &Row)| {
                bytes += chunk.tuple(row).len();
                bytes <= self.statement_bytes
            };
            let most = rows.iter().take(self.statement_rows).take_while(fits).count().max(1).min(rows.len());
            let (batch, rest) = rows.split_at(most);
            rows = rest;
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// What is said about refused rows: each once, the first by offset.
    fn refusals(&self, mut refused: Vec<RefusedRow<'_>>) -> Refusals {
        refused.sort_by_key(|refused| refused.offset);
        refused.dedup_by_key(|refused| refused.offset);
        let mut refusals = Refusals::default();
        for refused in &refused {
            refusals.push(|| self.row_error(refused));
        }
        refusals
    }

    fn row_error(&self, refused: &RefusedRow<'_>) -> RowError {
        let (resource, name) = (self.resource.description.message, name(refused.key));
        match &refused.why {
            Why::Etag => {
                let error = Error::EtagMismatch { resource, name };
                row_error(refused.offset, &error, &Violation::new("etag", error.to_string()))
            }
            Why::Revision => {
                let error = Error::RevisionMismatch { resource, name };
                row_error(refused.offset, &error, &Violation::new("revision", error.to_string()))
            }
            Why::Reference(path, target) => {
                let violation = Violation::new(path, format!("{target} does not exist"));
                row_error(refused.offset, &Error::ReferenceMissing(violation.clone()), &violation)
            }
            Why::Broken(violation) => row_error(refused.offset, &Error::Invalid(vec![violation.clone()]), violation),
            Why::Database(refusal) => {
                tracing::debug!(error = %refusal.cause, "the database refused a row");
                let RowRefusal { kind, violation, .. } = refusal.as_ref();
                row_error_of(refused.offset, kind.code(), kind.reason(), violation)
            }
            Why::Mode if self.mode == WriteMode::Create => {
                whole_row_error(refused.offset, &Error::AlreadyExists { resource, name })
            }
            Why::Mode => whole_row_error(refused.offset, &Error::NotFound { resource, name }),
        }
    }

    /// The rows that demand an etag or a revision which is not the stored row's. The stored rows are locked.
    async fn changed_meanwhile<'r>(
        &self,
        transaction: &mut Transaction<'_>,
        rows: &[(&'r Chunk, &'r Row)],
    ) -> Result<Vec<RefusedRow<'r>>, Error> {
        let demanding: Vec<&(&'r Chunk, &'r Row)> =
            rows.iter().filter(|(_, row)| !row.precondition.is_none()).collect();
        let [key] = self.resource.description.key else { return Ok(Vec::new()) };
        if demanding.is_empty() {
            return Ok(Vec::new());
        }
        let selection = Selection::whole(self.resource);
        let table = self.resource.description.table;
        let revision = self.resource.revision().map_or("0".to_owned(), |field| format!("t.{}", field.name));
        let mut refused = Vec::new();
        let at_once = self.locked_at_once.now();
        for batch in demanding.chunks(at_once) {
            let uids = batch.iter().map(|(chunk, row)| first_text(chunk.key(row)));
            let select = Statement::new(
                format!(
                    "select {}, {revision} from {table} as t where t.{key} = any($1) order by t.{key} for update",
                    selection.sql
                ),
                batch.len(),
            )
            .bind(ArrayParameter::texts(uids))?;
            let mut stored = std::collections::HashMap::new();
            let rows = transaction.fetch(select).await.map_err(|error| self.of_locked(error, batch))?;
            for row in rows {
                let mut tuple = Vec::new();
                put_tuple(&row, selection.columns, &mut tuple)?;
                let uid = Columns::new(&tuple).next().flatten().unwrap_or_default().to_vec();
                stored.insert(uid, (etag(&tuple), row.try_get::<i32, _>(selection.columns)?));
            }
            for (chunk, row) in batch {
                let Precondition { etag, revision } = &row.precondition;
                let stored = stored.get(first_text(chunk.key(row)).as_bytes());
                let why = if !etag.is_empty() && stored.is_none_or(|(stored, _)| stored != etag) {
                    Why::Etag
                } else if *revision != 0 && stored.is_none_or(|(_, stored)| stored != revision) {
                    Why::Revision
                } else {
                    continue;
                };
                refused.push(RefusedRow { offset: row.offset, key: chunk.key(row), why });
            }
        }
        Ok(refused)
    }

    /// What a transaction ends with when the rows of a batch could not be read together. The next try reads fewer.
    fn of_locked(&self, error: Error, batch: &[&(&Chunk, &Row)]) -> Error {
        match (error, batch) {
            (Error::ResultTooLarge(_) | Error::ResultRefused(_), [(chunk, row)]) => {
                Error::RowTooLarge { resource: self.resource.description.message, name: name(chunk.key(row)) }
            }
            (error, _) if error.asks_for_less() && self.locked_at_once.refused(batch.len(), 0) => match error {
                Error::ResultRefused(cause) | Error::DatabaseUnavailable(cause) => Error::TransactionConflict(cause),
                error => Error::TransactionConflict(sqlx::Error::Protocol(error.to_string())),
            },
            (error, _) => error,
        }
    }

    /// The rows whose reference has no target. The targets are locked, so that they stay until the commit.
    async fn pointing_nowhere<'r>(
        &self,
        transaction: &mut Transaction<'_>,
        rows: &[(&'r Chunk, &'r Row)],
        column: &'static str,
        table: &'static str,
        key: &'static str,
    ) -> Result<Vec<RefusedRow<'r>>, Error> {
        let position = self.resource.input_position(column).unwrap_or_default();
        let pointing = |chunk: &'_ Chunk, row: &'_ Row| -> Option<String> {
            let value = Columns::new(chunk.tuple(row)).nth(position).flatten()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let mut refused = Vec::new();
        for batch in rows.chunks(self.statement_rows) {
            let mut targets: Vec<String> = batch.iter().filter_map(|(chunk, row)| pointing(chunk, row)).collect();
            targets.sort_unstable();
            targets.dedup();
            let select = Statement::new(
                format!("select t.{key} from {table} as t where t.{key} = any($1) order by t.{key} for key share"),
                targets.len(),
            )
            .bind(ArrayParameter::texts(&targets))?;
            let mut found = HashSet::new();
            for row in transaction.fetch(select).await? {
                found.insert(row.try_get::<String, _>(0)?);
            }
            for (chunk, row) in batch {
                let Some(target) = pointing(chunk, row).filter(|target| !found.contains(target)) else { continue };
                let why = Why::Reference(column.to_owned(), target);
                refused.push(RefusedRow { offset: row.offset, key: chunk.key(row), why });
            }
        }
        Ok(refused)
    }
}

fn tuples<'r>(rows: &[(&'r Chunk, &'r Row)]) -> Vec<&'r [u8]> {
    rows.iter().map(|(chunk, row)| chunk.tuple(row)).collect()
}

fn rows_of(chunks: &[Chunk]) -> impl Iterator<Item = (&Chunk, &Row)> {
    chunks.iter().flat_map(|chunk| chunk.rows.iter().map(move |row| (chunk, row)))
}

fn first_text(key: &[u8]) -> &str {
    std::str::from_utf8(Columns::new(key).next().flatten().unwrap_or_default()).unwrap_or_default()
}

/// A key for people: its parts, joined by slashes.
fn name(key: &[u8]) -> String {
    Columns::new(key)
        .map(|part| String::from_utf8_lossy(part.unwrap_or_default()).into_owned())
        .collect::<Vec<_>>()
        .join("/")
}
