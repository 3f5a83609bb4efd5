//! The procedures of the slice.

use orrery_kit::context::Context;
use orrery_kit::integrity::References;
use orrery_kit::procedures::{Procedure, PurgeArchived, of_every_slice};

use crate::store::product::PRODUCT;

/// The phase of products that `purge_archived` deletes.
const ARCHIVED: &str = "archived";

/// All procedures of the slice, which has these documented references.
pub fn all(context: &Context, references: &References) -> Vec<Box<dyn Procedure>> {
    let mut all = of_every_slice(context, references);
    all.push(Box::new(PurgeArchived::new(
        &PRODUCT,
        ARCHIVED,
        "Deletes products in the phase archived, with their metrics, that were not changed for the retention time. \
         Results: found, the products that were due; deleted, of them those that were deleted.",
    )));
    all
}
