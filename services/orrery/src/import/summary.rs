//! The summary of an import.

use std::fmt;
use std::time::Duration;

use super::names::Found;
use crate::client::WriteCounts;
use crate::numbers::{grouped, many};
use crate::resource::TransferResource;

/// The final report.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) resource: TransferResource,
    /// Records read from the file.
    pub(crate) records: u64,
    /// The number of those that were refused.
    pub(crate) refused_records: u64,
    /// Rows made of the records.
    pub(crate) rows: u64,
    /// Rows lost because records were refused.
    pub(crate) rows_of_refused_records: u64,
    /// Rows that were too large to be sent.
    pub(crate) refused_rows: u64,
    /// Values left out of rows.
    pub(crate) left_out: u64,
    pub(crate) counts: WriteCounts,
    /// What was found for names of tags.
    pub(crate) found: Found,
    /// Categories of tags, if the file has any.
    pub(crate) categories: Option<WriteCounts>,
    pub(crate) elapsed: Duration,
    /// Whether nothing was written.
    pub(crate) validate_only: bool,
}

impl Summary {
    /// Rows that were not written, each counted once.
    fn rejected(&self) -> u64 {
        self.rows_of_refused_records + self.refused_rows + self.counts.rejected as u64
    }

    /// Whether everything in the file was written.
    pub(crate) fn is_whole(&self) -> bool {
        let categories = self.categories.map_or(0, |counts| counts.rejected);
        self.refused_records == 0 && self.rejected() == 0 && categories == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts;
        let WriteCounts { created, updated, unchanged, superseded, resumed, unspecified, .. } = counts;
        let TransferResource { singular, plural, .. } = self.resource;
        let rows = self.rows + self.rows_of_refused_records + self.refused_rows;
        let read = format!("records read, {} in them", many(rows, singular, plural));
        let mut lines = vec![
            (self.records, read.as_str()),
            (created as u64, "created"),
            (updated as u64, "updated"),
            (unchanged as u64, "unchanged"),
            (self.rejected(), "rejected"),
            (superseded as u64, "superseded by a later row with the same key"),
        ];
        let Found { created_tags, unchecked } = self.found;
        for (count, what) in [
            (counts.deleted as u64, "deleted, because the file does not name them"),
            (unchecked, "not checked further, because an import would create their tags"),
            (created_tags, "tags created, because the file names them"),
        ] {
            if count > 0 {
                lines.push((count, what));
            }
        }
        if self.left_out > 0 {
            lines.push((self.left_out, "values left out of written rows"));
        }
        if resumed > 0 {
            lines.push((resumed as u64, "committed before under this write id"));
        }
        if unspecified > 0 {
            lines.push((unspecified as u64, "committed while the connection broke: created, updated or unchanged"));
        }
        let width = lines.iter().map(|(count, _)| grouped(*count).len()).max().unwrap_or(0);
        for (count, what) in lines {
            writeln!(formatter, "{:>width$} {what}", grouped(count))?;
        }
        if self.refused_records > 0 {
            let refused = many(self.refused_records, "record", "records");
            let lost = many(self.rows_of_refused_records, singular, plural);
            writeln!(formatter, "{refused} refused, {lost} rejected because of them")?;
        }
        if let Some(WriteCounts { created, updated, unchanged, rejected, resumed, unspecified, .. }) = self.categories {
            let unchanged = unchanged + resumed + unspecified;
            let counts = [created, updated, unchanged, rejected].map(|count| grouped(count as u64));
            let [created, updated, unchanged, rejected] = counts;
            writeln!(
                formatter,
                "categories: {created} new, {updated} changed, {unchanged} as before, {rejected} rejected"
            )?;
        }
        let seconds = self.elapsed.as_secs_f64();
        let rate = ((self.counts.committed - resumed) as f64 / seconds.max(0.001)) as u64;
        write!(formatter, "{seconds:.1} s, {} {plural}/s", grouped(rate))?;
        if self.validate_only { write!(formatter, "; only checked, nothing was written") } else { Ok(()) }
    }
}
