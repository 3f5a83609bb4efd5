//! The cost of reads: takes the SQL that the service sent from the server's log and explains it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_proto::catalog::v1::{ListProductsRequest, ProductFilter, StreamProductsRequest};
use orrery_proto::r#type::v1::TimeRange;
use prost_types::FieldMask;
use sqlx::PgConnection;
use tokio_stream::StreamExt as _;

use crate::harness::plan::{self, Log, explain, indexes, node_types, pages};
use crate::harness::{CatalogServer, Role, TestDatabase, run, seed, timestamp, uid};

const ROWS: usize = 120_000;

/// A server that logs all statements, with a catalog as it is after a load: neither vacuumed nor analyzed.
async fn loaded() -> (TestDatabase, PgConnection, CatalogServer) {
    let database = Log::server().await.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, ROWS).await;
    let server = CatalogServer::start(&database).await;
    (database, operator, server)
}

async fn read_all(server: &CatalogServer, request: StreamProductsRequest) -> usize {
    let pages = server.client().stream_products(request).await.unwrap().into_inner();
    pages.map(|page| page.unwrap().products.len()).fold(0, |sum, rows| sum + rows).await
}

#[tokio::test]
async fn a_page_at_depth_costs_what_the_first_one_costs() {
    let (_database, mut operator, server) = loaded().await;
    let mut log = Log::new(&mut operator, Role::Catalog).await;
    for (mask, unit) in [(vec![], "whole"), (vec!["uid".to_owned()], "uid")] {
        let request = StreamProductsRequest {
            read_mask: Some(FieldMask { paths: mask }),
            page_size: 1_000,
            ..Default::default()
        };
        assert_eq!(read_all(&server, request).await, ROWS);
        let selects = log.selects(&mut operator).await;
        assert!(selects.len() >= ROWS / 1_000, "{} selects", selects.len());
        assert!(selects.iter().all(|select| !select.contains("offset")), "{}", selects[1]);
        let mut costs = Vec::new();
        // Not the first one, which requests fewer rows, and not the last one, which finds fewer.
        for at in [1, 2, selects.len() / 2, selects.len() - 3] {
            let plan = explain(&mut operator, &selects[at]).await;
            assert!(!node_types(&plan).iter().any(|node| node.contains("Sort") || *node == "Seq Scan"), "{plan:#}");
            assert_eq!(indexes(&plan), ["product_pkey"], "{plan:#}");
            assert_eq!(plan::rows(&plan), 1_001, "{}", selects[at]);
            costs.push(pages(&plan));
        }
        let (least, most) = (*costs.iter().min().unwrap(), *costs.iter().max().unwrap());
        assert!(most * 10 <= least * 12, "{unit}: pages of the table looked at: {costs:?}");
    }
}

#[tokio::test]
async fn every_order_has_an_index_at_any_depth() {
    let (_database, mut operator, server) = loaded().await;
    let mut log = Log::new(&mut operator, Role::Catalog).await;
    for (column, index) in
        [("uid", "product_pkey"), ("create_ts", "product_create_ts_idx"), ("update_ts", "product_update_ts_idx")]
    {
        for direction in ["asc", "desc"] {
            let mut request = ListProductsRequest {
                order_by: format!("{column} {direction}"),
                page_size: 1_000,
                read_mask: Some(FieldMask { paths: vec!["uid".to_owned()] }),
                ..Default::default()
            };
            for _ in 0..60 {
                let page = server.client().list_products(request.clone()).await.unwrap().into_inner();
                assert_eq!(page.products.len(), 1_000);
                request.page_token = page.next_page_token;
            }
            let selects = log.selects(&mut operator).await;
            let mut costs = Vec::new();
            for select in [&selects[1], &selects[59]] {
                let plan = explain(&mut operator, select).await;
                assert!(!node_types(&plan).iter().any(|node| node.contains("Sort")), "{select}: {plan:#}");
                assert_eq!(indexes(&plan), [index], "{plan:#}");
                costs.push(pages(&plan));
            }
            assert!(costs[1] * 10 <= costs[0] * 12, "{column} {direction}: {costs:?}");
        }
    }
}

