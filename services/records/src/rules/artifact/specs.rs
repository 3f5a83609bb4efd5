//! The rules of classification specs.

use orrery_kit::error::Violation;
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::Batch;
use orrery_kit::resource::refusal::Refusal;
use orrery_kit::resource::row::{PayloadColumn, TextEntries};
use orrery_kit::resource::rules::CheckedRow;

use super::ArtifactColumns;
use crate::classes::Classes;
use crate::store::artifact::CLASSIFICATION_SPEC;

/// The rules of classification specs.
#[derive(Debug)]
pub(super) struct SpecRules {
    thresholds: PayloadColumn<TextEntries>,
}

impl SpecRules {
    pub(super) fn of(artifact: &Resource, _: ArtifactColumns) -> Result<Self, String> {
        Ok(Self { thresholds: artifact.payload_column("body", CLASSIFICATION_SPEC, "thresholds")? })
    }

    /// Checks thresholds that were sent.
    pub(super) fn check(&self, row: &mut CheckedRow<'_>) {
        let Some(thresholds) = row.row().inner(self.thresholds) else { return };
        if let Err(violation) = Classes::new(thresholds) {
            row.refuse(violation.within(self.thresholds.path()));
        }
    }

    /// Refuses a spec that would have no thresholds.
    pub(super) fn prepare(&self, batch: &mut Batch<'_>, at: usize) {
        if batch.inner_after(at, self.thresholds).is_none_or(|thresholds| thresholds.is_empty()) {
            batch.refuse(at, Refusal::invalid(Violation::new(self.thresholds.path(), "is required")));
        }
    }
}
