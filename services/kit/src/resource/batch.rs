//! A batch of rows on its way into the database, as [`Rules::prepare`](super::rules::Rules::prepare) sees it.

mod payload;

use std::borrow::Cow;
use std::collections::HashSet;

use super::key::Key;
use super::mask::{KeySet, Reach, UpdateMask};
use super::refusal::Refusal;
use super::row::{Changes, ChildRows, Children, Column, ColumnType, Phase, Row, rows};
use super::select::etag;
use super::tuple::Columns;
use super::tuple::prefix;
use super::{Field, Resource};
use crate::db::Transaction;
use crate::error::Violation;

/// The kind of call that writes a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A call about one resource: the rows are what a person or a program wants now.
    Single,
    /// A chunked write: the rows may be history that is being imported.
    Chunked,
}

/// Which stored children a write replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacing {
    /// No stored children: the mask does not name the field.
    Nothing,
    /// The stored children of rows for which the caller sent children.
    Provided,
    /// The stored children of all rows: the mask names the field. A row without children in the field loses its stored
    /// ones.
    Named,
}

impl Replacing {
    /// How a write with this mask treats the children in field number `field` of the resource.
    pub(crate) fn of(mask: &UpdateMask, field: usize) -> Self {
        match mask.paths() {
            None => Self::Provided,
            Some(paths) if !paths.iter().any(|path| path.field == field) => Self::Nothing,
            Some(_) if mask.keeps_unset() => Self::Provided,
            Some(_) => Self::Named,
        }
    }

    /// Whether stored children are replaced, given whether the caller sent the field.
    pub fn applies(self, is_provided: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Provided => is_provided,
            Self::Named => true,
        }
    }
}

/// How a write changes the phase of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewPhase {
    /// The stored phase stays. A new row gets the default.
    Kept,
    /// The default.
    Default,
    /// This one.
    To(String),
}

/// The rows of a batch that is about to be written. A row is named by its place in the batch.
#[derive(Debug)]
pub struct Batch<'b> {
    /// The resource of the rows.
    pub resource: &'static Resource,
    /// The kind of call that writes them.
    pub origin: Origin,
    mask: &'b UpdateMask,
    is_direct: bool,
    entries: Vec<Entry<'b>>,
}

/// A stored row, locked by the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Its etag.
    pub etag: String,
    /// Its revision; 0 if the resource has no revision.
    pub revision: i32,
    /// The row as an input tuple.
    tuple: Vec<u8>,
}

impl StoredRow {
    /// The row of a tuple of all stored columns.
    pub(crate) fn of(resource: &Resource, whole: &[u8]) -> Self {
        let (mut tuple, mut revision, mut rest) = (Vec::with_capacity(whole.len()), 0, whole);
        for field in resource.stored() {
            let column = prefix(rest, 1);
            rest = &rest[column.len()..];
            if field.is_revision() {
                let value = Columns::new(column).next().flatten();
                revision = value.and_then(|value| value.try_into().ok()).map_or(0, i32::from_be_bytes);
            } else if field.is_input() {
                tuple.extend_from_slice(column);
            }
        }
        Self { etag: etag(whole), revision, tuple }
    }

    /// The row.
    pub fn row(&self) -> Row<'_> {
        Row::new(&self.tuple)
    }
}

/// One row of a batch.
#[derive(Debug)]
pub(crate) struct Entry<'b> {
    tuple: Cow<'b, [u8]>,
    /// Children that rules set: the place of their table in the resource, and their value.
    set: Vec<(usize, Vec<u8>)>,
    pub(crate) exists: bool,
    stored: Option<StoredRow>,
    pub(crate) fate: Fate,
}

/// How a column of an existing row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwriting {
    /// Not at all: the mask does not name it.
    Nothing,
    /// If the row has a value.
    Set,
    /// Always. The default is written if the row has no value.
    All,
}

/// The result for a row.
#[derive(Debug, Default)]
pub(crate) enum Fate {
    /// It is written.
    #[default]
    Written,
    /// It is refused.
    Refused(Box<Refusal>),
    /// An existing row is used instead. This is its key, as a tuple.
    Existing(Vec<u8>),
}

