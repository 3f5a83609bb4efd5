//! Orders: `orders.order_header` and its child tables.

use std::sync::LazyLock;

use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::child_table::ChildDescription;
use orrery_kit::resource::{DeclaredOrder, Description, Resource, SortColumn, kind};
use orrery_proto::orders::v1::OrderFilter;

use super::address::ADDRESS;
use super::line_item::LINE_ITEM;
use super::summary::SUMMARY;
use super::uids::ORDER_UID;
use crate::lifecycle::LIFECYCLE;
use crate::rules::OrderRules;

/// Maximum length of a customer id in bytes.
pub const MAX_CUSTOMER_ID_BYTES: usize = 256;

/// `orrery.orders.v1.Order` in `orders.order_header` and its child tables.
pub static ORDER: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "orders"));

static DESCRIPTION: Description = Description {
    fields: &[
        ("uid", &kind::uid(ORDER_UID)),
        ("customer_id", &kind::text(MAX_CUSTOMER_ID_BYTES)),
        ("currency_code", &kind::code(3)),
        ("revision", &kind::revision()),
        ("status", &kind::status(LIFECYCLE.initial)),
        ("labels", &kind::labels()),
        ("annotations", &kind::annotations()),
        ("provision_timer_ts", &kind::timestamp()),
        ("create_ts", &kind::created_at()),
        ("update_ts", &kind::updated_at()),
        ("etag", &kind::etag()),
    ],
    orders: &[
        DeclaredOrder { index: "order_header_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder { index: "order_header_update_ts_idx", columns: &[SortColumn::plain("update_ts")] },
        DeclaredOrder {
            index: "order_header_provision_timer_order_idx",
            // What has no timer is never due.
            columns: &[SortColumn::indexed_as("provision_timer_ts", "coalesce(provision_timer_ts, 'infinity')")],
        },
    ],
    children: &[
        ChildDescription { field: "line_items", resource: &LINE_ITEM, replaced: false },
        ChildDescription { field: "addresses", resource: &ADDRESS, replaced: true },
        ChildDescription { field: "summary", resource: &SUMMARY, replaced: true },
    ],
    rules: OrderRules::of,
    ..Description::new("orrery.orders.v1.Order", "orders.order_header")
};

/// Compiles a filter.
///
/// # Errors
/// [`Error::Invalid`] with every violation, below `filter`.
pub fn filter(filter: Option<&OrderFilter>) -> Result<Filter, Error> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    Filter::default()
        .label_selector("filter.label_selector", "labels", &filter.label_selector)
        .phases("filter.phases", "status", &filter.phases)
        .uids("filter.uids", "uid", &filter.uids)
        .time_range("filter.created", "create_ts", filter.created.as_ref())
        .time_range("filter.updated", "update_ts", filter.updated.as_ref())
        .text("filter.customer_id", "customer_id", MAX_CUSTOMER_ID_BYTES, &filter.customer_id)
        .time_range("filter.provision_timer", "provision_timer_ts", filter.provision_timer.as_ref())
        .code("filter.currency_code", "currency_code", 3, &filter.currency_code)
        .uid_in_child("filter.product_uid", &LINE_ITEM, "product_uid", &filter.product_uid)
        .checked()
}
