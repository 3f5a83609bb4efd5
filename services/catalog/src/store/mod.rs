//! The tables of the slice, one file each, and the statements that only one method has.

pub mod product;
pub mod product_metric;
pub mod resolve;

use std::sync::LazyLock;

/// Compiles all descriptions now, so that a mismatch with the contract is found at the start, not at the first call.
pub(crate) fn check() {
    LazyLock::force(&product::PRODUCT);
    LazyLock::force(&product_metric::PRODUCT_METRIC);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_description_fits_the_contract() {
        super::check();
        assert_eq!(super::product::PRODUCT.fields.len(), 8);
        assert_eq!(super::product_metric::PRODUCT_METRIC.fields.len(), 5);
    }
}
