//! A delete in several transactions is completed once a part is deleted, however the row changes meanwhile. Old writes
//! that are removed on the way are skipped if somebody holds them.

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{DeleteProductRequest, GetProductRequest};

use super::{begin, commit};
use crate::harness::{CatalogServer, Role, TestDatabase, until_waiting};
use crate::writes::stream::{PRODUCTS, WriteStream, named};

/// How long a transaction may take. After half of it, a delete commits what it has done.
const TRANSACTION: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_has_begun_does_not_stop_at_a_change() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Operator).await;
    let mut watcher = database.connect(Role::Operator).await;
    let server = CatalogServer::start_with(&database, |config| config.limits.transaction_timeout = TRANSACTION).await;
    // More than one statement deletes.
    commit(
        &pool,
        "insert into catalog.product (uid) values ('prd_a'); \
         insert into catalog.product_metric (product_uid, name, value) \
             select 'prd_a', 'm' || lpad(n::text, 5, '0'), n from generate_series(1, 6000) n",
    )
    .await;
    let get = GetProductRequest { uid: "prd_a".to_owned(), read_mask: None };
    let etag = server.client().get_product(get).await.unwrap().into_inner().etag;
    let first = "update catalog.product_metric set value = 0 where product_uid = 'prd_a' and name = 'm00001'";
    let holding = begin(&pool, first).await;
    let begun = Instant::now();
    let mut client = server.client();
    let delete = DeleteProductRequest { uid: "prd_a".to_owned(), etag, ..DeleteProductRequest::default() };
    let delete = tokio::spawn(async move { client.delete_product(delete).await });
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    // Waits for the product before the delete's second transaction does.
    let changes = tokio::spawn({
        let pool = pool.clone();
        async move { commit(&pool, "update catalog.product set name = 'theirs' where uid = 'prd_a'").await }
    });
    until_waiting(&mut watcher, Role::Operator, 1).await;
    // The first transaction ends after its first statement, because its time is over.
    tokio::time::sleep((TRANSACTION / 2 + Duration::from_millis(200)).saturating_sub(begun.elapsed())).await;
    holding.rollback().await.unwrap();
    changes.await.unwrap();
    delete.await.unwrap().unwrap();
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from catalog.product) + (select count(*) from catalog.product_metric)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

/// A new stream removes a few old writes, and does not wait for one that somebody holds.
#[tokio::test]
async fn a_stream_does_not_wait_for_what_it_clears_away() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Operator).await;
    let server = CatalogServer::start(&database).await;
    commit(
        &pool,
        "insert into catalog.write_session (resource, write_id, parameters, update_ts) \
             select 'orrery.catalog.v1.Product', 'old ' || n, '{}', now() - interval '100 days' from \
             generate_series(1, 3) n",
    )
    .await;
    let holding = begin(&pool, "select from catalog.write_session where write_id = 'old 2' for update").await;
    let opened = WriteStream::resume(server.channel(), PRODUCTS, named("new"));
    let (_, offset) =
        tokio::time::timeout(Duration::from_secs(20), opened).await.expect("it waits for nobody").unwrap();
    assert_eq!(offset, 0);
    let left: Vec<String> = sqlx::query_scalar("select write_id from catalog.write_session order by write_id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(left, ["old 2"]);
    holding.rollback().await.unwrap();
}
