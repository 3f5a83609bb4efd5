//! Valid orders at a limit are stored and read back as they were sent.

use orrery_proto::orders::v1::{CreateOrderRequest, LineItem, Order, OrderView, Summary, UpdateOrderRequest};
use orrery_proto::r#type::v1::{ReferenceCheck, Status};

use super::{whole, with_address, with_line, with_shipping};
use crate::harness::{status, values};
use crate::orders::fixture::Fixture;

/// Amounts at a limit, and how they are read.
const AMOUNTS: &[(&str, &str)] = &[
    ("", "0"),
    ("0", "0"),
    ("-0", "0"),
    ("-0.00", "0.00"),
    ("0.001", "0.001"),
    ("2.50", "2.50"),
    ("007.5000", "7.5000"),
    ("999999999999999.9999", "999999999999999.9999"),
    ("-999999999999999.9999", "-999999999999999.9999"),
    ("0.0001", "0.0001"),
    ("-0.0001", "-0.0001"),
];

/// Texts with a meaning elsewhere.
const ODD_TEXTS: &[&str] =
    &["\u{1}\u{7f}\u{feff}😀\u{202e}\r\n\t", "'; drop table orders.order_header; -- \\ \" $1", " "];

/// An amount of a line.
type Amount = fn(&mut LineItem) -> &mut String;

/// Valid orders at a limit, and how they are read.
fn kept() -> Vec<(Order, Order)> {
    let mut same = Vec::new();
    let a = || whole("a");
    same.extend(values::valid_uids("ord_").into_iter().map(|uid| Order { uid, ..a() }));
    for currency_code in ["AAA", "ZZZ", "XXX"] {
        same.push(Order { currency_code: currency_code.to_owned(), ..a() });
    }
    for phase in ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"] {
        same.push(Order { status: Some(status(phase)), ..a() });
    }
    for kept in values::valid_statuses() {
        same.push(Order { status: Some(Status { phase: "draft".to_owned(), ..kept.clone() }), ..a() });
        same.push(with_line(|line| line.status = Some(Status { phase: "active".to_owned(), ..kept })));
    }
    for phase in values::valid_phases() {
        same.push(with_line(|line| line.status = Some(phase)));
    }
    for labels in values::valid_labels() {
        same.push(Order { labels: labels.clone(), ..a() });
        same.push(with_line(|line| line.labels = labels));
    }
    for annotations in values::valid_annotations() {
        same.push(Order { annotations: annotations.clone(), ..a() });
        same.push(with_line(|line| line.annotations = annotations));
    }
    for texts in [
        &["x".repeat(256), "é".repeat(128)].map(|text| text)[..],
        &ODD_TEXTS.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(),
    ] {
        for text in texts {
            same.push(Order { customer_id: text.clone(), ..a() });
            same.push(with_line(|line| line.sku.clone_from(text)));
            same.push(with_address(|address| {
                address.city.clone_from(text);
                address.region.clone_from(text);
            }));
        }
    }
    same.push(with_line(|line| line.name = "n".repeat(2_048)));
    same.extend(values::valid_uids("oli_").into_iter().map(|uid| with_line(|line| line.uid = uid)));
    same.extend(values::valid_uids("prd_").into_iter().map(|uid| with_line(|line| line.product_uid = uid)));
    for quantity in [0, i32::MAX, i32::MIN] {
        same.push(with_line(|line| line.quantity = quantity));
    }
    same.push(single(with_line(|line| line.line_number = i32::MAX)));
    same.push(with_address(|address| {
        address.name = "n".repeat(512);
        address.company = "c".repeat(512);
        address.lines = (0..8).map(|at| ODD_TEXTS[at % 3].repeat(512 / ODD_TEXTS[at % 3].len())).collect();
        address.city = "c".repeat(256);
        address.region = "r".repeat(256);
        address.postal_code = "p".repeat(64);
        "ZZ".clone_into(&mut address.country_code);
        address.phone = "p".repeat(64);
        address.email = "e".repeat(320);
    }));
    same.push(with_address(|address| {
        address.country_code.clear();
        address.lines = vec![String::new(), "after an empty one".to_owned()];
    }));
    let mut cases: Vec<(Order, Order)> = same.into_iter().map(|order| (order.clone(), order)).collect();
    for &(sent, read) in AMOUNTS {
        let shipped = |amount: &str| Order { line_items: Vec::new(), ..with_shipping(amount) };
        cases.push((shipped(sent), shipped(read)));
        let fields: [Amount; 3] = [|line| &mut line.unit_price, |line| &mut line.discount, |line| &mut line.tax];
        for field in fields {
            let with = |amount: &str| {
                with_line(|line| {
                    line.quantity = 1;
                    // So that no total exceeds the limit.
                    "0".clone_into(&mut line.unit_price);
                    amount.clone_into(field(line));
                })
            };
            cases.push((single(with(sent)), single(with(read))));
        }
    }
    // The order's uid may be set in its children; computed fields may be set and are ignored.
    let mut named = a();
    named.line_items.iter_mut().for_each(|line| "ord_a".clone_into(&mut line.order_uid));
    named.addresses.iter_mut().for_each(|address| "ord_a".clone_into(&mut address.order_uid));
    named.summary = Some(Summary {
        order_uid: "ord_a".to_owned(),
        line_count: -5,
        quantity: i64::MIN,
        subtotal: "lots\0".to_owned(),
        discount: "1e9".to_owned(),
        tax: "NaN".to_owned(),
        shipping: "4.99".to_owned(),
        total: "nothing".to_owned(),
    });
    cases.push((named, a()));
    cases
}

