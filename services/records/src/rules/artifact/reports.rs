//! The rules of combo reports alone: their times, their amounts, and when they are frozen.

use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::Batch;
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{Changes, DecimalText, PayloadColumn, Row, Texts, Timestamp};
use orrery_kit::resource::rules::CheckedRow;
use orrery_kit::timestamp;

use super::ArtifactColumns;
use super::suggestions::check_products;
use crate::lifecycle::FINAL;
use crate::store::artifact::COMBO_REPORT;

/// The rules of combo reports.
#[derive(Debug)]
pub(super) struct ReportRules {
    columns: ArtifactColumns,
    ran_from: PayloadColumn<Timestamp>,
    ran_to: PayloadColumn<Timestamp>,
    spend: PayloadColumn<DecimalText>,
    product_uids: PayloadColumn<Texts>,
    final_ts: PayloadColumn<Timestamp>,
}

/// The refusal of a change of a final report.
pub(super) fn is_final(resource: &'static str, name: String, to: &str) -> Refusal {
    Refusal::whole(Error::PhaseForbids { resource, name, from: FINAL.to_owned(), to: to.to_owned() })
}

impl ReportRules {
    pub(super) fn of(artifact: &Resource, columns: ArtifactColumns) -> Result<Self, String> {
        let time = |field| artifact.payload_column("body", COMBO_REPORT, field);
        Ok(Self {
            columns,
            ran_from: time("ran_from")?,
            ran_to: time("ran_to")?,
            spend: artifact.payload_column("body", COMBO_REPORT, "spend")?,
            product_uids: artifact.payload_column("body", COMBO_REPORT, "product_uids")?,
            final_ts: time("final_ts")?,
        })
    }

    /// Whether a stored report is frozen.
    pub(super) fn is_frozen(&self, stored: Row<'_>) -> bool {
        let is_report = stored.get(self.columns.kind) == Some(COMBO_REPORT);
        let is_final = || stored.get(self.columns.status).as_deref() == Some(FINAL);
        is_report && (is_final() || stored.inner(self.final_ts).is_some())
    }

    pub(super) fn check(&self, row: &mut CheckedRow<'_>) {
        check_products(row, self.product_uids);
        if row.row().inner(self.spend).is_some_and(|spend| spend.starts_with('-')) {
            row.refuse(Violation::new(self.spend.path(), "must not be negative"));
        }
    }

    /// Checks the times, and records when an imported report became final.
    pub(super) fn prepare(&self, batch: &mut Batch<'_>, at: usize) {
        let (from, to) = (batch.inner_after(at, self.ran_from), batch.inner_after(at, self.ran_to));
        if let (Some(from), Some(to)) = (from, to)
            && to < from
        {
            return batch.refuse(at, Refusal::invalid(Violation::new(self.ran_to.path(), "is before ran_from")));
        }
        let is_frozen = batch.stored(at).is_some_and(|stored| self.is_frozen(stored.row()));
        if !is_frozen && batch.row(at).get(self.columns.status).as_deref() == Some(FINAL) {
            let mut changes = Changes::default();
            changes.set_inner(self.final_ts, timestamp::now());
            batch.set(at, &changes);
        }
    }
}
