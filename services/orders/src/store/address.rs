//! Addresses of orders: `orders.order_address`.

use std::sync::LazyLock;

use orrery_kit::resource::{Description, Resource, kind};

use super::uids::ORDER_UID;

/// `orrery.orders.v1.Address` in `orders.order_address`.
pub static ADDRESS: LazyLock<Resource> = LazyLock::new(|| Resource::compile(&DESCRIPTION, "addresses"));

static DESCRIPTION: Description = Description {
    key: &["order_uid", "kind"],
    fields: &[
        ("order_uid", &kind::uid_of(ORDER_UID)),
        ("kind", &kind::enumeration(&[(1, "billing"), (2, "shipping")])),
        ("name", &kind::text(512)),
        ("company", &kind::text(512)),
        ("lines", &kind::text_list(8, 512)),
        ("city", &kind::text(256)),
        ("region", &kind::text(256)),
        ("postal_code", &kind::text(64)),
        ("country_code", &kind::code(2).optional()),
        ("phone", &kind::text(64)),
        ("email", &kind::text(320)),
    ],
    ..Description::new("orrery.orders.v1.Address", "orders.order_address")
};
