//! Order lines: `orders.order_line_item`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{Description, Reference, Resource, Rule, Target};
use orrery_proto::orders::v1::LineItemFilter;

use super::uids::{LINE_ITEM_UID, ORDER_UID, PRODUCT_UID};

/// Maximum length of a SKU in bytes.
pub const MAX_SKU_BYTES: usize = 256;

/// `orrery.orders.v1.LineItem` in `orders.order_line_item`.
pub static LINE_ITEM: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "line_items"));

static DESCRIPTION: Description = Description {
    key: &["order_uid", "uid"],
    rules: &[
        ("order_uid", Rule::UidOf(ORDER_UID)),
        ("uid", Rule::Uid(LINE_ITEM_UID)),
        ("line_number", Rule::PositiveInteger),
        ("product_uid", Rule::OptionalUidOf(PRODUCT_UID)),
        ("sku", Rule::Text(MAX_SKU_BYTES)),
        ("name", Rule::Text(2_048)),
        ("quantity", Rule::Integer(i32::MIN, i32::MAX)),
        ("unit_price", Rule::Amount),
        ("discount", Rule::Amount),
        ("tax", Rule::Amount),
        ("status", Rule::Status("active")),
        ("labels", Rule::Labels),
        ("annotations", Rule::Annotations),
        ("create_ts", Rule::CreatedAt),
        ("update_ts", Rule::UpdatedAt),
    ],
    references: &[Reference { column: "product_uid", target: Target::Elsewhere }],
    natural_order: &["order_uid", "line_number", "uid"],
    ..Description::new("orrery.orders.v1.LineItem", "orders.order_line_item")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&LineItemFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .uids("filter.order_uids", "order_uid", &filter.order_uids)
        .uids("filter.product_uids", "product_uid", &filter.product_uids)
        .names("filter.skus", "sku", &filter.skus)
        .phases("filter.phases", "status", &filter.phases)
        .label_selector("filter.label_selector", "labels", &filter.label_selector)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .time_range("filter.updated", "update_ts", filter.updated.as_ref())
        .checked()
}
