//! Streams that are read slowly.

use orrery_kit::deadline::Deadline;
use orrery_kit::references::ForeignReferences as _;
use orrery_proto::catalog::v1::StreamProductsRequest;

use super::{PATIENT, catalog};
use crate::harness::{CatalogServer, Role, TestDatabase, run, seed, uids};

/// All calls to a peer share a connection, and its window.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_read_hold_up_no_other_call() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 5_000).await;
    run(&mut operator, "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 2000))").await;
    let server = CatalogServer::start(&database).await;
    let client = catalog(server.address(), PATIENT);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut pages = client.stream_products(StreamProductsRequest::default(), Deadline::none());
        pages.next().await.unwrap().unwrap();
        streams.push(pages);
    }
    // Each holds as much as the connection receives ahead of its reader.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let asked = [uids(1), vec!["prd_none".to_owned()]].concat();
    let missing = client.missing(asked, Deadline::none()).await.unwrap();
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["prd_none"]);
    for mut pages in streams {
        let mut rows = 0;
        while let Some(page) = pages.next().await.unwrap() {
            rows += page.products.len();
        }
        assert!(rows > 0 && rows < 5_000, "{rows} rows after the first page");
    }
}
