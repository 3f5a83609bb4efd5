//! Many records, one row: the groups of a file, kept in the order in which they first appear, so that two readings of one file give
//! the same rows in the same order.

use std::collections::{HashMap, VecDeque};

use super::Refusal;
use super::plan::{Plan, Values};

/// The groups seen so far. Where the records of one may stand anywhere, memory holds what all groups gave; where they stand together,
/// the last group, and of the others what tells them apart.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// For each key how many groups came before its own.
    places: HashMap<String, usize>,
    waiting: VecDeque<Group>,
    /// How many were given away.
    given: usize,
    ended: bool,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    /// The line of its first record.
    pub(crate) line: u64,
    /// What its records gave, or why it gives no row.
    pub(crate) values: Result<Values, Refusal>,
}

impl Groups {
    /// Takes a record in; `line` is where it begins.
    pub(crate) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        let (group, is_new) = self.find(line, &plan.group_key(&record))?;
        match &mut group.values {
            Ok(values) if is_new => *values = record,
            Ok(values) => plan.merge(values, record),
            Err(_) => {}
        }
        Ok(())
    }

    /// A record of this group was refused without which the row would not be whole: it gives none.
    pub(crate) fn refuse(&mut self, line: u64, path: &str, key: &str) -> anyhow::Result<()> {
        let refusal = Refusal::new(path, "has a record that was rejected", key);
        self.find(line, key)?.0.values = Err(refusal);
        Ok(())
    }

    /// The file has no more records.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next group that is whole. `consecutive`: a group is whole when the next one begins.
    pub(crate) fn next_whole(&mut self, consecutive: bool) -> Option<Group> {
        let is_whole = self.ended || (consecutive && self.waiting.len() > 1);
        let group = if is_whole { self.waiting.pop_front() } else { None };
        self.given += usize::from(group.is_some());
        group
    }

    /// Whether all groups were given away.
    pub(crate) fn are_done(&self) -> bool {
        self.ended && self.waiting.is_empty()
    }

    /// The group of a key, and whether it begins here.
    fn find(&mut self, line: u64, key: &str) -> anyhow::Result<(&mut Group, bool)> {
        let next = self.given + self.waiting.len();
        let place = self.places.get(key).copied().unwrap_or(next);
        if place == next {
            self.places.insert(key.to_owned(), next);
            self.waiting.push_back(Group { line, values: Ok(Values::default()) });
        }
        match place.checked_sub(self.given).and_then(|place| self.waiting.get_mut(place)) {
            Some(group) => Ok((group, place == next)),
            None => anyhow::bail!(
                "line {line}: the records of {key} do not stand together, and it was sent without this one; import the file again without \
                 `consecutive` in [group]"
            ),
        }
    }
}
