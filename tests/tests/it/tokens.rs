//! Page and resume tokens are valid only for their request, on all replicas.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_proto::catalog::v1::{
    ListProductsRequest, ProductFilter, StreamProductMetricsRequest, StreamProductsRequest,
};
use prost_types::FieldMask;
use tonic::{Code, Status};

use crate::harness::{CatalogProcess, CatalogServer, Role, TestDatabase, assert_invalid, refusal, run, seed, uid};

#[expect(clippy::unnecessary_wraps, reason = "as a request holds it")]
fn filter(label_selector: &str) -> Option<ProductFilter> {
    Some(ProductFilter { label_selector: label_selector.to_owned(), ..Default::default() })
}

/// The token of the first page of a list.
async fn page_token(server: &CatalogServer, request: ListProductsRequest) -> String {
    let token = server.client().list_products(request).await.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    token
}

/// The token of the first page of a stream.
async fn resume_token(server: &CatalogServer, request: StreamProductsRequest) -> String {
    let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap().resume_token
}

async fn list(server: &CatalogServer, request: ListProductsRequest) -> Result<Vec<String>, Status> {
    let page = server.client().list_products(request).await?.into_inner();
    Ok(page.products.into_iter().map(|product| product.uid).collect())
}

/// The first page of a stream; an invalid token is refused before it.
async fn stream(server: &CatalogServer, request: StreamProductsRequest) -> Result<Vec<String>, Status> {
    let page = server.client().stream_products(request).await?.into_inner().message().await?.unwrap();
    Ok(page.products.into_iter().map(|product| product.uid).collect())
}

#[tokio::test]
async fn a_token_of_another_request_is_told_apart() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 500).await;
    let server = CatalogServer::start(&database).await;
    let listed = ListProductsRequest {
        filter: filter("even=true"),
        order_by: "create_ts".to_owned(),
        page_size: 5,
        ..Default::default()
    };
    let page_token = page_token(&server, listed.clone()).await;
    let streamed = StreamProductsRequest { filter: filter("even=true"), page_size: 5, ..Default::default() };
    let resume_token = resume_token(&server, streamed.clone()).await;

    // The same request, unchanged and with allowed changes.
    let listed = ListProductsRequest { page_token, ..listed };
    let streamed = StreamProductsRequest { resume_token, ..streamed };
    let sixth_even = Some(uid(12));
    assert_eq!(list(&server, listed.clone()).await.unwrap().first().cloned(), sixth_even);
    assert_eq!(stream(&server, streamed.clone()).await.unwrap().first().cloned(), sixth_even);
    let mask = Some(FieldMask { paths: vec!["uid".to_owned()] });
    let changed = ListProductsRequest { read_mask: mask.clone(), page_size: 100, ..listed.clone() };
    assert_eq!(list(&server, changed).await.unwrap().first().cloned(), sixth_even);
    let changed = StreamProductsRequest { read_mask: mask, page_size: 100, ..streamed.clone() };
    assert_eq!(stream(&server, changed).await.unwrap().first().cloned(), sixth_even);

    // Another order, another filter, another method.
    for order_by in ["", "create_ts desc", "update_ts"] {
        let changed = ListProductsRequest { order_by: order_by.to_owned(), ..listed.clone() };
        assert_invalid(list(&server, changed).await, "TOKEN_MISMATCH", "page_token");
    }
    for filter in [None, filter("even=false"), filter("even=true,shard=2")] {
        let changed = ListProductsRequest { filter: filter.clone(), ..listed.clone() };
        assert_invalid(list(&server, changed).await, "TOKEN_MISMATCH", "page_token");
        let changed = StreamProductsRequest { filter, ..streamed.clone() };
        assert_invalid(stream(&server, changed).await, "TOKEN_MISMATCH", "resume_token");
    }
    let swapped = ListProductsRequest {
        page_token: streamed.resume_token.clone(),
        order_by: String::new(),
        filter: streamed.filter.clone(),
        ..Default::default()
    };
    assert_invalid(list(&server, swapped).await, "TOKEN_MISMATCH", "page_token");
    let swapped = StreamProductsRequest { resume_token: listed.page_token.clone(), ..streamed.clone() };
    assert_invalid(stream(&server, swapped).await, "TOKEN_MISMATCH", "resume_token");
    let swapped = StreamProductMetricsRequest { resume_token: streamed.resume_token, ..Default::default() };
    let refused = server.client().stream_product_metrics(swapped).await;
    assert_invalid(refused.map(drop), "TOKEN_MISMATCH", "resume_token");
}

