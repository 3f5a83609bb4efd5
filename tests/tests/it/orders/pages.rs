//! Pages of orders are limited by their bytes, including children; no query exceeds the limits; paused readers cost
//! little.

use std::time::Duration;

use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, GetOrderRequest, ListOrdersRequest, Order, OrderView, StreamOrdersRequest,
    StreamOrdersResponse,
};
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::Code;

use super::seed::{assert_summary, assert_whole, large_order, lines_of, seed};
use crate::harness::wire::{Limit, WireLimits};
use crate::harness::{
    LARGEST_MESSAGE, OrdersProcess, OrdersServer, Role, TestDatabase, accepting, order_uid, refusal, run,
};

const MIB: usize = 1 << 20;
const FULL: i32 = OrderView::Full as i32;

async fn pages(server: &OrdersServer, request: StreamOrdersRequest) -> Vec<StreamOrdersResponse> {
    let stream = server.client().stream_orders(accepting(request, LARGEST_MESSAGE)).await.unwrap().into_inner();
    stream.map(Result::unwrap).collect().await
}

fn full() -> StreamOrdersRequest {
    StreamOrdersRequest { view: FULL, ..Default::default() }
}

/// Checks that the pages contain orders 1 to `count` completely; `large` are the numbers and line counts of those that
/// [`seed`] did not write.
#[track_caller]
fn assert_all(pages: &[StreamOrdersResponse], count: usize, large: &[(usize, usize)]) {
    let orders: Vec<&Order> = pages.iter().flat_map(|page| &page.orders).collect();
    assert_eq!(orders.len(), count);
    for (number, order) in (1..).zip(orders) {
        let lines = large.iter().find(|(at, _)| *at == number).map_or_else(|| lines_of(number), |(_, lines)| *lines);
        assert_whole(order, number, lines);
    }
}

#[tokio::test]
async fn pages_are_cut_by_the_bytes_of_what_belongs_to_orders() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 6_000).await;
    let server = OrdersServer::start(&database).await;
    let pages = pages(&server, full()).await;
    assert_all(&pages, 6_000, &[]);
    let bytes: usize = pages.iter().map(StreamOrdersResponse::encoded_len).sum();
    for page in &pages {
        assert!(page.encoded_len() <= MIB + 200, "{} orders in {} bytes", page.orders.len(), page.encoded_len());
    }
    // The pages are full, except for the first and the last.
    assert!(pages.len() <= bytes / MIB * 3 / 2 + 3, "{} pages of {bytes} bytes", pages.len());
}

#[tokio::test]
async fn an_order_of_30000_lines_is_read_whole_and_alone_in_its_page() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 1_000).await;
    for number in [500, 501, 700] {
        run(&mut operator, &format!("delete from orders.order_line_item where order_uid = '{}'", order_uid(number)))
            .await;
        run(&mut operator, &format!("delete from orders.order_summary where order_uid = '{}'", order_uid(number)))
            .await;
        run(&mut operator, &format!("delete from orders.order_header where uid = '{}'", order_uid(number))).await;
    }
    let large = [(500, 30_000), (501, 9_000), (700, 45_001)];
    for (number, lines) in large {
        large_order(&mut operator, number, lines).await;
    }
    let server = OrdersServer::start(&database).await;
    let pages = pages(&server, full()).await;
    assert_all(&pages, 1_000, &large);
    for page in &pages {
        let bytes = page.encoded_len();
        assert!(page.orders.len() == 1 || bytes <= MIB + 200, "{} orders in {bytes} bytes", page.orders.len());
        let is_large = large.iter().any(|(number, _)| page.orders[0].uid == order_uid(*number));
        assert!(!is_large || page.orders.len() == 1);
    }
    assert!(pages.len() < 40, "small orders still come in large pages: {} pages", pages.len());

    let request = GetOrderRequest { uid: order_uid(500), ..Default::default() };
    let order = server.client().get_order(accepting(request, LARGEST_MESSAGE)).await.unwrap().into_inner();
    assert_whole(&order, 500, 30_000);
    assert!(order.encoded_len() > 3 * MIB, "{} bytes", order.encoded_len());
    let uids = [500, 3].map(order_uid).to_vec();
    let request = BatchGetOrdersRequest { uids, ..Default::default() };
    let batch = server.client().batch_get_orders(accepting(request, LARGEST_MESSAGE)).await.unwrap().into_inner();
    assert_eq!(batch.orders[0], order);
    assert_whole(&batch.orders[1], 3, lines_of(3));
    // Fields that are not requested cost nothing: all headers and summaries fit into one page.
    let basic =
        server.client().list_orders(ListOrdersRequest { page_size: 1_000, ..Default::default() }).await.unwrap();
    assert_eq!(basic.get_ref().orders.len(), 1_000);
    assert_summary(&basic.get_ref().orders[499], 30_000);
}