/// An order with only its last line.
fn single(mut order: Order) -> Order {
    order.line_items.drain(..3);
    order.summary = None;
    order
}

/// An order as sent: without the fields that the service adds, and with defaults as they are read.
fn as_sent(mut order: Order, read: bool) -> Order {
    order.revision = 0;
    order.update_ts = None;
    order.etag.clear();
    order.create_ts = None;
    let mut last = order.line_items.iter().map(|line| line.line_number).max().unwrap_or_default();
    for line in &mut order.line_items {
        if line.line_number == 0 {
            last += 1;
            line.line_number = last;
        }
        line.create_ts = None;
        line.update_ts = None;
        let phase = &mut line.status.get_or_insert_default().phase;
        if phase.is_empty() {
            "active".clone_into(phase);
        }
        for amount in [&mut line.unit_price, &mut line.discount, &mut line.tax] {
            if amount.is_empty() {
                "0".clone_into(amount);
            }
        }
        if read && line.uid.len() == 30 {
            line.uid.clear();
        }
    }
    order.line_items.sort_by_key(|line| line.line_number);
    order.addresses.sort_by(|a, b| a.kind.cmp(&b.kind));
    let shipping = order.summary.take().map_or_else(|| "0".to_owned(), |summary| summary.shipping);
    let shipping = if shipping.is_empty() { "0".to_owned() } else { shipping };
    order.summary = Some(Summary { shipping, ..Summary::default() });
    order
}

#[tokio::test]
async fn what_keeps_every_rule_is_stored_and_read_back() {
    let fixture = Fixture::new().await;
    for (sent, expected) in kept() {
        fixture
            .run(
                "delete from orders.order_header; delete from orders.order_line_item; delete from \
            orders.order_address; delete from orders.order_summary",
            )
            .await;
        fixture.write(std::slice::from_ref(&sent)).await.expect_counts([1, 0, 0, 0, 0]);
        let number = sent.uid.trim_start_matches("ord_");
        let read = fixture.get(number).await;
        assert_eq!(as_sent(read.clone(), true), as_sent(expected, true));
        fixture.assert_sums().await;
        // Written again, and as it was read, it is unchanged.
        fixture.write(std::slice::from_ref(&sent)).await.expect_counts([0, 0, 1, 0, 0]);
        fixture.write(std::slice::from_ref(&read)).await.expect_counts([0, 0, 1, 0, 0]);
        // The single write accepts it as well, and finds no difference.
        let accept = ReferenceCheck::Accept.into();
        let update = UpdateOrderRequest {
            order: Some(sent.clone()),
            reference_check: accept,
            view: OrderView::Full.into(),
            ..UpdateOrderRequest::default()
        };
        assert_eq!(fixture.server.client().update_order(update).await.unwrap().into_inner(), read);
        // And restores it if allowed: a new order is a draft.
        if sent.status.as_ref().is_none_or(|status| status.phase == "draft") {
            fixture.delete(number).await;
            let create = CreateOrderRequest {
                order: Some(sent),
                reference_check: accept,
                view: OrderView::Full.into(),
                ..CreateOrderRequest::default()
            };
            let created = fixture.server.client().create_order(create).await.unwrap().into_inner();
            assert_eq!(as_sent(created, false), as_sent(read, false));
        }
    }
}

#[tokio::test]
async fn times_are_kept_to_the_microsecond() {
    let fixture = Fixture::new().await;
    for time in values::valid_times() {
        let mut sent = whole("a");
        sent.create_ts = Some(time);
        sent.provision_timer_ts = Some(time);
        sent.line_items[3].create_ts = Some(time);
        fixture.write(&[sent]).await;
        let read = fixture.get("a").await;
        let stored = Some(prost_types::Timestamp { nanos: time.nanos / 1_000 * 1_000, ..time });
        assert_eq!((read.create_ts, read.provision_timer_ts, read.line_items[3].create_ts), (stored, stored, stored));
        fixture.delete("a").await;
    }
}
