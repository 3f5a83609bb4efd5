//! The filters of orders and lines that products do not have.

use orrery_proto::orders::v1::{
    LineItemFilter, ListOrdersRequest, OrderFilter, StreamLineItemsRequest, StreamOrdersRequest,
};
use orrery_proto::r#type::v1::TimeRange;
use prost_types::FieldMask;

use super::fixture::Fixture;
use crate::harness::{assert_invalid, timestamp};

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "insert into orders.order_header (uid, customer_id, currency_code, status, create_ts) values \
             ('ord_1', 'a', 'GBP', '{\"phase\": \"draft\"}', to_timestamp(1)), \
             ('ord_2', 'a', 'EUR', '{\"phase\": \"closed\"}', to_timestamp(2)), \
             ('ord_3', 'b%', 'GBP', '{\"phase\": \"draft\"}', to_timestamp(3)), \
             ('ord_4', null, 'gbp', '{\"phase\": \"draft\"}', to_timestamp(4)); \
             insert into orders.order_line_item \
                    (order_uid, uid, line_number, product_uid, sku, status, labels, create_ts, update_ts) values \
             ('ord_1', 'oli_b', 1, 'prd_1', 'S1', '{\"phase\": \"active\"}', '{\"gift\": \"yes\"}', to_timestamp(1), \
             to_timestamp(9)), \
             ('ord_1', 'oli_a', 2, 'prd_1', 'S2', '{\"phase\": \"void\"}', '{}', to_timestamp(2), to_timestamp(8)), \
             ('ord_2', 'oli_a', 1, 'prd_2', 'S1', '{\"phase\": \"active\"}', '{\"gift\": \"no\"}', to_timestamp(3), \
             to_timestamp(7)), \
             ('ord_3', 'oli_a', 1, null, null, '{\"phase\": \"active\"}', '{}', to_timestamp(4), to_timestamp(6))",
        )
        .await;
    fixture
}

async fn orders(fixture: &Fixture, filter: OrderFilter) -> Vec<String> {
    let mut client = fixture.server.client();
    let list = ListOrdersRequest { filter: Some(filter.clone()), ..ListOrdersRequest::default() };
    let listed = client.list_orders(list).await.unwrap().into_inner().orders;
    let stream = StreamOrdersRequest { filter: Some(filter), ..StreamOrdersRequest::default() };
    let mut stream = client.stream_orders(stream).await.unwrap().into_inner();
    let mut streamed = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        streamed.extend(page.orders);
    }
    assert_eq!(listed, streamed);
    listed.into_iter().map(|order| order.uid).collect()
}

