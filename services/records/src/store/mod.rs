//! The tables of the slice, and their queries.

pub mod artifact;
pub mod decision;
pub mod document;
pub mod macrodata_catalog;
pub mod payload;
pub mod product_link;
pub mod product_tag;
pub mod report_names;
pub mod series;
pub mod stored_artifact;
pub mod tag;
pub mod tag_category;
pub mod tag_classification;
pub mod tag_group;
pub mod tag_links;
pub mod tag_names;
pub mod tag_performance;
pub mod uids;

use std::sync::LazyLock;

/// Compiles all descriptions now, so that a mismatch with the contract is found at the start, not at the first call.
pub(crate) fn check() {
    LazyLock::force(&tag::TAG);
    LazyLock::force(&tag_classification::TAG_CLASSIFICATION);
    LazyLock::force(&tag_group::TAG_GROUP);
    LazyLock::force(&product_tag::PRODUCT_TAG);
    LazyLock::force(&artifact::ARTIFACT);
    LazyLock::force(&product_link::PRODUCT_LINK);
    LazyLock::force(&macrodata_catalog::MACRODATA_CATALOG);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_description_fits_the_contract() {
        super::check();
        assert_eq!(super::tag::TAG.fields.len(), 8);
        assert_eq!(super::product_tag::PRODUCT_TAG.fields.len(), 3);
    }
}
