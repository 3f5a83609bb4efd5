//! One commit of a chunked write: the rows of one or several chunks and the ledger, in one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteMode};
use orrery_proto::wire::WriteResponse;

use super::chunk::{Chunk, ChunkRow, RowForm};
use super::new_rows::NewRows;
use super::references::{DanglingReference, missing_elsewhere};
use super::refusal::{Refusals, row_error};
use super::replace::{NamedOwners, OwnerReplacement, Replaced};
use super::search::{By, Search};
use super::session::{Advance, Session};
use super::statement::{BatchWriter, Incoming, Presence};
use super::unique::is_breach;
use crate::context::Writes;
use crate::db::retry::on_present_plans;
use crate::db::{CopySource as _, Transaction, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::decode::KeyPolicy;
use crate::resource::key::compare;
use crate::resource::mask::UpdateMask;
use crate::resource::refusal::Refusal;
use crate::work;

/// How often a commit is tried again after a conflict with another transaction.
const ATTEMPTS: u32 = 6;
/// How often a commit is tried again because of a unique value, before each refused row is searched for.
const BREACHES: u32 = 3;
/// The length of the first pause between tries; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// The settings of a chunked write.
#[derive(Debug)]
pub struct ChunkWriter {
    /// The resource of the rows.
    pub resource: &'static Resource,
    /// Never `UNSPECIFIED`.
    pub mode: WriteMode,
    /// The fields that are overwritten, if rows are only updated. A created row takes all its fields.
    pub update: Option<UpdateMask>,
    /// Writes batches of rows.
    pub batches: BatchWriter,
    /// Deletes the rows of owners that are not sent, if the mode is REPLACE.
    pub(super) replacement: Option<OwnerReplacement>,
    /// How a refused row affects its chunk.
    pub policy: RowErrorPolicy,
    /// Whether the targets of the rows' references must exist.
    pub references: ReferenceCheck,
    /// Whether everything is rolled back in the end.
    pub validate_only: bool,
    /// Most rows in a statement.
    pub statement_rows: usize,
    /// Most bytes of rows in a statement; a larger row is written alone.
    pub statement_bytes: usize,
    /// Whether the next rows are likely to be new.
    pub(super) new_rows: NewRows,
}

/// One try of a commit.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    by: By,
    presence: Presence,
    /// Whether no other one was made before, which may have met another writer.
    is_first: bool,
    deadline: Deadline,
}

/// The result of a commit.
#[derive(Debug)]
pub enum Outcome {
    /// It is committed. This is the acknowledgement.
    Committed(WriteResponse),
    /// Rows were refused, the policy is STOP, and nothing was written.
    Refused(Refusals),
    /// An older stream of the same write committed first, and nothing was written. This stream must take the write
    /// over.
    Begun,
}

