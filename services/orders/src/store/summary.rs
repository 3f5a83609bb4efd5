//! Summaries of orders: `orders.order_summary`. [`crate::summary`] computes them.

use std::sync::LazyLock;

use orrery_kit::resource::{Description, Resource, kind};

use super::amount::AMOUNT;
use super::uids::ORDER_UID;

/// `orrery.orders.v1.Summary` in `orders.order_summary`.
pub static SUMMARY: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "summaries"));

static DESCRIPTION: Description = Description {
    key: &["order_uid"],
    fields: &[
        ("order_uid", &kind::uid_of(ORDER_UID)),
        ("line_count", &kind::integer(0, i32::MAX).computed()),
        ("quantity", &kind::big_integer(i64::MIN, i64::MAX).computed()),
        ("subtotal", &AMOUNT.computed()),
        ("discount", &AMOUNT.computed()),
        ("tax", &AMOUNT.computed()),
        ("shipping", &AMOUNT.or_kept()),
        ("total", &AMOUNT.computed()),
    ],
    ..Description::new("orrery.orders.v1.Summary", "orders.order_summary")
};
