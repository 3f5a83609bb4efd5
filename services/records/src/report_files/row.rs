//! A record as a combo report. What needs the database or the catalog stays open: which template and which products are
//! meant.

use orrery_proto::records::v1::ComboReport;
use orrery_proto::r#type::v1::ErrorReason;

use super::cells::{read_time, split_list};
use super::columns::{Column, Header};
use super::parser::{Fault, MAX_RECORD_BYTES, Record};

/// Maximum length of a product's name in bytes, as ResolveProducts has it.
pub const MAX_TITLE_BYTES: usize = 2_048;
/// Maximum number of products of a report.
const MAX_PRODUCTS: usize = 1_000;

/// The template of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamedTemplate {
    /// It has none.
    #[default]
    None,
    /// By its uid, which is in the report.
    ByUid,
    /// By its identifier.
    ByIdentifier(String),
}

/// The products of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamedProducts {
    /// By their uids, which are in the report; or there are none.
    #[default]
    ByUid,
    /// By their names.
    ByTitle(Vec<String>),
}

/// A combo report of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportRow {
    /// The line that its record begins on.
    pub line: u64,
    /// The number of its record, from 1; the header is not counted.
    pub number: u64,
    /// Its identifier; empty if it has none.
    pub identifier: String,
    /// Its template.
    pub template: NamedTemplate,
    /// Its products.
    pub products: NamedProducts,
    /// Everything else.
    pub report: ComboReport,
    /// What it takes in memory, in bytes.
    pub bytes: usize,
}

/// What is wrong with a cell, or with a record as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// The column; `None` for the record as a whole.
    pub column: Option<Column>,
    /// Why, for programs.
    pub reason: ErrorReason,
    /// Why, for people.
    pub message: String,
}

impl CellError {
    fn new(column: Option<Column>, message: impl Into<String>) -> Self {
        Self { column, reason: ErrorReason::FieldInvalid, message: message.into() }
    }
}

/// Reads a record. Returns every mistake that can be seen in it.
///
/// # Errors
/// At least one mistake.
pub fn read(record: &Record, header: &Header, number: u64) -> Result<ReportRow, Vec<CellError>> {
    if let Some(fault) = record.fault {
        return Err(vec![CellError::new(None, faulty(fault))]);
    }
    let is_surplus = |place: &usize| !record.cell(*place).trim_ascii().is_empty();
    if record.surplus || (header.width..record.cells).any(|place| is_surplus(&place)) {
        let message = format!("has {} cells, and the header has {}", record.cells, header.width);
        return Err(vec![CellError::new(None, message)]);
    }
    let mut cells = Cells { record, header, errors: Vec::new() };
    let mut row = ReportRow {
        line: record.line,
        number,
        identifier: cells.trimmed(Column::Identifier).to_owned(),
        bytes: record.bytes(),
        ..ReportRow::default()
    };
    let (template, template_uid) = (cells.trimmed(Column::Template), cells.trimmed(Column::TemplateUid));
    row.template = match (template_uid, template) {
        ("", "") => NamedTemplate::None,
        ("", identifier) => NamedTemplate::ByIdentifier(identifier.to_owned()),
        _ => NamedTemplate::ByUid,
    };
    let codes = cells.trimmed(Column::ProductCodes).split('+').map(str::trim).filter(|code| !code.is_empty());
    row.report = ComboReport {
        template_uid: template_uid.to_owned(),
        r#type: cells.trimmed(Column::Type).to_owned(),
        product_codes: codes.map(str::to_owned).collect(),
        product_count: cells.number(Column::ProductCount),
        audience: cells.trimmed(Column::Audience).to_owned(),
        ran_from: cells.time(Column::RanFrom),
        ran_to: cells.time(Column::RanTo),
        product_uids: cells.list(Column::ProductUids),
        spend: cells.trimmed(Column::Spend).to_owned(),
        impressions: cells.number(Column::Impressions),
        clicks: cells.number(Column::Clicks),
        purchases: cells.number(Column::Purchases),
        notes: cells.text(Column::Notes).to_owned(),
        ..ComboReport::default()
    };
    if row.report.product_uids.is_empty() {
        let titles = cells.list(Column::Products);
        if let Some(long) = titles.iter().find(|title| title.len() > MAX_TITLE_BYTES) {
            let long: String = long.chars().take(32).collect();
            let message = format!("the name {long:?}... must be at most {MAX_TITLE_BYTES} bytes");
            cells.refuse(Column::Products, message);
        }
        if !titles.is_empty() {
            row.products = NamedProducts::ByTitle(titles);
        }
    }
    if cells.errors.is_empty() { Ok(row) } else { Err(cells.errors) }
}

fn faulty(fault: Fault) -> String {
    match fault {
        Fault::TooLong => format!("has more than {} MiB; a quote may be missing", MAX_RECORD_BYTES >> 20),
        Fault::Misquoted(line) => {
            format!("a cell continues after its closing quote; it opens on line {line}; quotes in it must be doubled")
        }
        Fault::Unclosed(line) => format!("the file ends within the quotes that open on line {line}"),
    }
}

/// The cells of a record by their columns.
struct Cells<'r> {
    record: &'r Record,
    header: &'r Header,
    errors: Vec<CellError>,
}

impl<'r> Cells<'r> {
    fn refuse(&mut self, column: Column, message: impl Into<String>) {
        self.errors.push(CellError::new(Some(column), message));
    }

    /// The text of a cell; empty if there is none, or if it cannot be stored.
    fn text(&mut self, column: Column) -> &'r str {
        let Some(place) = self.header.place(column) else { return "" };
        let record: &'r Record = self.record;
        match std::str::from_utf8(record.cell(place)) {
            Ok(text) if text.contains('\0') => {
                self.refuse(column, "must not hold NUL characters");
                ""
            }
            Ok(text) => text,
            Err(_) => {
                self.refuse(column, "is not UTF-8");
                ""
            }
        }
    }

    fn trimmed(&mut self, column: Column) -> &'r str {
        self.text(column).trim()
    }

    fn list(&mut self, column: Column) -> Vec<String> {
        let entries = split_list(self.text(column));
        if entries.len() > MAX_PRODUCTS {
            self.refuse(column, format!("has more than {MAX_PRODUCTS} entries"));
            return Vec::new();
        }
        entries
    }

    /// A whole number; 0 if the cell is empty.
    fn number<N: std::str::FromStr + Default>(&mut self, column: Column) -> N {
        let text = self.trimmed(column);
        if text.is_empty() {
            return N::default();
        }
        let is_number = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = text.parse().ok().filter(|_| is_number) {
            return number;
        }
        self.refuse(column, "must be a whole number without separators");
        N::default()
    }

    fn time(&mut self, column: Column) -> Option<prost_types::Timestamp> {
        let text = self.trimmed(column);
        if text.is_empty() {
            return None;
        }
        read_time(text).map_err(|message| self.refuse(column, message)).ok()
    }
}
