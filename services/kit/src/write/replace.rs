//! Replaces the rows of owners: deletes what is stored of an owner that chunks name and that they do not hold. The
//! chunks' rows are then written like those of an upsert, in the same transaction.
//!
//! 1. Read the keys that are stored of all owners. An owner whose stored rows are those that were sent needs no more.
//! 2. Lock the other owners, so that of several writers that replace the rows of one owner each sees what the one
//!    before it left: [`OwnerLocks`].
//! 3. Read their stored keys again. Delete those that were not sent, as a chunked delete does.
//!
//! If a row cannot be deleted, nothing of its owner is written. Such owners are found like rows that the database
//! refuses, by [`Search`].

use std::collections::HashMap;
use std::sync::Arc;

use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};
use rustc_hash::FxBuildHasher;

use super::child_pages::{ChildPages, Place};
use super::chunk::Chunk;
use super::owner_locks::OwnerLocks;
use super::rows::ARRAY_ROWS;
use super::search::Search;
use super::statement::{BatchWriter, Incoming, Presence};
use crate::db::Transaction;
use crate::error::refused::RowRefusal;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::batch::Origin;
use crate::resource::decode::Precondition;
use crate::resource::key::compare;
use crate::resource::mask::UpdateMask;
use crate::resource::owner::OwnerRow;
use crate::resource::refusal::Refusal;
use crate::resource::tuple::{NULL, prefix};

/// A deleted row has no precondition: nothing was sent for it.
static NO_PRECONDITION: Precondition = Precondition { etag: String::new(), revision: 0 };

/// Deletes the rows of owners that were not sent.
#[derive(Debug)]
pub(super) struct OwnerReplacement {
    resource: &'static Resource,
    /// The stored keys of some owners.
    keys: ChildPages,
    locks: OwnerLocks,
    deletes: BatchWriter,
    /// What follows a key in the tuple of a row of which only the key is set.
    unset: Vec<u8>,
}

/// The owners that chunks name, in order.
pub(super) struct NamedOwners<'c> {
    owners: Vec<NamedOwner<'c>>,
    places: HashMap<&'c [u8], usize, FxBuildHasher>,
    /// The keys that stay if they are stored, and whether the chunks hold a row to write for each.
    kept: HashMap<&'c [u8], bool, FxBuildHasher>,
    owner_columns: usize,
}

/// An owner that chunks name.
struct NamedOwner<'c> {
    key: &'c [u8],
    /// How many rows are to be written.
    rows: usize,
    /// Whether all stored rows stay: the key of a refused row is not known.
    keeps_all: bool,
    /// The offset of the row that says that it has no rows.
    nothing: Option<i64>,
    state: OwnerState,
}

/// What was done about an owner.
#[derive(Debug)]
enum OwnerState {
    /// Its stored rows are those that were sent. It is not locked.
    Same,
    /// It is locked. Whether rows of it were deleted.
    Replaced { deleted: bool },
    /// One of its rows cannot be deleted.
    Blocked(Arc<Refusal>),
}

/// The result for all owners.
pub(super) enum Replaced {
    /// All rows that were not sent are deleted: so many. Some owners may be blocked.
    Done(usize),
    /// A row cannot be deleted, and the search for its owner must begin in a new transaction.
    Refused,
    /// There are more owners with such rows than the search finds. Those that were found are blocked.
    TooMany,
}

/// What is known of an owner's stored rows.
#[derive(Clone, Copy, Default)]
struct StoredRows {
    /// How many are to be written again.
    sent: usize,
    /// Whether there are others, which are to be deleted.
    others: bool,
}

impl<'c> NamedOwners<'c> {
    /// The owners of chunks whose write replaces rows.
    pub(super) fn of(resource: &Resource, chunks: &'c [Chunk]) -> Self {
        let mut keys: Vec<&[u8]> = chunks.iter().flat_map(Chunk::owners).collect();
        keys.sort_unstable_by(|a, b| compare(resource, a, b));
        keys.dedup();
        let owner = |key| NamedOwner { key, rows: 0, keeps_all: false, nothing: None, state: OwnerState::Same };
        let places: HashMap<&[u8], usize, FxBuildHasher> = keys.iter().copied().zip(0..).collect();
        let mut named = Self {
            owners: keys.into_iter().map(owner).collect(),
            places,
            kept: HashMap::default(),
            owner_columns: resource.owner_length(),
        };
        for chunk in chunks {
            for row in &chunk.rows {
                named.kept.insert(chunk.key(row), true);
                named.change(chunk.key(row), |owner| owner.rows += 1);
            }
        }
        for chunk in chunks {
            for mention in &chunk.mentions {
                let key = chunk.mentioned(mention);
                match mention.says {
                    OwnerRow::Key => {
                        named.kept.entry(key).or_insert(false);
                    }
                    OwnerRow::UnknownKey => named.change(key, |owner| owner.keeps_all = true),
                    OwnerRow::Nothing => named.change(key, |owner| owner.nothing = Some(mention.offset)),
                }
            }
        }
        named
    }

