//! Filters that few rows match and no index supports: the stream shows progress, and continues where it was.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{ListProductsRequest, ProductFilter, StreamProductsRequest};

use tokio::sync::OnceCell;

use crate::harness::{CatalogServer, Role, TestDatabase, run, uid};

const ROWS: usize = 100_000;
const INTERVAL: Duration = Duration::from_millis(40);

/// A catalog with two matching names, one in the middle and the last one. No test changes it, so all share it.
async fn haystack() -> CatalogServer {
    static HAYSTACK: OnceCell<TestDatabase> = OnceCell::const_new();
    let make = async {
        let database = TestDatabase::create().await;
        let mut operator = database.connect(Role::Operator).await;
        // Long names, so that even a fast machine searches for a while.
        run(
            &mut operator,
            &format!(
                "insert into catalog.product (uid, name, status, create_ts, update_ts) \
                 select 'prd_' || lpad(n::text, 7, '0'), \
                        case when n in ({ROWS} / 2, {ROWS}) then 'A NEEDLE' else repeat('hay ', 200) end, \
                        '{{\"phase\": \"active\"}}', \
                        timestamptz '2026-01-01 00:00:00+00' + n / 10 * interval '1 second', \
                        timestamptz '2026-01-01 00:00:00+00' + n / 10 * interval '1 second' \
                 from generate_series(1, {ROWS}) n"
            ),
        )
        .await;
        run(&mut operator, "vacuum analyze catalog.product").await;
        database
    };
    let database = Box::pin(HAYSTACK.get_or_init(|| make)).await;
    Box::pin(CatalogServer::start_with(database, |config| config.stream.progress_interval = INTERVAL)).await
}

fn needle(name_contains: &str) -> ProductFilter {
    ProductFilter { name_contains: name_contains.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_stream_that_finds_little_reports_where_it_is() {
    let server = haystack().await;
    for (text, expected) in [("needle", vec![uid(ROWS / 2), uid(ROWS)]), ("nowhere", vec![])] {
        let request = StreamProductsRequest { filter: Some(needle(text)), ..Default::default() };
        let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
        let (mut seen, mut empty, mut longest) = (Vec::new(), Vec::new(), Duration::ZERO);
        let mut since = Instant::now();
        while let Some(page) = stream.message().await.unwrap() {
            longest = longest.max(since.elapsed());
            since = Instant::now();
            assert!(!page.resume_token.is_empty());
            if page.products.is_empty() {
                empty.push(page.resume_token);
            }
            seen.extend(page.products.into_iter().map(|product| product.uid));
        }
        assert_eq!(seen, expected);
        assert!(empty.len() > 1, "{} empty pages", empty.len());
        empty.dedup();
        assert!(empty.len() > 1, "each shows progress");
        // An interval for the window that had just begun, and time for a busy machine.
        assert!(longest < INTERVAL * 2 + Duration::from_secs(2), "a silence of {longest:?}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_from_the_token_of_an_empty_page() {
    let server = haystack().await;
    let mut request = StreamProductsRequest { filter: Some(needle("needle")), ..Default::default() };
    let (mut seen, mut messages) = (Vec::new(), 0);
    // It breaks after each message.
    while let Some(page) =
        server.client().stream_products(request.clone()).await.unwrap().into_inner().message().await.unwrap()
    {
        assert_ne!(page.resume_token, request.resume_token);
        seen.extend(page.products.into_iter().map(|product| product.uid));
        request.resume_token = page.resume_token;
        messages += 1;
    }
    assert_eq!(seen, [uid(ROWS / 2), uid(ROWS)]);
    assert!(messages > 2, "{messages} messages");
}

#[tokio::test]
async fn a_filter_that_only_looks_indexed_makes_progress_too() {
    let server = haystack().await;
    // Nearly all rows are active, so the index on phases does not help.
    let filter = ProductFilter { phases: vec!["active".to_owned()], ..needle("nowhere") };
    let request = StreamProductsRequest { filter: Some(filter), ..Default::default() };
    let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
    let mut tokens = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        assert_eq!(page.products, []);
        tokens.push(page.resume_token);
    }
    assert!(tokens.len() > 1, "{} messages", tokens.len());
}

#[tokio::test]
async fn a_list_answers_within_its_interval_and_may_be_empty_before_the_end() {
    let server = haystack().await;
    for order_by in ["uid", "uid desc", "create_ts", "update_ts desc"] {
        let mut request =
            ListProductsRequest { filter: Some(needle("needle")), order_by: order_by.to_owned(), ..Default::default() };
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let started = Instant::now();
            let page = server.client().list_products(request.clone()).await.unwrap().into_inner();
            assert!(started.elapsed() < INTERVAL * 2 + Duration::from_secs(2), "{:?}", started.elapsed());
            seen.extend(page.products.into_iter().map(|product| product.uid));
            pages += 1;
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        seen.sort();
        assert_eq!(seen, [uid(ROWS / 2), uid(ROWS)], "{order_by}");
        assert!(pages > 1, "{pages} pages");
    }
}
