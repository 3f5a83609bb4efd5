//! Refused rows. All are counted, and a limited number is reported, so that a chunk with only invalid rows costs no
//! more memory than a valid one.

use orrery_proto::r#type::v1::{ErrorReason, RowError};
use tonic::Code;

use crate::error::{Error, Violation};

/// Most row errors in one answer.
pub const MAX_ROW_ERRORS: usize = 1_000;
/// Most characters of a row error's field and of its message.
const MAX_TEXT: usize = 512;

/// The refusals of rows: their number, and the first ones by offset.
#[derive(Debug, Default)]
pub struct Refusals {
    first: Vec<RowError>,
    count: usize,
}

impl Refusals {
    /// Adds one. Its offset must be after all others.
    pub fn push(&mut self, error: impl FnOnce() -> RowError) {
        self.count += 1;
        if self.first.len() < MAX_ROW_ERRORS {
            self.first.push(error());
        }
    }

    /// Adds others, of other rows.
    pub fn merge(&mut self, others: &Self) {
        self.count += others.count;
        if !others.first.is_empty() {
            self.first.extend_from_slice(&others.first);
            self.first.sort_by_key(|error| error.offset);
            self.first.truncate(MAX_ROW_ERRORS);
        }
    }

    /// Keeps the refusals of rows from an offset on; `count` is their number.
    pub fn keep_from(&mut self, offset: i64, count: usize) {
        self.first.retain(|error| error.offset >= offset);
        self.count = count;
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many rows were refused.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first refusal.
    pub fn first(&self) -> Option<&RowError> {
        self.first.first()
    }

    /// The refusals in the order of the offsets; at most [`MAX_ROW_ERRORS`].
    pub fn into_errors(self) -> Vec<RowError> {
        self.first
    }

    /// How much memory they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.first.iter().map(|error| size_of::<RowError>() + error.field.len() + error.message.len()).sum()
    }
}

/// A row error, shortened for the answer.
pub fn row_error(offset: i64, error: &Error, violation: &Violation) -> RowError {
    row_error_of(offset, error.code(), error.reason(), violation)
}

/// A row error of this code and reason.
pub fn row_error_of(offset: i64, code: Code, reason: ErrorReason, violation: &Violation) -> RowError {
    RowError {
        offset,
        code: i32::from(code),
        field: violation.field.chars().take(MAX_TEXT).collect(),
        message: violation.description.chars().take(MAX_TEXT).collect(),
        reason: reason.into(),
    }
}

/// A row error that concerns the row as a whole.
pub fn whole_row_error(offset: i64, error: &Error) -> RowError {
    row_error(offset, error, &Violation::new("", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(offsets: impl Iterator<Item = i64>) -> Refusals {
        let mut refusals = Refusals::default();
        for offset in offsets {
            refusals.push(|| RowError { offset, ..RowError::default() });
        }
        refusals
    }

    #[test]
    fn all_are_counted_and_the_first_by_offset_are_kept() {
        let mut even = refusals((0..5_000).step_by(2));
        even.merge(&refusals((1..5_000).step_by(2)));
        even.merge(&Refusals::default());
        assert_eq!((even.count(), even.first().map(|error| error.offset)), (5_000, Some(0)));
        let offsets: Vec<i64> = even.into_errors().iter().map(|error| error.offset).collect();
        assert_eq!(offsets, (0..1_000).collect::<Vec<_>>());
    }
}
