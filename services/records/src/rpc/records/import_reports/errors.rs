//! The errors of an import: the first ones are kept, within a bound of number and size.

use orrery_proto::records::v1::ImportError;
use orrery_proto::records::v1::import_error::Candidate;
use orrery_proto::r#type::v1::{ErrorReason, RowError, RowErrorCode};
use prost::Message as _;

use crate::report_files::columns::Column;
use crate::report_files::row::{CellError, NamedProducts, NamedTemplate, ReportRow};

/// Most errors of an answer.
const MAX_ERRORS: usize = 1_000;
/// Most bytes of them.
const MAX_BYTES: usize = 1 << 20;
/// What an error takes in a message beside its own bytes, at most.
const ERROR_OVERHEAD: usize = 8;
/// Most characters of a message.
const MAX_MESSAGE: usize = 512;

/// The errors of an import.
#[derive(Debug)]
pub(super) struct Errors {
    first: Vec<ImportError>,
    /// The bytes that are left for more.
    room: usize,
    /// The number of rows that were refused.
    pub(super) rejected: i64,
}

impl Errors {
    /// For an answer of at most so many bytes.
    pub(super) fn new(answer_bytes: usize) -> Self {
        // The counts need some room too.
        Self { first: Vec::new(), room: answer_bytes.saturating_sub(128).min(MAX_BYTES), rejected: 0 }
    }

    /// Refuses a row.
    pub(super) fn refuse(&mut self, errors: impl IntoIterator<Item = ImportError>) {
        self.rejected += 1;
        for error in errors {
            let bytes = error.encoded_len() + ERROR_OVERHEAD;
            if self.first.len() == MAX_ERRORS || bytes > self.room {
                // No later one either, so that there is no gap.
                self.room = 0;
                return;
            }
            self.room -= bytes;
            self.first.push(error);
        }
    }

    /// The errors, by line.
    pub(super) fn into_sorted(mut self) -> Vec<ImportError> {
        self.first.sort_by_key(|error| error.line);
        self.first
    }
}

/// An error of a row.
pub(super) fn error(
    line: u64,
    column: Option<Column>,
    (code, reason): (RowErrorCode, ErrorReason),
    message: &str,
) -> ImportError {
    ImportError {
        line: i64::try_from(line).unwrap_or(i64::MAX),
        column: column.map_or("", Column::name).to_owned(),
        code: code.into(),
        reason: reason.into(),
        message: message.chars().take(MAX_MESSAGE).collect(),
        candidates: Vec::new(),
    }
}

/// The errors of a record that cannot be read.
pub(super) fn unreadable(line: u64, errors: Vec<CellError>) -> impl Iterator<Item = ImportError> {
    errors.into_iter().map(move |CellError { column, reason, message }| {
        error(line, column, (RowErrorCode::InvalidArgument, reason), &message)
    })
}

/// Something named in a cell that does not exist, or is not clear.
pub(super) fn missing(row: &ReportRow, column: Column, message: &str, candidates: Vec<Candidate>) -> ImportError {
    let kind = (RowErrorCode::FailedPrecondition, ErrorReason::ReferenceMissing);
    ImportError { candidates, ..error(row.line, Some(column), kind, message) }
}

/// What the write said of a row.
pub(super) fn refused(row: &ReportRow, refusal: &RowError) -> ImportError {
    let column = column_of(row, &refusal.field);
    let mut told = error(row.line, column, (RowErrorCode::Unspecified, ErrorReason::Unspecified), &refusal.message);
    told.code = refusal.code;
    told.reason = refusal.reason;
    told
}

/// The column that a field of an artifact is from; none for a field without one.
fn column_of(row: &ReportRow, field: &str) -> Option<Column> {
    if field == "identifier" {
        return Some(Column::Identifier);
    }
    let name = field.strip_prefix("combo_report.")?;
    let name = name.split(['[', '.']).next().unwrap_or_default();
    match Column::ALL.into_iter().find(|column| column.name() == name)? {
        Column::TemplateUid if matches!(row.template, NamedTemplate::ByIdentifier(_)) => Some(Column::Template),
        Column::ProductUids if matches!(row.products, NamedProducts::ByTitle(_)) => Some(Column::Products),
        column => Some(column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(count: usize, message: &str, room: usize) -> (i64, usize) {
        let mut errors = Errors::new(room);
        for line in 0..count {
            let kind = (RowErrorCode::InvalidArgument, ErrorReason::FieldInvalid);
            errors.refuse([error(line as u64, None, kind, message)]);
        }
        (errors.rejected, errors.into_sorted().len())
    }

    #[test]
    fn all_are_counted_and_as_many_kept_as_there_is_room_for() {
        assert_eq!(errors(5_000, "no", 4 << 20), (5_000, 1_000));
        let (rejected, kept) = errors(500, &"x".repeat(2_000), 64 << 10);
        assert_eq!(rejected, 500);
        assert!((100..128).contains(&kept), "{kept}");
    }

    #[test]
    fn a_field_is_told_by_the_column_that_it_came_from() {
        let row = ReportRow {
            template: NamedTemplate::ByIdentifier("SP".to_owned()),
            products: NamedProducts::ByTitle(vec!["Mug".to_owned()]),
            ..ReportRow::default()
        };
        let plain_row = ReportRow::default();
        let column = |row, field| column_of(row, field).map_or("", Column::name);
        for (field, name, plain) in [
            ("identifier", "identifier", "identifier"),
            ("combo_report.template_uid", "template", "template_uid"),
            ("combo_report.product_uids[3]", "products", "product_uids"),
            ("combo_report.product_codes[0]", "product_codes", "product_codes"),
            ("combo_report.ran_to", "ran_to", "ran_to"),
            ("catalog_uid", "", ""),
            ("", "", ""),
        ] {
            assert_eq!((column(&row, field), column(&plain_row, field)), (name, plain), "{field}");
        }
    }
}
