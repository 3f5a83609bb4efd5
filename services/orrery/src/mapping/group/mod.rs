//! Many records, one row: the groups of a file, in the order in which they first appear, so that two readings of one
//! file give the same rows in the same order.

mod scattered;
mod stored;
#[cfg(test)]
mod tests;
mod together;

use std::path::PathBuf;

use self::scattered::Scattered;
use self::together::Together;
use super::Refusal;
use super::plan::{Plan, Values};

/// How much memory groups take whose records may stand anywhere, and where the rest of them goes.
#[derive(Clone, Debug)]
pub(crate) struct GroupMemory {
    /// Bytes, about.
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
    /// The records of a group may stand anywhere.
    Scattered(Box<Scattered>),
    /// They stand together.
    Together(Box<Together>),
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
    Row(Box<Values>),
    /// No row, since it would lack one of them.
    Refused(Refusal),
    /// Nothing: all of them were refused.
    Nothing,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(plan: &Plan, memory: GroupMemory) -> Self {
        if plan.is_consecutive() {
            Self::Together(Box::default())
        } else {
            Self::Scattered(Box::new(Scattered::new(memory)))
        }
    }

    /// Takes a record in; `line` is where it begins.
    pub(crate) fn add(&mut self, plan: &Plan, line: u64, record: Values) -> anyhow::Result<()> {
        match self {
            Self::Scattered(groups) => groups.add(plan, line, record),
            Self::Together(groups) => groups.add(plan, line, record),
        }
    }

    /// A record of this group was refused. If the row would not be whole without it there is none.
    pub(crate) fn refuse(&mut self, plan: &Plan, line: u64, key: &str) -> anyhow::Result<()> {
        match self {
            Self::Scattered(groups) => groups.refuse(plan, line, key),
            Self::Together(groups) => groups.refuse(plan, line, key),
        }
    }

    /// A record was refused of which nobody knows the group, and a row would not be whole without it: there is none of
    /// any group that it may be of. Says whether this is the first such record on whose account every group is refused.
    pub(crate) fn refuse_all(&mut self, plan: &Plan, line: u64) -> bool {
        match self {
            Self::Scattered(groups) => groups.refuse_all(line),
            Self::Together(groups) => {
                groups.refuse_beside(plan, line);
                false
            }
        }
    }

    /// The file has no more records.
    pub(crate) fn end(&mut self, plan: &Plan) -> anyhow::Result<()> {
        match self {
            Self::Scattered(groups) => groups.end(plan),
            Self::Together(groups) => {
                groups.end();
                Ok(())
            }
        }
    }

    /// The next group that is whole.
    pub(crate) fn next_whole(&mut self, plan: &Plan) -> anyhow::Result<Option<Group>> {
        match self {
            Self::Scattered(groups) => groups.next_whole(plan),
            Self::Together(groups) => Ok(groups.next_whole()),
        }
    }

    /// Whether the file has ended: what [`next_whole`](Self::next_whole) does not give does not come any more.
    pub(crate) fn have_ended(&self) -> bool {
        match self {
            Self::Scattered(groups) => groups.have_ended(),
            Self::Together(groups) => groups.have_ended(),
        }
    }
}

/// Why there is no row of a group of which a record was refused.
fn lacks(plan: &Plan, key: &str) -> Content {
    Content::Refused(Refusal::new(plan.group_path(), "has a record that was refused", key))
}

/// Why there is no row of a group that may have the refused record of a line.
fn may_lack(plan: &Plan, line: u64) -> Content {
    let problem = "may have the record that was refused without saying which it is of";
    Content::Refused(Refusal::new(plan.group_path(), problem, &format!("the record of line {line}")))
}
