//! A combo report as a record of a file.

use orrery_proto::records::v1::ComboReport;

use super::cells::{join_list, write_cell, write_time};
use super::columns::Column;

/// The delimiter of an export.
const DELIMITER: char = ',';

/// A report with the names of what it refers to.
#[derive(Clone, Debug)]
pub struct NamedReport<'r> {
    /// Its identifier.
    pub identifier: &'r str,
    /// The identifier of its template; empty if there is none.
    pub template: &'r str,
    /// The names of its products; empty for one without.
    pub titles: Vec<&'r str>,
    /// The report.
    pub report: &'r ComboReport,
}

/// The header.
pub fn header() -> String {
    let mut line = String::new();
    end(Column::ALL.map(|column| column.name().to_owned()), &mut line);
    line
}

/// Appends a report.
pub fn write(named: &NamedReport<'_>, out: &mut String) {
    let NamedReport { identifier, template, titles, report } = named;
    let cell = |column| match column {
        Column::Identifier => (*identifier).to_owned(),
        Column::Template => (*template).to_owned(),
        Column::TemplateUid => report.template_uid.clone(),
        Column::Type => report.r#type.clone(),
        Column::ProductCodes => report.product_codes.join("+"),
        Column::ProductCount => report.product_count.to_string(),
        Column::Audience => report.audience.clone(),
        Column::RanFrom => report.ran_from.map(write_time).unwrap_or_default(),
        Column::RanTo => report.ran_to.map(write_time).unwrap_or_default(),
        Column::Products => join_list(titles.iter().copied()),
        Column::ProductUids => join_list(report.product_uids.iter().map(String::as_str)),
        Column::Spend => report.spend.clone(),
        Column::Impressions => report.impressions.to_string(),
        Column::Clicks => report.clicks.to_string(),
        Column::Purchases => report.purchases.to_string(),
        Column::Notes => report.notes.clone(),
    };
    end(Column::ALL.map(cell), out);
}

fn end(cells: impl IntoIterator<Item = String>, out: &mut String) {
    for (nth, cell) in cells.into_iter().enumerate() {
        if nth > 0 {
            out.push(DELIMITER);
        }
        write_cell(&cell, DELIMITER, out);
    }
    out.push('\n');
}
