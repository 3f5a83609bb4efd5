//! If the replica fails within a page, the page is read again from its beginning, and no row is lost.

use std::time::Instant;

use orrery_proto::catalog::v1::{
    GetProductRequest, ListProductsRequest, ListProductsResponse, ProductFilter, StreamProductsRequest,
    StreamProductsResponse,
};
use prost::Message as _;
use sqlx::query_scalar;
use tonic::Code;

use super::{CATALOG, EVENTUAL, TIMEOUT, method, until_served_by};
use crate::harness::{CatalogServer, Postgres, Role, StandbyServer, run, seed, uid};

/// More than two windows of the first size.
const PRODUCTS: usize = 45_000;
/// The selected rows: two in the first window, two after it.
const WANTED: [usize; 4] = [100, 19_000, 21_000, 44_000];
/// After the first window; all reads of the replica stop here.
const HELD: usize = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_which_the_replica_brought_a_part_is_read_again_whole() {
    let primary = Postgres::own().await;
    let database = primary.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, PRODUCTS).await;
    let wanted = WANTED.map(|number| format!("'{}'", uid(number))).join(", ");
    // Readers of this row on the replica wait for a lock that the test holds there.
    run(
        &mut operator,
        &format!(
            "update catalog.product set name = 'a needle' where uid in ({wanted}); \
             alter table catalog.product rename to stored; \
             create view catalog.product as select * from catalog.stored \
                 where not pg_is_in_recovery() or uid <> '{}' or pg_advisory_xact_lock_shared(1)::text = ''; \
             grant select on catalog.product, catalog.stored to catalog_service",
            uid(HELD)
        ),
    )
    .await;
    let standby = StandbyServer::of(&primary).await;
    let url = standby.url(Role::Catalog, &database);
    let mut holder = standby.connect_to(&database).await;
    run(&mut holder, "select pg_advisory_lock(1)").await;
    let server = CatalogServer::start_with(&database, |config| {
        config.replica.database_replica_url = Some(url.parse().unwrap());
        // A page ends with the last row, not because of time.
        config.stream.progress_interval = TIMEOUT;
        config.limits.transaction_timeout = TIMEOUT;
    })
    .await;
    let channel = server.channel();
    let get = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None });
    let filter = || Some(ProductFilter { name_contains: "needle".to_owned(), ..ProductFilter::default() });
    let list = ListProductsRequest { filter: filter(), ..Default::default() };
    let stream = StreamProductsRequest { filter: filter(), ..Default::default() };
    let reads = [method(CATALOG, "ListProducts", &list), method(CATALOG, "StreamProducts", &stream)];
    for read in reads {
        until_served_by("replica", &channel, &get).await;
        let path = read.path.clone();
        let reader = channel.clone();
        let call = tokio::spawn(async move { read.call(&reader, &[EVENTUAL]).await });
        // Each time a session reaches the row, it is ended, until the replica is no longer used.
        let begun = Instant::now();
        let mut ended = 0;
        while !call.is_finished() {
            let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                       where usename = 'catalog_service' and wait_event_type = 'Lock'";
            ended += query_scalar::<_, i64>(end).fetch_one(&mut holder).await.unwrap();
            assert!(begun.elapsed() < TIMEOUT, "{path} does not end");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(ended > 0, "{path} did not read from the replica");
        let answer = call.await.unwrap();
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{path}: {answer:?}");
        let rows = answer.messages.unwrap().into_iter().flat_map(|page| {
            if path.ends_with("ListProducts") {
                let page = ListProductsResponse::decode(page).unwrap();
                assert_eq!(page.next_page_token, "");
                page.products
            } else {
                StreamProductsResponse::decode(page).unwrap().products
            }
        });
        assert_eq!(rows.map(|product| product.uid).collect::<Vec<_>>(), WANTED.map(uid), "{path}");
    }
}
