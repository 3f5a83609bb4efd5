//! Writes a batch. Single and chunked writes both write to the database only through this module.
//!
//! 1. Find the stored rows. Rows with children are locked. That also protects their children, because every change of
//!    a child locks its owner. Rows to delete are locked too, so that no new row can refer to them.
//! 2. Refuse rows that the mode, the preconditions, the references or the grammar of new keys forbid.
//! 3. Apply the resource's own rules to the batch: [`Rules::prepare`](crate::resource::rules::Rules::prepare).
//! 4. Refuse rows whose unique values another row has.
//! 5. Create the rows that are not stored; update the stored rows that differ.
//!
//! If two transactions create the same row at once, the index of the key refuses the second one. It is rolled back and
//! tried again.

use std::ops::Range;
use std::sync::Arc;

use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};
use sqlx::Row as _;

use super::at_once::{CreateOne, Created};
use super::children::ChildStatements;
use super::delete::DeleteStatements;
use super::locking::{self, Locking};
use super::references::{self, DanglingReference, missing_in_slice};
use super::rows::{Returning, RowStatements};
use super::stored::{self, LOCKED_AT_ONCE, lock_rows};
use super::unique::{holders, refuse_taken};
use super::update_one::UpdateOne;
use crate::db::{PageRows, Statement, Transaction};
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::batch::{Batch, Entry, Fate, Origin, Replacing, Store};
use crate::resource::decode::Precondition;
use crate::resource::mask::UpdateMask;
use crate::resource::refusal::Refusal;
use crate::resource::select::Selection;
use crate::resource::tuple::prefix;

/// Most bytes of rows whose children are written together. While they are, memory holds their tuples and the keys of
/// their stored children. A larger row is written alone.
const PIECE_BYTES: usize = 1024 * 1024;

/// How batches of one resource are written, with their children.
#[derive(Debug)]
pub struct BatchWriter {
    resource: &'static Resource,
    origin: Origin,
    mode: WriteMode,
    mask: UpdateMask,
    references: ReferenceCheck,
    /// How the existing keys and the time of the transaction are found.
    look: Look,
    rows: RowStatements,
    children: Vec<ChildStatements>,
    /// For deletes.
    delete: Option<DeleteStatements>,
    /// For creates of single rows.
    create_one: Option<CreateOne>,
    /// For updates of single rows, if one statement can do it.
    update_one: Option<UpdateOne>,
    /// The number of whole rows that are read at once.
    locked_at_once: PageRows,
}

/// How stored rows are found.
#[derive(Debug)]
enum Look {
    /// Without a lock.
    Only(Arc<str>),
    /// And locked.
    AndLock(Locking),
}

/// One row of a batch, as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'r> {
    /// The input tuple, which has passed [`Resource::check`].
    pub tuple: &'r [u8],
    /// The etag and revision that the stored row must have.
    pub precondition: &'r Precondition,
    /// Its position in the request. If two rows have the same unique value, the earlier one gets it.
    pub offset: i64,
    /// Whether the transaction has found it stored, and must begin again if it is gone by now.
    pub was_stored: bool,
}

/// What is known about the rows of a batch before they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Unknown,
    /// They are likely to be new. If that is wrong, nothing of the batch may be kept.
    LikelyNew,
}

/// The result of a batch.
#[derive(Debug, Default)]
pub struct Written {
    /// Rows that did not exist.
    pub created: usize,
    /// Rows that existed and differed, or whose children did.
    pub updated: usize,
    /// Rows that existed and were deleted.
    pub deleted: usize,
    /// The places of the refused rows, and the reasons.
    pub refused: Vec<(usize, Refusal)>,
    /// The places of rows for which an existing row is used, and its key as a tuple.
    pub existing: Vec<(usize, Vec<u8>)>,
}

impl Written {
    /// Records the rows that were not written.
    fn note_fates(&mut self, mut batch: Batch<'_>) {
        for (at, entry) in batch.entries_mut().iter_mut().enumerate() {
            match std::mem::take(&mut entry.fate) {
                Fate::Written => {}
                Fate::Refused(refusal) => self.refused.push((at, *refusal)),
                Fate::Existing(key) => self.existing.push((at, key)),
            }
        }
    }

    /// The number of unchanged rows among this many: those that equal the stored row, or for which an existing one is
    /// used.
    pub(super) fn unchanged(&self, rows: usize) -> usize {
        rows - self.created - self.updated - self.deleted - self.refused.len()
    }
}