#[tokio::test]
async fn a_filter_that_says_the_same_in_the_same_fields_keeps_its_tokens() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 500).await;
    let server = CatalogServer::start(&database).await;
    let streamed = StreamProductsRequest { page_size: 5, ..Default::default() };
    let resume_token = resume_token(&server, streamed).await;
    // An unset filter and an empty filter are the same condition.
    let request = StreamProductsRequest { filter: Some(ProductFilter::default()), resume_token, ..Default::default() };
    assert_eq!(stream(&server, request).await.unwrap()[0], uid(6));
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let server = CatalogServer::start(&database).await;
    let token = page_token(&server, ListProductsRequest { page_size: 5, ..Default::default() }).await;
    let resume = resume_token(&server, StreamProductsRequest { page_size: 5, ..Default::default() }).await;

    let mut wrong: Vec<String> = ["x", "=", "prd_0000005", "null", "\0", "é", " "].map(str::to_owned).into();
    wrong.push("A".repeat(100_000));
    wrong.push(format!("{token}A"));
    wrong.push(format!(" {token}"));
    for length in 1..token.len() {
        wrong.push(token[..length].to_owned());
    }
    for at in 0..token.len() {
        // The next character of the alphabet; the lowest bits of the last character have no meaning, and must not be
        // ignored.
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        wrong.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
    }
    for page_token in wrong {
        let request = ListProductsRequest { page_token: page_token.clone(), ..Default::default() };
        assert_invalid(list(&server, request).await, "TOKEN_INVALID", "page_token");
    }
    for resume_token in ["x".to_owned(), resume[1..].to_owned(), resume[..resume.len() - 1].to_owned()] {
        let request = StreamProductsRequest { resume_token: resume_token.clone(), ..Default::default() };
        assert_invalid(stream(&server, request).await, "TOKEN_INVALID", "resume_token");
        let request = StreamProductMetricsRequest { resume_token, ..Default::default() };
        let refused = server.client().stream_product_metrics(request).await;
        assert_invalid(refused.map(drop), "TOKEN_INVALID", "resume_token");
    }
}

#[tokio::test]
async fn a_token_of_another_installation_is_refused() {
    let (one, other) = (TestDatabase::create().await, TestDatabase::create().await);
    for database in [&one, &other] {
        seed(&mut database.connect(Role::Operator).await, 100).await;
    }
    let (server, stranger) = (CatalogServer::start(&one).await, CatalogServer::start(&other).await);
    let page_token = page_token(&server, ListProductsRequest { page_size: 5, ..Default::default() }).await;
    let request = ListProductsRequest { page_token, ..Default::default() };
    assert_invalid(list(&stranger, request).await, "TOKEN_INVALID", "page_token");
}

#[tokio::test]
async fn a_token_works_on_another_replica_and_after_a_restart() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let server = CatalogServer::start(&database).await;
    let mut process = CatalogProcess::spawn(&database).await;
    let page_token = page_token(&server, ListProductsRequest { page_size: 5, ..Default::default() }).await;
    for restarted in [false, true] {
        let request = ListProductsRequest { page_token: page_token.clone(), page_size: 5, ..Default::default() };
        let page = process.client().list_products(request).await.unwrap().into_inner();
        assert_eq!(page.products[0].uid, uid(6));
        if !restarted {
            process.restart().await;
        }
    }
}

#[tokio::test]
async fn replicas_that_start_at_once_agree_on_a_key() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let mut replicas = Vec::new();
    for _ in 0..6 {
        replicas.push(CatalogServer::start(&database).await);
    }
    let first = || ListProductsRequest { page_size: 5, ..Default::default() };
    let tokens = futures::future::join_all(replicas.iter().map(|replica| page_token(replica, first()))).await;
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[tokio::test]
async fn a_row_that_a_token_stands_on_may_go() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100).await;
    let server = CatalogServer::start(&database).await;
    let page_token = page_token(&server, ListProductsRequest { page_size: 5, ..Default::default() }).await;
    run(&mut operator, "delete from catalog.product where uid <= 'prd_0000005'").await;
    assert_eq!(list(&server, ListProductsRequest { page_token, ..Default::default() }).await.unwrap()[0], uid(6));
}

#[tokio::test]
async fn a_token_is_needed_where_the_database_is_needed() {
    // A token is checked before anything is read, and an invalid one causes no query of the table.
    let database = TestDatabase::create().await;
    run(&mut database.connect(Role::Operator).await, "revoke select on catalog.product from catalog_service").await;
    let server = CatalogServer::start(&database).await;
    let request = ListProductsRequest { page_token: "x".to_owned(), ..Default::default() };
    assert_invalid(list(&server, request).await, "TOKEN_INVALID", "page_token");
    let refused = list(&server, ListProductsRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&refused).code, Code::Internal);
}
