//! The database cost of reading orders: the children of a page are found by an index, and no query returns more rows
//! than allowed.

use orrery_proto::orders::v1::{GetOrderRequest, Order, OrderView, StreamOrdersRequest};
use sqlx::PgConnection;
use tokio_stream::StreamExt as _;

use super::seed::{large_order, seed};
use crate::harness::plan::{Log, explain, node_types};
use crate::harness::{OrdersServer, Role, order_uid, run};

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

async fn rows(connection: &mut PgConnection, select: &str) -> u64 {
    explain(connection, select).await["Actual Rows"].as_u64().unwrap()
}
