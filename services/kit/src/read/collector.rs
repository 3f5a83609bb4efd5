//! Collects the children from one table for their owners: decides which are kept, which are skipped, and when to stop.

use std::ops::ControlFlow;

use super::order::{Order, Position};
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::compare;
use crate::resource::select::SelectedChildren;
use crate::resource::tuple::prefix;

/// How much may be read of owners and their children.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBudget {
    /// Bytes of all owners as rows of a page, with their children.
    pub(super) bytes: usize,
    /// Whether the first owner is taken however large it is.
    pub(super) first_anyway: bool,
    /// Bytes that are skipped before a result is cut off. If owners are not in key order, this many bytes are read
    /// beyond the budget.
    pub(super) surplus: usize,
    /// Whether a result may be cut off. That closes the connection.
    pub(super) cut_off: bool,
    /// Most rows of one query for several owners. A single owner may have more children; they are read in pages.
    pub(super) rows: usize,
}

/// The owners whose children are being read, in the order of their keys. Dropped owners are not among them.
#[derive(Debug)]
pub(super) struct PendingOwners {
    /// The owners' resource.
    pub(super) resource: &'static Resource,
    /// Their keys, as tuples.
    pub(super) keys: Vec<Vec<u8>>,
    /// Bytes of each as a row of a page, with its children so far.
    pub(super) sizes: Vec<usize>,
    /// Whether the caller wants them in this order. Only then the last ones can be dropped.
    pub(super) in_order: bool,
    pub(super) budget: ReadBudget,
    /// Bytes of the first owner's children.
    pub(super) first_bytes: usize,
}

impl PendingOwners {
    /// The error if the first owner is too large.
    pub(super) fn too_large(&self) -> Error {
        let name = self.keys.first().map(|key| self.resource.name_of(key)).unwrap_or_default();
        Error::RowTooLarge { resource: self.resource.description.message, name }
    }
}

/// The children from one table, as fields of their owners' messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EncodedChildren {
    bytes: Vec<u8>,
    /// The end of each owner's children.
    ends: Vec<usize>,
}

impl EncodedChildren {
    /// The number of owners that were not dropped.
    pub(super) fn owners(&self) -> usize {
        self.ends.len()
    }

    /// The children of an owner.
    pub(super) fn of(&self, owner: usize) -> &[u8] {
        let start = owner.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[owner]]
    }
}

/// Takes the children from one table as they arrive: in the order of their owners' keys.
pub(super) struct ChildCollector<'a> {
    pending: &'a PendingOwners,
    table: &'a SelectedChildren,
    /// Most bytes of the first owner's children.
    max_first_bytes: usize,
    first_bytes: usize,
    children: EncodedChildren,
    /// The owner whose children are arriving.
    owner: usize,
    /// Bytes of the owners up to this one.
    used: usize,
    /// Whether this owner and those after it are dropped.
    dropped: bool,
    /// If the children are too large together: the number of owners to try next.
    fewer: Option<usize>,
    seen: usize,
    surplus: usize,
    /// The key of the last row, and the columns selected after its own, if there is only one owner.
    place: (Vec<u8>, Vec<u8>),
    scratch: Vec<u8>,
}

impl<'a> ChildCollector<'a> {
    /// A collector for at least one owner.
    pub(super) fn new(pending: &'a PendingOwners, table: &'a SelectedChildren, max_first_bytes: usize) -> Self {
        Self {
            pending,
            table,
            max_first_bytes,
            first_bytes: pending.first_bytes,
            children: EncodedChildren::default(),
            owner: 0,
            used: pending.sizes.first().copied().unwrap_or_default(),
            dropped: false,
            fewer: None,
            seen: 0,
            surplus: 0,
            place: Default::default(),
            scratch: Vec::new(),
        }
    }

    /// The number of rows that arrived.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// The position of the last row that arrived, if there is only one owner.
    ///
    /// # Errors
    /// As [`Order::position_of`].
    pub(super) fn place(&self) -> Result<Position, Error> {
        let (key, beside) = &self.place;
        Order::NATURAL.position_of_row(self.table.resource, key, beside)
    }

