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
    stray: Option<Stray>,
}

/// A refused record that may be of a group that has not begun: nobody knows of which it is.
#[derive(Clone, Copy, Debug)]
struct Stray {
    line: u64,
    /// Of the next group only; else of any.
    next_only: bool,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    /// The line of its first record.
    pub(crate) line: u64,
    /// What its records gave.
    pub(crate) content: Content,
}

/// What the records of a group gave.
#[derive(Debug)]
pub(crate) enum Content {
    /// A row.
    Row(Values),
    /// No row, since it would lack one of them.
    Refused(Refusal),
    /// Nothing: all of them were refused.
    Nothing,
}

impl Groups {
    /// Takes a record in; `line` is where it begins.
    pub(crate) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        let group = self.find(plan, line, &plan.group_key(&record))?;
        match &mut group.content {
            Content::Row(values) => plan.merge(values, record),
            content @ Content::Nothing => *content = Content::Row(record),
            Content::Refused(_) => {}
        }
        Ok(())
    }

    /// A record of this group was refused. If the row would not be whole without it there is none.
    pub(crate) fn refuse(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<()> {
        let group = self.find(plan, line, key)?;
        if plan.needs_every_record() {
            let problem = "has a record that was refused";
            group.content = Content::Refused(Refusal::new(plan.group_path(), problem, key));
        }
        Ok(())
    }

    /// A record was refused of which nobody knows the group, and a row would not be whole without it: there is none of
    /// any group that it may be of. Says whether this is the first such record on whose account every group is refused.
    pub(crate) fn refuse_all(&mut self, plan: &Plan, line: u64) -> bool {
        let next_only = plan.is_consecutive();
        // Where records stand together, the group before the last was given away when the last one began.
        let around = if next_only { self.waiting.len().saturating_sub(1) } else { 0 };
        for group in self.waiting.range_mut(around..) {
            if !matches!(group.content, Content::Refused(_)) {
                group.content = Content::Refused(may_lack(plan, line));
            }
        }
        let first = self.stray.is_none();
        if first || next_only {
            self.stray = Some(Stray { line, next_only });
        }
        first && !next_only
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

    /// The group of a key, which may begin here.
    fn find(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<&mut Group> {
        let next = self.given + self.waiting.len();
        let place = self.places.get(key).copied().unwrap_or(next);
        if place == next {
            self.places.insert(key.to_owned(), next);
            let content = self.stray.map_or(Content::Nothing, |stray| Content::Refused(may_lack(plan, stray.line)));
            self.waiting.push_back(Group { line, content });
        }
        // The group that goes on is the one that the record is of; the one that begins was refused because it may be.
        self.stray = self.stray.filter(|stray| !stray.next_only);
        match place.checked_sub(self.given).and_then(|place| self.waiting.get_mut(place)) {
            Some(group) => Ok(group),
            None => anyhow::bail!(
                "line {line}: the records of {key} do not stand together, and it was sent without this one; import the file again without \
                 `consecutive` in [group]"
            ),
        }
    }
}

fn may_lack(plan: &Plan, line: u64) -> Refusal {
    let problem = "may have the record that was refused without saying which it is of";
    Refusal::new(plan.group_path(), problem, &format!("the record of line {line}"))
}
