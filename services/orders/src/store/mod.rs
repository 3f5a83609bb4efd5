//! What the slice keeps: one file per table, and what is asked of several.

pub mod address;
pub mod claim;
pub mod line_item;
pub mod lookup;
pub mod order;
mod pasted;
pub mod product_sales;
pub mod summary;
pub mod timer;
pub mod transition;
pub mod uids;

use std::sync::LazyLock;

/// Finds every mismatch between the slice's descriptions and the contract now, not at the first call.
pub(crate) fn check() {
    LazyLock::force(&order::ORDER);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_description_fits_the_contract() {
        super::check();
        assert_eq!(super::order::ORDER.fields.len(), 14);
        assert_eq!(super::line_item::LINE_ITEM.fields.len(), 15);
        assert_eq!(super::address::ADDRESS.fields.len(), 11);
        assert_eq!(super::summary::SUMMARY.fields.len(), 8);
    }
}
