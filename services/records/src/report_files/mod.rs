//! Combo reports as CSV: what ImportComboReports reads and ExportComboReports writes. Nothing here needs the database.
//!
//! - [`parser`]: bytes into records, in whatever pieces the bytes arrive
//! - [`columns`]: the columns, and the header that names them
//! - [`cells`]: the texts of cells, and lists within them
//! - [`row`]: a record as a combo report
//! - [`writer`]: a combo report as a record

pub mod cells;
pub mod columns;
pub mod parser;
pub mod row;
#[cfg(test)]
mod tests;
pub mod writer;