impl ChunkWriter {
    /// How rows are read. While it is not known whether they are new, their keys may be any.
    pub fn form(&self) -> RowForm<'_> {
        RowForm {
            keys: if self.mode == WriteMode::Create { KeyPolicy::New } else { KeyPolicy::Any },
            update: self.update.as_ref(),
            replaces: self.mode == WriteMode::Replace,
        }
    }

    /// Writes chunks, whose scopes must all differ, and moves the write's offset. With the policy STOP, rows that
    /// failed the decoding must have been refused before.
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
        let dangling = Arc::new(self.missing_elsewhere(context, chunks, deadline).await?);
        let mut pause = PAUSE;
        let (mut by, mut breaches) = (By::Batches, 0);
        let mut presence = if self.new_rows.are_likely() { Presence::LikelyNew } else { Presence::Unknown };
        for attempt in 1.. {
            let outcome = on_present_plans(deadline, || {
                let (writer, session, chunks) = (Arc::clone(self), session.cloned(), Arc::clone(chunks));
                let dangling = Arc::clone(&dangling);
                context.transaction(deadline, move |transaction| {
                    Box::pin(async move {
                        if let (Some(session), Some(first)) = (&session, chunks.first()) {
                            let hashes: Vec<u64> = chunks.iter().flat_map(|chunk| &chunk.hashes).copied().collect();
                            if session.advance(transaction, first.first_offset, &hashes).await? == Advance::Begun {
                                return Ok(TransactionEnd::RollBack(Some(Outcome::Begun)));
                            }
                        }
                        let how = Attempt { by, presence, is_first: attempt == 1, deadline };
                        let outcome = writer.write(transaction, &chunks, &dangling, how).await?;
                        let committed = matches!(outcome, Some(Outcome::Committed(_)));
                        if writer.validate_only && committed {
                            transaction.check_now().await?;
                        }
                        let kept = committed && !writer.validate_only;
                        Ok(if kept { TransactionEnd::Commit(outcome) } else { TransactionEnd::RollBack(outcome) })
                    })
                })
            })
            .await;
            match outcome {
                Err(Error::TransactionConflict(_) | Error::RowRefused(_)) if presence == Presence::LikelyNew => {
                    presence = Presence::Unknown;
                    self.new_rows.note_wrong();
                }
                // Another transaction just took a unique value: the next try finds its row and refuses this one.
                Err(error) if by == By::Batches && breaches < BREACHES && is_breach(&error, self.resource) => {
                    breaches += 1;
                }
                Err(Error::RowRefused(_)) if by == By::Batches => by = By::Pieces,
                Err(Error::TransactionConflict(_)) if attempt < ATTEMPTS && !deadline.expired() => {
                    tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                    pause *= 2;
                }
                Ok(None) => (by, presence) = (By::Pieces, Presence::Unknown),
                Ok(Some(outcome)) => {
                    if let Outcome::Committed(ack) = &outcome {
                        let rows: usize = chunks.iter().map(|chunk| chunk.rows.len()).sum();
                        self.new_rows.note(ack.created == rows as i64);
                    }
                    return Ok(outcome);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("a commit was not tried"))
    }

    /// The references into other slices without a target, by the offsets of their rows.
    async fn missing_elsewhere(
        &self,
        context: &Writes,
        chunks: &[Chunk],
        deadline: Deadline,
    ) -> Result<HashMap<i64, DanglingReference>, Error> {
        if self.references != ReferenceCheck::Reject {
            return Ok(HashMap::new());
        }
        let (offsets, tuples): (Vec<i64>, Vec<&[u8]>) =
            rows_of(chunks).map(|(chunk, row)| (row.offset, chunk.tuple(row))).unzip();
        let dangling = missing_elsewhere(context, self.resource, &tuples, deadline).await?;
        Ok(dangling.into_iter().map(|reference| (offsets[reference.row], reference)).collect())
    }

    /// Writes chunks; `None` if a row was refused whose chunk must be written in pieces.
    async fn write(
        &self,
        transaction: &mut Transaction<'_>,
        chunks: &[Chunk],
        dangling: &HashMap<i64, DanglingReference>,
        how: Attempt,
    ) -> Result<Option<Outcome>, Error> {
        let mut rows: Vec<(&Chunk, &ChunkRow)> = rows_of(chunks).collect();
        // All writers lock rows in the same order. Each chunk is sorted already.
        if chunks.len() > 1 {
            rows.sort_by(|a, b| compare(self.resource, a.0.key(a.1), b.0.key(b.1)));
        }
        let mut ack = WriteResponse::default();
        let mut refused: Vec<(i64, Arc<Refusal>)> = Vec::new();
        let mut search = Search::new(how.by, how.deadline.bound(transaction.limits().transaction_timeout));
        let mut named = None;
        if let Some(replacement) = &self.replacement {
            let bytes = chunks.iter().map(Chunk::decoded_bytes).sum();
            let owners = work::run_in_place(bytes, || NamedOwners::of(self.resource, chunks)).await;
            let named = named.insert(owners);
            let replaced = replacement.run(transaction, named, &mut search, !how.is_first).await?;
            rows.retain(|(chunk, row)| match named.blocked(chunk.key(row)) {
                Some(refusal) => {
                    refused.push((row.offset, Arc::clone(refusal)));
                    false
                }
                None => true,
            });
            let (unchanged, more) = named.of_nothing();
            ack.unchanged += unchanged as i64;
            refused.extend(more);
            match replaced {
                Replaced::Done(deleted) => ack.deleted += deleted as i64,
                Replaced::Refused => return Ok(None),
                Replaced::TooMany => return Ok(Some(Outcome::Refused(refusals(refused)))),
            }
        }
        let mut pieces: Vec<&[(&Chunk, &ChunkRow)]> = self.cut(&rows).collect();
        pieces.reverse();
        while let Some(piece) = pieces.pop() {
            let incoming: Vec<Incoming<'_>> = piece
                .iter()
                .map(|(chunk, row)| Incoming {
                    tuple: chunk.tuple(row),
                    precondition: &row.precondition,
                    offset: row.offset,
                    was_stored: named.as_ref().is_some_and(|named| named.was_stored(chunk.key(row))),
                })
                .collect();
            let of_piece =
                |(place, (_, row)): (usize, &(&Chunk, &ChunkRow))| Some(dangling.get(&row.offset)?.of_row(place));
            let dangling: Vec<DanglingReference> = piece.iter().enumerate().filter_map(of_piece).collect();
            match (search.write(&self.batches, transaction, &incoming, &dangling, how.presence).await?, piece) {
                (Ok(written), _) => {
                    ack.created += written.created as i64;
                    ack.updated += written.updated as i64;
                    ack.deleted += written.deleted as i64;
                    ack.unchanged += written.unchanged(piece.len()) as i64;
                    let of_row = |(at, refusal): (usize, Refusal)| Some((piece.get(at)?.1.offset, Arc::new(refusal)));
                    refused.extend(written.refused.into_iter().filter_map(of_row));
                }
                (Err(refusal), [(chunk, row)]) => {
                    let refusal = refusal.of(self.resource, &self.resource.name_of(chunk.key(row)), "");
                    tracing::debug!(error = %refusal.cause, "the database refused a row");
                    let violation = refusal.violation.clone();
                    let refusal = Refusal { error: Error::RowRefused(Box::new(refusal)), violation };
                    refused.push((row.offset, Arc::new(refusal)));
                    if search.has_ended() {
                        return Ok(Some(Outcome::Refused(refusals(refused))));
                    }
                }
                (Err(_), rows) => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    pieces.extend([second, first]);
                }
            }
        }
        if !refused.is_empty() && self.policy == RowErrorPolicy::Stop {
            return Ok(Some(Outcome::Refused(refusals(refused))));
        }
        let mut refusals = refusals(refused);
        for chunk in chunks {
            refusals.merge(&chunk.refusals);
        }
        ack.rejected = refusals.count() as i64;
        ack.row_errors = refusals.into_errors();
        ack.superseded = chunks.iter().map(|chunk| chunk.superseded as i64).sum();
        ack.committed_offset = chunks.last().map_or(0, Chunk::end_offset);
        Ok(Some(Outcome::Committed(ack)))
    }

    /// Splits rows into groups for one statement each.
    fn cut<'a, 'r>(
        &'a self,
        mut rows: &'a [(&'r Chunk, &'r ChunkRow)],
    ) -> impl Iterator<Item = &'a [(&'r Chunk, &'r ChunkRow)]> {
        std::iter::from_fn(move || {
            let mut bytes = 0;
            let fits = |(chunk, row): &&(&Chunk, &ChunkRow)| {
                bytes += chunk.tuple(row).len();
                bytes <= self.statement_bytes
            };
            let most = rows.iter().take(self.statement_rows).take_while(fits).count().max(1).min(rows.len());
            let (batch, rest) = rows.split_at(most);
            rows = rest;
            (!batch.is_empty()).then_some(batch)
        })
    }
}

/// The row errors of refused rows, in the order of their offsets.
fn refusals(mut refused: Vec<(i64, Arc<Refusal>)>) -> Refusals {
    refused.sort_by_key(|(offset, _)| *offset);
    let mut refusals = Refusals::default();
    for (offset, refusal) in &refused {
        refusals.push(|| row_error(*offset, &refusal.error, &refusal.violation));
    }
    refusals
}

fn rows_of(chunks: &[Chunk]) -> impl Iterator<Item = (&Chunk, &ChunkRow)> {
    chunks.iter().flat_map(|chunk| chunk.rows.iter().map(move |row| (chunk, row)))
}
