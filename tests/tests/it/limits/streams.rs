//! Streams of more rows and more bytes than one result may have.

use orrery_proto::catalog::v1::StreamProductsRequest;

use super::managed;
use crate::harness::{CatalogProcess, CatalogServer, Role, TestDatabase, run, seed, uid};

const ROWS: usize = 300_000;
const SMALL: usize = 1_500;
const LARGE: usize = 500;

#[tokio::test]
async fn three_hundred_thousand_rows_arrive_in_one_stream_each_once_and_in_order() {
    let database = TestDatabase::limited(managed()).await;
    seed(&mut database.connect(Role::Operator).await, ROWS).await;
    let server = CatalogServer::start(&database).await;
    let read_mask = Some(prost_types::FieldMask { paths: vec!["uid".to_owned()] });
    let request = StreamProductsRequest { read_mask, ..Default::default() };
    let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
    let mut next = 1;
    while let Some(page) = stream.message().await.unwrap() {
        for product in page.products {
            assert_eq!(product.uid, uid(next));
            next += 1;
        }
    }
    assert_eq!(next, ROWS + 1);
}

#[tokio::test]
async fn a_run_of_large_rows_among_small_ones_keeps_the_size_of_results_and_of_the_server() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    // 1 KiB each, except for 900 KiB each in the middle.
    run(
        &mut operator,
        &format!(
            "insert into catalog.product (uid, annotations) \
             select 'prd_' || lpad(n::text, 7, '0'), jsonb_build_object('text', repeat('x', \
                    case when n between {SMALL} + 1 and {SMALL} + {LARGE} then 900 * 1024 else 1024 end)) \
             from generate_series(1, 2 * {SMALL} + {LARGE}) n"
        ),
    )
    .await;
    let process = CatalogProcess::spawn(&database).await;
    let mut stream = process.client().stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    let (mut next, mut bytes) = (1, 0);
    while let Some(page) = stream.message().await.unwrap() {
        for product in page.products {
            assert_eq!(product.uid, uid(next));
            bytes += product.annotations["text"].len();
            next += 1;
        }
    }
    assert_eq!(next, 2 * SMALL + LARGE + 1);
    assert_eq!(bytes, 1024 * (2 * SMALL + 900 * LARGE));
    let peak = process.peak_memory();
    assert!(peak < 128 << 20, "the server took {} MiB", peak >> 20);
}
