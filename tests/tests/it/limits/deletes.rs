//! Deletes of a row with more dependent rows than one statement or one transaction may change.

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{DeleteProductRequest, GetProductRequest};
use sqlx::PgConnection;
use tonic::{Code, Request};

use super::managed;
use crate::harness::wire::WireLimits;
use crate::harness::{CatalogServer, Role, TestDatabase, run, seed, uid};

const METRICS: i64 = 250_000;

/// Writes metrics of product 1 without the service, and one of product 2.
async fn metrics(connection: &mut PgConnection) {
    seed(connection, 2).await;
    run(
        connection,
        &format!(
            "insert into catalog.product_metric (product_uid, name, value) select '{}', 'day-' || n, n from \
             generate_series(1, {METRICS}) n; \
             insert into catalog.product_metric (product_uid, name, value) values ('{}', 'day-1', 1)",
            uid(1),
            uid(2)
        ),
    )
    .await;
}

/// The number of a product's metrics.
async fn left(connection: &mut PgConnection, uid: &str) -> i64 {
    let count = sqlx::query_scalar("select count(*) from catalog.product_metric where product_uid = $1");
    count.bind(uid).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_product_of_a_quarter_million_metrics_is_deleted_with_all_of_them() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    metrics(&mut operator).await;
    let server = CatalogServer::start(&database).await;
    server.client().delete_product(DeleteProductRequest { uid: uid(1), ..Default::default() }).await.unwrap();
    let gone = server.client().get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!((left(&mut operator, &uid(1)).await, left(&mut operator, &uid(2)).await), (0, 1));
}

#[tokio::test]
async fn a_delete_that_takes_longer_than_a_transaction_may_is_done_in_several() {
    // Ten thousand rows are written within 50 ms; all of them take much longer than the limit of a transaction.
    let database =
        TestDatabase::limited(WireLimits { transaction: Duration::from_secs(5), ..WireLimits::default() }).await;
    let mut operator = database.connect(Role::Operator).await;
    metrics(&mut operator).await;
    // Each statement that deletes metrics takes 0.1 s longer, as on a server that is far away or busy.
    run(
        &mut operator,
        "create function public.slow() returns trigger language plpgsql security definer as \
             $$ begin perform pg_sleep(0.1); return null; end $$; \
         create trigger slow after delete on catalog.product_metric for each statement execute function public.slow()",
    )
    .await;
    let server = CatalogServer::start_with(&database, |config| {
        config.limits.transaction_timeout = Duration::from_secs(4);
    })
    .await;
    server.client().delete_product(DeleteProductRequest { uid: uid(1), ..Default::default() }).await.unwrap();
    assert_eq!((left(&mut operator, &uid(1)).await, left(&mut operator, &uid(2)).await), (0, 1));
}

#[tokio::test]
async fn a_delete_that_was_interrupted_goes_on_where_it_was() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    metrics(&mut operator).await;
    run(
        &mut operator,
        "create function public.slow() returns trigger language plpgsql security definer as \
             $$ begin perform pg_sleep(0.1); return null; end $$; \
         create trigger slow after delete on catalog.product_metric for each statement execute function public.slow()",
    )
    .await;
    let server = CatalogServer::start(&database).await;
    let started = Instant::now();
    let mut interrupted = 0;
    loop {
        let mut request = Request::new(DeleteProductRequest { uid: uid(1), ..Default::default() });
        // Enough time for some of the statements, but not for all.
        request.set_timeout(Duration::from_secs(2));
        let Err(status) = server.client().delete_product(request).await else { break };
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        interrupted += 1;
        // The product exists as long as any of its rows does.
        server.client().get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(90), "{} are left", left(&mut operator, &uid(1)).await);
    }
    assert!(interrupted > 0);
    assert_eq!((left(&mut operator, &uid(1)).await, left(&mut operator, &uid(2)).await), (0, 1));
}
