//! `StreamProducts` and `StreamProductMetrics`: all rows once, in order, however often the stream breaks and whatever
//! else happens to the table.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orrery_proto::catalog::v1::{
    Product, ProductFilter, StreamProductMetricsRequest, StreamProductMetricsResponse, StreamProductsRequest,
    StreamProductsResponse,
};
use prost_types::FieldMask;
use tokio_stream::StreamExt as _;

use crate::harness::{CatalogServer, Role, TestDatabase, run, seed, uid, uids};

fn uids_of(products: &[Product]) -> Vec<String> {
    products.iter().map(|product| product.uid.clone()).collect()
}

/// All pages of a successful stream.
async fn pages(server: &CatalogServer, request: StreamProductsRequest) -> Vec<StreamProductsResponse> {
    let stream = server.client().stream_products(request).await.unwrap().into_inner();
    stream.map(Result::unwrap).collect().await
}

async fn all(server: &CatalogServer, request: StreamProductsRequest) -> Vec<Product> {
    pages(server, request).await.into_iter().flat_map(|page| page.products).collect()
}

#[tokio::test]
async fn everything_comes_once_and_in_order_in_pages_that_carry_tokens() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 3_000).await;
    let server = CatalogServer::start(&database).await;
    for (page_size, expected) in [(17, 177), (3_000, 1), (i32::MAX, 1)] {
        let pages = pages(&server, StreamProductsRequest { page_size, ..Default::default() }).await;
        assert!(pages.iter().all(|page| !page.resume_token.is_empty()));
        assert!(pages.iter().all(|page| page.products.len() <= page_size as usize));
        // The first pages of a stream are smaller, because the size of rows is not known yet.
        assert!(pages.len() >= expected && pages.len() <= expected + 2, "{} pages of {page_size}", pages.len());
        let tokens: BTreeSet<&str> = pages.iter().map(|page| page.resume_token.as_str()).collect();
        assert_eq!(tokens.len(), pages.len(), "every page has a token of its own");
        let rows: Vec<Product> = pages.into_iter().flat_map(|page| page.products).collect();
        assert_eq!(uids_of(&rows), uids(3_000));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_every_message_goes_on_without_a_gap_or_a_repeat() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 3_000).await;
    let server = CatalogServer::start(&database).await;
    let mut client = server.client();
    let whole = pages(&server, StreamProductsRequest { page_size: 17, ..Default::default() }).await;

    let mut token = String::new();
    for expected in &whole {
        let request = StreamProductsRequest { page_size: 17, resume_token: token, ..Default::default() };
        let mut stream = client.stream_products(request).await.unwrap().into_inner();
        let page = stream.message().await.unwrap().unwrap();
        assert_eq!(page.products, expected.products);
        // The connection stays open, the call ends: data in transit is dropped.
        drop(stream);
        token = page.resume_token;
    }

    // The rest after each tenth cut, to the end.
    for (cut, page) in whole.iter().enumerate().step_by(10) {
        let request = StreamProductsRequest { resume_token: page.resume_token.clone(), ..Default::default() };
        assert_eq!(uids_of(&all(&server, request).await), uids(3_000)[((cut + 1) * 17).min(3_000)..]);
    }
    let request = StreamProductsRequest { resume_token: token, ..Default::default() };
    assert_eq!(pages(&server, request).await, [], "after the last token nothing is left");
}

/// Reading ahead is cancelled, with its connection, only if it takes long.
#[tokio::test]
async fn readers_who_want_one_page_cost_no_connection_each() {
    const READERS: usize = 40;
    let database = TestDatabase::create().await;
    let database = database.bypassing_pooler("it counts the service's own connections").await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 20_000).await;
    let server = CatalogServer::start(&database).await;
    let mut seen = BTreeSet::new();
    for _ in 0..READERS {
        let request = StreamProductsRequest { page_size: 100, ..Default::default() };
        let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
        assert!(!stream.next().await.unwrap().unwrap().products.is_empty());
        drop(stream);
        let sessions = "select pid from pg_stat_activity \
                        where datname = current_database() and usename = 'catalog_service'";
        seen.extend(sqlx::query_scalar::<_, i32>(sessions).fetch_all(&mut operator).await.unwrap());
    }
    // Ten fit into the pool; on a busy machine a page may take long.
    assert!(seen.len() < READERS / 3, "{} connections for {READERS} readers", seen.len());
}

