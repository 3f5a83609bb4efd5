//! Summaries of orders: `orders.order_summary`. [`crate::summary`] computes them.

use std::sync::LazyLock;

use orrery_kit::resource::{Description, Resource, Rule};

use super::uids::ORDER_UID;

/// `orrery.orders.v1.Summary` in `orders.order_summary`.
pub static SUMMARY: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "summaries"));

static DESCRIPTION: Description = Description {
    key: &["order_uid"],
    rules: &[
        ("order_uid", Rule::UidOf(ORDER_UID)),
        ("line_count", Rule::ComputedInteger),
        ("quantity", Rule::ComputedBigInteger),
        ("subtotal", Rule::ComputedDecimal),
        ("discount", Rule::ComputedDecimal),
        ("tax", Rule::ComputedDecimal),
        ("shipping", Rule::OptionalAmount),
        ("total", Rule::ComputedDecimal),
    ],
    ..Description::new("orrery.orders.v1.Summary", "orders.order_summary")
};
