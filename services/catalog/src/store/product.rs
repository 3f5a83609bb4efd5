//! Products: `catalog.product`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Resource, Rule, SortColumn};
use orrery_kit::uid::UidKind;
use orrery_proto::catalog::v1::ProductFilter;

use super::product_metric::PRODUCT_METRIC;

/// Uids of products.
pub const PRODUCT_UID: UidKind = UidKind { prefix: "prd_" };

/// `orrery.catalog.v1.Product` in `catalog.product`.
pub static PRODUCT: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "products"));

static DESCRIPTION: Description = Description {
    rules: &[
        ("uid", Rule::Uid(PRODUCT_UID)),
        ("name", Rule::Text(2_048)),
        ("status", Rule::Status("active")),
        ("labels", Rule::Labels),
        ("annotations", Rule::Annotations),
        ("create_ts", Rule::CreatedAt),
        ("update_ts", Rule::UpdatedAt),
        ("etag", Rule::Etag),
    ],
    orders: &[
        DeclaredOrder {
            index: "product_name_idx",
            // Other programs store names that are too long for an index; a product without a name has an empty one.
            columns: &[SortColumn::indexed_as("name", "left(coalesce(name, ''), 128) collate \"C\"")],
        },
        DeclaredOrder { index: "product_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder { index: "product_update_ts_idx", columns: &[SortColumn::plain("update_ts")] },
    ],
    dependents: &[&PRODUCT_METRIC],
    ..Description::new("orrery.catalog.v1.Product", "catalog.product")
};

/// What a filter means.
///
/// # Errors
/// [`Error::Invalid`] with every broken rule, below `filter`.
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
