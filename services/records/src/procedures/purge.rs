//! `purge_archived` for artifacts: as DeleteArtifact deletes one by force.

use futures::future::BoxFuture;
use orrery_kit::db::Transaction;
use orrery_kit::error::Error;
use orrery_kit::procedures::PurgeArchived;
use orrery_kit::resource::Resource;
use orrery_kit::resource::batch::StoredRow;
use orrery_kit::resource::row::Text;

use crate::lifecycle::ARCHIVED;
use crate::store::artifact::ARTIFACT;
use crate::store::product_link::{self, MAX_AT_ONCE};
use crate::store::stored_artifact::StoredArtifact;

/// The procedure.
pub(super) fn purge_archived() -> PurgeArchived {
    PurgeArchived::new(
        &ARTIFACT,
        ARCHIVED,
        "Deletes artifacts in the phase archived, with their links to products and the content of documents, that \
         were not changed for the retention time. Results: found, the artifacts that were due; deleted, of them those \
         that were deleted; refused, the combo reports that are final and stay.",
    )
    .freeing(delete_links)
}

/// Deletes links of an artifact to products, as many as one transaction deletes.
fn delete_links<'t>(
    transaction: &'t mut Transaction<'_>,
    artifacts: &'static Resource,
    row: &'t StoredRow,
) -> BoxFuture<'t, Result<bool, Error>> {
    Box::pin(async move {
        // The rules refuse it, and its links stay.
        if StoredArtifact::of(row)?.is_frozen {
            return Ok(true);
        }
        let uid = artifacts.column::<Text>("uid").map_err(Error::internal)?;
        let deleted = product_link::delete_some(transaction, row.row().get(uid).unwrap_or_default()).await?;
        Ok(deleted < MAX_AT_ONCE.min(transaction.max_statement_rows()))
    })
}