impl BatchWriter {
    /// A writer for a mode (never `UNSPECIFIED`) and a mask. With `REPLACE` it does what it does with `UPSERT`.
    pub fn new(
        resource: &'static Resource,
        origin: Origin,
        mode: WriteMode,
        mask: UpdateMask,
        references: ReferenceCheck,
    ) -> Self {
        let children = (0..resource.child_tables.len()).map(|nth| ChildStatements::new(resource, nth, &mask)).collect();
        let delete = (mode == WriteMode::Delete).then(|| DeleteStatements::new(resource));
        let is_single = origin == Origin::Single;
        let create_one = (is_single && mode == WriteMode::Create).then(|| CreateOne::new(resource));
        let row_mask = matches!(mode, WriteMode::Update | WriteMode::Upsert | WriteMode::Replace).then_some(&mask);
        let update_one = row_mask.filter(|_| is_single).and_then(|mask| UpdateOne::new(resource, mask));
        let rows = RowStatements::new(resource, row_mask, Returning::Count);
        let locked_at_once = PageRows::new(LOCKED_AT_ONCE);
        let look = if resource.child_tables.is_empty() && mode != WriteMode::Delete {
            Look::Only(locking::find(resource, ""))
        } else {
            Look::AndLock(Locking::find(resource))
        };
        Self {
            resource,
            origin,
            mode,
            mask,
            references,
            look,
            rows,
            children,
            delete,
            create_one,
            update_one,
            locked_at_once,
        }
    }

    /// Writes rows, whose keys must differ and be in order. `dangling` are their references to missing rows of other
    /// slices.
    ///
    /// # Errors [`Error::TransactionConflict`] if another transaction created one of the rows meanwhile, deleted one,
    /// or made one what it was to become, or if a row that was likely to be new may be stored; the errors of the
    /// database.
    pub(super) async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        incoming: &[Incoming<'_>],
        dangling: &[DanglingReference],
        presence: Presence,
    ) -> Result<Written, Error> {
        let resource = self.resource;
        let tuples = incoming.iter().map(|row| row.tuple);
        let mut batch = Batch::new(resource, self.origin, &self.mask, tuples);
        for reference in dangling {
            batch.refuse(reference.row, reference.refusal());
        }
        let are_new = presence == Presence::LikelyNew && self.may_be_new(&batch, incoming);
        let now =
            if are_new { self.now(transaction).await? } else { self.look(transaction, &mut batch, incoming).await? };
        if incoming.iter().zip(batch.entries()).any(|(row, entry)| row.was_stored && !entry.exists) {
            return Err(undo());
        }
        self.check_mode(&mut batch);
        if let Some(delete) = &self.delete {
            return self.delete(transaction, batch, delete).await;
        }
        self.check_references(transaction, &mut batch).await?;
        self.check_new_keys(transaction, &mut batch).await?;
        resource.rules.prepare(&mut batch, &mut Store::within(transaction)).await?;
        refuse_taken(transaction, &mut batch, |at| incoming[at].offset).await?;
        batch.refuse_without_existing();
        // A row that is refused as a new one may be allowed to change.
        if are_new && batch.entries().iter().any(|entry| !matches!(entry.fate, Fate::Written)) {
            return Err(undo());
        }
        let created = self.create(transaction, &batch, now).await?;
        let updated = self.update(transaction, &batch, now).await?;
        let mut written = Written { created, updated, ..Written::default() };
        written.note_fates(batch);
        Ok(written)
    }

