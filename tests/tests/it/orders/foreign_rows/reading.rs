//! Everything that is stored can be read: alone, in lists and in streams, with the same result.

use orrery_proto::orders::v1::lookup_orders_request::Criterion;
use orrery_proto::orders::v1::{
    AddressKind, BatchGetOrdersRequest, LineItem, ListOrdersRequest, LookupOrdersRequest, Order, OrderView,
    StreamLineItemsRequest, StreamOrdersRequest,
};
use tokio_stream::StreamExt as _;

use super::{ADDRESS_LINES, orders};
use crate::foreign_rows::{NO_OBJECTS, ODD_KEYS};
use crate::orders::fixture::Fixture;

/// Unusual rows, inserted without the service.
pub(super) const STRANGE: &str = "
insert into orders.order_header (uid, currency_code) values
    ('', 'GBP'), ('another program''s uid', 'GBP'), ('ord_é', 'GBP'), ('prd_1', ''), ('ord_without_parts', ''),
    ('ord_numbers', 'gbp'), ('ord_lines', 'pounds sterling'), ('ord_addresses', '€'), ('ord_sums', '');
insert into orders.order_header (uid, currency_code, customer_id, revision, provision_timer_ts, create_ts, update_ts) values
    ('ord_time1', 'GBP', repeat('c', 3000), -5, 'infinity', 'infinity', '-infinity'),
    ('ord_time2', 'GBP', '', 0, '-infinity', '4714-11-24 00:00:00+00 BC', '294276-12-31 23:59:59+00');
insert into orders.order_line_item (order_uid, uid, line_number, quantity, unit_price, discount, tax) values
    ('ord_numbers', 'oli_1', 1, 1, 'NaN', 'Infinity', '-Infinity'),
    ('ord_numbers', 'oli_2', 2, -2147483648, 1e30, 0.00000000000000000001, -123456789012345678901234567890.5),
    ('ord_lines', '', 5, 1, 1, 0, 0), ('ord_lines', 'line 2', 5, 1, 1, 0, 0), ('ord_lines', 'oli_é', -3, 1, 1, 0, 0),
    ('ord_lines', 'oli_4', 0, 1, 1, 0, 0), ('ord_lines', 'oli_5', 2147483647, 1, 1, 0, 0),
    ('ord_lines', 'oli_6', -2147483648, 1, 1, 0, 0),
    ('ord_of_nobody', 'oli_1', 1, 1, 1, 0, 0), ('', 'oli_1', 1, 1, 1, 0, 0);
update orders.order_line_item set sku = repeat('s', 3000), name = repeat('n', 3000), product_uid = 'no product' where uid = 'oli_5';
insert into orders.order_address (order_uid, kind, country_code, postal_code, email) values
    ('ord_addresses', 'billing', 'United Kingdom', repeat('p', 3000), ''), ('ord_addresses', 'invoice', 'gb', null, null),
    ('ord_addresses', '', '', null, null), ('ord_addresses', 'Shipping', null, null, null), ('ord_of_nobody', 'billing', '', '', '');
insert into orders.order_summary (order_uid, line_count, quantity, subtotal, shipping, total) values
    ('ord_sums', -1, 9223372036854775807, 'NaN', 'Infinity', 1e40), ('ord_of_nobody', 1, 1, 1, 0, 1);
";

/// Orders with documents that are not objects, or have invalid keys, in all places.
pub(super) async fn odd_documents(fixture: &Fixture) {
    for (number, odd) in NO_OBJECTS.iter().chain(ODD_KEYS).enumerate() {
        let odd = odd.replace('\'', "''");
        fixture
            .run(&format!(
                "insert into orders.order_header (uid, currency_code, status, labels, annotations) \
                 values ('ord_odd{number}', 'GBP', '{odd}', '{odd}', '{odd}'); \
                 insert into orders.order_line_item (order_uid, uid, line_number, status, labels, annotations) \
                 values ('ord_odd{number}', 'oli_1', 1, '{odd}', '{odd}', '{odd}')"
            ))
            .await;
    }
}

async fn streamed(fixture: &Fixture, page_size: i32, view: OrderView) -> Vec<Order> {
    let request = StreamOrdersRequest { page_size, view: view.into(), ..StreamOrdersRequest::default() };
    let pages = fixture.server.client().stream_orders(request).await.unwrap().into_inner();
    pages.map(|page| page.unwrap().orders).collect::<Vec<_>>().await.concat()
}

