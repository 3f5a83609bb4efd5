//! A silent network failure: no connection is closed, and nothing arrives.

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{GetProductRequest, UpdateProductRequest};
use orrery_tests_needs as needs;
use prost_types::FieldMask;
use sqlx::PgConnection;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use super::until_health_is;
use crate::harness::blackhole::{Blackhole, NEEDS};
use crate::harness::{CatalogServer, Postgres, Role, product, refusal, run, seed, uid};

/// Longer than the kernel needs with these settings, and shorter than anything else that ends a call or session here.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until the service runs this many statements, as seen by its database.
async fn until_running(connection: &mut PgConnection, count: i64) {
    let begun = Instant::now();
    let running = "select count(*) from pg_stat_activity where datname = current_database() \
                   and usename = 'catalog_service' and state <> 'idle'";
    loop {
        let running: i64 = sqlx::query_scalar(running).fetch_one(&mut *connection).await.unwrap();
        if running == count {
            return;
        }
        assert!(begun.elapsed() < TIMEOUT, "{running} statements run, not {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn assert_unavailable(status: &Status) {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"), "{status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_of_a_connection_notice_that_the_other_is_gone() {
    if !needs::met(&NEEDS) {
        return;
    }
    let mut blackhole = Blackhole::new();
    let address = blackhole.address().to_string();
    let postgres = Postgres::own_with(&[("listen_addresses", &format!("127.0.0.1,{address}"))]).await;
    let database = postgres.create_database().await;
    let database = database.bypassing_pooler("the connection that goes silent is the one to the server").await;
    let (mut operator, mut watcher) = (database.connect(Role::Operator).await, database.connect(Role::Operator).await);
    seed(&mut operator, 10).await;
    // A direct connection, whatever the suite's route is.
    let url = postgres.url(Role::Catalog, database.name());
    assert!(url.contains("127.0.0.1"), "the address stands in the URL");
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_url = url.replace("127.0.0.1", &address).parse().unwrap();
        config.database.database_keepalive = Duration::from_secs(1);
        config.database.database_tcp_user_timeout = Duration::from_secs(2);
        // No other limit ends a statement.
        config.limits.transaction_timeout = Duration::from_secs(600);
    })
    .await;
    run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
    // Without a deadline: in a transaction, and without one.
    let mut client = server.client();
    let update = UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() };
    let updated = tokio::spawn(async move { client.update_product(update).await.map(drop) });
    let mut client = server.client();
    let name = FieldMask { paths: vec!["name".to_owned()] };
    let get = GetProductRequest { uid: uid(1), read_mask: Some(name) };
    let asked = get.clone();
    let read = tokio::spawn(async move { client.get_product(asked).await.map(drop) });
    until_running(&mut watcher, 2).await;

    blackhole.drop_packets();
    for call in [updated, read] {
        let ended = tokio::time::timeout(TIMEOUT, call).await.expect("a call ends although nobody answers").unwrap();
        assert_unavailable(&ended.unwrap_err());
    }
    // The lock is still held, and for the server the connections are still open.
    until_running(&mut watcher, 0).await;
    assert_unavailable(&server.client().get_product(get.clone()).await.unwrap_err());
    until_health_is(server.channel(), ServingStatus::NotServing).await;

    blackhole.restore();
    run(&mut operator, "rollback").await;
    until_health_is(server.channel(), ServingStatus::Serving).await;
    let found = server.client().get_product(get).await.unwrap().into_inner();
    assert_eq!(found.name, "Thing 1", "the update was given up");
    server.stop().await.unwrap();
}
