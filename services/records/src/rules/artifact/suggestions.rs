//! The rules of combo suggestions alone.

use orrery_kit::error::Violation;
use orrery_kit::resource::Resource;
use orrery_kit::resource::row::{PayloadColumn, Row, Text, Texts};
use orrery_kit::resource::rules::CheckedRow;

use super::ArtifactColumns;
use crate::store::artifact::COMBO_SUGGESTION;
use crate::store::uids::PRODUCT_UID;

/// The rules of combo suggestions.
#[derive(Debug)]
pub(super) struct SuggestionRules {
    product_uids: PayloadColumn<Texts>,
    report_uid: PayloadColumn<Text>,
}

impl SuggestionRules {
    pub(super) fn of(artifact: &Resource, _: ArtifactColumns) -> Result<Self, String> {
        Ok(Self {
            product_uids: artifact.payload_column("body", COMBO_SUGGESTION, "product_uids")?,
            report_uid: artifact.payload_column("body", COMBO_SUGGESTION, "report_uid")?,
        })
    }

    /// Whether a stored suggestion has become a report.
    pub(super) fn is_accepted(&self, stored: Row<'_>) -> bool {
        stored.inner(self.report_uid).is_some()
    }

    pub(super) fn check(&self, row: &mut CheckedRow<'_>) {
        check_products(row, self.product_uids);
    }
}

/// Refuses texts in a list of products that are no uids of products.
pub(super) fn check_products(row: &mut CheckedRow<'_>, column: PayloadColumn<Texts>) {
    for (nth, uid) in row.row().inner(column).unwrap_or_default().iter().enumerate() {
        if let Err(why) = PRODUCT_UID.check(uid) {
            return row.refuse(Violation::new(format!("{}[{nth}]", column.path()), why));
        }
    }
}
