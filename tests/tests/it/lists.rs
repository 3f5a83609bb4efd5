//! `ListProducts`: page sizes, orders, and that the pages together contain everything in each order.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_proto::catalog::v1::{ListProductsRequest, Product, ProductFilter};

use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, run, seed, uid, uids};

async fn page(server: &CatalogServer, request: ListProductsRequest) -> (Vec<Product>, String) {
    let response = server.client().list_products(request).await.unwrap().into_inner();
    (response.products, response.next_page_token)
}

/// All pages together.
async fn all(server: &CatalogServer, mut request: ListProductsRequest) -> Vec<Product> {
    let mut products = Vec::new();
    loop {
        let (more, token) = page(server, request.clone()).await;
        assert!(more.len() <= request.page_size as usize);
        products.extend(more);
        if token.is_empty() {
            return products;
        }
        request.page_token = token;
    }
}

fn uids_of(products: &[Product]) -> Vec<String> {
    products.iter().map(|product| product.uid.clone()).collect()
}

#[tokio::test]
async fn a_page_has_as_many_rows_as_were_asked_for() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 2_500).await;
    let server = CatalogServer::start(&database).await;
    for (page_size, expected) in
        [(0, 50), (1, 1), (50, 50), (999, 999), (1_000, 1_000), (5_000, 1_000), (i32::MAX, 1_000)]
    {
        let (products, token) = page(&server, ListProductsRequest { page_size, ..Default::default() }).await;
        assert_eq!(uids_of(&products), uids(expected), "page_size {page_size}");
        assert!(!token.is_empty());
    }
    for page_size in [-1, i32::MIN] {
        let request = ListProductsRequest { page_size, ..Default::default() };
        assert_invalid(server.client().list_products(request).await, "FIELD_INVALID", "page_size");
    }
}

#[tokio::test]
async fn the_last_page_says_that_it_is_the_last() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    assert_eq!(page(&server, ListProductsRequest::default()).await, (vec![], String::new()));
    seed(&mut database.connect(Role::Operator).await, 100).await;
    // The hundred rows end exactly at the end of a page.
    let (products, token) = page(&server, ListProductsRequest { page_size: 50, ..Default::default() }).await;
    assert_eq!((products.len(), token.is_empty()), (50, false));
    let request = ListProductsRequest { page_size: 50, page_token: token, ..Default::default() };
    let (products, token) = page(&server, request).await;
    assert_eq!((products.len(), token.as_str()), (50, ""));
}

#[tokio::test]
async fn every_order_visits_every_row_once_ties_included() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 300).await;
    // Ten rows share each creation time. Half of the change times are equal, and some are -infinity or infinity.
    run(
        &mut operator,
        "update catalog.product set update_ts = case \
             when uid like '%0' then 'infinity' when uid like '%5' then '-infinity' \
             when uid like '%1' then '2026-03-01 00:00:00.000001+00' \
             else '2026-03-01 00:00:00+00' end::timestamptz where uid > 'prd_0000150'",
    )
    .await;
    let server = CatalogServer::start(&database).await;
    for column in ["uid", "create_ts", "update_ts"] {
        for direction in ["", "asc", "desc"] {
            // The order according to Postgres.
            let order = if direction == "desc" { "desc" } else { "asc" };
            let expected: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "select uid from catalog.product order by {column} {order}, uid {order}"
            )))
            .fetch_all(&mut operator)
            .await
            .unwrap();
            for page_size in [7, 1_000] {
                let order_by = format!("{column} {direction}");
                let request = ListProductsRequest { order_by: order_by.clone(), page_size, ..Default::default() };
                assert_eq!(uids_of(&all(&server, request).await), expected, "{order_by} by {page_size}");
            }
        }
    }
}

#[tokio::test]
async fn an_order_is_read_generously_and_without_guessing() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 3).await;
    let server = CatalogServer::start(&database).await;
    for (order_by, first) in [
        ("", 1),
        ("  ", 1),
        ("uid", 1),
        (" uid   desc ", 3),
        ("create_ts desc", 3),
        ("create_ts,uid", 1),
        (" create_ts desc ,uid\tdesc", 3),
        ("name desc", 3),
    ] {
        let request = ListProductsRequest { order_by: order_by.to_owned(), ..Default::default() };
        assert_eq!(page(&server, request).await.0[0].uid, uid(first), "{order_by:?}");
    }
    for order_by in [
        "status",
        "labels",
        "status.phase",
        "uid up",
        "uid asc desc",
        "uid, create_ts",
        "create_ts, uid desc",
        "create_ts desc, uid",
        "create_ts, name",
        "create_ts,",
        ",",
        "uid, uid",
        "desc",
        "uid DESC",
        "uid; --",
        "\0",
        "t.uid",
    ] {
        let request = ListProductsRequest { order_by: order_by.to_owned(), ..Default::default() };
        assert_invalid(server.client().list_products(request).await, "FIELD_INVALID", "order_by");
    }
}

#[tokio::test]
async fn a_filter_and_an_order_go_together() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 2_000).await;
    let server = CatalogServer::start(&database).await;
    let filter = ProductFilter { label_selector: "shard in (7,8)".to_owned(), ..Default::default() };
    let request = ListProductsRequest {
        filter: Some(filter),
        order_by: "create_ts desc".to_owned(),
        page_size: 9,
        ..Default::default()
    };
    let expected: Vec<String> = (1..=2_000).rev().filter(|number| matches!(number % 100, 7 | 8)).map(uid).collect();
    assert_eq!(uids_of(&all(&server, request).await), expected);
}
