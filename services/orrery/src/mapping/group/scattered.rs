//! Groups whose records may be anywhere in a file: an external sort.
//!
//! Values are collected in memory up to a limit, then written to a temporary file, sorted by key, and the memory is
//! emptied. At the end of the file these runs are merged, which joins the parts of each group in file order. The groups
//! are then sorted by where they began. If all groups fit into memory, no file is written.

use std::collections::HashMap;

use super::stored::{Part, decode, encode};
use super::{Group, GroupContent, GroupMemory, lacks, may_lack};
use crate::mapping::plan::{Plan, Values};
use crate::mapping::runs::{Merged, RunEntry, Runs};

/// The groups of a file.
#[derive(Debug)]
pub(crate) struct Scattered {
    memory: GroupMemory,
    /// The values since the last run, by key.
    parts: HashMap<String, Part>,
    /// The size of these values in bytes.
    used: usize,
    /// The number of parts so far.
    begun: u64,
    /// The line of the first refused record whose group is unknown.
    stray: Option<u64>,
    /// Runs of parts, sorted by key.
    runs: Runs,
    whole: Option<Whole>,
}

/// Complete groups, ordered by where they began.
#[derive(Debug)]
enum Whole {
    InMemory(std::vec::IntoIter<(String, Part)>),
    OnDisk(Box<Merged>),
}

impl Scattered {
    pub(super) fn new(memory: GroupMemory) -> Self {
        let runs = Runs::new(&memory.folder);
        Self { memory, parts: HashMap::new(), used: 0, begun: 0, stray: None, runs, whole: None }
    }

    pub(super) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        let key = plan.group_key(&record);
        // These groups will have no row.
        let lost = self.stray.is_some();
        self.change(line, &key, |part| match &mut part.values {
            _ if lost || (part.refused && plan.needs_every_record()) => part.values = None,
            Some(values) => plan.merge(values, record),
            None => part.values = Some(Box::new(record)),
        })
    }

    pub(super) fn refuse(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<()> {
        self.change(line, key, |part| {
            part.refused = true;
            if plan.needs_every_record() {
                part.values = None;
            }
        })
    }

    pub(super) fn refuse_all(&mut self, line: u64) -> bool {
        let first = self.stray.is_none();
        self.stray.get_or_insert(line);
        first
    }

    pub(super) fn have_ended(&self) -> bool {
        self.whole.is_some()
    }

    pub(super) fn end(&mut self, plan: &Plan) -> anyhow::Result<()> {
        self.whole = Some(if self.runs.is_empty() {
            Whole::in_memory(std::mem::take(&mut self.parts).into_iter().collect())
        } else {
            self.spill()?;
            self.merge(plan)?
        });
        Ok(())
    }

    pub(super) fn next_whole(&mut self, plan: &Plan) -> anyhow::Result<Option<Group>> {
        let next = match &mut self.whole {
            None => None,
            Some(Whole::InMemory(groups)) => groups.next(),
            Some(Whole::OnDisk(groups)) => match groups.next() {
                Some(entry) => Some(decode(&entry?.value)?),
                None => None,
            },
        };
        Ok(next.map(|(key, Part { line, refused, values, .. })| {
            let content = match (self.stray, values) {
                _ if refused && plan.needs_every_record() => lacks(plan, &key),
                (Some(stray), _) => may_lack(plan, stray),
                (None, Some(values)) => GroupContent::Row(values),
                (None, None) => GroupContent::Nothing,
            };
            Group { line, content }
        }))
    }

    /// Changes a group, which may begin here.
    fn change(&mut self, line: u64, key: &str, change: impl FnOnce(&mut Part)) -> anyhow::Result<()> {
        if let Some(part) = self.parts.get_mut(key) {
            let before = size(key, part);
            change(part);
            self.used = self.used + size(key, part) - before;
        } else {
            let mut part = Part { begun: self.begun, line, refused: false, values: None };
            self.begun += 1;
            change(&mut part);
            self.used += size(key, &part);
            self.parts.insert(key.to_owned(), part);
        }
        if self.used > self.memory.bytes { self.spill() } else { Ok(()) }
    }

    /// Writes the values in memory to a run.
    fn spill(&mut self) -> anyhow::Result<()> {
        let mut parts: Vec<(String, Part)> = std::mem::take(&mut self.parts).into_iter().collect();
        self.used = 0;
        parts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.runs.add(parts.into_iter().map(|(key, part)| {
            let value = encode("", part);
            RunEntry { key: key.into_bytes(), value }
        }))
    }

    /// Joins the parts of each group, and sorts the groups by where they began.
    fn merge(&mut self, plan: &Plan) -> anyhow::Result<Whole> {
        let mut by_beginning = Runs::new(&self.memory.folder);
        let mut groups: Vec<(String, Part)> = Vec::new();
        let mut used = 0;
        let by_key = std::mem::replace(&mut self.runs, Runs::new(&self.memory.folder)).merge()?;
        for entry in by_key {
            let RunEntry { key, value } = entry?;
            let key = String::from_utf8(key)?;
            let (_, part) = decode(&value)?;
            match groups.last_mut() {
                Some((last, whole)) if *last == key => {
                    let before = size(&key, whole);
                    whole.append(plan, part);
                    used = used + size(&key, whole) - before;
                }
                _ => {
                    if used > self.memory.bytes {
                        spill_by_beginning(&mut groups, &mut by_beginning)?;
                        used = 0;
                    }
                    used += size(&key, &part);
                    groups.push((key, part));
                }
            }
        }
        if by_beginning.is_empty() {
            return Ok(Whole::in_memory(groups));
        }
        spill_by_beginning(&mut groups, &mut by_beginning)?;
        Ok(Whole::OnDisk(Box::new(by_beginning.merge()?)))
    }
}

impl Whole {
    fn in_memory(mut groups: Vec<(String, Part)>) -> Self {
        groups.sort_unstable_by_key(|(_, part)| part.begun);
        Self::InMemory(groups.into_iter())
    }
}

impl Part {
    /// Appends the values of later records of the same group.
    fn append(&mut self, plan: &Plan, later: Self) {
        self.refused |= later.refused;
        match (&mut self.values, later.values) {
            _ if self.refused && plan.needs_every_record() => self.values = None,
            (Some(values), Some(later)) => plan.merge(values, *later),
            (values @ None, later) => *values = later,
            (Some(_), None) => {}
        }
    }
}

fn spill_by_beginning(groups: &mut Vec<(String, Part)>, runs: &mut Runs) -> anyhow::Result<()> {
    groups.sort_unstable_by_key(|(_, part)| part.begun);
    runs.add(groups.drain(..).map(|(key, part)| {
        let begun = part.begun.to_be_bytes().to_vec();
        RunEntry { key: begun, value: encode(&key, part) }
    }))
}

/// The memory of a part: its entry in a table that may be half empty and is copied when it grows or is sorted, its key
/// and its values.
fn size(key: &str, part: &Part) -> usize {
    3 * size_of::<(String, Part)>() + key.len() + part.values.as_ref().map_or(0, |values| values.size())
}