impl<'b> Batch<'b> {
    pub(crate) fn new(
        resource: &'static Resource,
        origin: Origin,
        mask: &'b UpdateMask,
        tuples: impl Iterator<Item = &'b [u8]>,
    ) -> Self {
        let entry = |tuple| {
            let tuple = Cow::Borrowed(tuple);
            Entry { tuple, set: Vec::new(), exists: false, stored: None, fate: Fate::Written }
        };
        Self { resource, origin, mask, is_direct: false, entries: tuples.map(entry).collect() }
    }

    /// Whether a single statement writes the batch, which is one row, without a look at what is stored. If the row is
    /// stored already, or breaks a unique key, that statement fails, and the batch is prepared again after a look. So
    /// rules need not look for unique values here.
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    pub(crate) fn set_direct(&mut self) {
        self.is_direct = true;
    }

    /// The number of rows, including refused ones.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The places of the rows that are to be written: those that were not refused or replaced so far.
    pub fn places(&self) -> Vec<usize> {
        let written = |&at: &usize| matches!(self.entries[at].fate, Fate::Written);
        (0..self.entries.len()).filter(written).collect()
    }

    /// The row at a place: as it was sent, with the changes of the rules so far.
    pub fn row(&self, at: usize) -> Row<'_> {
        Row::new(&self.entries[at].tuple)
    }

    /// The key of the row at a place.
    pub fn key(&self, at: usize) -> Key {
        Key::of(self.resource, &self.entries[at].tuple)
    }

    /// Whether the row at a place is stored.
    pub fn exists(&self, at: usize) -> bool {
        self.entries[at].exists
    }

    /// The stored row with the key of the row at a place, if it was read: see
    /// [`Rules::reads_stored`](super::rules::Rules::reads_stored).
    pub fn stored(&self, at: usize) -> Option<&StoredRow> {
        self.entries[at].stored.as_ref()
    }

    pub(crate) fn set_stored(&mut self, at: usize, row: StoredRow) {
        self.entries[at].stored = Some(row);
    }

    /// The children of a row; `None` if neither the caller nor a rule set them.
    pub fn children(&self, at: usize, children: Children) -> Option<impl Iterator<Item = Row<'_>> + Clone> {
        self.entries[at].children(self.resource, children.nth).map(rows)
    }

    /// Which stored children the write replaces.
    pub fn replacing(&self, children: Children) -> Replacing {
        let field = self.resource.fields.iter().position(|field| field.child_table() == Some(children.nth));
        field.map_or(Replacing::Nothing, |field| Replacing::of(self.mask, field))
    }

    /// How the write changes the phase of the row.
    pub fn new_phase(&self, at: usize, column: Column<Phase>) -> NewPhase {
        let reached = match self.mask.paths() {
            None => true,
            Some(paths) => {
                let path = paths.iter().find(|path| self.resource.fields[path.field].name == column.name());
                match path.map(|path| &path.reach) {
                    None => return NewPhase::Kept,
                    Some(Reach::Whole) => true,
                    Some(Reach::Details { phase }) => *phase,
                    Some(Reach::Keys(keys)) => KeySet::contain(keys, "phase"),
                }
            }
        };
        match self.row(at).get(column) {
            Some(phase) => NewPhase::To(phase),
            None if reached && !self.mask.keeps_unset() => NewPhase::Default,
            None => NewPhase::Kept,
        }
    }

    /// The value that the write gives a column of the row; `None` if it leaves the stored value or clears it.
    pub fn new_value<T: ColumnType>(&self, at: usize, column: Column<T>) -> Option<T::Value<'_>> {
        let field = self.resource.field(column.name())?;
        let is_kept = self.exists(at) && self.overwriting(field) == Overwriting::Nothing;
        if is_kept { None } else { self.row(at).get(column) }
    }

    /// Whether the write sets or clears a column of the row at a place, if that is stored.
    pub fn writes<T>(&self, at: usize, column: Column<T>) -> bool {
        self.resource.field(column.name()).is_some_and(|field| self.overwrites(at, field))
    }

    /// Sets columns of a row.
    pub fn set(&mut self, at: usize, changes: &Changes) {
        let mut row = Vec::with_capacity(self.entries[at].tuple.len() + 64);
        changes.put(self.row(at), &mut row);
        self.entries[at].tuple = Cow::Owned(row);
    }

    /// Sets the children of a row, even if the mask of the write does not name them.
    pub fn set_children(&mut self, at: usize, children: Children, rows: ChildRows) {
        self.entries[at].set.retain(|(nth, _)| *nth != children.nth);
        self.entries[at].set.push((children.nth, rows.value));
    }

    /// Refuses a row. If a row is refused twice, the first refusal counts.
    pub fn refuse(&mut self, at: usize, refusal: Refusal) {
        if matches!(self.entries[at].fate, Fate::Written) {
            self.entries[at].fate = Fate::Refused(Box::new(refusal));
        }
    }

    /// Uses an existing row instead of creating the row at a place, which is then not written. The key is that of a
    /// stored row, or of another row of the batch that is written.
    pub fn use_existing(&mut self, at: usize, key: &Key) {
        if matches!(self.entries[at].fate, Fate::Written) {
            self.entries[at].fate = Fate::Existing(key.tuple().to_vec());
        }
    }

    /// Refuses rows for which another new row of the batch was to be used that is refused itself.
    pub(crate) fn refuse_without_existing(&mut self) {
        if !self.entries.iter().any(|entry| matches!(entry.fate, Fate::Existing(_))) {
            return;
        }
        let length = self.resource.key_length();
        let refused = self.entries.iter().filter(|entry| !entry.exists && matches!(entry.fate, Fate::Refused(_)));
        let refused: HashSet<Vec<u8>> = refused.map(|entry| prefix(&entry.tuple, length).to_vec()).collect();
        for entry in &mut self.entries {
            if matches!(&entry.fate, Fate::Existing(key) if refused.contains(key)) {
                let why = "equals another row of the request, which is refused";
                entry.fate = Fate::Refused(Box::new(Refusal::invalid(Violation::new("", why))));
            }
        }
    }

    /// How the values that were sent for a column are written to existing rows.
    pub(crate) fn overwriting(&self, field: &Field) -> Overwriting {
        match self.mask.paths() {
            None => Overwriting::Set,
            Some(paths) if !paths.iter().any(|path| self.resource.fields[path.field].name == field.name) => {
                Overwriting::Nothing
            }
            Some(_) if self.mask.keeps_unset() => Overwriting::Set,
            Some(_) => Overwriting::All,
        }
    }

    pub(crate) fn entries(&self) -> &[Entry<'b>] {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry<'b>] {
        &mut self.entries
    }
}