#[tokio::test]
async fn selectors_and_phases_use_their_indexes() {
    let (_database, mut operator, server) = loaded().await;
    run(&mut operator, "update catalog.product set labels = labels || '{\"rare\": \"yes\"}' where uid like '%77777'")
        .await;
    let rare = (1..=ROWS).filter(|number| number % 100_000 == 77_777).count();
    let mut log = Log::new(&mut operator, Role::Catalog).await;
    let filters = [
        (ProductFilter { label_selector: "rare=yes".to_owned(), ..Default::default() }, rare, "product_labels_idx"),
        (
            ProductFilter { label_selector: "rare in (yes,no)".to_owned(), ..Default::default() },
            rare,
            "product_labels_idx",
        ),
        (ProductFilter { label_selector: "rare".to_owned(), ..Default::default() }, rare, "product_labels_idx"),
        (ProductFilter { label_selector: "rare=no".to_owned(), ..Default::default() }, 0, "product_labels_idx"),
        (
            ProductFilter { label_selector: "rare=yes,!other".to_owned(), ..Default::default() },
            rare,
            "product_labels_idx",
        ),
        (ProductFilter { phases: vec!["retired".to_owned()], ..Default::default() }, 120, "product_phase_idx"),
        (
            ProductFilter { phases: vec!["gone".to_owned(), "retired".to_owned()], ..Default::default() },
            120,
            "product_phase_idx",
        ),
        (ProductFilter { uids: vec![uid(5), uid(70_000)], ..Default::default() }, 2, "product_pkey"),
        (
            ProductFilter {
                created: Some(TimeRange { start: Some(timestamp(1_767_225_600)), end: Some(timestamp(1_767_225_601)) }),
                ..Default::default()
            },
            9,
            "product_create_ts_idx",
        ),
        (
            ProductFilter {
                updated: Some(TimeRange { start: Some(timestamp(1_767_225_600)), end: Some(timestamp(1_767_225_601)) }),
                ..Default::default()
            },
            9,
            "product_update_ts_idx",
        ),
    ];
    // As after a load, and after statistics were collected.
    for analyzed in [false, true] {
        if analyzed {
            run(&mut operator, "analyze catalog.product").await;
        }
        for (filter, rows, index) in &filters {
            if !analyzed && filter.label_selector.contains(" in ") {
                // Without statistics Postgres assumes that each value of a set matches a hundredth of the table.
                continue;
            }
            let request = StreamProductsRequest { filter: Some(filter.clone()), ..Default::default() };
            assert_eq!(read_all(&server, request).await, *rows, "{filter:?}");
            for select in log.selects(&mut operator).await {
                let plan = explain(&mut operator, &select).await;
                assert_eq!(indexes(&plan), [*index], "analyzed: {analyzed}, {select}: {plan:#}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_just_loaded_is_not_read_as_a_whole_to_find_a_label() {
    let (_database, mut operator, server) = loaded().await;
    // Not enough for Postgres to merge it into the index, unless the index has a setting for that.
    run(&mut operator, "select gin_clean_pending_list('catalog.product_labels_idx')").await;
    run(
        &mut operator,
        "insert into catalog.product (uid, labels) \
         select 'prd_new' || n, jsonb_build_object('shard', (n % 100)::text, 'even', (n % 2 = 0)::text) \
         from generate_series(1, 24000) n",
    )
    .await;
    let mut log = Log::new(&mut operator, Role::Catalog).await;
    let filter = ProductFilter { label_selector: "shard=none".to_owned(), ..Default::default() };
    assert_eq!(read_all(&server, StreamProductsRequest { filter: Some(filter), ..Default::default() }).await, 0);
    let selects = log.selects(&mut operator).await;
    let plan = explain(&mut operator, &selects[0]).await;
    // At most 128 pages of 8 KiB are pending, and the search reads a few more.
    assert!(pages(&plan) < 150, "{} pages: {plan:#}", pages(&plan));
}
