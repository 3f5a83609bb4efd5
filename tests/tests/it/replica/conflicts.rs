//! Recovery on the replica conflicts with a read and cancels it: the client still gets the whole response.

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{
    GetProductRequest, ListProductsRequest, ListProductsResponse, Product, StreamProductsRequest,
    StreamProductsResponse,
};
use prost::Message as _;
use prost_types::FieldMask;
use sqlx::{PgConnection, query_scalar};
use tonic::Code;

use super::{CATALOG, EVENTUAL, TIMEOUT, method, until_served_by};
use crate::harness::{CatalogServer, Postgres, Role, StandbyServer, run, seed, uid, uids};

const PRODUCTS: usize = 300;
/// The row that is slow to read on the replica.
const SLOW: usize = 200;

/// The number of queries that the replica cancelled because of recovery.
async fn conflicts(standby: &mut PgConnection) -> i64 {
    let count = "select sum(confl_snapshot + confl_lock + confl_bufferpin)::bigint from pg_stat_database_conflicts";
    query_scalar(count).fetch_one(standby).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_recovery_cancels_is_answered_whole() {
    let primary = Postgres::own().await;
    let database = primary.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, PRODUCTS).await;
    // One row takes five seconds, on the replica only.
    run(
        &mut operator,
        &format!(
            "alter table catalog.product rename to stored; \
             create view catalog.product as select * from catalog.stored \
                 where not pg_is_in_recovery() or uid <> '{}' or pg_sleep(5)::text = ''; \
             grant select on catalog.product, catalog.stored to catalog_service",
            uid(SLOW)
        ),
    )
    .await;
    let standby = StandbyServer::of(&primary).await;
    let mut on_standby = standby.connect().await.unwrap();
    run(&mut on_standby, "alter system set max_standby_streaming_delay = '50ms'").await;
    run(&mut on_standby, "select pg_reload_conf()").await;
    let url = standby.url(Role::Catalog, &database);
    let server = CatalogServer::start_with(&database, |config| {
        config.replica.database_replica_url = Some(url.parse().unwrap());
        // The slow row is in the middle of pages and of a stream.
        config.stream.page_bytes = 16 << 10;
    })
    .await;
    let channel = server.channel();
    let quick = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None });
    let mask = Some(FieldMask { paths: vec!["name".to_owned()] });
    let reads = [
        method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(SLOW), read_mask: None }),
        method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(SLOW), read_mask: mask }),
        method(CATALOG, "ListProducts", &ListProductsRequest { page_size: PRODUCTS as i32, ..Default::default() }),
        method(CATALOG, "StreamProducts", &StreamProductsRequest::default()),
    ];
    for read in reads {
        until_served_by("replica", &channel, &quick).await;
        let before = conflicts(&mut on_standby).await;
        let path = read.path.clone();
        let reader = channel.clone();
        let call = tokio::spawn(async move { read.call(&reader, &[EVENTUAL]).await });
        until_it_sleeps(&mut on_standby).await;
        // The read could still see what the replica now removes.
        run(&mut operator, "update catalog.stored set name = name").await;
        run(&mut operator, "vacuum catalog.stored").await;
        let answer = tokio::time::timeout(TIMEOUT, call).await.unwrap().unwrap();
        // From the primary, or from the replica after recovery: callers of a shared query then read separately.
        assert!(answer.code() == Code::Ok && answer.served_by.is_some(), "{path}: {answer:?}");
        let messages = answer.messages.unwrap();
        if path.ends_with("GetProduct") {
            let name = Product::decode(messages[0].clone()).unwrap().name;
            assert_eq!(name, format!("Thing {SLOW}"));
        } else {
            let rows = messages.into_iter().flat_map(|page| {
                if path.ends_with("ListProducts") {
                    ListProductsResponse::decode(page).unwrap().products
                } else {
                    StreamProductsResponse::decode(page).unwrap().products
                }
            });
            let rows: Vec<String> = rows.map(|product| product.uid).collect();
            // A page of a list may end before the last row.
            let whole = if path.ends_with("ListProducts") { rows.len().max(SLOW / 2) } else { PRODUCTS };
            assert_eq!(rows, uids(whole), "{path}: each row once and in order");
        }
        let begun = Instant::now();
        while conflicts(&mut on_standby).await == before {
            assert!(begun.elapsed() < TIMEOUT, "{path}: it was not recovery that ended the read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until a read has reached the slow row.
async fn until_it_sleeps(standby: &mut PgConnection) {
    let begun = Instant::now();
    let sleeps =
        "select exists (select from pg_stat_activity where usename = 'catalog_service' and wait_event = 'PgSleep')";
    while !query_scalar::<_, bool>(sleeps).fetch_one(&mut *standby).await.unwrap() {
        assert!(begun.elapsed() < TIMEOUT, "no read is at the slow row");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
