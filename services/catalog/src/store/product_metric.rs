//! Product metrics: `catalog.product_metric`, the latest value of each metric of each product.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Reference, ReferenceTarget, Resource, SortColumn, kind};
use orrery_proto::catalog::v1::ProductMetricFilter;

use super::product::PRODUCT_UID;

/// `orrery.catalog.v1.ProductMetric` in `catalog.product_metric`.
pub static PRODUCT_METRIC: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "product_metrics"));

static DESCRIPTION: Description = Description {
    key: &["product_uid", "name"],
    fields: &[
        ("product_uid", &kind::uid_of(PRODUCT_UID)),
        ("name", &kind::name(63)),
        ("value", &kind::decimal(34, 18)),
        ("unit", &kind::text_not_null(32)),
        ("as_of_ts", &kind::measured_at()),
    ],
    references: &[Reference {
        column: "product_uid",
        target: ReferenceTarget::Table { table: "catalog.product", column: "uid" },
    }],
    newest_by: Some("as_of_ts"),
    orders: &[DeclaredOrder {
        index: "product_metric_value_idx",
        columns: &[SortColumn::plain("name"), SortColumn::plain("value")],
    }],
    ..Description::new("orrery.catalog.v1.ProductMetric", "catalog.product_metric")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&ProductMetricFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .uids("filter.product_uids", "product_uid", &filter.product_uids)
        .names("filter.names", "name", &filter.names)
        .time_range("filter.as_of", "as_of_ts", filter.as_of.as_ref())
        .checked()
}
