//! The rows of one part on their way to their owners: which are kept, which are let go by, and when it is enough.

use std::ops::ControlFlow;

use super::order::{Order, Position};
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::compare;
use crate::resource::rules::prefix;
use crate::resource::select::SelectedPart;

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes of all owners as rows of a page, with what belongs to them.
    pub(super) bytes: usize,
    /// Whether the first owner is taken however large it is.
    pub(super) first_anyway: bool,
    /// Bytes that are let go by before a result is cut off. Owners that are taken all or not at all are read so far
    /// beyond the room.
    pub(super) surplus: usize,
    /// Whether a result is cut off, which costs the connection.
    pub(super) cut_off: bool,
    /// Most rows of one query, of several owners. What belongs to one owner may be more, and comes in pages then.
    pub(super) rows: usize,
}

/// Owners whose parts are being read, in the order of their uids: all that are not given up.
#[derive(Debug)]
pub(super) struct Reading {
    /// What they are.
    pub(super) resource: &'static Resource,
    /// Their keys, as tuples.
    pub(super) keys: Vec<Vec<u8>>,
    /// Bytes of each as a row of a page, with what was read so far.
    pub(super) sizes: Vec<usize>,
    /// Whether they are wanted in this order: only then those that come last can be given up.
    pub(super) in_order: bool,
    pub(super) room: Room,
    /// Bytes of the rows that belong to the first one.
    pub(super) first_bytes: usize,
}

impl Reading {
    /// What is said if the first owner is too large.
    pub(super) fn too_large(&self) -> Error {
        let name = self.keys.first().map(|key| self.resource.name_of(key)).unwrap_or_default();
        Error::RowTooLarge { resource: self.resource.description.message, name }
    }
}

/// The rows of one part, as fields of their owners' messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Children {
    bytes: Vec<u8>,
    /// Where each owner's end.
    ends: Vec<usize>,
}

impl Children {
    /// How many owners were not given up.
    pub(super) fn owners(&self) -> usize {
        self.ends.len()
    }

    /// What belongs to an owner.
    pub(super) fn of(&self, owner: usize) -> &[u8] {
        let start = owner.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[owner]]
    }
}

/// Takes the rows of one part as they come: in the order of their owners' uids.
pub(super) struct Gathering<'a> {
    reading: &'a Reading,
    part: &'a SelectedPart,
    /// Most bytes of the rows of the first owner.
    max_first_bytes: usize,
    first_bytes: usize,
    children: Children,
    /// Whose rows are coming.
    owner: usize,
    /// Bytes of the owners up to this one.
    used: usize,
    /// Whether this owner and those after it are given up.
    given_up: bool,
    /// Of how many owners it may be read, if it was too much.
    fewer: Option<usize>,
    seen: usize,
    surplus: usize,
    /// Where the last row stands, if there is one owner only.
    place: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'a> Gathering<'a> {
    /// For at least one owner.
    pub(super) fn new(reading: &'a Reading, part: &'a SelectedPart, max_first_bytes: usize) -> Self {
        Self {
            reading,
            part,
            max_first_bytes,
            first_bytes: reading.first_bytes,
            children: Children::default(),
            owner: 0,
            used: reading.sizes.first().copied().unwrap_or_default(),
            given_up: false,
            fewer: None,
            seen: 0,
            surplus: 0,
            place: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// How many rows came.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// The place of the last row that came; of a lone owner's.
    ///
    /// # Errors
    /// As [`Order::position_of`].
    pub(super) fn place(&self) -> Result<Position, Error> {
        Order::NATURAL.position_of(self.part.resource, &self.place)
    }

    /// Takes a row; breaks when it is too much.
    ///
    /// # Errors
    /// [`Error::RowTooLarge`] for the first owner.
    pub(super) fn take(&mut self, tuple: &[u8]) -> Result<ControlFlow<()>, Error> {
        self.seen += 1;
        if !self.has_given_up() {
            self.keep(tuple)?;
        }
        if self.given_up {
            self.surplus += tuple.len();
        }
        let room = &self.reading.room;
        let enough = room.cut_off && (self.fewer.is_some() || self.surplus > room.surplus);
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn keep(&mut self, tuple: &[u8]) -> Result<(), Error> {
        let key = prefix(tuple, self.part.owner_columns);
        let is_before = |owner: &[u8]| compare(self.reading.resource, owner, key).is_lt();
        while self.owner + 1 < self.reading.keys.len() && is_before(&self.reading.keys[self.owner]) {
            self.next_owner();
            if self.given_up {
                return Ok(());
            }
        }
        if self.reading.keys[self.owner] != key {
            // Its owner is none of these, or does not exist.
            return Ok(());
        }
        let before = self.children.bytes.len();
        let (number, selection) = (self.part.number, &self.part.selection);
        selection.put_field(number, tuple, &mut self.scratch, &mut self.children.bytes);
        self.used += self.children.bytes.len() - before;
        if self.owner == 0 {
            self.first_bytes += tuple.len();
            if self.first_bytes > self.max_first_bytes && self.may_be_large() {
                return Err(self.reading.too_large());
            }
        }
        if self.reading.keys.len() == 1 {
            self.place.clear();
            self.place.extend_from_slice(selection.rest(tuple));
        }
        self.check_room();
        Ok(())
    }

    fn next_owner(&mut self) {
        self.children.ends.push(self.children.bytes.len());
        self.owner += 1;
        self.used += self.reading.sizes[self.owner];
        self.check_room();
    }

    fn check_room(&mut self) {
        let Reading { room, in_order, ref keys, .. } = *self.reading;
        if self.may_be_large() {
            return;
        }
        if in_order && self.used > room.bytes {
            self.given_up = true;
        } else if self.used > room.bytes.saturating_add(room.surplus) {
            // So many are too much, room and surplus together. There is more than one, or they would be in order.
            self.fewer = Some((self.owner + 1).div_ceil(2).min(keys.len() / 2));
        }
    }

    /// Whether this owner is the first one, and taken however large it is.
    fn may_be_large(&self) -> bool {
        self.owner == 0 && self.reading.room.first_anyway && self.reading.in_order
    }

    /// Whether nothing that comes now is kept.
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up || self.fewer.is_some()
    }

    /// Gives up the owner whose rows were coming, because not all of them came.
    pub(super) fn give_up_from_here(&mut self) {
        if self.given_up || self.fewer.is_some() {
        } else if !self.reading.in_order {
            self.fewer = Some(self.reading.keys.len() / 2);
        } else if self.owner == 0 {
            self.fewer = Some(1);
        } else {
            self.given_up = true;
        }
    }

    /// The rows of the owners that were not given up, and the bytes of the first one's; or of how many owners it may be read.
    pub(super) fn finish(mut self) -> Result<(Children, usize), usize> {
        while !self.given_up && self.owner + 1 < self.reading.keys.len() {
            self.next_owner();
        }
        if !self.given_up {
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