    fn place(&self, key: &[u8]) -> Option<usize> {
        self.places.get(prefix(key, self.owner_columns)).copied()
    }

    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut NamedOwner<'c>)) {
        if let Some(owner) = self.place(key).and_then(|at| self.owners.get_mut(at)) {
            change(owner);
        }
    }

    /// The owner of a row.
    fn owner_of(&self, key: &[u8]) -> Option<&NamedOwner<'c>> {
        self.owners.get(self.place(key)?)
    }

    /// Why the row with this key is not written, if its owner is blocked.
    pub(super) fn blocked(&self, key: &[u8]) -> Option<&Arc<Refusal>> {
        match &self.owner_of(key)?.state {
            OwnerState::Blocked(refusal) => Some(refusal),
            OwnerState::Same | OwnerState::Replaced { .. } => None,
        }
    }

    /// Whether the row with this key was found stored, and its owner is not locked.
    pub(super) fn was_stored(&self, key: &[u8]) -> bool {
        self.owner_of(key).is_some_and(|owner| matches!(owner.state, OwnerState::Same))
    }

    /// The rows that say that an owner has no rows: how many are unchanged because there were none, and the offsets and
    /// refusals of those whose owners are blocked.
    pub(super) fn of_nothing(&self) -> (usize, Vec<(i64, Arc<Refusal>)>) {
        let (mut unchanged, mut refused) = (0, Vec::new());
        for owner in &self.owners {
            match (owner.nothing, &owner.state) {
                (Some(offset), OwnerState::Blocked(refusal)) => refused.push((offset, Arc::clone(refusal))),
                (Some(_), OwnerState::Same | OwnerState::Replaced { deleted: false }) => unchanged += 1,
                (Some(_), OwnerState::Replaced { deleted: true }) | (None, _) => {}
            }
        }
        (unchanged, refused)
    }

    /// What a stored key is.
    fn count(&self, key: &[u8], stored: &mut [StoredRows]) {
        let Some(at) = self.place(key) else { return };
        let (Some(owner), Some(stored)) = (self.owners.get(at), stored.get_mut(at)) else { return };
        match self.kept.get(key) {
            Some(true) => stored.sent += 1,
            Some(false) => {}
            None => stored.others |= !owner.keeps_all,
        }
    }

    /// Whether a stored row is to be deleted.
    fn is_unsent(&self, key: &[u8]) -> bool {
        !self.kept.contains_key(key) && self.owner_of(key).is_some_and(|owner| !owner.keeps_all)
    }

    fn keys(&self, places: &[usize]) -> Vec<&'c [u8]> {
        places.iter().filter_map(|&at| self.owners.get(at)).map(|owner| owner.key).collect()
    }
}

impl OwnerReplacement {
    /// For a resource whose rows have owners.
    pub(super) fn new(resource: &'static Resource) -> Self {
        let mask = UpdateMask::Paths(Vec::new());
        let inputs = resource.inputs().count() + resource.child_tables.len();
        Self {
            resource,
            keys: ChildPages::of_keys(resource, resource.owner_length()),
            locks: OwnerLocks::new(resource),
            deletes: BatchWriter::new(resource, Origin::Chunked, WriteMode::Delete, mask, ReferenceCheck::Accept),
            unset: NULL.to_be_bytes().repeat(inputs - resource.key_length()),
        }
    }

    /// The statements, each with a name, for people who read them. Those of the deletes are those of a chunked delete.
    pub(super) fn sql(&self) -> Vec<(String, String)> {
        let keys = self.keys.sql().map(|(page, sql)| (format!("keys of some owners' rows, {page}"), sql.to_string()));
        keys.chain(self.locks.sql()).collect()
    }

