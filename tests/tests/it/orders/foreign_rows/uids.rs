//! Orders and lines with keys outside of the contract's grammar, from other programs: they can be read, changed, moved
//! and deleted like others. New ones cannot be created.

use orrery_proto::orders::v1::lookup_orders_request::Criterion;
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest,
    GetOrderRequest, LineItem, LineItemFilter, ListOrdersRequest, LookupOrdersRequest, Order, OrderFilter,
    SetProvisionTimerRequest, StreamLineItemsRequest, StreamOrdersRequest, TransitionOrderRequest, UpdateOrderRequest,
};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};
use rand::RngExt as _;
use sqlx::query;
use tonic::Code;

use super::update;
use crate::harness::{assert_invalid, line, timestamp};
use crate::orders::fixture::{Fixture, bare};
use crate::writes::stream::{ORDERS, mask, write};

/// Keys of other programs, in byte order.
pub(crate) fn foreign_keys() -> Vec<String> {
    let mut random = rand::rng();
    // An index can hold a long text that is compressible, or about 2,700 bytes of one that is not.
    let incompressible: String = (0..2_000).map(|_| char::from(random.random_range(b'!'..b'~'))).collect();
    let mut keys: Vec<String> = [
        "1",
        " ",
        "another program's uid",
        "SO-1001/2",
        "ord",
        "ord_",
        "ord_ 1",
        "ord_é",
        "oli_é",
        "prd_1\"",
        "\\",
        "\\' or true --",
        "\u{1}\n\t\u{7f}",
        "%_",
        "{a,b}",
        "é",
        "\u{d7ff}",
        "\u{e000}",
        "😀\u{10ffff}",
        "\u{10ffff}",
        "NULL",
        &"x".repeat(2_000),
        &"é".repeat(50_000),
        &format!("ord_{}", "y".repeat(125)),
        &incompressible,
    ]
    .map(str::to_owned)
    .into();
    keys.sort_unstable();
    keys
}

/// For each key an order with two lines, one of which has that key too, and an address.
async fn foreign(fixture: &Fixture) -> Vec<String> {
    let keys = foreign_keys();
    for key in &keys {
        for insert in [
            "insert into orders.order_header (uid, currency_code, customer_id, status, provision_timer_ts) \
             values ($1, 'GBP', 'theirs', '{\"phase\": \"confirmed\"}', '2026-01-01')",
            "insert into orders.order_line_item (order_uid, uid, line_number, sku, quantity, unit_price) \
             values ($1, 'oli_ours', 2, 's', 1, 1)",
            "insert into orders.order_address (order_uid, kind, city) values ($1, 'billing', 'Leeds')",
        ] {
            query(insert).bind(key).execute(&fixture.pool).await.unwrap();
        }
        // Two long incompressible texts do not fit into one index row.
        let uid = if key.len() == 2_000 && !key.starts_with("xx") { "theirs" } else { key };
        query(
            "insert into orders.order_line_item (order_uid, uid, line_number, sku, quantity, unit_price) \
             values ($1, $2, 1, 's', 2, 1.50)",
        )
        .bind(key)
        .bind(uid)
        .execute(&fixture.pool)
        .await
        .unwrap();
    }
    keys
}

fn uids(orders: &[Order]) -> Vec<&str> {
    orders.iter().map(|order| order.uid.as_str()).collect()
}

async fn get(fixture: &Fixture, uid: &str) -> Order {
    let request = GetOrderRequest { uid: uid.to_owned(), ..GetOrderRequest::default() };
    fixture.server.client().get_order(request).await.unwrap().into_inner()
}

