//! Products: `catalog.product`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{Description, Resource, kind};
use orrery_kit::uid::UidKind;
use orrery_proto::catalog::v1::ProductFilter;

use super::product_metric::PRODUCT_METRIC;

/// The uids of products.
pub const PRODUCT_UID: UidKind = UidKind { prefix: "prd_" };

/// `orrery.catalog.v1.Product` in `catalog.product`.
pub static PRODUCT: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "products"));

static DESCRIPTION: Description = Description {
    fields: &[
        ("uid", &kind::uid(PRODUCT_UID)),
        ("name", &kind::text(2_048)),
        ("status", &kind::status("active")),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
    ],
    dependents: &[&PRODUCT_METRIC],
    ..Description::new("orrery.catalog.v1.Product", "catalog.product")
};

/// The columns that a list of products can be ordered by, besides its uid; each has an index.
pub const ORDER_COLUMNS: &[&str] = &["create_ts", "update_ts"];

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&ProductFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .label_selector("filter.label_selector", "labels", &filter.label_selector)
        .phases("filter.phases", "status", &filter.phases)
        .uids("filter.uids", "uid", &filter.uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .time_range("filter.updated", "update_ts", filter.updated.as_ref())
        .contains("filter.name_contains", "name", &filter.name_contains)
        .checked()
}
