//! Invalid requests: texts that are not UTF-8, messages and rows that are too large, and missing or additional
//! messages.

use bytes::Bytes;
use tonic::Code;

use crate::harness::contract::{Contract, field};
use crate::harness::raw::{call, methods};
use crate::harness::{assert_invalid, refusal};
use crate::orders::fixture::Fixture;

/// An address's kind, field 2: billing.
const BILLING: [u8; 2] = [2 << 3, 1];

const NOT_UTF_8: &[u8] = b"a\xff";
const WRITE: &str = "/orrery.orders.v1.OrdersService/WriteOrders";
const CREATE: &str = "/orrery.orders.v1.OrdersService/CreateOrder";

fn write(order: &[u8]) -> Vec<Bytes> {
    vec![field(1, b"").into(), field(2, &field(2, order)).into()]
}

#[tokio::test]
async fn every_text_that_is_not_utf_8_is_told_by_its_field() {
    let fixture = Fixture::new().await;
    let contract = Contract::new();
    let mut fields = 0;
    for method in methods(orrery_orders::SERVICE_NAMES[0]) {
        let is_member = |path: &str| {
            let members = ["text", "customer_id", "sku", "annotation.key", "annotation.value", "uid_prefix"];
            method.name == "LookupOrders" && members.contains(&path)
        };
        for (path, _, message) in contract.texts(&method.input, NOT_UTF_8) {
            // Those of an order are reported with their index, see below.
            if path.starts_with("chunk.orders.") || path.starts_with("order.") {
                continue;
            }
            let refused = call(&fixture.server.channel(), &method.path, vec![message.into()]).await.unwrap_err();
            let refused = refusal(&refused);
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"), "{path}");
            let [told] = &refused.fields[..] else { unreachable!("{path}: {refused:?}") };
            // The fields of the oneof in a lookup are reported by the name of the oneof; the paths of a mask and the
            // entries of a map by the field.
            let path = if is_member(&path) {
                path.rsplit_once('.').map_or("criterion".to_owned(), |(_, rest)| format!("criterion.{rest}"))
            } else {
                path
            };
            assert!(told == &path || told.starts_with(&format!("{path}.")), "{}: {path}: {told}", method.name);
            fields += 1;
        }
    }
    assert!(fields > 50, "{fields}");
}

#[tokio::test]
async fn every_text_of_an_order_that_is_not_utf_8_is_told_by_its_place() {
    let fixture = Fixture::new().await;
    let good = [field(1, b"ord_a"), field(3, b"GBP")].concat();
    // Computed fields are ignored whatever they contain.
    let passed_over = ["summary.subtotal", "summary.discount", "summary.tax", "summary.total"];
    for (path, place, message) in Contract::new().texts(".orrery.orders.v1.Order", NOT_UTF_8) {
        // An address has a kind; the bytes after its header of two bytes are its other content. A repeated field uses
        // its last value.
        let message =
            if path.starts_with("addresses.") { field(13, &[&BILLING, &message[2..]].concat()) } else { message };
        let order = [good.clone(), message].concat();
        for (method, messages, reason, within) in [
            (WRITE, write(&order), "ROW_REJECTED", "chunk.orders[0]"),
            (CREATE, vec![field(1, &order).into()], "FIELD_INVALID", "order"),
        ] {
            let answer = call(&fixture.server.channel(), method, messages).await;
            if passed_over.contains(&path.as_str()) {
                answer.unwrap();
                fixture.delete("a").await;
                continue;
            }
            assert_invalid(answer.map(drop), reason, &format!("{within}.{place}"));
        }
    }
    assert_eq!(fixture.count("orders.order_header").await, 0);
}

#[tokio::test]
async fn a_message_over_the_limit_is_the_callers_mistake() {
    let fixture = Fixture::with(|config| config.service.stream.max_message_bytes = 1024 * 1024).await;
    let large = Bytes::from(vec![0; 1024 * 1024 + 1]);
    for method in methods(orrery_orders::SERVICE_NAMES[0]) {
        let refused = call(&fixture.server.channel(), &method.path, vec![large.clone()]).await.unwrap_err();
        let refused = refusal(&refused);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::InvalidArgument, "MESSAGE_MALFORMED"),
            "{}",
            method.name
        );
    }
}

#[tokio::test]
async fn an_order_and_each_part_of_it_have_a_size() {
    let fixture = Fixture::new().await;
    let good = [field(1, b"ord_a"), field(3, b"GBP")].concat();
    // Unknown fields are skipped, and counted.
    let unknown = |bytes: usize| field(200, &vec![b'x'; bytes]);
    let parts: [(&[u8], i32, &str); 4] =
        [(b"", 0, ""), (b"", 12, ".line_items[1]"), (&BILLING, 13, ".addresses[0]"), (b"", 14, ".summary")];
    for (named, number, path) in parts {
        let order = |bytes: usize| {
            let part = [named.to_vec(), unknown(bytes)].concat();
            let part = if number == 0 { part } else { field(number, &part) };
            // Other lines do not count for this line or for the order.
            let lines = field(12, &unknown(1024 * 1024 - 100));
            [good.clone(), lines, part].concat()
        };
        let refused = call(&fixture.server.channel(), WRITE, write(&order(1024 * 1024))).await.map(drop);
        assert_invalid(refused, "ROW_REJECTED", &format!("chunk.orders[0]{path}"));
        call(&fixture.server.channel(), WRITE, write(&order(1024 * 1024 - 100))).await.unwrap();
    }
}

#[tokio::test]
async fn no_message_is_the_callers_mistake() {
    let fixture = Fixture::new().await;
    for method in methods(orrery_orders::SERVICE_NAMES[0]).into_iter().filter(|method| !method.streams_in) {
        let refused = refusal(&call(&fixture.server.channel(), &method.path, vec![]).await.unwrap_err());
        assert_eq!(refused.code, Code::InvalidArgument, "{}", method.name);
    }
}
