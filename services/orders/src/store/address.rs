//! Addresses of orders: `orders.order_address`.

use std::sync::LazyLock;

use orrery_kit::resource::{Description, Resource, Rule};

use super::uids::ORDER_UID;

/// `orrery.orders.v1.Address` in `orders.order_address`.
pub static ADDRESS: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "addresses"));

static DESCRIPTION: Description = Description {
    key: &["order_uid", "kind"],
    rules: &[
        ("order_uid", Rule::UidOf(ORDER_UID)),
        ("kind", Rule::OneOf(&["billing", "shipping"])),
        ("name", Rule::Text(512)),
        ("company", Rule::Text(512)),
        ("lines", Rule::TextList(8, 512)),
        ("city", Rule::Text(256)),
        ("region", Rule::Text(256)),
        ("postal_code", Rule::Text(64)),
        ("country_code", Rule::OptionalCode(2)),
        ("phone", Rule::Text(64)),
        ("email", Rule::Text(320)),
    ],
    ..Description::new("orrery.orders.v1.Address", "orders.order_address")
};