    /// Creates one row in one statement, which itself checks for conflicts. `None` if that is not possible, or if the
    /// row may be refused: then [`BatchWriter::run`] finds the reason.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the row exists or the database refuses it; [`Error::TransactionConflict`] if rules may
    /// have written something for a row that was not written. After both the transaction must be rolled back. The
    /// errors of the database.
    pub(super) async fn create_at_once<'r>(
        &'r self,
        transaction: &mut Transaction<'_>,
        incoming: &Incoming<'r>,
        alone: bool,
    ) -> Result<Option<(Batch<'r>, Created)>, Error> {
        let Some(create_one) = &self.create_one else { return Ok(None) };
        if self.resource.check_new_keys(incoming.tuple).is_err() {
            return Ok(None);
        }
        let (batch, rules_wrote) = self.prepare_one(transaction, incoming, false).await?;
        let created = match writable(&batch) {
            Some(entry) => create_one.run(transaction, entry, alone).await?,
            None => None,
        };
        match created {
            None if rules_wrote => Err(undo()),
            created => Ok(created.map(|created| (batch, created))),
        }
    }

    /// Whether [`BatchWriter::update_at_once`] can update rows.
    pub(super) fn updates_at_once(&self) -> bool {
        self.update_one.is_some()
    }

    /// Updates one row in one statement and returns all its stored columns as a tuple. `None` and errors as for
    /// [`BatchWriter::create_at_once`]; `None` also if the row is not stored or does not differ.
    pub(super) async fn update_at_once(
        &self,
        transaction: &mut Transaction<'_>,
        incoming: &Incoming<'_>,
        alone: bool,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(update_one) = &self.update_one else { return Ok(None) };
        if !incoming.precondition.is_none() {
            return Ok(None);
        }
        let (batch, rules_wrote) = self.prepare_one(transaction, incoming, true).await?;
        let updated = match writable(&batch) {
            Some(entry) => update_one.run(transaction, entry.tuple(), alone).await?,
            None => None,
        };
        if updated.is_none() && rules_wrote { Err(undo()) } else { Ok(updated) }
    }

    /// A batch of one row whose references and rules were checked, and whether the rules may have written. Assumes
    /// whether the row exists. A row whose rules need the stored row is refused.
    async fn prepare_one<'r>(
        &'r self,
        transaction: &mut Transaction<'_>,
        incoming: &Incoming<'r>,
        exists: bool,
    ) -> Result<(Batch<'r>, bool), Error> {
        let mut batch = Batch::new(self.resource, self.origin, &self.mask, std::iter::once(incoming.tuple));
        batch.entries_mut().iter_mut().for_each(|entry| entry.exists = exists);
        batch.set_direct();
        let rules = &self.resource.rules;
        if exists && rules.reads_stored(&batch, 0) {
            batch.refuse(0, Refusal::whole(undo()));
            return Ok((batch, false));
        }
        self.check_references(transaction, &mut batch).await?;
        let mut store = Store::within(transaction);
        rules.prepare(&mut batch, &mut store).await?;
        let rules_wrote = store.is_used();
        Ok((batch, rules_wrote))
    }

    /// Deletes the stored rows. Missing ones count as unchanged.
    async fn delete(
        &self,
        transaction: &mut Transaction<'_>,
        mut batch: Batch<'_>,
        delete: &DeleteStatements,
    ) -> Result<Written, Error> {
        self.resource.rules.prepare_delete(&mut batch, &mut Store::within(transaction)).await?;
        let entries = to_write(&batch, true);
        let keys: Vec<&[u8]> = entries.iter().map(|entry| prefix(entry.tuple(), self.resource.key_length())).collect();
        delete.run(transaction, &keys).await?;
        let mut written = Written { deleted: keys.len(), ..Written::default() };
        written.note_fates(batch);
        Ok(written)
    }

    /// The statements, each with a name, for people who read them.
    pub(super) fn sql(&self) -> Vec<(String, String)> {
        let resource = self.resource;
        let whole = Selection::whole(resource);
        let mut all: Vec<(String, String)> = match &self.look {
            Look::Only(look) => vec![("find the rows that are stored".to_owned(), look.to_string())],
            Look::AndLock(look) => look.sql("find and lock the rows that are stored").into(),
        };
        all.push(("lock and read one row".to_owned(), stored::lock_one(resource, &whole)));
        all.extend(Locking::rows(resource, &whole).sql("lock and read rows"));
        all.extend(references::sql(resource));
        for unique in resource.description.unique {
            all.push((format!("find who holds {}", unique.columns.join(", ")), holders(resource, unique).to_string()));
        }
        let texts = |more: Vec<(String, Arc<str>)>| more.into_iter().map(|(title, sql)| (title, sql.to_string()));
        if let Some(create_one) = &self.create_one {
            all.extend(create_one.sql().into_iter().map(|(title, sql)| (title.to_owned(), sql.to_string())));
        }
        if let Some(update_one) = &self.update_one {
            all.push(("update one row".to_owned(), update_one.sql().to_string()));
        }
        if let Some(delete) = &self.delete {
            all.extend(texts(delete.sql()));
            return all;
        }
        all.extend(texts(self.rows.sql()));
        all.extend(self.children.iter().flat_map(|children| texts(children.sql())));
        all
    }

    /// Finds the stored rows, locks those that preconditions or rules depend on, and checks the preconditions. Returns
    /// the transaction's time.
    async fn look(
        &self,
        transaction: &mut Transaction<'_>,
        batch: &mut Batch<'_>,
        incoming: &[Incoming<'_>],
    ) -> Result<i64, Error> {
        let rules = &self.resource.rules;
        let needed = |at: &usize| !incoming[*at].precondition.is_none() || rules.reads_stored(batch, *at);
        let needed: Vec<usize> = (0..batch.len()).filter(needed).collect();
        if !needed.is_empty() {
            let keys: Vec<&[u8]> =
                needed.iter().map(|&at| prefix(incoming[at].tuple, self.resource.key_length())).collect();
            let mut stored = lock_rows(transaction, self.resource, &keys, &self.locked_at_once).await?;
            for (&at, key) in needed.iter().zip(keys) {
                let row = stored.remove(key);
                let Incoming { tuple, precondition, .. } = incoming[at];
                // For a missing row, a single update returns NOT_FOUND instead.
                let is_missing = row.is_none() && self.origin == Origin::Single && self.mode == WriteMode::Update;
                if !is_missing && let Err(error) = stored::check(row.as_ref(), self.resource, tuple, precondition) {
                    let field = if matches!(error, Error::EtagMismatch { .. }) { "etag" } else { "revision" };
                    batch.refuse(at, Refusal::of_field(field, error));
                }
                if let Some(row) = row {
                    batch.set_stored(at, row);
                }
            }
        }
        let now = self.find_existing(transaction, batch).await?;
        // Another transaction created the row after the first of the two statements began.
        if needed.iter().any(|&at| batch.exists(at) && batch.stored(at).is_none()) {
            return Err(undo());
        }
        Ok(now)
    }

    /// Whether rows may be written without a look: the index of the key refuses those that are stored.
    fn may_be_new(&self, batch: &Batch<'_>, incoming: &[Incoming<'_>]) -> bool {
        matches!(self.mode, WriteMode::Create | WriteMode::Upsert)
            && matches!(self.look, Look::Only(_))
            && self.origin == Origin::Chunked
            && incoming.iter().all(|row| row.precondition.is_none())
            && !(0..batch.len()).any(|at| self.resource.rules.reads_stored(batch, at))
    }

    /// The transaction's time.
    async fn now(&self, transaction: &mut Transaction<'_>) -> Result<i64, Error> {
        Ok(self.find(transaction, &[]).await?.0)
    }

    async fn find_existing(&self, transaction: &mut Transaction<'_>, batch: &mut Batch<'_>) -> Result<i64, Error> {
        let keys: Vec<&[u8]> = batch.entries().iter().map(Entry::tuple).collect();
        let (now, stored) = self.find(transaction, &keys).await?;
        for ordinal in stored {
            if let Some(entry) = usize::try_from(ordinal - 1).ok().and_then(|at| batch.entries_mut().get_mut(at)) {
                entry.exists = true;
            }
        }
        Ok(now)
    }

    /// The transaction's time, and the numbers of the keys that are stored, from 1.
    async fn find(&self, transaction: &mut Transaction<'_>, keys: &[&[u8]]) -> Result<(i64, Vec<i64>), Error> {
        let look = match &self.look {
            Look::Only(look) => Arc::clone(look),
            Look::AndLock(look) => look.text(transaction),
        };
        let look = self.resource.bind_keys(Statement::new(look, keys.len()), keys.iter().copied())?;
        let rows = transaction.fetch(look).await?;
        let row = rows.first().ok_or_else(|| Error::internal("a look at the keys returned nothing"))?;
        Ok((row.try_get("now")?, row.try_get::<Option<Vec<i64>>, _>("stored")?.unwrap_or_default()))
    }

    /// Refuses rows with references to missing rows of the same slice.
    async fn check_references(&self, transaction: &mut Transaction<'_>, batch: &mut Batch<'_>) -> Result<(), Error> {
        if self.references != ReferenceCheck::Reject {
            return Ok(());
        }
        let tuples: Vec<&[u8]> = batch.entries().iter().map(Entry::tuple).collect();
        for reference in missing_in_slice(transaction, self.resource, &tuples).await? {
            batch.refuse(reference.row, reference.refusal());
        }
        Ok(())
    }

    /// Refuses stored rows on create, and missing ones on update.
    fn check_mode(&self, batch: &mut Batch<'_>) {
        let wanted = match self.mode {
            WriteMode::Create => false,
            WriteMode::Update => true,
            WriteMode::Upsert | WriteMode::Replace | WriteMode::Delete | WriteMode::Unspecified => return,
        };
        for at in batch.places() {
            if batch.exists(at) == wanted {
                continue;
            }
            let name = self.resource.name_of(batch.row(at).tuple());
            let resource = self.resource.description.message;
            batch.refuse(
                at,
                Refusal::whole(if wanted {
                    Error::NotFound { resource, name }
                } else {
                    Error::AlreadyExists { resource, name }
                }),
            );
        }
    }

    /// Refuses new rows, and new children, whose keys break the grammar of new keys.
    async fn check_new_keys(&self, transaction: &mut Transaction<'_>, batch: &mut Batch<'_>) -> Result<(), Error> {
        let (existing, new): (Vec<usize>, Vec<usize>) = batch.places().into_iter().partition(|&at| batch.exists(at));
        for at in new {
            if let Err(violation) = self.resource.check_new_keys(batch.row(at).tuple()) {
                batch.refuse(at, Refusal::invalid(violation));
            }
        }
        for children in &self.children {
            let foreign: Vec<(usize, Violation)> = children.foreign(transaction, batch.entries(), &existing).await?;
            for (at, violation) in foreign {
                batch.refuse(at, Refusal::invalid(violation));
            }
        }
        Ok(())
    }

    async fn create(&self, transaction: &mut Transaction<'_>, batch: &Batch<'_>, now: i64) -> Result<usize, Error> {
        let entries = to_write(batch, false);
        if entries.is_empty() {
            return Ok(0);
        }
        let tuples: Vec<&[u8]> = entries.iter().map(|entry| entry.tuple()).collect();
        self.rows.create(transaction, &tuples, now).await?;
        for children in &self.children {
            for piece in pieces(&entries) {
                children.create(transaction, &entries[piece], now).await?;
            }
        }
        Ok(entries.len())
    }

    async fn update(&self, transaction: &mut Transaction<'_>, batch: &Batch<'_>, now: i64) -> Result<usize, Error> {
        let entries = to_write(batch, true);
        if entries.is_empty() {
            return Ok(0);
        }
        let mut touched = vec![false; if self.children.is_empty() { 0 } else { entries.len() }];
        for (nth, children) in self.children.iter().enumerate() {
            let set = entries.iter().any(|entry| entry.set_children(nth).is_some());
            if children.replacing() == Replacing::Nothing && !set {
                continue;
            }
            for piece in pieces(&entries) {
                let (owners, touched) = (&entries[piece.clone()], &mut touched[piece]);
                children.replace(transaction, owners, now, touched).await?;
            }
        }
        let tuples: Vec<&[u8]> = entries.iter().map(|entry| entry.tuple()).collect();
        self.rows.update(transaction, &tuples, &touched, |_| {}).await
    }
}

