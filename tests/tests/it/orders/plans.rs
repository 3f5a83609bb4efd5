//! The database cost of reading orders: the children of a page are found by an index, and no query returns more rows
//! than allowed.

use std::time::Duration;

use orrery_proto::orders::v1::{ClaimDueOrdersRequest, GetOrderRequest, Order, OrderView, StreamOrdersRequest};
use sqlx::PgConnection;
use tokio_stream::StreamExt as _;

use super::seed::{large_order, seed};
use crate::harness::plan::{self, Log, explain, node_types};
use crate::harness::{OrdersServer, Role, TestDatabase, order_uid, run};

const FULL: i32 = OrderView::Full as i32;

async fn read_all(server: &OrdersServer, view: i32) -> Vec<Order> {
    let request = StreamOrdersRequest { view, ..Default::default() };
    let pages = server.client().stream_orders(request).await.unwrap().into_inner();
    pages.map(|page| page.unwrap().orders).collect::<Vec<_>>().await.concat()
}

#[tokio::test]
async fn what_belongs_to_a_page_is_found_by_an_index() {
    const COUNT: usize = 30_000;
    let database = Log::server().await.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, COUNT).await;
    let server = OrdersServer::start(&database).await;
    let mut log = Log::new(&mut operator, Role::Orders).await;
    for analyzed in [false, true] {
        if analyzed {
            run(&mut operator, "analyze").await;
        }
        for (view, tables) in [(FULL, 4), (OrderView::Basic as i32, 2)] {
            assert_eq!(read_all(&server, view).await.len(), COUNT);
            let selects = log.selects(&mut operator).await;
            let pages = selects.iter().filter(|select| select.contains(" from orders.order_header ")).count();
            // The last page has no rows, and the first ones may have been queried twice.
            assert!(selects.len() >= tables * (pages - 3), "{} selects for {pages} pages", selects.len());
            assert!(pages < 100, "{pages} pages");
            for select in selects.iter().skip(selects.len() / 2).take(2 * tables) {
                let plan = explain(&mut operator, select).await;
                let sequential = node_types(&plan).contains(&"Seq Scan");
                assert!(!sequential, "analyzed: {analyzed}, {}: {plan:#}", &select[..select.len().min(500)]);
            }
        }
        let request = GetOrderRequest { uid: order_uid(777), ..Default::default() };
        server.client().get_order(request).await.unwrap();
        let selects = log.selects(&mut operator).await;
        assert_eq!(selects.len(), 4, "{selects:?}");
        for select in &selects {
            let plan = explain(&mut operator, select).await;
            assert!(!node_types(&plan).contains(&"Seq Scan"), "{select}: {plan:#}");
        }
    }
}

#[tokio::test]
async fn no_query_brings_more_rows_than_a_query_may() {
    const ROWS: u64 = 50;
    let database = Log::server().await.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100).await;
    large_order(&mut operator, 101, 500).await;
    let server =
        OrdersServer::start_with(&database, |config| config.service.limits.max_query_rows = ROWS as usize).await;
    let mut log = Log::new(&mut operator, Role::Orders).await;
    assert_eq!(read_all(&server, FULL).await.len(), 101);
    let request = GetOrderRequest { uid: order_uid(101), ..Default::default() };
    assert_eq!(server.client().get_order(request).await.unwrap().into_inner().line_items.len(), 500);
    let selects = log.selects(&mut operator).await;
    // The lines of the large order alone take eleven queries, twice.
    assert!(selects.len() > 2 * 11, "{selects:?}");
    for select in selects {
        assert!(rows(&mut operator, &select).await <= ROWS, "{select}");
    }
}

#[tokio::test]
async fn claims_read_no_more_orders_than_they_take() {
    const COUNT: i64 = 20_000;
    const READ: &str = "select coalesce(seq_tup_read, 0), coalesce(idx_scan, 0) from pg_stat_user_tables
         where schemaname = 'orders' and relname = 'order_header'";
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    run(
        &mut operator,
        &format!(
            "insert into orders.order_header (uid, currency_code, status, provision_timer_ts)
             select 'ord_' || n, 'EUR', '{{\"phase\": \"confirmed\"}}', now() - n * interval '1 second'
               from generate_series(1, {COUNT}) as n;
             analyze orders.order_header"
        ),
    )
    .await;
    // What the operator has read is reported by then.
    run(&mut operator, "select pg_stat_force_next_flush()").await;
    let (read, scans): (i64, i64) = sqlx::query_as(READ).fetch_one(&mut operator).await.unwrap();
    let server = OrdersServer::start(&database).await;
    // The size of orders is not known to the first claim; the others take what is likely to fit.
    for _ in 0..4 {
        let lease = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let request = ClaimDueOrdersRequest { limit: 10, lease, ..Default::default() };
        assert_eq!(server.client().claim_due_orders(request).await.unwrap().into_inner().orders.len(), 10);
    }
    // A server process reports what it has read when it has been idle for a second.
    let (mut read_since, mut scans_since) = (0, 0);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (read_now, scans_now): (i64, i64) = sqlx::query_as(READ).fetch_one(&mut operator).await.unwrap();
        (read_since, scans_since) = (read_now - read, scans_now - scans);
        if scans_since >= 4 {
            break;
        }
    }
    assert!(scans_since >= 4, "{scans_since} scans of an index are reported");
    assert_eq!(read_since, 0, "orders were read without an index");
}

async fn rows(connection: &mut PgConnection, select: &str) -> u64 {
    plan::rows(&explain(connection, select).await)
}
