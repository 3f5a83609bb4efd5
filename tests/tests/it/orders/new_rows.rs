//! New rows: few and many are written by different statements with the same result.

use std::collections::HashMap;

use orrery_proto::orders::v1::{Address, AddressKind, LineItem, Order, Summary};
use prost_types::Timestamp;

use super::fixture::{Fixture, bare};
use crate::harness::{line, status};

/// More bytes of lines than `insert` is used for.
const MANY: usize = 20_000;

/// All rows of an order, without keys and times of change.
fn stored(number: &str) -> String {
    let uid = format!("ord_{number}");
    let keys = "'uid' - 'order_uid' - 'create_ts' - 'update_ts'";
    format!(
        "select jsonb_build_object(
             'header', (select to_jsonb(h) - {keys} from orders.order_header as h where uid = '{uid}'),
             'lines', (select jsonb_agg(to_jsonb(l) - {keys} order by line_number)
                         from orders.order_line_item as l where order_uid = '{uid}' and line_number <= 4),
             'given', (select max(create_ts) from orders.order_line_item where order_uid = '{uid}' and line_number = 2),
             'now', (select bool_and(create_ts = update_ts) from orders.order_line_item
                      where order_uid = '{uid}' and line_number <> 2),
             'addresses', (select jsonb_agg(to_jsonb(a) - {keys} order by kind)
                             from orders.order_address as a where order_uid = '{uid}'))::text"
    )
}

#[tokio::test]
async fn few_and_many_are_stored_alike() {
    let fixture = Fixture::new().await;
    let map = |key: &str| HashMap::from([(key.to_owned(), "\"\\é\n".to_owned())]);
    let mut few = Order {
        line_items: vec![
            // Only defaults.
            LineItem::default(),
            LineItem {
                product_uid: "prd_1".to_owned(),
                sku: "A".to_owned(),
                name: "Ä".to_owned(),
                quantity: i32::MIN,
                unit_price: "-0.0010".to_owned(),
                discount: "999999999999999.9999".to_owned(),
                tax: "0.00".to_owned(),
                status: Some(status("packed")),
                labels: map("label"),
                annotations: map("source/note"),
                create_ts: Some(Timestamp { seconds: -1, nanos: 1_000 }),
                ..LineItem::default()
            },
            line("B", 1, "12345678.9"),
            line("C", -3, "10000"),
        ],
        addresses: vec![
            Address {
                kind: AddressKind::Billing.into(),
                lines: vec!["1, \"Street\"".to_owned()],
                ..Address::default()
            },
            Address { kind: AddressKind::Shipping.into(), ..Address::default() },
        ],
        summary: Some(Summary { shipping: "4.90".to_owned(), ..Summary::default() }),
        ..bare("1")
    };
    fixture.write(std::slice::from_ref(&few)).await.expect_counts([1, 0, 0, 0, 0]);
    let expected = fixture.text(&stored("1")).await;
    assert!(expected.contains("\"unit_price\": -0.0010") && expected.contains("\"given\": \"1969-12-31"), "{expected}");

    few.uid = "ord_2".to_owned();
    few.line_items.extend((0..MANY).map(|_| line("D", 1, "1")));
    fixture.write(std::slice::from_ref(&few)).await.expect_counts([1, 0, 0, 0, 0]);
    assert_eq!(fixture.text(&stored("2")).await, expected);
    let count = "select count(*)::text from orders.order_line_item where order_uid = 'ord_2'";
    assert_eq!(fixture.text(count).await, (MANY + 4).to_string());
}