#[tokio::test]
async fn whatever_is_stored_can_be_read() {
    let fixture = Fixture::new().await;
    orders(&fixture).await;
    odd_documents(&fixture).await;
    fixture.run(STRANGE).await;
    let mut client = fixture.server.client();

    let full = streamed(&fixture, 3, OrderView::Full).await;
    let count = usize::try_from(fixture.count("orders.order_header").await).unwrap();
    assert_eq!(full.len(), count);
    assert!(full.is_sorted_by(|a, b| a.uid < b.uid), "by uid, each once");
    let basic: Vec<Order> =
        full.iter().map(|order| Order { line_items: Vec::new(), addresses: Vec::new(), ..order.clone() }).collect();
    assert_eq!(streamed(&fixture, 0, OrderView::Basic).await, basic);
    for view in [OrderView::Basic, OrderView::Full] {
        let list = ListOrdersRequest { page_size: 1_000, view: view.into(), ..ListOrdersRequest::default() };
        let listed = client.list_orders(list).await.unwrap().into_inner().orders;
        assert_eq!(listed, if view == OrderView::Full { full.clone() } else { basic.clone() });
    }
    for order_by in ["create_ts", "create_ts desc", "update_ts", "update_ts desc"] {
        let (mut seen, mut page_token) = (0, String::new());
        loop {
            let list =
                ListOrdersRequest { page_size: 3, order_by: order_by.to_owned(), page_token, ..Default::default() };
            let page = client.list_orders(list).await.unwrap().into_inner();
            seen += page.orders.len();
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, count, "{order_by}");
    }
    for order in &full {
        // Only rows with a valid uid can be read by uid; lists and streams return all.
        if order.uid.starts_with("ord_") && order.uid.is_ascii() {
            assert_eq!(fixture.get(order.uid.trim_start_matches("ord_")).await, *order);
            let batch = BatchGetOrdersRequest { uids: vec![order.uid.clone()], ..BatchGetOrdersRequest::default() };
            assert_eq!(client.batch_get_orders(batch).await.unwrap().into_inner().orders, std::slice::from_ref(order));
            let criterion = Some(Criterion::UidPrefix(order.uid.clone()));
            let lookup =
                LookupOrdersRequest { criterion, view: OrderView::Full.into(), ..LookupOrdersRequest::default() };
            assert!(client.lookup_orders(lookup).await.unwrap().into_inner().orders.contains(order));
        }
    }

    // The stream of lines returns the lines of all orders, and those without an order.
    let lines = client.stream_line_items(StreamLineItemsRequest { page_size: 2, ..Default::default() }).await;
    let lines: Vec<LineItem> =
        lines.unwrap().into_inner().map(|page| page.unwrap().line_items).collect::<Vec<_>>().await.concat();
    assert_eq!(lines.len() as i64, fixture.count("orders.order_line_item").await);
    let (of_nobody, of_orders): (Vec<LineItem>, Vec<LineItem>) =
        lines.into_iter().partition(|line| line.order_uid == "ord_of_nobody");
    assert_eq!(of_nobody.len(), 1);
    let expected: Vec<LineItem> = full
        .iter()
        .flat_map(|order| order.line_items.iter().map(|line| LineItem { order_uid: order.uid.clone(), ..line.clone() }))
        .collect();
    assert_eq!(of_orders, expected);
}

#[tokio::test]
async fn strange_values_read_as_what_they_are() {
    let fixture = Fixture::new().await;
    fixture.run(STRANGE).await;
    let alone = fixture.get("without_parts").await;
    assert_eq!((alone.line_items.len(), alone.addresses.len(), alone.summary), (0, 0, None));
    assert_eq!((alone.currency_code.as_str(), alone.revision), ("", 1));

    let lines = fixture.get("lines").await.line_items;
    let places: Vec<(i32, &str)> = lines.iter().map(|line| (line.line_number, line.uid.as_str())).collect();
    let expected = [(i32::MIN, "oli_6"), (-3, "oli_é"), (0, "oli_4"), (5, ""), (5, "line 2"), (i32::MAX, "oli_5")];
    assert_eq!(places, expected);
    assert_eq!((lines[5].sku.len(), lines[5].name.len(), lines[5].product_uid.as_str()), (3_000, 3_000, "no product"));

    let numbers = fixture.get("numbers").await.line_items;
    let amounts = numbers.iter().map(|line| [line.unit_price.as_str(), line.discount.as_str(), line.tax.as_str()]);
    let expected = [
        ["NaN", "Infinity", "-Infinity"],
        ["1000000000000000000000000000000", "0.00000000000000000001", "-123456789012345678901234567890.5"],
    ];
    assert_eq!(amounts.collect::<Vec<_>>(), expected);
    assert_eq!(numbers[1].quantity, i32::MIN);

    let sums = fixture.get("sums").await.summary.unwrap();
    assert_eq!((sums.line_count, sums.quantity, sums.subtotal.as_str()), (-1, i64::MAX, "NaN"));
    assert_eq!((sums.shipping.as_str(), sums.total.len()), ("Infinity", 41));

    let addresses = fixture.get("addresses").await.addresses;
    let kinds: Vec<(AddressKind, &str)> =
        addresses.iter().map(|address| (address.kind(), address.country_code.as_str())).collect();
    // By the stored text, of which the contract knows one.
    let unknown = AddressKind::Unspecified;
    let expected = [(unknown, ""), (unknown, ""), (AddressKind::Billing, "United Kingdom"), (unknown, "gb")];
    assert_eq!(kinds, expected);

    let late = fixture.get("time1").await;
    let last = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_000 };
    assert_eq!((late.create_ts, late.provision_timer_ts), (Some(last), Some(last)));
    assert_eq!((late.revision, late.customer_id.len()), (-5, 3_000));
}

#[tokio::test]
async fn address_lines_read_as_texts() {
    let fixture = Fixture::new().await;
    for (number, (lines, expected)) in ADDRESS_LINES.iter().enumerate() {
        fixture
            .run(&format!(
                "insert into orders.order_header (uid, currency_code) values ('ord_{number}', 'GBP'); \
                 insert into orders.order_address (order_uid, kind, lines) values ('ord_{number}', 'billing', \
                 '{lines}')"
            ))
            .await;
        let read = fixture.get(&number.to_string()).await;
        assert_eq!(read.addresses[0].lines, *expected, "{lines}");
    }
}