    /// Takes a row. Breaks if no more rows are wanted.
    ///
    /// # Errors
    /// [`Error::RowTooLarge`] for the first owner.
    pub(super) fn take(&mut self, tuple: &[u8]) -> Result<ControlFlow<()>, Error> {
        self.seen += 1;
        if !self.has_dropped_owners() {
            self.keep(tuple)?;
        }
        if self.dropped {
            self.surplus += tuple.len();
        }
        let budget = &self.pending.budget;
        let enough = budget.cut_off && (self.fewer.is_some() || self.surplus > budget.surplus);
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn keep(&mut self, tuple: &[u8]) -> Result<(), Error> {
        let key = prefix(tuple, self.table.owner_columns);
        let is_before = |owner: &[u8]| compare(self.pending.resource, owner, key).is_lt();
        while self.owner + 1 < self.pending.keys.len() && is_before(&self.pending.keys[self.owner]) {
            self.next_owner();
            if self.dropped {
                return Ok(());
            }
        }
        if self.pending.keys[self.owner] != key {
            // The row of another owner, or of one that does not exist.
            return Ok(());
        }
        let before = self.children.bytes.len();
        let (number, selection) = (self.table.number, &self.table.selection);
        selection.put_field(number, tuple, &mut self.scratch, &mut self.children.bytes);
        self.used += self.children.bytes.len() - before;
        if self.owner == 0 {
            self.first_bytes += tuple.len();
            if self.first_bytes > self.max_first_bytes && self.may_be_large() {
                return Err(self.pending.too_large());
            }
        }
        if self.pending.keys.len() == 1 {
            let (key, beside) = &mut self.place;
            key.clear();
            key.extend_from_slice(selection.key(tuple));
            beside.clear();
            beside.extend_from_slice(selection.rest(tuple));
        }
        self.check_room();
        Ok(())
    }

    fn next_owner(&mut self) {
        self.children.ends.push(self.children.bytes.len());
        self.owner += 1;
        self.used += self.pending.sizes[self.owner];
        self.check_room();
    }

    fn check_room(&mut self) {
        let PendingOwners { budget, in_order, ref keys, .. } = *self.pending;
        if self.may_be_large() {
            return;
        }
        if in_order && self.used > budget.bytes {
            self.dropped = true;
        } else if self.used > budget.bytes.saturating_add(budget.surplus) {
            // This many owners exceed budget and surplus together. There are at least two: one is always in order.
            self.fewer = Some((self.owner + 1).div_ceil(2).min(keys.len() / 2));
        }
    }

    /// Whether this owner is the first one, which is taken however large it is.
    fn may_be_large(&self) -> bool {
        self.owner == 0 && self.pending.budget.first_anyway && self.pending.in_order
    }

    /// Whether no further row is kept.
    pub(super) fn has_dropped_owners(&self) -> bool {
        self.dropped || self.fewer.is_some()
    }

    /// Drops the owner whose children were arriving, because not all of them did, and the owners after it.
    pub(super) fn drop_owners_from_here(&mut self) {
        if self.dropped || self.fewer.is_some() {
        } else if !self.pending.in_order {
            self.fewer = Some(self.pending.keys.len() / 2);
        } else if self.owner == 0 {
            self.fewer = Some(1);
        } else {
            self.dropped = true;
        }
    }

    /// The children of the owners that were not dropped, and the bytes of the first owner's children.
    ///
    /// # Errors
    /// The number of owners to try next, if the children are too large together.
    pub(super) fn finish(mut self) -> Result<(EncodedChildren, usize), usize> {
        while !self.dropped && self.owner + 1 < self.pending.keys.len() {
            self.next_owner();
        }
        if !self.dropped {
            self.children.ends.push(self.children.bytes.len());
        }
        match self.fewer {
            Some(fewer) => Err(fewer),
            None => Ok((self.children, self.first_bytes)),
        }
    }
}

#[cfg(test)]
mod tests;