/// Orders with their lines are read alone, in batches, in lists, and in streams that are resumed at each token.
#[tokio::test]
async fn orders_of_any_key_are_read_in_every_way() {
    let fixture = Fixture::new().await;
    let keys = foreign(&fixture).await;
    let mut client = fixture.server.client();
    for key in &keys {
        let order = get(&fixture, key).await;
        assert_eq!((&order.uid, order.line_items.len(), order.addresses.len()), (key, 2, 1));
        let read_mask = Some(mask(&["uid", "customer_id"]));
        let request = GetOrderRequest { uid: key.clone(), read_mask, ..GetOrderRequest::default() };
        assert_eq!(client.get_order(request).await.unwrap().into_inner().customer_id, "theirs");
    }
    let mut asked: Vec<String> = keys.iter().rev().cloned().collect();
    asked.insert(1, "is missing".to_owned());
    let batch = BatchGetOrdersRequest { uids: asked.clone(), ..BatchGetOrdersRequest::default() };
    let batch = client.batch_get_orders(batch).await.unwrap().into_inner();
    assert_eq!(uids(&batch.orders), keys.iter().rev().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(batch.missing_uids, ["is missing"]);
    let checks = tokio_stream::iter([CheckOrdersRequest { uids: asked }]);
    let mut checked = client.check_orders(checks).await.unwrap().into_inner();
    assert_eq!(checked.message().await.unwrap().unwrap().missing_uids, ["is missing"]);

    for order_by in ["uid", "uid desc", "create_ts", "create_ts desc"] {
        for filter in [None, Some(OrderFilter { uids: keys.clone(), ..OrderFilter::default() })] {
            let mut request = ListOrdersRequest {
                order_by: order_by.to_owned(),
                page_size: 3,
                filter,
                ..ListOrdersRequest::default()
            };
            let mut seen: Vec<String> = Vec::new();
            loop {
                let page = client.list_orders(request.clone()).await.unwrap().into_inner();
                seen.extend(page.orders.into_iter().map(|order| order.uid));
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            if order_by == "uid desc" {
                seen.reverse();
            } else {
                seen.sort_unstable_by(|a, b| if order_by == "uid" { std::cmp::Ordering::Equal } else { a.cmp(b) });
            }
            assert_eq!(seen, keys, "{order_by}");
        }
    }
    // Each stream breaks after its first order.
    let mut request = StreamOrdersRequest { page_size: 1, ..StreamOrdersRequest::default() };
    let mut seen: Vec<String> = Vec::new();
    loop {
        let mut stream = client.stream_orders(request.clone()).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        seen.extend(page.orders.into_iter().map(|order| order.uid));
        request.resume_token = page.resume_token;
    }
    assert_eq!(seen, keys);
    let filter = LineItemFilter { order_uids: keys.clone(), ..LineItemFilter::default() };
    let mut request = StreamLineItemsRequest { page_size: 1, filter: Some(filter), ..Default::default() };
    let mut seen: Vec<(String, i32)> = Vec::new();
    loop {
        let mut stream = client.stream_line_items(request.clone()).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        seen.extend(page.line_items.into_iter().map(|line| (line.order_uid, line.line_number)));
        request.resume_token = page.resume_token;
    }
    let both = |key: &String| [(key.clone(), 1), (key.clone(), 2)];
    assert_eq!(seen, keys.iter().flat_map(both).collect::<Vec<_>>());
}

#[tokio::test]
async fn orders_of_any_key_are_found_by_its_beginning() {
    let fixture = Fixture::new().await;
    let keys = foreign(&fixture).await;
    // The common prefix of all uids is not accepted as a beginning, and white space at the end is allowed for pasted
    // texts.
    let specific = |key: &&String| key.len() <= 1_024 && !"ord_".starts_with(key.as_str()) && !key.trim().is_empty();
    for key in keys.iter().filter(specific) {
        for criterion in [Criterion::UidPrefix(key.clone()), Criterion::Text(key.clone())] {
            let request =
                LookupOrdersRequest { criterion: Some(criterion), page_size: 1_000, ..LookupOrdersRequest::default() };
            let found = fixture.server.client().lookup_orders(request).await.unwrap().into_inner().orders;
            assert!(uids(&found).contains(&key.as_str()), "{key:?}: {:?}", uids(&found));
        }
    }
}

#[tokio::test]
async fn orders_of_any_key_are_changed_moved_claimed_and_deleted() {
    let fixture = Fixture::new().await;
    let keys = foreign(&fixture).await;
    let mut client = fixture.server.client();
    for (number, key) in keys.iter().enumerate() {
        // Headers, with both writes and in both modes; the lines stay.
        let named = |customer: &str| Order { uid: key.clone(), customer_id: customer.to_owned(), ..Order::default() };
        assert_eq!(update(&fixture, named("one"), &[]).await.unwrap().customer_id, "one");
        let request = UpdateOrderRequest {
            order: Some(Order { currency_code: "GBP".to_owned(), ..named("two") }),
            allow_missing: true,
            ..UpdateOrderRequest::default()
        };
        assert_eq!(client.update_order(request).await.unwrap().into_inner().customer_id, "two");
        for (mode, customer) in [(WriteMode::Update, "three"), (WriteMode::Upsert, "four")] {
            let start =
                WriteStart { mode: mode.into(), update_mask: Some(mask(&["customer_id"])), ..WriteStart::default() };
            let order = Order { currency_code: "GBP".to_owned(), ..named(customer) };
            fixture.write_with(start, &[order]).await.expect_counts([0, 1, 0, 0, 0]);
        }
        // Lines with their keys stay beside a new one.
        let mut read = get(&fixture, key).await;
        assert_eq!((read.customer_id.as_str(), read.line_items.len()), ("four", 2));
        let theirs = read.line_items[0].uid.clone();
        read.line_items[0].quantity = 7;
        read.line_items.push(line("new", 1, "2"));
        let written = update(&fixture, read.clone(), &["line_items"]).await.unwrap();
        assert_eq!((written.line_items.len(), written.line_items[0].quantity), (3, 7), "{key:?}");
        assert_eq!(written.line_items[0].uid, theirs);
        assert_eq!(written.summary.unwrap().total, "13.50");
        // A line with such a key that does not exist is not created.
        let mut unknown = read.clone();
        unknown.line_items.push(LineItem { uid: "not there".to_owned(), ..line("x", 1, "1") });
        unknown.etag.clear();
        unknown.revision = 0;
        let refused = update(&fixture, unknown.clone(), &["line_items"]).await;
        assert_invalid(refused, "FIELD_INVALID", "order.line_items[3].uid");
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
        let beside = bare(&format!("beside{number}"));
        let written = fixture.write_with(start, &[unknown, beside]).await;
        written.expect_counts([1, 0, 0, 1, 0]);
        assert_eq!(written.totals.errors[0].field, "line_items[3].uid");

        let timer = SetProvisionTimerRequest {
            uid: key.clone(),
            provision_timer_ts: Some(timestamp(1)),
            revision: 0,
            ..SetProvisionTimerRequest::default()
        };
        client.set_provision_timer(timer).await.unwrap();
    }
    fixture.run("delete from orders.order_header where uid like 'ord_beside%'").await;
    let lease = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let mut claimed: Vec<String> = Vec::new();
    loop {
        let claim = ClaimDueOrdersRequest { lease, limit: 7, ..ClaimDueOrdersRequest::default() };
        let orders = client.claim_due_orders(claim).await.unwrap().into_inner().orders;
        if orders.is_empty() {
            break;
        }
        claimed.extend(orders.into_iter().map(|order| order.uid));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, keys);
    for key in &keys {
        let transition =
            TransitionOrderRequest { uid: key.clone(), to_phase: "fulfilled".to_owned(), ..Default::default() };
        assert_eq!(client.transition_order(transition).await.unwrap().into_inner().status.unwrap().phase, "fulfilled");
        let delete = || DeleteOrderRequest { uid: key.clone(), ..DeleteOrderRequest::default() };
        client.delete_order(delete()).await.unwrap();
        assert_eq!(client.delete_order(delete()).await.unwrap_err().code(), Code::NotFound);
    }
    for table in ["order_header", "order_line_item", "order_address", "order_summary"] {
        assert_eq!(
            fixture
                .count(&format!(
                    "orders.{table} where {} not like 'ord_beside%'",
                    if table == "order_header" { "uid" } else { "order_uid" }
                ))
                .await,
            0,
            "{table}"
        );
    }
}

#[tokio::test]
async fn no_order_of_such_a_key_is_made() {
    let fixture = Fixture::new().await;
    let mut client = fixture.server.client();
    let keys = foreign_keys();
    let with_line = |key: &str| Order {
        line_items: vec![line("a", 1, "1"), LineItem { uid: key.to_owned(), ..line("b", 1, "1") }],
        ..bare("1")
    };
    let of_key = |key: &str| Order { uid: key.to_owned(), ..bare("") };
    let mut rows = Vec::new();
    for key in &keys {
        for (order, field) in [(of_key(key), "uid"), (with_line(key), "line_items[1].uid")] {
            let field = format!("order.{field}");
            let create = CreateOrderRequest { order: Some(order.clone()), ..CreateOrderRequest::default() };
            assert_invalid(client.create_order(create).await, "FIELD_INVALID", &field);
            let update =
                UpdateOrderRequest { order: Some(order), allow_missing: true, ..UpdateOrderRequest::default() };
            assert_invalid(client.update_order(update).await, "FIELD_INVALID", &field);
        }
        let request = UpdateOrderRequest { order: Some(of_key(key)), ..UpdateOrderRequest::default() };
        assert_eq!(client.update_order(request).await.unwrap_err().code(), Code::NotFound);
        rows.push(of_key(key));
    }
    for (mode, code) in [
        (WriteMode::Create, Code::InvalidArgument),
        (WriteMode::Upsert, Code::InvalidArgument),
        (WriteMode::Update, Code::NotFound),
    ] {
        let policy = RowErrorPolicy::Skip.into();
        let start = WriteStart { mode: mode.into(), on_row_error: policy, ..WriteStart::default() };
        let (totals, end) = write(fixture.server.channel(), ORDERS, start, &rows).await;
        end.unwrap();
        assert_eq!(totals.counts(), [0, 0, 0, keys.len() as i64, 0], "{mode:?}");
        assert!(totals.errors.iter().all(|error| Code::from_i32(error.code) == code), "{:?}", totals.errors);
    }
    assert_eq!(fixture.count("orders.order_header").await, 0);
}
