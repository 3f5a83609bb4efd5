//! A record of a file, and the result of reading the next one.

use std::borrow::Cow;
use std::fmt;

use crate::mapping::{Cell, RecordRefusal};

/// The most bytes of a CSV record. Without a limit, an unclosed quote would read the rest of the file into memory.
pub(crate) const RECORD_LIMIT: usize = 16 * 1024 * 1024;

/// The values of a record in the columns that the mapping reads.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The line on which the record begins, from 1.
    pub(crate) line: u64,
    /// The values in the order of the mapping's columns. Empty if no cell could be read.
    pub(crate) cells: Vec<Cell>,
    /// The columns whose cells could not be read.
    pub(crate) unreadable: Vec<usize>,
    /// A warning about a record that is not refused.
    pub(crate) warning: Option<Warning>,
}

impl Record {
    /// Resets everything but the cells for the next record.
    pub(crate) fn begin(&mut self, line: u64) {
        self.line = line;
        self.unreadable.clear();
        self.warning = None;
    }
}

/// A warning. The text does not depend on the record, so that warnings can be counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    pub(crate) line: u64,
    pub(crate) text: Cow<'static, str>,
    /// Details; may be empty.
    pub(crate) value: String,
    /// Whether to print the first of its kind at once, not only at the end.
    pub(crate) now: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text, value, .. } = self;
        let more = if value.is_empty() { String::new() } else { format!(" ({value})") };
        write!(formatter, "line {line}{more}: {text}")
    }
}

/// The result of reading the next record.
#[derive(Debug)]
pub(crate) enum NextRecord {
    /// The record was read.
    Record,
    /// The record on this line cannot be read. The next one can.
    Refused(RecordRefusal),
    /// There are no more records.
    End,
}