    /// Deletes the stored rows of owners that were not sent. With `lock_all` every owner is locked, also if its stored
    /// rows are those that were sent.
    ///
    /// # Errors
    /// As [`BatchWriter::run`].
    pub(super) async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        named: &mut NamedOwners<'_>,
        search: &mut Search,
        lock_all: bool,
    ) -> Result<Replaced, Error> {
        let changed =
            if lock_all { (0..named.owners.len()).collect() } else { self.changed(transaction, named).await? };
        if changed.is_empty() {
            return Ok(Replaced::Done(0));
        }
        self.locks.lock(transaction, &named.keys(&changed)).await?;
        for &at in &changed {
            named.owners[at].state = OwnerState::Replaced { deleted: false };
        }
        let mut total = 0;
        let mut pieces: Vec<&[usize]> = vec![&changed];
        while let Some(piece) = pieces.pop() {
            let savepoint = search.begin(transaction).await?;
            let refusal = match self.delete_unsent(transaction, named, piece).await {
                Ok((_, Some(refusal))) => {
                    if !search.undo(transaction, savepoint).await? {
                        return Ok(Replaced::Refused);
                    }
                    refusal
                }
                done => match search.end(transaction, savepoint, done).await? {
                    Ok((deleted, _)) => {
                        for (at, rows) in deleted {
                            total += rows;
                            named.owners[at].state = OwnerState::Replaced { deleted: true };
                        }
                        continue;
                    }
                    Err(refusal) => self.refused_by_database(*refusal, &named.keys(piece)),
                },
            };
            match piece {
                [owner] => {
                    named.owners[*owner].state = OwnerState::Blocked(Arc::new(refusal));
                    if search.has_ended() {
                        return Ok(Replaced::TooMany);
                    }
                }
                owners => {
                    let (first, second) = owners.split_at(owners.len() / 2);
                    pieces.extend([second, first]);
                }
            }
        }
        Ok(Replaced::Done(total))
    }

    /// The places of the owners whose stored rows are not those that were sent.
    async fn changed(&self, transaction: &mut Transaction<'_>, named: &NamedOwners<'_>) -> Result<Vec<usize>, Error> {
        let all: Vec<usize> = (0..named.owners.len()).collect();
        let mut stored = vec![StoredRows::default(); all.len()];
        self.keys.read(transaction, &named.keys(&all), |key| named.count(key, &mut stored)).await?;
        let differs = |at: &usize| stored[*at].others || stored[*at].sent < named.owners[*at].rows;
        Ok(all.into_iter().filter(differs).collect())
    }

    /// Deletes the stored rows of locked owners that were not sent. Returns the places of the owners that had such
    /// rows, each with a number of rows; and why one of the rows cannot be deleted, after which the rest is left.
    async fn delete_unsent(
        &self,
        transaction: &mut Transaction<'_>,
        named: &NamedOwners<'_>,
        places: &[usize],
    ) -> Result<(Vec<(usize, usize)>, Option<Refusal>), Error> {
        let most = ARRAY_ROWS.min(transaction.max_statement_rows());
        let mut deleted: Vec<(usize, usize)> = Vec::new();
        for batch in named.keys(places).chunks(ARRAY_ROWS) {
            let (mut place, mut more) = (Place::default(), true);
            let mut unsent: Vec<Vec<u8>> = Vec::new();
            while more {
                let on_key = |key: &[u8]| {
                    if named.is_unsent(key) {
                        unsent.push(key.to_vec());
                    }
                };
                more = self.keys.read_page(transaction, batch, &mut place, on_key).await?;
                while unsent.len() >= most || (!more && !unsent.is_empty()) {
                    let keys: Vec<Vec<u8>> = unsent.drain(..most.min(unsent.len())).collect();
                    if let Some(refusal) = self.delete(transaction, &keys).await? {
                        return Ok((deleted, Some(refusal)));
                    }
                    for at in keys.iter().filter_map(|key| named.place(key)) {
                        match deleted.last_mut() {
                            Some((owner, rows)) if *owner == at => *rows += 1,
                            _ => deleted.push((at, 1)),
                        }
                    }
                }
            }
        }
        Ok((deleted, None))
    }

    /// Deletes rows by their keys, with all that belongs to them. Returns why one of them cannot be deleted.
    async fn delete(&self, transaction: &mut Transaction<'_>, keys: &[Vec<u8>]) -> Result<Option<Refusal>, Error> {
        let tuples: Vec<Vec<u8>> = keys.iter().map(|key| [key.as_slice(), &self.unset].concat()).collect();
        let row = |tuple| Incoming { tuple, precondition: &NO_PRECONDITION, offset: 0, was_stored: true };
        let rows: Vec<Incoming<'_>> = tuples.iter().map(|tuple| row(tuple.as_slice())).collect();
        let written = self.deletes.run(transaction, &rows, &[], Presence::Unknown).await?;
        let refused = written.refused.into_iter().next();
        Ok(refused.map(|(at, refusal)| {
            let name = keys.get(at).map(|key| self.resource.name_of(key)).unwrap_or_default();
            undeletable(refusal, &name)
        }))
    }

    /// Why the rows of an owner are refused, of whose stored rows the database refused to delete one.
    fn refused_by_database(&self, refusal: RowRefusal, owners: &[&[u8]]) -> Refusal {
        let name = owners.first().map(|owner| self.resource.name_of(owner)).unwrap_or_default();
        let refusal = refusal.of(self.resource, &name, "");
        tracing::debug!(error = %refusal.cause, "the database refused to delete a row");
        let violation = refusal.violation.clone();
        let refusal = Refusal { error: Error::RowRefused(Box::new(refusal)), violation };
        undeletable(refusal, &format!("a row of {name}"))
    }
}

/// Why the rows of an owner are refused: a stored row that was not sent cannot be deleted.
fn undeletable(refusal: Refusal, row: &str) -> Refusal {
    let Violation { field, description } = refusal.violation;
    let why = if field.is_empty() { description } else { format!("{field} {description}") };
    let violation = Violation::new("", format!("{row} is stored and was not sent, but cannot be deleted: {why}"));
    Refusal { error: refusal.error, violation }
}
