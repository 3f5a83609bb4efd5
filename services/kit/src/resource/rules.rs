//! A resource's own rules, in addition to those of its columns. Single and chunked writes apply the same rules.
//!
//! A slice implements [`Rules`] for a resource and names the implementation in the resource's description. The rules
//! see typed rows ([`super::row`]). Their columns are looked up once, when the service starts.

use std::fmt::Debug;

use futures::future::BoxFuture;

use super::batch::{Batch, Store};
use super::mask::UpdateMask;
use super::row::{Changes, ChildRows, Children, Row};
use super::tuple::put_prefixed;
use crate::error::{Error, Violation};

/// The rules of one resource.
pub trait Rules: Debug + Send + Sync {
    /// Checks one row after it was decoded, and sets fields that follow from the row alone. This runs outside the
    /// transaction, usually while earlier rows are being committed, so it is the place for expensive work.
    fn check(&self, row: &mut CheckedRow<'_>) {
        let _ = row;
    }

    /// Whether [`prepare`](Self::prepare) needs the stored row with the key of this row. It is then read and locked.
    fn reads_stored(&self, batch: &Batch<'_>, at: usize) -> bool {
        let _ = (batch, at);
        false
    }

    /// Checks a whole batch before it is written, within the transaction. It is known which rows exist, and existing
    /// rows with children are locked. The rules may complete rows, refuse them, or replace a row by an existing one.
    ///
    /// # Errors
    /// The errors of the database. A row that breaks a rule is not an error: it is refused in the batch.
    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (batch, store);
        Box::pin(async { Ok(()) })
    }

    /// Whether [`prepare`](Self::prepare) replaces new rows by the stored ones that have their values of a unique key,
    /// which is named by its index. If a new row breaks such a key afterwards, another transaction was faster, and the
    /// write begins again.
    fn replaces_by_holder(&self, index: &str) -> bool {
        let _ = index;
        false
    }

    /// Checks a batch of rows that are about to be deleted, within the transaction. Only the keys of the rows are set.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn prepare_delete<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (batch, store);
        Box::pin(async { Ok(()) })
    }
}

/// Creates the rules of a resource with the columns that they need. It is called once, when the service starts. The
/// error names a column that does not exist or has another type.
pub type RulesOf = fn(&super::Resource) -> Result<Box<dyn Rules>, String>;

/// No rules beyond those of the columns.
#[derive(Clone, Copy, Debug)]
struct NoRules;

impl Rules for NoRules {}

/// The rules of a resource that has none beyond those of its columns.
pub(crate) fn no_rules() -> Box<dyn Rules> {
    Box::new(NoRules)
}

/// A decoded row that is being checked by [`Rules::check`].
#[derive(Debug)]
pub struct CheckedRow<'c> {
    /// The row's tuple begins at `start`.
    tuples: &'c mut Vec<u8>,
    start: usize,
    update: Option<&'c UpdateMask>,
    violations: &'c mut Vec<Violation>,
}

impl<'c> CheckedRow<'c> {
    pub(super) fn new(
        tuples: &'c mut Vec<u8>,
        start: usize,
        update: Option<&'c UpdateMask>,
        violations: &'c mut Vec<Violation>,
    ) -> Self {
        Self { tuples, start, update, violations }
    }

    /// The row.
    pub fn row(&self) -> Row<'_> {
        Row::new(&self.tuples[self.start..])
    }

    /// The mask, if the row can only change an existing one. Fields outside the mask are unset.
    pub fn update(&self) -> Option<&UpdateMask> {
        self.update
    }

    /// Refuses the row: `field` is a path from the row, for example `line_items[2].line_number`.
    pub fn refuse(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Sets columns of the row, and fields of its payloads. What the mask of the write does not name is set in new rows
    /// alone.
    pub fn set(&mut self, changes: &Changes) {
        let mut row = Vec::with_capacity(self.row().size() + 64);
        changes.put(self.row(), &mut row);
        self.tuples.truncate(self.start);
        self.tuples.extend_from_slice(&row);
    }

    /// Sets the row's children in one table.
    pub fn set_children(&mut self, children: Children, rows: &ChildRows) {
        let row = self.row();
        let before = row.prefix(children.place()).len();
        let with = row.prefix(children.place() + 1).len();
        let mut value = Vec::with_capacity(4 + rows.value.len());
        put_prefixed(&mut value, &rows.value);
        let range = self.start + before..self.start + with;
        self.tuples.splice(range, value);
    }
}
