//! What the slice keeps: one file per table.

pub mod product;
pub mod product_metric;

use std::sync::LazyLock;

/// Finds every mismatch between the slice's descriptions and the contract now, not at the first call.
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
