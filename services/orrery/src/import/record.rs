//! One record of a file, and what reading the next one may come to.

use std::borrow::Cow;
use std::fmt;

use crate::mapping::{Cell, Refusal};

/// How many bytes one record of a CSV file may have. A quote that is never closed would otherwise draw the rest of the file into memory.
pub(crate) const RECORD_LIMIT: usize = 16 * 1024 * 1024;

/// A record's values in the columns that the mapping reads.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The line on which the record begins, from 1.
    pub(crate) line: u64,
    /// The values, in the order of the mapping's columns. There are none of a record of which no cell could be read.
    pub(crate) cells: Vec<Cell>,
    /// The columns whose cells could not be read.
    pub(crate) unreadable: Vec<usize>,
    /// What is odd about the record, but no reason to refuse it.
    pub(crate) warning: Option<Warning>,
}

impl Record {
    /// Makes ready for the record of a line. The cells are left to be filled.
    pub(crate) fn begin(&mut self, line: u64) {
        self.line = line;
        self.unreadable.clear();
        self.warning = None;
    }
}

/// What is odd, in words that do not depend on the record, so that warnings can be counted by them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    pub(crate) line: u64,
    pub(crate) text: Cow<'static, str>,
    /// More of this one; may be empty.
    pub(crate) value: String,
    /// Whether the first of its kind is told while the file is read, not only at the end.
    pub(crate) now: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text, value, .. } = self;
        let more = if value.is_empty() { String::new() } else { format!(" ({value})") };
        write!(formatter, "line {line}{more}: {text}")
    }
}

/// What reading the next record came to.
#[derive(Debug)]
pub(crate) enum Next {
    /// The record was filled.
    Record,
    /// There was a record, on the record's line, that cannot be read. The next one can.
    Refused(Refusal),
    /// There are no more.
    End,
}
