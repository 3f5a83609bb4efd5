//! Order lines: `orders.order_line_item`.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::{Description, Reference, ReferenceTarget, Resource, kind};
use orrery_proto::orders::v1::LineItemFilter;

use super::amount::AMOUNT;
use super::uids::{LINE_ITEM_UID, ORDER_UID, PRODUCT_UID};

/// Maximum length of a SKU in bytes.
pub const MAX_SKU_BYTES: usize = 256;

/// `orrery.orders.v1.LineItem` in `orders.order_line_item`.
pub static LINE_ITEM: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "line_items"));

static DESCRIPTION: Description = Description {
    key: &["order_uid", "uid"],
    fields: &[
        ("order_uid", &kind::uid_of(ORDER_UID)),
        ("uid", &kind::uid(LINE_ITEM_UID)),
        ("line_number", &kind::integer(0, i32::MAX).completed()),
        ("product_uid", &kind::uid_of(PRODUCT_UID).optional()),
        ("sku", &kind::text(MAX_SKU_BYTES)),
        ("name", &kind::text(2_048)),
        ("quantity", &kind::integer(i32::MIN, i32::MAX)),
        ("unit_price", &AMOUNT),
        ("discount", &AMOUNT),
        ("tax", &AMOUNT),
        ("status", &kind::status("active")),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
    ],
    references: &[Reference { column: "product_uid", target: ReferenceTarget::Elsewhere }],
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
