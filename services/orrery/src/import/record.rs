//! One record of a file, and what reading the next one may come to.

use crate::mapping::{Cell, Refusal};

/// How many bytes one record of a CSV file may have. A quote that is never closed would otherwise draw the rest of the file into memory.
pub(crate) const RECORD_LIMIT: usize = 16 * 1024 * 1024;

/// A record's values in the columns that the mapping reads.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The line on which the record begins, from 1.
    pub(crate) line: u64,
    /// The values, in the order of the mapping's columns.
    pub(crate) cells: Vec<Cell>,
}

/// What reading the next record came to.
#[derive(Debug)]
pub(crate) enum Next {
    /// The record was filled.
    Record,
    /// There was a record, on the record's line, that cannot be read. The next one can. Its cells are those that could be read, or
    /// there are none.
    Refused(Refusal),
    /// There are no more.
    End,
}