impl Entry<'_> {
    pub(crate) fn tuple(&self) -> &[u8] {
        &self.tuple
    }

    /// The value of the field that holds the children of one table.
    pub(crate) fn children(&self, resource: &Resource, nth: usize) -> Option<&[u8]> {
        self.set_children(nth).or_else(|| super::child_table::provided(resource, nth, &self.tuple))
    }

    /// The same, if a rule set it.
    pub(crate) fn set_children(&self, nth: usize) -> Option<&[u8]> {
        self.set.iter().find(|(of, _)| *of == nth).map(|(_, value)| value.as_slice())
    }

    /// How many bytes it has, with its children.
    pub(crate) fn bytes(&self) -> usize {
        self.tuple.len() + self.set.iter().map(|(_, value)| value.len()).sum::<usize>()
    }
}

/// The database, as rules reach it.
pub struct Store<'s, 'c> {
    transaction: &'s mut Transaction<'c>,
    is_used: bool,
}

impl<'s, 'c> Store<'s, 'c> {
    pub(crate) fn within(transaction: &'s mut Transaction<'c>) -> Self {
        Self { transaction, is_used: false }
    }

    /// The transaction that writes the batch.
    pub fn transaction(&mut self) -> &mut Transaction<'c> {
        self.is_used = true;
        self.transaction
    }

    /// Whether a rule has asked for the transaction, and so may have written.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }
}
