//! Servers that take less than the service believes: they refuse a page for its size, with a word about it or without, and the page is asked
//! for again, smaller.

use orrery_proto::catalog::v1::{GetProductRequest, ListProductsRequest, StreamProductsRequest};
use orrery_proto::orders::v1::{OrderView, StreamOrdersRequest};
use tonic::Code;

use super::managed;
use crate::harness::wire::{Limit, WireLimits};
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, refusal, run, seed, uid};
use crate::orders::seed::seed as seed_orders;

/// A page of a stream is 1 MiB, and this is a sixteenth of it.
const FEW_BYTES: u64 = 64 << 10;

/// Each way in which a server refuses.
fn refusing(limits: WireLimits) -> [WireLimits; 2] {
    [WireLimits { silent: false, ..limits }, WireLimits { silent: true, ..limits }]
}

/// Checks that the server refused, and for what; and that it was not asked for too much again and again.
fn assert_refused(database: &TestDatabase, limit: Limit) {
    let violations = database.take_violations();
    assert!((1..=16).contains(&violations.len()), "{} times", violations.len());
    assert!(violations.iter().all(|violation| violation.limit == limit), "{violations:?}");
}

#[tokio::test]
async fn a_stream_of_pages_that_are_refused_arrives_whole() {
    let rows = 20_000;
    for limits in refusing(WireLimits { result_bytes: FEW_BYTES, ..managed() }) {
        let database = TestDatabase::limited(limits).await;
        seed(&mut database.connect(Role::Operator).await, rows).await;
        let server = CatalogServer::start(&database).await;
        let request = StreamProductsRequest::default();
        let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
        let mut next = 1;
        while let Some(page) = stream.message().await.unwrap() {
            for product in page.products {
                assert_eq!(product.uid, uid(next));
                next += 1;
            }
        }
        assert_eq!(next, rows + 1);
        assert_refused(&database, Limit::ResultBytes);
        // A page of a list as well, which is the first that it asks for.
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
        let request = StreamProductsRequest::default();
        let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
        let mut next = 1;
        while let Some(page) = stream.message().await.unwrap() {
            for product in page.products {
                assert_eq!(product.uid, uid(next));
                next += 1;
            }
        }
        assert_eq!(next, rows + 1);
        assert_refused(&database, Limit::QueryRows);
    }
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
        let request = StreamOrdersRequest { view: OrderView::Full.into(), ..Default::default() };
        let mut stream = server.client().stream_orders(request).await.unwrap().into_inner();
        let (mut seen, mut items) = (Vec::new(), 0);
        while let Some(page) = stream.message().await.unwrap() {
            items += page.orders.iter().map(|order| order.line_items.len()).sum::<usize>();
            seen.extend(page.orders.into_iter().map(|order| order.uid));
        }
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
            &format!("update catalog.product set annotations = jsonb_build_object('text', repeat('x', 100000)) where uid = '{large}'"),
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
        // The row is asked for a few times, as its server might only have gone away for a moment.
        assert_ne!(database.take_violations().len(), 0);
    }
}
