//! Rules of a resource's own, beyond those of its columns: one trait, passed by single and chunked writes alike.
//!
//! A slice implements [`Rules`] for a resource that needs it and names it in the resource's description. The rules see
//! typed rows ([`super::row`]): the columns are resolved once, when the service starts.

use std::fmt::Debug;

use futures::future::BoxFuture;

use super::batch::{Batch, Store};
use super::mask::UpdateMask;
use super::row::{ChildRows, Children, Row};
use super::tuple::put_prefixed;
use crate::error::{Error, Violation};

/// The rules of one resource.
pub trait Rules: Debug + Send + Sync {
    /// Checks one row when it has been decoded, and sets what follows from the row alone. It is called off the
    /// transaction, as a rule while the rows before are being committed, so that it is the place for expensive work.
    fn check(&self, row: &mut CheckedRow<'_>) {
        let _ = row;
    }

    /// Whether [`prepare`](Self::prepare) needs the stored row in the place of a row: it is read and locked then.
    fn reads_stored(&self, batch: &Batch<'_>, at: usize) -> bool {
        let _ = (batch, at);
        false
    }

    /// Looks at a whole batch before it is written, in the transaction that writes it. Which rows exist is known, and
    /// those with children are locked. It may complete rows, refuse them, or name an existing row in place of one.
    ///
    /// # Errors
    /// What the database says. A row that breaks a rule is no error: it is refused in the batch.
    fn prepare<'a>(
        &'a self,
        batch: &'a mut Batch<'_>,
        store: &'a mut Store<'_, '_>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (batch, store);
        Box::pin(async { Ok(()) })
    }

    /// Looks at a batch of rows that are about to be deleted, in the transaction that deletes them. Only their keys are
    /// set.
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

/// Makes the rules of a resource, with the columns that they need; called once, when the service starts. The error
/// names a column that does not exist or has another type.
pub type RulesOf = fn(&super::Resource) -> Result<Box<dyn Rules>, String>;

/// No rules beyond those of the columns.
#[derive(Clone, Copy, Debug)]
struct NoRules;

impl Rules for NoRules {}

/// The rules of a resource that has none beyond those of its columns.
pub(crate) fn no_rules() -> Box<dyn Rules> {
    Box::new(NoRules)
}

/// A decoded row on its way through [`Rules::check`].
#[derive(Debug)]
pub struct CheckedRow<'c> {
    /// The row's tuple is what follows `start`.
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

    /// The mask, if the row can only change an existing one: what it does not reach is unset.
    pub fn update(&self) -> Option<&UpdateMask> {
        self.update
    }

    /// Refuses the row: `field` is a path from the row, for example `line_items[2].line_number`.
    pub fn refuse(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Sets the row's children of one kind.
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
