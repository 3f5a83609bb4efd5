//! Groups of records that make one row. Groups are in the order of their first record, so that reading a file twice
//! gives the same rows in the same order.

mod consecutive;
mod scattered;
mod stored;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use self::consecutive::Consecutive;
use self::scattered::Scattered;
use super::RecordRefusal;
use super::plan::{Plan, Values};

/// How much memory unordered groups may use, and where the rest is stored.
#[derive(Clone, Debug)]
pub(crate) struct GroupMemory {
    /// Approximate number of bytes.
    pub(crate) bytes: usize,
    /// The folder of temporary files.
    pub(crate) folder: PathBuf,
}

impl Default for GroupMemory {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, folder: std::env::temp_dir() }
    }
}

/// The groups of a file.
#[derive(Debug)]
pub(crate) enum Groups {
    /// The records of a group may be anywhere in the file.
    Scattered(Box<Scattered>),
    /// The records of a group are consecutive.
    Consecutive(Box<Consecutive>),
}

/// A group of records.
#[derive(Debug)]
pub(crate) struct Group {
    /// The line of its first record.
    pub(crate) line: u64,
    /// The result of its records.
    pub(crate) content: GroupContent,
}

/// The result of the records of a group.
#[derive(Debug)]
pub(crate) enum GroupContent {
    /// A row.
    Row(Box<Values>),
    /// No row, because a record that it needs was refused.
    Refused(RecordRefusal),
    /// Nothing: all records were refused.
    Nothing,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(plan: &Plan, memory: GroupMemory) -> Self {
        if plan.is_consecutive() {
            Self::Consecutive(Box::default())
        } else {
            Self::Scattered(Box::new(Scattered::new(memory)))
        }
    }

    /// Adds a record, which begins on `line`.
    pub(crate) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        match self {
            Self::Scattered(groups) => groups.add(plan, line, record),
            Self::Consecutive(groups) => groups.add(plan, line, record),
        }
    }

    /// A record of this group was refused. If the row needs every record, the group has no row.
    pub(crate) fn refuse(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<()> {
        match self {
            Self::Scattered(groups) => groups.refuse(plan, line, key),
            Self::Consecutive(groups) => groups.refuse(plan, line, key),
        }
    }

    /// A record was refused whose group is unknown, and rows need every record: all groups that it may belong to have
    /// no row. Returns whether this is the first record for which all groups are refused.
    pub(crate) fn refuse_all(&mut self, plan: &Plan, line: u64) -> bool {
        match self {
            Self::Scattered(groups) => groups.refuse_all(line),
            Self::Consecutive(groups) => {
                groups.refuse_adjacent(plan, line);
                false
            }
        }
    }

    /// The file has no more records.
    pub(crate) fn end(&mut self, plan: &Plan) -> anyhow::Result<()> {
        match self {
            Self::Scattered(groups) => groups.end(plan),
            Self::Consecutive(groups) => {
                groups.end();
                Ok(())
            }
        }
    }

    /// The next complete group.
    pub(crate) fn next_whole(&mut self, plan: &Plan) -> anyhow::Result<Option<Group>> {
        match self {
            Self::Scattered(groups) => groups.next_whole(plan),
            Self::Consecutive(groups) => Ok(groups.next_whole()),
        }
    }

    /// Whether the end of the file was reached, so that [`next_whole`](Self::next_whole) returns all remaining groups.
    pub(crate) fn have_ended(&self) -> bool {
        match self {
            Self::Scattered(groups) => groups.have_ended(),
            Self::Consecutive(groups) => groups.have_ended(),
        }
    }
}

/// The refusal of a group with a refused record.
fn lacks(plan: &Plan, key: &str) -> GroupContent {
    GroupContent::Refused(RecordRefusal::new(plan.group_path(), "one of its records was refused", key))
}

/// The refusal of a group to which the refused record on `line` may belong.
fn may_lack(plan: &Plan, line: u64) -> GroupContent {
    let problem = "may contain a refused record that does not say which row it belongs to";
    GroupContent::Refused(RecordRefusal::new(plan.group_path(), problem, &format!("the record of line {line}")))
}
