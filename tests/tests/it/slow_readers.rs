//! A reader that stops reading uses bounded memory and no database connection; large rows make small pages.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, GetProductRequest, ListProductsRequest, StreamProductsRequest, StreamProductsResponse,
};
use prost::Message as _;
use sqlx::PgConnection;
use tokio_stream::StreamExt as _;
use tonic::transport::Endpoint;

use crate::harness::{CatalogProcess, CatalogServer, Role, TestDatabase, accepting, refusal, run, seed, uid};

const MIB: usize = 1 << 20;

/// The active connections of the service.
async fn busy(connection: &mut PgConnection, database: &TestDatabase) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = $1 and usename = 'catalog_service' and state <> 'idle'",
    )
    .bind(database.name())
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Inserts `count` products of `bytes` each after number `after`, as only other programs write them.
async fn large_rows(connection: &mut PgConnection, after: usize, count: usize, bytes: usize) {
    run(
        connection,
        &format!(
            "insert into catalog.product (uid, annotations) \
             select '{}-large-' || lpad(n::text, 4, '0'), jsonb_build_object('text', repeat('x', {bytes})) \
             from generate_series(1, {count}) n",
            uid(after)
        ),
    )
    .await;
}

#[tokio::test]
async fn a_reader_that_stops_holds_no_connection() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 50_000).await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_pool_min = 1;
        config.database.database_pool_max = 1;
        config.database.database_acquire_timeout = Duration::from_secs(2);
    })
    .await;
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let stream = server.separate_client().stream_products(StreamProductsRequest::default()).await.unwrap();
        let mut stream = stream.into_inner();
        let first = stream.message().await.unwrap().unwrap();
        stalled.push((stream, first.products.len()));
    }
    // What was being read ahead for them ends.
    let patience = Instant::now();
    while busy(&mut operator, &database).await > 0 {
        assert!(patience.elapsed() < Duration::from_secs(10), "a connection stays busy");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = server.client();
    for number in 1..=50 {
        client.get_product(GetProductRequest { uid: uid(number), read_mask: None }).await.unwrap();
    }
    client.list_products(ListProductsRequest::default()).await.unwrap();
    let whole = client.stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    assert_eq!(whole.map(|page| page.unwrap().products.len()).fold(0, |sum, rows| sum + rows).await, 50_000);
    // They can continue where they stopped.
    for (stream, first) in stalled {
        let rest = stream.map(|page| page.unwrap().products.len()).fold(0, |sum, rows| sum + rows).await;
        assert_eq!(first + rest, 50_000);
    }
}

#[tokio::test]
async fn large_rows_come_in_messages_that_every_client_takes_and_the_server_stays_small() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 4_000).await;
    // In the middle of small rows, so that a page planned for thousands of those contains them.
    large_rows(&mut operator, 2_000, 60, MIB).await;
    // The second would fit into a message of 4 MiB alone, but not with the rows before it.
    large_rows(&mut operator, 3_000, 1, MIB - 10_000).await;
    large_rows(&mut operator, 3_001, 1, 3 * MIB + MIB / 2).await;
    let process = CatalogProcess::spawn(&database).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", process.address())).unwrap();
    // A client with default settings: it accepts 4 MiB.
    let mut client = CatalogServiceClient::new(endpoint.connect().await.unwrap());

    let stream = client.stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    let pages: Vec<StreamProductsResponse> = stream.map(Result::unwrap).collect().await;
    let uids: Vec<&str> = pages.iter().flat_map(|page| &page.products).map(|product| product.uid.as_str()).collect();
    assert_eq!(uids.len(), 4_062);
    assert!(uids.is_sorted_by(|a, b| a < b));
    for page in &pages {
        let bytes = page.encoded_len();
        assert!(page.products.len() <= 1 || bytes <= MIB + 200, "{} rows in {bytes} bytes", page.products.len());
    }
    assert!(pages.len() < 90, "small rows still come in large pages: {} pages", pages.len());

    let mut listed = 0;
    let mut request = ListProductsRequest { page_size: 1_000, ..Default::default() };
    loop {
        let page = client.list_products(request.clone()).await.unwrap().into_inner();
        listed += page.products.len();
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, 4_062);

    // Twenty readers that stop among the large rows, each on its own connection.
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = process.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
        for _ in 0..6 {
            stream.message().await.unwrap().unwrap();
        }
        stalled.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let peak = process.peak_memory();
    assert!(peak < 160 << 20, "the server took {} MiB", peak >> 20);
}

#[tokio::test]
async fn what_is_too_much_for_one_answer_is_said_so() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    large_rows(&mut operator, 0, 40, MIB).await;
    let server = CatalogServer::start(&database).await;
    let uids: Vec<String> = (1..=40).map(|number| format!("{}-large-{number:04}", uid(0))).collect();
    let request = BatchGetProductsRequest { uids: uids[..10].to_vec(), read_mask: None };
    let answer = server.client().batch_get_products(accepting(request, 16 * MIB)).await.unwrap().into_inner();
    assert_eq!(answer.products.len(), 10);
    let request = BatchGetProductsRequest { uids, read_mask: None };
    let refused = refusal(&server.client().batch_get_products(accepting(request, 16 * MIB)).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (tonic::Code::ResourceExhausted, "ANSWER_TOO_LARGE"));
}
