//! The tables of the slice, one file each, and the queries over several tables.

pub mod address;
pub mod amount;
pub mod claim;
pub mod line_item;
pub mod lookup;
pub mod order;
mod pasted;
pub mod product_sales;
pub mod rebuild;
pub mod summary;
pub mod timer;
pub mod transition;
pub mod uids;

use std::sync::LazyLock;

/// Compiles all descriptions now, so that a mismatch with the contract is found at the start, not at the first call.
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