/// The matching lines, as `order/line`.
async fn lines(fixture: &Fixture, filter: LineItemFilter) -> Vec<String> {
    let request = StreamLineItemsRequest { filter: Some(filter), ..StreamLineItemsRequest::default() };
    let mut stream = fixture.server.client().stream_line_items(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        found.extend(page.line_items.into_iter().map(|line| format!("{}/{}", &line.order_uid[4..], &line.uid[4..])));
    }
    found
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_customer_currency_and_product() {
    let fixture = fixture().await;
    let any = OrderFilter::default;
    assert_eq!(orders(&fixture, any()).await, ["ord_1", "ord_2", "ord_3", "ord_4"]);
    let customer = |id: &str| OrderFilter { customer_id: id.to_owned(), ..any() };
    assert_eq!(orders(&fixture, customer("a")).await, ["ord_1", "ord_2"]);
    assert_eq!(orders(&fixture, customer("b%")).await, ["ord_3"]);
    assert_eq!(orders(&fixture, customer("b")).await, Vec::<String>::new());
    let currency = |code: &str| OrderFilter { currency_code: code.to_owned(), ..any() };
    assert_eq!(orders(&fixture, currency("GBP")).await, ["ord_1", "ord_3"]);
    // Two lines of one order reference it: the order is returned once.
    let product = |uid: &str| OrderFilter { product_uid: uid.to_owned(), ..any() };
    assert_eq!(orders(&fixture, product("prd_1")).await, ["ord_1"]);
    assert_eq!(orders(&fixture, product("prd_3")).await, Vec::<String>::new());
    // All conditions must hold.
    let both = OrderFilter { customer_id: "a".to_owned(), ..currency("GBP") };
    assert_eq!(orders(&fixture, both.clone()).await, ["ord_1"]);
    assert_eq!(orders(&fixture, OrderFilter { phases: texts(["closed"]), ..both }).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_timer_is_due_in_no_range() {
    let fixture = fixture().await;
    fixture
        .run(
            "update orders.order_header set provision_timer_ts = to_timestamp(10) where uid = 'ord_2'; \
             update orders.order_header set provision_timer_ts = to_timestamp(20) where uid = 'ord_3'",
        )
        .await;
    for (start, end, expected) in [
        (None, None, vec!["ord_2", "ord_3"]),
        (Some(10), None, vec!["ord_2", "ord_3"]),
        (None, Some(20), vec!["ord_2"]),
        (Some(11), Some(21), vec!["ord_3"]),
        (Some(15), Some(15), vec![]),
    ] {
        let provision_timer = TimeRange { start: start.map(timestamp), end: end.map(timestamp) };
        let filter = OrderFilter { provision_timer: Some(provision_timer), ..OrderFilter::default() };
        assert_eq!(orders(&fixture, filter).await, expected, "{start:?} {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_found_by_all_they_have_in_the_order_of_their_numbers() {
    let fixture = fixture().await;
    let any = LineItemFilter::default;
    let range = |start: i64, end: i64| Some(TimeRange { start: Some(timestamp(start)), end: Some(timestamp(end)) });
    for (filter, expected) in [
        (any(), vec!["1/b", "1/a", "2/a", "3/a"]),
        (LineItemFilter { order_uids: texts(["ord_1", "ord_3", "ord_9"]), ..any() }, vec!["1/b", "1/a", "3/a"]),
        (LineItemFilter { product_uids: texts(["prd_1", "prd_2"]), ..any() }, vec!["1/b", "1/a", "2/a"]),
        (LineItemFilter { skus: texts(["S1"]), ..any() }, vec!["1/b", "2/a"]),
        (LineItemFilter { phases: texts(["void", "other"]), ..any() }, vec!["1/a"]),
        (LineItemFilter { label_selector: "gift".to_owned(), ..any() }, vec!["1/b", "2/a"]),
        (LineItemFilter { label_selector: "gift!=yes".to_owned(), ..any() }, vec!["1/a", "2/a", "3/a"]),
        (LineItemFilter { created: range(2, 4), ..any() }, vec!["1/a", "2/a"]),
        (LineItemFilter { updated: range(8, 10), ..any() }, vec!["1/b", "1/a"]),
        (LineItemFilter { skus: texts(["S1"]), product_uids: texts(["prd_2"]), ..any() }, vec!["2/a"]),
    ] {
        assert_eq!(lines(&fixture, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_shows_what_a_mask_says() {
    let fixture = fixture().await;
    let request = StreamLineItemsRequest {
        filter: Some(LineItemFilter { order_uids: texts(["ord_2"]), ..LineItemFilter::default() }),
        read_mask: Some(FieldMask { paths: texts(["order_uid", "sku", "labels.gift"]) }),
        ..StreamLineItemsRequest::default()
    };
    let mut stream = fixture.server.client().stream_line_items(request).await.unwrap().into_inner();
    let line = stream.message().await.unwrap().unwrap().line_items.remove(0);
    assert_eq!((line.order_uid.as_str(), line.sku.as_str(), line.labels["gift"].as_str()), ("ord_2", "S1", "no"));
    assert_eq!((line.product_uid.as_str(), line.line_number, line.status), ("", 0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_conditions_are_named() {
    let fixture = fixture().await;
    let mut client = fixture.server.client();
    let any = OrderFilter::default;
    for (filter, field) in [
        (OrderFilter { customer_id: "x".repeat(257), ..any() }, "filter.customer_id"),
        (OrderFilter { customer_id: "\0".to_owned(), ..any() }, "filter.customer_id"),
        (OrderFilter { currency_code: "gbp".to_owned(), ..any() }, "filter.currency_code"),
        (OrderFilter { currency_code: "GB".to_owned(), ..any() }, "filter.currency_code"),
        (OrderFilter { currency_code: "GBPX".to_owned(), ..any() }, "filter.currency_code"),
        (OrderFilter { product_uid: "85123A\0".to_owned(), ..any() }, "filter.product_uid"),
        (OrderFilter { uids: texts([""]), ..any() }, "filter.uids[0]"),
        (OrderFilter { label_selector: "a b".to_owned(), ..any() }, "filter.label_selector"),
        (
            OrderFilter {
                provision_timer: Some(TimeRange { start: Some(timestamp(2)), end: Some(timestamp(1)) }),
                ..any()
            },
            "filter.provision_timer.end",
        ),
    ] {
        let list = ListOrdersRequest { filter: Some(filter), ..ListOrdersRequest::default() };
        assert_invalid(client.list_orders(list).await, "FIELD_INVALID", field);
    }
    let any = LineItemFilter::default;
    for (filter, field) in [
        (LineItemFilter { order_uids: texts(["oli_\0"]), ..any() }, "filter.order_uids[0]"),
        (LineItemFilter { product_uids: texts(["prd_1", ""]), ..any() }, "filter.product_uids[1]"),
        (LineItemFilter { skus: vec!["x".to_owned(); 65], ..any() }, "filter.skus"),
        (LineItemFilter { phases: texts([""]), ..any() }, "filter.phases"),
    ] {
        let stream = StreamLineItemsRequest { filter: Some(filter), ..StreamLineItemsRequest::default() };
        assert_invalid(client.stream_line_items(stream).await, "FIELD_INVALID", field);
    }
}
