//! Orders are read with their children: only the requested parts, everything once, whatever other programs left in the
//! tables.

use std::time::Duration;

use orrery_proto::orders::v1::{
    AddressKind, BatchGetOrdersRequest, GetOrderRequest, ListOrdersRequest, Order, OrderFilter, OrderView,
    StreamLineItemsRequest, StreamOrdersRequest, StreamOrdersResponse,
};
use prost_types::FieldMask;
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::seed::{assert_addresses, assert_summary, assert_whole, large_order, lines_of, seed};
use crate::harness::{OrdersServer, Role, TestDatabase, assert_invalid, order_uid, refusal, run};

const FULL: i32 = OrderView::Full as i32;
const BASIC: i32 = OrderView::Basic as i32;

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }
}

/// All pages of a successful stream.
async fn pages(server: &OrdersServer, request: StreamOrdersRequest) -> Vec<StreamOrdersResponse> {
    let stream = server.client().stream_orders(request).await.unwrap().into_inner();
    stream.map(Result::unwrap).collect().await
}

async fn all(server: &OrdersServer, request: StreamOrdersRequest) -> Vec<Order> {
    pages(server, request).await.into_iter().flat_map(|page| page.orders).collect()
}

async fn get(server: &OrdersServer, number: usize, view: i32, read_mask: Option<FieldMask>) -> Order {
    let request = GetOrderRequest { uid: order_uid(number), view, read_mask };
    server.client().get_order(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn every_order_comes_once_with_all_that_belongs_to_it_and_nothing_else() {
    const COUNT: usize = 1_500;
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, COUNT).await;
    let server = OrdersServer::start(&database).await;
    for page_size in [0, 7, 1_000] {
        let pages = pages(&server, StreamOrdersRequest { view: FULL, page_size, ..Default::default() }).await;
        assert!(pages.iter().all(|page| page_size == 0 || page.orders.len() <= page_size as usize));
        let orders: Vec<Order> = pages.into_iter().flat_map(|page| page.orders).collect();
        assert_eq!(orders.len(), COUNT);
        for (number, order) in (1..).zip(&orders) {
            assert_whole(order, number, lines_of(number));
            assert_addresses(order, number);
        }
        // An order is the same with each method.
        if page_size == 0 {
            for number in [1, 2, 37, 38, 1_500] {
                assert_eq!(get(&server, number, FULL, None).await, orders[number - 1]);
            }
            let uids: Vec<String> = [1_500, 3, 9_999, 3].into_iter().map(order_uid).collect();
            let request = BatchGetOrdersRequest { uids, ..Default::default() };
            let batch = server.client().batch_get_orders(request).await.unwrap().into_inner();
            assert_eq!(batch.orders, [1_500, 3, 3].map(|number| orders[number - 1].clone()));
            assert_eq!(batch.missing_uids, [order_uid(9_999)]);
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_every_message_goes_on_without_a_gap_or_a_repeat() {
    const COUNT: usize = 400;
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, COUNT).await;
    let server = OrdersServer::start_with(&database, |config| config.service.stream.page_bytes = 32 << 10).await;
    let mut client = server.client();
    let mut orders = Vec::new();
    let mut resume_token = String::new();
    // The view may change between streams: a token is not bound to it.
    for turn in 0.. {
        let view = if turn % 2 == 0 { FULL } else { BASIC };
        let request = StreamOrdersRequest { view, resume_token, ..Default::default() };
        let mut stream = client.stream_orders(request).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        for order in &page.orders {
            let number = orders.len() + 1;
            if view == FULL {
                assert_whole(order, number, lines_of(number));
            } else {
                assert_summary(order, lines_of(number));
            }
            orders.push(order.uid.clone());
        }
        resume_token = page.resume_token;
    }
    assert_eq!(orders, (1..=COUNT).map(order_uid).collect::<Vec<_>>());
}

#[tokio::test]
async fn lines_stream_by_order_and_number_and_resume_within_an_order() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 60).await;
    let server = OrdersServer::start(&database).await;
    let mut client = server.client();
    let mut found = Vec::new();
    let mut resume_token = String::new();
    loop {
        let request = StreamLineItemsRequest { resume_token, page_size: 5, ..Default::default() };
        let mut stream = client.stream_line_items(request).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        found.extend(page.line_items.iter().map(|line| (line.order_uid.clone(), line.line_number)));
        resume_token = page.resume_token;
    }
    let numbers = |order: usize| (1..=lines_of(order) as i32).map(move |line| (order_uid(order), line));
    assert_eq!(found, (1..=60).flat_map(numbers).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_view_says_whether_lines_and_addresses_come_and_each_method_has_its_own() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 6).await;
    let server = OrdersServer::start(&database).await;
    let mut client = server.client();
    let full = get(&server, 6, FULL, None).await;
    assert_whole(&full, 6, lines_of(6));
    assert_addresses(&full, 6);
    let basic = Order { line_items: Vec::new(), addresses: Vec::new(), ..full.clone() };
    assert_eq!(get(&server, 6, 0, None).await, full);
    assert_eq!(get(&server, 6, BASIC, None).await, basic);
    for (view, expected) in [(0, &basic), (BASIC, &basic), (FULL, &full)] {
        let listed = client.list_orders(ListOrdersRequest { view, ..Default::default() }).await.unwrap().into_inner();
        assert_eq!(listed.orders.last(), Some(expected), "listed with view {view}");
        let streamed = all(&server, StreamOrdersRequest { view, ..Default::default() }).await;
        assert_eq!(streamed.last(), Some(expected), "streamed with view {view}");
    }
    // An empty mask is no mask; a star is everything.
    assert_eq!(get(&server, 6, BASIC, Some(mask(&[]))).await, basic);
    assert_eq!(get(&server, 6, BASIC, Some(mask(&["*"]))).await, full);
    let refused = client.get_order(GetOrderRequest { uid: order_uid(6), view: 7, read_mask: None }).await;
    assert_invalid(refused, "FIELD_INVALID", "view");
}

#[tokio::test]
async fn a_mask_reaches_parts_and_single_columns_of_the_summary() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 6).await;
    let server = OrdersServer::start(&database).await;
    let full = get(&server, 6, FULL, None).await;
    let summary = full.summary.clone().unwrap();
    let only = |paths: &[&str]| {
        let server = &server;
        let paths = Some(mask(paths));
        async move {
            let one = get(server, 6, BASIC, paths.clone()).await;
            let request = StreamOrdersRequest { read_mask: paths, ..Default::default() };
            assert_eq!(all(server, request).await.last(), Some(&one));
            one
        }
    };
    let lines = Order { line_items: full.line_items.clone(), ..Default::default() };
    assert_eq!(only(&["line_items"]).await, lines);
    let total = orrery_proto::orders::v1::Summary { total: summary.total.clone(), ..Default::default() };
    let expected = Order { uid: full.uid.clone(), summary: Some(total), ..Default::default() };
    assert_eq!(only(&["uid", "summary.total"]).await, expected);
    let expected = Order { etag: full.etag.clone(), addresses: full.addresses.clone(), ..Default::default() };
    assert_eq!(only(&["addresses", "etag"]).await, expected);
    let expected = Order { summary: Some(summary), ..Default::default() };
    assert_eq!(only(&["summary.quantity", "summary"]).await, expected);
    for path in ["line_items.sku", "addresses.city", "summary.order_uid", "summary.none", "lines"] {
        let request = GetOrderRequest { uid: order_uid(6), view: 0, read_mask: Some(mask(&[path])) };
        assert_invalid(server.client().get_order(request).await, "FIELD_INVALID", "read_mask");
    }
}