#[tokio::test]
async fn no_query_brings_more_rows_or_bytes_than_a_query_may() {
    const ROWS: usize = 50;
    const BYTES: usize = 300_000;
    // The server has the same limit as the service: a larger query fails the test.
    let limits = WireLimits { query_rows: ROWS as u64, result_bytes: BYTES as u64, ..WireLimits::default() };
    let database = TestDatabase::limited(limits).await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 120).await;
    large_order(&mut operator, 121, 1_000).await;
    // 50 rows, 200 kB: the largest order takes 20 queries and most of the bytes.
    let server = OrdersServer::start_with(&database, |config| {
        config.service.limits.max_query_rows = ROWS;
        config.service.limits.max_result_bytes = BYTES;
        config.service.stream.page_bytes = 16 << 10;
    })
    .await;
    assert_all(&pages(&server, full()).await, 121, &[(121, 1_000)]);
    let request = GetOrderRequest { uid: order_uid(121), ..Default::default() };
    assert_whole(&server.client().get_order(request).await.unwrap().into_inner(), 121, 1_000);
    assert!(database.take_violations().is_empty());
    // A service with a higher limit is refused, so the check works.
    let other = OrdersServer::start_with(&database, |config| config.service.stream.page_bytes = 16 << 10).await;
    assert_all(&pages(&other, full()).await, 121, &[(121, 1_000)]);
    let passed = database.take_violations();
    assert!(passed.iter().any(|violation| violation.limit == Limit::QueryRows), "{passed:?}");
}

#[tokio::test]
async fn an_order_that_exceeds_a_result_is_named_and_the_others_are_read() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 120).await;
    large_order(&mut operator, 121, 3_000).await;
    let server = OrdersServer::start_with(&database, |config| {
        config.service.limits.max_result_bytes = 300_000;
        config.service.stream.page_bytes = 16 << 10;
    })
    .await;
    let request = GetOrderRequest { uid: order_uid(121), ..Default::default() };
    let single = server.client().get_order(request).await.unwrap_err();
    let mut stream = server.client().stream_orders(full()).await.unwrap().into_inner();
    let mut found = Vec::new();
    let streamed = loop {
        match stream.message().await {
            Ok(page) => found.extend(page.unwrap().orders),
            Err(status) => break status,
        }
    };
    assert_eq!(found.len(), 120, "all before it came");
    for status in [single, streamed] {
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ROW_TOO_LARGE"));
        assert!(status.message().contains(&order_uid(121)), "{status}");
    }
    // Without its lines it can be read.
    let basic = GetOrderRequest { uid: order_uid(121), view: OrderView::Basic as i32, ..Default::default() };
    assert_summary(&server.client().get_order(basic).await.unwrap().into_inner(), 3_000);
}

#[tokio::test]
async fn large_headers_and_large_orders_make_small_pages_and_the_server_stays_small() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 900).await;
    // As only other programs write them: a header of more than 1 MiB.
    run(
        &mut operator,
        "update orders.order_header set annotations = jsonb_build_object('text', repeat('x', 1200000)) \
         where uid between 'ord_0000301' and 'ord_0000400'",
    )
    .await;
    for number in 901..=920 {
        large_order(&mut operator, number, 9_000).await;
    }
    let process = OrdersProcess::spawn(&database).await;
    let mut client = process.client();
    let stream = client.stream_orders(full()).await.unwrap().into_inner();
    let pages: Vec<StreamOrdersResponse> = stream.map(Result::unwrap).collect().await;
    assert_all(&pages, 920, &(901..=920).map(|number| (number, 9_000)).collect::<Vec<_>>());
    for page in &pages {
        let bytes = page.encoded_len();
        assert!(page.orders.len() == 1 || bytes <= MIB + 200, "{} orders in {bytes} bytes", page.orders.len());
    }
    // Twenty readers that pause among the large ones, each on its own connection.
    let page_of = |number| pages.iter().position(|page| page.orders.iter().any(|order| order.uid == order_uid(number)));
    let mut stalled = Vec::new();
    for turn in 0..20 {
        let before = page_of(if turn % 2 == 0 { 305 } else { 905 }).unwrap() - 2;
        let request = StreamOrdersRequest { resume_token: pages[before].resume_token.clone(), ..full() };
        let mut stream = process.client().stream_orders(request).await.unwrap().into_inner();
        for _ in 0..3 {
            stream.message().await.unwrap().unwrap();
        }
        stalled.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let peak = process.peak_memory();
    assert!(peak < 160 << 20, "the server took {} MiB", peak >> 20);
}

#[tokio::test]
async fn readers_that_stop_hold_no_connection() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 6_000).await;
    let server = OrdersServer::start_with(&database, |config| {
        config.service.database.database_pool_min = 1;
        config.service.database.database_pool_max = 1;
        config.service.database.database_acquire_timeout = Duration::from_secs(5);
    })
    .await;
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let mut stream = server.separate_client().stream_orders(full()).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        stalled.push((stream, first));
    }
    let mut client = server.client();
    for number in 1..=20 {
        let request = GetOrderRequest { uid: order_uid(number), ..Default::default() };
        assert_whole(&client.get_order(request).await.unwrap().into_inner(), number, lines_of(number));
    }
    for (stream, first) in stalled {
        let mut pages = vec![first];
        pages.extend(stream.map(Result::unwrap).collect::<Vec<_>>().await);
        assert_all(&pages, 6_000, &[]);
    }
}
