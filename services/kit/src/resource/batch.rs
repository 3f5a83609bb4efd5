//! A batch of rows on its way into the database, as [`Rules::prepare`](super::rules::Rules::prepare) sees it.

use std::borrow::Cow;

use super::key::Key;
use super::mask::{Keys, Reach, UpdateMask};
use super::row::{Changes, ChildRows, Children, Column, Phase, Row, rows};
use super::rules::{Refusal, prefix};
use super::select::etag;
use super::tuple::Columns;
use super::{Field, Resource};
use crate::db::Transaction;

/// Which kind of call writes a batch.
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
    /// None: a mask names other fields.
    Nothing,
    /// Those of rows that the caller sent children for.
    Provided,
    /// Those of all rows: a mask names the field. A row without children in it loses those that are stored.
    Named,
}

impl Replacing {
    /// How a write with this mask treats children in the field at `field` among the resource's.
    pub(crate) fn of(mask: &UpdateMask, field: usize) -> Self {
        match mask.paths() {
            None => Self::Provided,
            Some(paths) if !paths.iter().any(|path| path.field == field) => Self::Nothing,
            Some(_) if mask.keeps_unset() => Self::Provided,
            Some(_) => Self::Named,
        }
    }

    /// Whether stored children are replaced by what was provided, if anything was.
    pub fn applies(self, is_provided: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Provided => is_provided,
            Self::Named => true,
        }
    }
}

/// What a write makes of a row's phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewPhase {
    /// It stays as it is stored; a new row gets its default.
    Kept,
    /// The default.
    Default,
    /// This one.
    To(String),
}

/// Rows that are about to be written, each under its place in the batch.
#[derive(Debug)]
pub struct Batch<'b> {
    /// What they are.
    pub resource: &'static Resource,
    /// Which kind of call writes them.
    pub origin: Origin,
    mask: &'b UpdateMask,
    entries: Vec<Entry<'b>>,
}

/// A stored row, locked by the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Its etag.
    pub etag: String,
    /// Its revision; 0 if the resource has none.
    pub revision: i32,
    /// As an input tuple.
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
    /// Children that rules set, by their place among the kinds of children.
    set: Vec<(usize, Vec<u8>)>,
    pub(crate) exists: bool,
    stored: Option<StoredRow>,
    pub(crate) fate: Fate,
}

/// What of a column of an existing row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwriting {
    /// Nothing: a mask names other fields.
    Nothing,
    /// What is set.
    Set,
    /// What is set, and the default where it is unset.
    All,
}

/// What becomes of a row.
#[derive(Debug, Default)]
pub(crate) enum Fate {
    /// It is written.
    #[default]
    Written,
    /// It is refused.
    Refused(Box<Refusal>),
    /// An existing row stands in its place: its key, as a tuple.
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
        Self { resource, origin, mask, entries: tuples.map(entry).collect() }
    }

    /// How many rows there are, refused ones too.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The places of the rows that are to be written as far as is known.
    pub fn places(&self) -> Vec<usize> {
        let written = |&at: &usize| matches!(self.entries[at].fate, Fate::Written);
        (0..self.entries.len()).filter(written).collect()
    }

    /// The row at a place, as it was sent and changed since.
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

    /// The stored row in the place of the row at a place, if it was read: see
    /// [`Rules::reads_stored`](super::rules::Rules::reads_stored).
    pub fn stored(&self, at: usize) -> Option<&StoredRow> {
        self.entries[at].stored.as_ref()
    }

    pub(crate) fn set_stored(&mut self, at: usize, row: StoredRow) {
        self.entries[at].stored = Some(row);
    }

    /// The children of a row; `None` if there is nothing about them.
    pub fn children(&self, at: usize, children: Children) -> Option<impl Iterator<Item = Row<'_>> + Clone> {
        self.entries[at].children(self.resource, children.nth).map(rows)
    }

    /// Which stored children the write replaces.
    pub fn replacing(&self, children: Children) -> Replacing {
        let field = self.resource.fields.iter().position(|field| field.part() == Some(children.nth));
        field.map_or(Replacing::Nothing, |field| Replacing::of(self.mask, field))
    }

    /// What the write makes of a row's phase.
    pub fn new_phase(&self, at: usize, column: Column<Phase>) -> NewPhase {
        let reached = match self.mask.paths() {
            None => true,
            Some(paths) => {
                let path = paths.iter().find(|path| self.resource.fields[path.field].name == column.name());
                match path.map(|path| &path.reach) {
                    None => return NewPhase::Kept,
                    Some(Reach::Whole) => true,
                    Some(Reach::Details { phase }) => *phase,
                    Some(Reach::Keys(keys)) => Keys::contain(keys, "phase"),
                }
            }
        };
        match self.row(at).get(column) {
            Some(phase) => NewPhase::To(phase),
            None if reached && !self.mask.keeps_unset() => NewPhase::Default,
            None => NewPhase::Kept,
        }
    }

    /// Sets columns of a row.
    pub fn set(&mut self, at: usize, changes: &Changes) {
        let mut row = Vec::with_capacity(self.entries[at].tuple.len() + 64);
        changes.put(self.row(at), &mut row);
        self.entries[at].tuple = Cow::Owned(row);
    }

    /// Sets the children of a row, whatever the write's mask reaches.
    pub fn set_children(&mut self, at: usize, children: Children, rows: ChildRows) {
        self.entries[at].set.retain(|(nth, _)| *nth != children.nth);
        self.entries[at].set.push((children.nth, rows.value));
    }

    /// Refuses a row; the first refusal of a row counts.
    pub fn refuse(&mut self, at: usize, refusal: Refusal) {
        if matches!(self.entries[at].fate, Fate::Written) {
            self.entries[at].fate = Fate::Refused(Box::new(refusal));
        }
    }

    /// Has the row of a key stand in the place of one that was to be created: nothing is written for that one. The key
    /// is that of a stored row, or of another row of the batch, which stays to be written.
    pub fn use_existing(&mut self, at: usize, key: &Key) {
        if matches!(self.entries[at].fate, Fate::Written) {
            self.entries[at].fate = Fate::Existing(key.tuple().to_vec());
        }
    }

    /// Whether what was sent of a column is written to an existing row, if it is set; and if it is unset, whether what is
    /// stored stays.
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

    /// The value of the field that holds the children of one kind.
    pub(crate) fn children(&self, resource: &Resource, nth: usize) -> Option<&[u8]> {
        self.set_children(nth).or_else(|| super::part::said(resource, nth, &self.tuple))
    }

    /// The same, if rules set it.
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
