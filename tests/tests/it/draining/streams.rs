//! Streams end with UNAVAILABLE and a token to continue from, whatever they wait for.

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{StreamProductMetricsRequest, StreamProductsRequest};
use orrery_proto::orders::v1::{StreamLineItemsRequest, StreamOrdersRequest, StreamProductSalesRequest};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, refusal, run, seed, uids};

/// Longer than any of these streams may take to end.
const DRAIN: Duration = Duration::from_secs(30);

/// The tokens of the remaining messages, and the final status.
async fn rest<T>(mut stream: Streaming<T>, token: fn(T) -> String) -> (Vec<String>, Status) {
    let mut tokens = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => tokens.push(token(message)),
            Ok(None) => panic!("a stream that was broken off ends as if it were complete"),
            Err(status) => return (tokens, status),
        }
    }
}

#[track_caller]
fn assert_draining(status: &Status) {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"), "{status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
}

/// A stream that waits for a lock has sent nothing yet.
#[tokio::test]
async fn a_stream_that_has_sent_nothing_says_where_to_go_on() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 1_000).await;
    // No progress messages, which would end them anyway.
    let catalog = CatalogServer::start_with(&database, |config| {
        config.server.drain_timeout = DRAIN;
        config.stream.progress_interval = DRAIN;
    })
    .await;
    let orders = OrdersServer::start_with(&database, |config| {
        config.service.server.drain_timeout = DRAIN;
        config.service.stream.progress_interval = DRAIN;
    })
    .await;
    let everything = "begin; lock table catalog.product, catalog.product_metric, orders.order_header, \
        orders.order_line_item \
                      in access exclusive mode";
    run(&mut operator, everything).await;
    let products = catalog.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    let metrics =
        catalog.client().stream_product_metrics(StreamProductMetricsRequest::default()).await.unwrap().into_inner();
    let headers = orders.client().stream_orders(StreamOrdersRequest::default()).await.unwrap().into_inner();
    let lines = orders.client().stream_line_items(StreamLineItemsRequest::default()).await.unwrap().into_inner();
    let period = StreamProductSalesRequest {
        day_from: "2026-01-01".to_owned(),
        day_to: "2026-12-31".to_owned(),
        ..StreamProductSalesRequest::default()
    };
    let sales = orders.client().stream_product_sales(period).await.unwrap().into_inner();

    let begun = Instant::now();
    let stopping = [tokio::spawn(catalog.stop()), tokio::spawn(orders.stop())];
    let ends = tokio::join!(
        rest(products, |page| page.resume_token),
        rest(metrics, |page| page.resume_token),
        rest(headers, |page| page.resume_token),
        rest(lines, |page| page.resume_token),
        rest(sales, |page| page.resume_token),
    );
    let resume_token = ends.0.0.last().cloned();
    for (name, (tokens, status)) in
        [("products", ends.0), ("metrics", ends.1), ("orders", ends.2), ("lines", ends.3), ("sales", ends.4)]
    {
        assert_draining(&status);
        assert!(tokens.last().is_some_and(|token| !token.is_empty()), "{name}: {tokens:?}");
    }
    for server in stopping {
        server.await.unwrap().unwrap();
    }
    assert!(begun.elapsed() < DRAIN / 2, "nobody waits for the bound: {:?}", begun.elapsed());

    run(&mut operator, "rollback").await;
    let other = CatalogServer::start(&database).await;
    let request = StreamProductsRequest { resume_token: resume_token.unwrap(), ..Default::default() };
    let mut stream = other.client().stream_products(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        seen.extend(page.products.into_iter().map(|product| product.uid));
    }
    assert_eq!(seen, uids(1_000));
}

#[tokio::test]
async fn a_slow_reader_gets_what_was_sent_and_goes_on_elsewhere() {
    const ROWS: usize = 30_000;
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, ROWS).await;
    let server = CatalogServer::start_with(&database, |config| config.server.drain_timeout = DRAIN).await;
    let other = CatalogServer::start(&database).await;
    let mut request = StreamProductsRequest { page_size: 500, ..Default::default() };
    let mut stream = server.client().stream_products(request.clone()).await.unwrap().into_inner();
    let mut seen = Vec::new();
    let mut stopping = None;
    let begun = Instant::now();
    let mut server = Some(server);
    let status = loop {
        match stream.message().await {
            Ok(Some(page)) => {
                seen.extend(page.products.into_iter().map(|product| product.uid));
                request.resume_token = page.resume_token;
            }
            Ok(None) => panic!("the stream is not broken off"),
            Err(status) => break status,
        }
        if seen.len() == 2_000 {
            stopping = server.take().map(|server| tokio::spawn(server.stop()));
        }
        // What was already sent can be read slowly.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_draining(&status);
    stopping.unwrap().await.unwrap().unwrap();
    assert!(begun.elapsed() < DRAIN / 2, "the drain ends with the stream: {:?}", begun.elapsed());
    assert!((2_000..ROWS).contains(&seen.len()), "{} rows", seen.len());
    let mut stream = other.client().stream_products(request).await.unwrap().into_inner();
    while let Some(page) = stream.message().await.unwrap() {
        seen.extend(page.products.into_iter().map(|product| product.uid));
    }
    assert!(seen == uids(ROWS), "each row once and in order: {} rows", seen.len());
}