#[tokio::test]
async fn a_page_size_and_a_mask_may_change_on_the_way() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 500).await;
    let server = CatalogServer::start(&database).await;
    let mut client = server.client();
    let (mut token, mut seen) = (String::new(), Vec::new());
    for (turn, page_size) in [1, 100, 3, 0, 50].into_iter().cycle().enumerate() {
        let read_mask = (turn % 2 == 1).then(|| FieldMask { paths: vec!["name".to_owned()] });
        let request = StreamProductsRequest {
            page_size,
            read_mask: read_mask.clone(),
            resume_token: token,
            ..Default::default()
        };
        let mut stream = client.stream_products(request).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        for product in page.products {
            assert_eq!(product.uid.is_empty(), read_mask.is_some());
            seen.push(product.name);
        }
        token = page.resume_token;
    }
    let expected: Vec<String> = (1..=500).map(|number| format!("Thing {number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_empty_catalog_is_an_empty_stream() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    assert_eq!(pages(&server, StreamProductsRequest::default()).await, []);
    let stream = server.client().stream_product_metrics(StreamProductMetricsRequest::default()).await.unwrap();
    assert_eq!(stream.into_inner().map(Result::unwrap).collect::<Vec<_>>().await, []);
}

#[tokio::test]
async fn rows_that_stay_appear_once_whatever_happens_around_them() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 3_000).await;
    let server = CatalogServer::start(&database).await;
    let stop = Arc::new(AtomicBool::new(false));
    // Uids between and beside those that stay are created, deleted and changed, a third of the table at a time.
    let mut others = database.connect(Role::Operator).await;
    let stopped = Arc::clone(&stop);
    let churn = tokio::spawn(async move {
        let mut rounds = 0_u64;
        while !stopped.load(Ordering::Relaxed) {
            let third = rounds % 3;
            run(
                &mut others,
                &format!(
                    "insert into catalog.product (uid, name) select 'prd_' || lpad(n::text, 7, '0') || '-between', 'x' \
                     from generate_series(0, 3000) n where n % 3 = {third} on conflict do nothing"
                ),
            )
            .await;
            run(&mut others, "update catalog.product set name = name || '+' where uid like '%7-between'").await;
            run(&mut others, &format!("delete from catalog.product where uid like '%{}-between'", rounds % 10)).await;
            rounds += 1;
        }
        rounds
    });
    let mut between = 0;
    for turn in 0..8 {
        // Every second time the stream breaks after each message.
        let request = StreamProductsRequest { page_size: 57, ..Default::default() };
        let mut seen = Vec::new();
        if turn % 2 == 0 {
            seen = all(&server, request).await;
        } else {
            let mut request = request;
            while let Some(page) =
                server.client().stream_products(request.clone()).await.unwrap().into_inner().message().await.unwrap()
            {
                seen.extend(page.products);
                request.resume_token = page.resume_token;
            }
        }
        let seen = uids_of(&seen);
        assert!(seen.is_sorted_by(|a, b| a < b), "in order, none twice");
        let stayed: Vec<String> = seen.iter().filter(|uid| !uid.ends_with("-between")).cloned().collect();
        assert_eq!(stayed, uids(3_000));
        between += seen.len() - stayed.len();
    }
    stop.store(true, Ordering::Relaxed);
    let rounds = churn.await.unwrap();
    assert!(rounds > 3 && between > 0, "{rounds} rounds of changes, of which {between} rows were met");
}

async fn seed_metrics(database: &TestDatabase, products: usize, names: usize) {
    run(
        &mut database.connect(Role::Operator).await,
        &format!(
            "insert into catalog.product_metric (product_uid, name, value, unit, as_of_ts) \
             select 'prd_' || lpad(p::text, 7, '0'), 'metric_' || n, p * 100 + n + 0.50, 'GBP', \
                    timestamptz '2026-01-01 00:00:00+00' + p * interval '1 second' \
             from generate_series(1, {products}) p, generate_series(1, {names}) n"
        ),
    )
    .await;
}

#[tokio::test]
async fn metrics_stream_by_product_and_name_and_resume_within_a_product() {
    let database = TestDatabase::create().await;
    seed_metrics(&database, 100, 5).await;
    let server = CatalogServer::start(&database).await;
    let mut client = server.client();
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        // Seven per page, five per product: pages end within a product.
        let request = StreamProductMetricsRequest { page_size: 7, resume_token: token, ..Default::default() };
        let mut stream = client.stream_product_metrics(request).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        let StreamProductMetricsResponse { product_metrics, resume_token } = page;
        seen.extend(product_metrics.into_iter().map(|metric| (metric.product_uid, metric.name, metric.value)));
        token = resume_token;
    }
    let expected: Vec<(String, String, String)> = (1..=100)
        .flat_map(|product| {
            (1..=5).map(move |name| (uid(product), format!("metric_{name}"), format!("{}.50", product * 100 + name)))
        })
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_answer_that_is_filtered_streams_and_resumes_like_a_whole_one() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 3_000).await;
    let server = CatalogServer::start(&database).await;
    let filter = ProductFilter { label_selector: "even=true".to_owned(), ..Default::default() };
    let mut request = StreamProductsRequest { filter: Some(filter), page_size: 90, ..Default::default() };
    let mut seen = Vec::new();
    while let Some(page) =
        server.client().stream_products(request.clone()).await.unwrap().into_inner().message().await.unwrap()
    {
        seen.extend(uids_of(&page.products));
        request.resume_token = page.resume_token;
    }
    assert_eq!(seen, (1..=1_500).map(|half| uid(half * 2)).collect::<Vec<_>>());
}