/// The row of a batch of one, if it is to be written.
fn writable<'e, 'b>(batch: &'e Batch<'b>) -> Option<&'e Entry<'b>> {
    batch.entries().first().filter(|entry| matches!(entry.fate, Fate::Written))
}

/// The error that rolls a transaction back, to begin it again.
fn undo() -> Error {
    Error::TransactionConflict(sqlx::Error::RowNotFound)
}

/// The rows that are to be written: the stored ones, or the others.
fn to_write<'e, 'b>(batch: &'e Batch<'b>, stored: bool) -> Vec<&'e Entry<'b>> {
    let entries = batch.entries().iter();
    entries.filter(|entry| entry.exists == stored && matches!(entry.fate, Fate::Written)).collect()
}

/// The places of the rows whose children are written together.
fn pieces(entries: &[&Entry<'_>]) -> impl Iterator<Item = Range<usize>> {
    let sizes: Vec<usize> = entries.iter().map(|entry| entry.bytes()).collect();
    pieces_of(sizes)
}

fn pieces_of(sizes: Vec<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |size: &&usize| {
            bytes += **size;
            bytes <= PIECE_BYTES
        };
        let rest = &sizes[start..];
        let end = start + rest.iter().take_while(fits).count().max(1).min(rest.len());
        let piece = start..end;
        start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_leave_nothing_out() {
        let (row, large) = (PIECE_BYTES / 2, PIECE_BYTES + 1);
        let pieces = |sizes: &[usize]| pieces_of(sizes.to_vec()).collect::<Vec<_>>();
        assert!(pieces(&[]).is_empty());
        assert_eq!(pieces(&[row, row, row]), [0..2, 2..3]);
        assert_eq!(pieces(&[large, row, large, large]), [0..1, 1..2, 2..3, 3..4]);
    }
}
