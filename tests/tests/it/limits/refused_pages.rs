//! Servers with lower limits than the service was configured for refuse a page, with or without an error, and the
//! service requests a smaller page.

use orrery_proto::catalog::v1::{GetProductRequest, ListProductsRequest, StreamProductsRequest};
use orrery_proto::orders::v1::{
    GetOrderRequest, Order, OrderView, StreamOrdersRequest, StreamProductSalesRequest, UpdateOrderRequest,
};
use tonic::Code;

use super::{managed, refusing};
use crate::harness::wire::{Limit, WireLimits};
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, order_uid, refusal, run, seed, uid};
use crate::orders::seed::{large_order, seed as seed_orders};

/// A page of a stream is 1 MiB; this is a sixteenth of it.
const FEW_BYTES: u64 = 64 << 10;

/// Checks why the server refused, and that it was not asked for too much repeatedly.
fn assert_refused(database: &TestDatabase, limit: Limit) {
    let violations = database.take_violations();
    assert!((1..=16).contains(&violations.len()), "{} times", violations.len());
    assert!(violations.iter().all(|violation| violation.limit == limit), "{violations:?}");
}

/// Checks that a stream returns products 1 to `rows`.
async fn assert_streamed(server: &CatalogServer, rows: usize) {
    let mut stream = server.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    let mut next = 1;
    while let Some(page) = stream.message().await.unwrap() {
        for product in page.products {
            assert_eq!(product.uid, uid(next));
            next += 1;
        }
    }
    assert_eq!(next, rows + 1);
}

/// Reads all orders with their lines.
async fn streamed_orders(server: &OrdersServer) -> Vec<Order> {
    let request = StreamOrdersRequest { view: OrderView::Full.into(), ..Default::default() };
    let mut stream = server.client().stream_orders(request).await.unwrap().into_inner();
    let mut orders = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        orders.extend(page.orders);
    }
    orders
}

