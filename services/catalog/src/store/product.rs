//! Products: `catalog.product`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{DeclaredOrder, Description, Resource, SortColumn, kind};
use orrery_kit::uid::UidKind;
use orrery_proto::catalog::v1::ProductFilter;

use super::product_metric::PRODUCT_METRIC;

/// The uids of products.
pub const PRODUCT_UID: UidKind = UidKind { prefix: "prd_" };

/// How many characters of a name the index of the order by name has.
pub const NAME_KEY_CHARS: usize = 128;
/// What that index has of a name. Other programs store names that are too long for an index; a product without a name
/// has an empty one.
pub const NAME_KEY: &str = "left(coalesce(name, ''), 128) collate \"C\"";

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
    orders: &[
        DeclaredOrder { index: "product_name_idx", columns: &[SortColumn::indexed_as("name", NAME_KEY)] },
        DeclaredOrder { index: "product_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder { index: "product_update_ts_idx", columns: &[SortColumn::plain("update_ts")] },
    ],
    dependents: &[&PRODUCT_METRIC],
    ..Description::new("orrery.catalog.v1.Product", "catalog.product")
};

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