#[tokio::test]
async fn what_other_programs_left_out_of_step_is_read_as_it_stands() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    run(
        &mut operator,
        "insert into orders.order_header (uid, currency_code, status) values \
             ('ord_1', 'GBP', '{\"phase\": \"draft\"}'), ('ord_3', 'x', '17'), ('ord_5', '', '{}'); \
         insert into orders.order_line_item (order_uid, uid, line_number, quantity, unit_price, status) values \
             ('ord_0', 'oli_a', 1, 1, 1, '[]'), ('ord_1', 'oli_b', 7, 2, 0.001, '[]'), ('ord_1', 'oli_a', 7, 3, 1e20, \
             '{}'), \
             ('ord_2', 'oli_a', 1, 1, 1, '{}'), ('ord_3', 'no uid at all', -5, 0, 'NaN', 'null'), ('ord_4', 'oli_a', \
             1, 1, 1, '{}'); \
         insert into orders.order_address (order_uid, kind, lines) values \
             ('ord_2', 'billing', '[]'), ('ord_3', 'delivery', '{\"a\": 1}'), ('ord_5', 'billing', '[1, \"x\", \
             null]'); \
         insert into orders.order_summary (order_uid, line_count, total) values ('ord_2', 9, 9), ('ord_5', 4, 4)",
    )
    .await;
    let server = OrdersServer::start(&database).await;
    let orders = all(&server, StreamOrdersRequest { view: FULL, ..Default::default() }).await;
    let [first, third, fifth] = &orders[..] else { unreachable!("there are three headers: {orders:?}") };
    let lines = |order: &Order| order.line_items.iter().map(|line| line.uid.clone()).collect::<Vec<_>>();
    let prices = |order: &Order| order.line_items.iter().map(|line| line.unit_price.clone()).collect::<Vec<_>>();
    // Two lines with the same number are ordered by uid.
    assert_eq!(
        (lines(first), prices(first)),
        (vec!["oli_a".into(), "oli_b".into()], vec!["100000000000000000000".into(), "0.001".into()])
    );
    assert!(first.addresses.is_empty() && first.summary.is_none());
    assert_eq!((lines(third), third.line_items[0].line_number), (vec!["no uid at all".into()], -5));
    assert_eq!((third.addresses[0].kind(), &third.addresses[0].lines), (AddressKind::Unspecified, &Vec::new()));
    assert!(third.summary.is_none());
    assert!(fifth.line_items.is_empty());
    assert_eq!(fifth.addresses[0].lines, ["1", "x", "null"]);
    assert_eq!(fifth.summary.as_ref().map(|summary| summary.line_count), Some(4));
    for order in &orders {
        let request = GetOrderRequest { uid: order.uid.clone(), ..Default::default() };
        assert_eq!(server.client().get_order(request).await.unwrap().into_inner(), *order);
    }
    let missing = GetOrderRequest { uid: "ord_2".to_owned(), ..Default::default() };
    assert_eq!(server.client().get_order(missing).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn lists_in_another_order_bring_whole_orders_too() {
    const COUNT: usize = 300;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, COUNT).await;
    // Created last, so the first in a list ordered by latest first; and the first by uid.
    large_order(&mut operator, 0, 3_000).await;
    let server = OrdersServer::start_with(&database, |config| config.service.stream.page_bytes = 64 << 10).await;
    for order_by in ["create_ts desc", "create_ts", "uid desc"] {
        let mut found = Vec::new();
        let mut request =
            ListOrdersRequest { view: FULL, order_by: order_by.to_owned(), page_size: 100, ..Default::default() };
        loop {
            let page = server.client().list_orders(request.clone()).await.unwrap().into_inner();
            found.extend(page.orders);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(found.len(), COUNT + 1, "{order_by}");
        for order in &found {
            let number: usize = order.uid[4..].parse().unwrap();
            assert_whole(order, number, if number == 0 { 3_000 } else { lines_of(number) });
        }
        let key = |order: &Order| (order.create_ts.as_ref().map(|at| at.seconds), order.uid.clone());
        match order_by {
            "create_ts" => assert!(found.is_sorted_by_key(key)),
            "uid desc" => assert!(found.iter().rev().is_sorted_by_key(|order| &order.uid)),
            _ => assert!(found.iter().rev().is_sorted_by_key(key)),
        }
    }
}

#[tokio::test]
async fn a_filter_on_a_product_finds_orders_by_their_lines() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 200).await;
    let server = OrdersServer::start_with(&database, |config| {
        config.service.stream.progress_interval = Duration::from_secs(1);
    })
    .await;
    let filter = OrderFilter { product_uid: "prd_30".to_owned(), ..Default::default() };
    let found = all(&server, StreamOrdersRequest { filter: Some(filter), view: FULL, ..Default::default() }).await;
    let expected: Vec<String> = (1..=200).filter(|&number| lines_of(number) >= 30).map(order_uid).collect();
    assert_eq!(found.iter().map(|order| order.uid.clone()).collect::<Vec<_>>(), expected);
    for order in &found {
        let number: usize = order.uid[4..].parse().unwrap();
        assert_whole(order, number, lines_of(number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_get_what_each_asked_for() {
    const COUNT: usize = 200;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, COUNT).await;
    // Two of these do not fit into one result.
    let large = COUNT + 1..=COUNT + 4;
    for number in large.clone() {
        large_order(&mut operator, number, 22_000).await;
    }
    let server =
        OrdersServer::start_with(&database, |config| config.service.overload.max_concurrent_calls = Some(750)).await;
    // About every sixth uid does not exist, and each is requested three times; the large ones are among them once.
    let calls = (0..750).map(|at| {
        let mut client = server.client();
        let number =
            if at % 180 == 179 { COUNT + 1 + at / 180 } else { at % 250 + if at % 250 > COUNT { 100 } else { 0 } };
        async move {
            let request = GetOrderRequest { uid: order_uid(number), ..Default::default() };
            (number, client.get_order(request).await)
        }
    });
    for (number, answer) in futures::future::join_all(calls).await {
        match answer {
            Ok(order) if large.contains(&number) => assert_whole(order.get_ref(), number, 22_000),
            Ok(order) => assert_whole(order.get_ref(), number, lines_of(number)),
            Err(status) => {
                assert!(number == 0 || number > COUNT + 4, "{number}: {status}");
                assert_eq!(status.code(), Code::NotFound);
                assert!(status.message().contains(&order_uid(number)), "{status}");
            }
        }
    }
}

#[tokio::test]
async fn an_order_that_does_not_exist_is_told_by_its_name() {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    for (view, read_mask) in [(FULL, None), (BASIC, None), (0, Some(mask(&["uid"])))] {
        let request = GetOrderRequest { uid: order_uid(1), view, read_mask };
        let status = server.client().get_order(request).await.unwrap_err();
        assert_eq!(refusal(&status).code, Code::NotFound);
        assert!(status.message().contains(&order_uid(1)), "{status}");
    }
}