#[tokio::test]
async fn a_stream_of_pages_that_are_refused_arrives_whole() {
    let rows = 20_000;
    for limits in refusing(WireLimits { result_bytes: FEW_BYTES, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        seed(&mut database.connect(Role::Operator).await, rows).await;
        let server = CatalogServer::start(&database).await;
        assert_streamed(&server, rows).await;
        assert_refused(&database, Limit::ResultBytes);
        // The first page of a list as well.
        let mut listed = Vec::new();
        let mut request = ListProductsRequest { page_size: 1_000, ..Default::default() };
        while listed.len() < 1_000 {
            let page = server.client().list_products(request.clone()).await.unwrap().into_inner();
            listed.extend(page.products.into_iter().map(|product| product.uid));
            request.page_token = page.next_page_token;
        }
        assert!((1..).zip(&listed).all(|(number, listed)| *listed == uid(number)));
        database.take_violations();
    }
}

#[tokio::test]
async fn a_stream_of_pages_with_too_many_rows_arrives_whole() {
    let rows = 3_000;
    for limits in refusing(WireLimits { query_rows: 20, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        seed(&mut database.connect(Role::Operator).await, rows).await;
        let server = CatalogServer::start(&database).await;
        assert_streamed(&server, rows).await;
        assert_refused(&database, Limit::QueryRows);
    }
}

/// One row at a time, without room for the row that shows whether there are more.
#[tokio::test]
async fn a_server_that_gives_one_row_at_a_time_gives_all() {
    let database = TestDatabase::limited(WireLimits { query_rows: 1, ..managed() }).await;
    seed(&mut database.connect(Role::Operator).await, 12).await;
    let server = CatalogServer::start(&database).await;
    assert_streamed(&server, 12).await;
    assert!(!database.take_violations().is_empty());
}

#[tokio::test]
async fn orders_with_all_that_belongs_to_them_are_asked_for_again_too() {
    let orders = 2_000;
    for limits in refusing(WireLimits { result_bytes: FEW_BYTES, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        let mut operator = database.connect(Role::Operator).await;
        seed_orders(&mut operator, orders).await;
        let lines: i64 =
            sqlx::query_scalar("select count(*) from orders.order_line_item").fetch_one(&mut operator).await.unwrap();
        let server = OrdersServer::start(&database).await;
        let streamed = streamed_orders(&server).await;
        let items: usize = streamed.iter().map(|order| order.line_items.len()).sum();
        let seen: Vec<String> = streamed.into_iter().map(|order| order.uid).collect();
        assert_eq!(seen.len(), orders);
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert_eq!(items as i64, lines);
        assert_refused(&database, Limit::ResultBytes);
    }
}

#[tokio::test]
async fn a_row_that_fits_no_result_is_named_after_all_before_it() {
    for limits in refusing(WireLimits { result_bytes: FEW_BYTES, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        let mut operator = database.connect(Role::Operator).await;
        seed(&mut operator, 1_000).await;
        let large = uid(700);
        run(
            &mut operator,
            &format!(
                "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 100000)) where \
                uid = '{large}'"
            ),
        )
        .await;
        let server = CatalogServer::start(&database).await;
        let request = StreamProductsRequest::default();
        let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
        let mut seen = 0;
        let status = loop {
            match stream.message().await {
                Ok(page) => seen += page.unwrap().products.len(),
                Err(status) => break status,
            }
        };
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ROW_TOO_LARGE"), "{status:?}");
        assert!(status.message().contains(&large), "{status:?}");
        assert_eq!(seen, 699);
        if !limits.silent {
            let get = GetProductRequest { uid: large, read_mask: None };
            let refused = refusal(&server.client().get_product(get).await.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ROW_TOO_LARGE"));
        }
        // The row is requested several times, because the server might only have been unreachable for a moment.
        assert_ne!(database.take_violations().len(), 0);
    }
}

#[tokio::test]
async fn the_lines_of_one_order_come_in_smaller_pages() {
    let lines = 5_000;
    for limits in refusing(WireLimits { result_bytes: FEW_BYTES, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        let mut operator = database.connect(Role::Operator).await;
        large_order(&mut operator, 1, lines).await;
        // Each service learns the limit by itself.
        let server = OrdersServer::start(&database).await;
        let streamed = streamed_orders(&server).await;
        assert_eq!(streamed.iter().map(|order| order.line_items.len()).collect::<Vec<_>>(), [lines]);
        assert_refused(&database, Limit::ResultBytes);

        let server = OrdersServer::start(&database).await;
        let get = GetOrderRequest { uid: order_uid(1), view: OrderView::Full.into(), read_mask: None };
        let got = server.client().get_order(get).await.unwrap().into_inner();
        assert_eq!(got.line_items, streamed[0].line_items);
        assert_refused(&database, Limit::ResultBytes);

        // Within a transaction, which is restarted.
        let server = OrdersServer::start(&database).await;
        let update = UpdateOrderRequest {
            order: Some(Order { uid: order_uid(1), customer_id: "another".to_owned(), ..Order::default() }),
            view: OrderView::Full.into(),
            ..UpdateOrderRequest::default()
        };
        let updated = server.client().update_order(update).await.unwrap().into_inner();
        assert_eq!((updated.customer_id.as_str(), updated.revision), ("another", got.revision + 1));
        assert_eq!(updated.line_items.len(), lines);
        assert_refused(&database, Limit::ResultBytes);
    }
}

#[tokio::test]
async fn what_was_sold_comes_in_smaller_pages() {
    let products = 5_000;
    for limits in refusing(WireLimits { result_bytes: FEW_BYTES, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        let mut operator = database.connect(Role::Operator).await;
        large_order(&mut operator, 1, products).await;
        let sold =
            "update orders.order_header set status = '{\"phase\": \"closed\"}', create_ts = '2026-01-02 12:00:00+00'";
        run(&mut operator, sold).await;
        let server = OrdersServer::start(&database).await;
        let request = StreamProductSalesRequest {
            day_from: "2026-01-01".to_owned(),
            day_to: "2026-01-03".to_owned(),
            time_zone: "UTC".to_owned(),
            ..StreamProductSalesRequest::default()
        };
        let mut stream = server.client().stream_product_sales(request).await.unwrap().into_inner();
        let mut seen = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            seen.extend(page.product_sales.into_iter().map(|sales| sales.product_uid));
        }
        assert_eq!(seen.len(), products);
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert_refused(&database, Limit::ResultBytes);
    }
}
