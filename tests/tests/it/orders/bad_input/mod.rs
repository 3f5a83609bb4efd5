//! Invalid orders and requests: INVALID_ARGUMENT with the path of the field, and nothing is written. Valid values at a
//! limit are accepted. The contract's list of fields shows whether the tests cover all of them.

mod bytes;
mod kept;
mod orders;
mod requests;
mod sums;
mod tokens;

use orrery_proto::orders::v1::{Address, AddressKind, LineItem, Order, Summary};

use super::fixture::bare;
use crate::harness::{line, status};

/// A draft with all kinds of content: four lines, two addresses, a price of shipping.
fn whole(number: &str) -> Order {
    let address = |kind: AddressKind| Address {
        kind: kind.into(),
        lines: ["House 1", "Street 2", "Floor 3"].map(str::to_owned).into(),
        country_code: "GB".to_owned(),
        ..Address::default()
    };
    Order {
        customer_id: "17850".to_owned(),
        status: Some(status("draft")),
        line_items: vec![line("a", 1, "1.50"), line("b", 2, "0.001"), line("c", -3, "-2.50"), line("d", 4, "10")],
        addresses: vec![address(AddressKind::Billing), address(AddressKind::Shipping)],
        summary: Some(Summary { shipping: "4.99".to_owned(), ..Summary::default() }),
        ..bare(number)
    }
}

/// That order with a changed fourth line.
fn with_line(change: impl FnOnce(&mut LineItem)) -> Order {
    let mut order = whole("a");
    change(&mut order.line_items[3]);
    order
}

/// That order with a changed second address.
fn with_address(change: impl FnOnce(&mut Address)) -> Order {
    let mut order = whole("a");
    change(&mut order.addresses[1]);
    order
}

/// That order with another price of shipping.
fn with_shipping(shipping: &str) -> Order {
    Order { summary: Some(Summary { shipping: shipping.to_owned(), ..Summary::default() }), ..whole("a") }
}

/// A path without list indexes and map keys.
fn field_of(path: &str) -> String {
    let mut out = String::new();
    let mut in_brackets = false;
    for character in path.chars() {
        match character {
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            _ if in_brackets => {}
            character => out.push(character),
        }
    }
    for map in ["labels", "annotations"] {
        if let Some(at) = out.find(&format!("{map}.")) {
            out.truncate(at + map.len());
        }
    }
    out
}
