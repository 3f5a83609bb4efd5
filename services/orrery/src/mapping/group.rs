//! Many records, one row: the groups of a file, kept in the order in which they first appear, so that two readings of one file give
//! the same rows in the same order.

use std::collections::HashMap;

use super::plan::{Assigned, Plan};

/// The groups seen so far. Memory grows with their number, not with the file.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    places: HashMap<String, usize>,
    groups: Vec<(u64, Vec<Assigned>)>,
}

impl Groups {
    /// Takes a record in; `line` is where it begins.
    pub(crate) fn add(&mut self, plan: &Plan, line: u64, values: Vec<Assigned>) {
        let key = plan.group_key(&values);
        if let Some(place) = self.places.get(&key) {
            plan.merge(&mut self.groups[*place].1, values);
        } else {
            self.places.insert(key, self.groups.len());
            self.groups.push((line, values));
        }
    }

    /// The groups, each with the line of its first record.
    pub(crate) fn into_rows(self) -> std::vec::IntoIter<(u64, Vec<Assigned>)> {
        self.groups.into_iter()
    }
}
