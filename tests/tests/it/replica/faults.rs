//! If the replica is not a standby, gone, or silent, reads are served by the primary.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use orrery_kit::config::ServiceConfig;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{
    GetProductRequest, ListProductsRequest, StreamProductsRequest, StreamProductsResponse,
};
use sqlx::{AssertSqlSafe, PgConnection, query_scalar};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{CATALOG, EVENTUAL, Method, ReadAnswer, TIMEOUT, method, until_served_by};
use crate::harness::raw::call_with;
use crate::harness::{CatalogServer, Postgres, Role, StandbyServer, TestDatabase, run, seed, uid, uids};

fn get() -> Method {
    method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None })
}

async fn assert_serving(server: &CatalogServer) {
    let request = HealthCheckRequest { service: CATALOG.to_owned() };
    let health = HealthClient::new(server.channel()).check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
}

/// A standby with this many products, and a server that reads from it with small pages.
async fn start(products: usize) -> (Postgres, StandbyServer, TestDatabase, CatalogServer) {
    start_with(products, |_| ()).await
}

/// As [`start`], with settings changed by `change`.
async fn start_with(
    products: usize,
    change: impl FnOnce(&mut ServiceConfig),
) -> (Postgres, StandbyServer, TestDatabase, CatalogServer) {
    let primary = Postgres::own().await;
    let database = primary.create_database().await;
    seed(&mut database.connect(Role::Operator).await, products).await;
    let standby = StandbyServer::of(&primary).await;
    let url = standby.url(Role::Catalog, &database);
    let server = CatalogServer::start_with(&database, |config| {
        config.replica.database_replica_url = Some(url.parse().unwrap());
        config.stream.page_bytes = 4096;
        change(config);
    })
    .await;
    until_served_by("replica", &server.channel(), &get()).await;
    (primary, standby, database, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_no_standby_is_not_read_from() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 1).await;
    let url = database.url(Role::Catalog);
    let server = CatalogServer::start_with(&database, |config| {
        config.replica.database_replica_url = Some(url.parse().unwrap());
    })
    .await;
    // Longer than it takes to check it.
    for _ in 0..15 {
        let answer = get().call(&server.channel(), &[EVENTUAL]).await;
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_is_missed_by_nobody_and_comes_back() {
    let (_primary, mut standby, _database, server) = start(1).await;
    standby.kill();
    for _ in 0..20 {
        let answer = get().call(&server.channel(), &[EVENTUAL]).await;
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
    }
    let answer = get().call(&server.channel(), &[EVENTUAL, ("x-min-lsn", "0/1")]).await;
    assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
    assert_serving(&server).await;
    standby.start().await;
    until_served_by("replica", &server.channel(), &get()).await;
    assert_serving(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_replica_is_given_up_by_reads_under_way() {
    let (_primary, standby, _database, server) = start(1).await;
    standby.signal(Signal::SIGSTOP);
    // By uid and with a mask: shared and separate queries.
    let mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
    let masked = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: mask });
    let stream = method(CATALOG, "StreamProducts", &StreamProductsRequest::default());
    let channel = server.channel();
    let (one, two, three) = tokio::time::timeout(TIMEOUT, async {
        let (get, metadata) = (get(), [EVENTUAL]);
        tokio::join!(get.call(&channel, &metadata), masked.call(&channel, &metadata), stream.call(&channel, &metadata))
    })
    .await
    .unwrap();
    for answer in [one, two, three] {
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
    }
    assert_serving(&server).await;
    standby.signal(Signal::SIGCONT);
    until_served_by("replica", &channel, &get()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_primary_is_not_taken_for_well_because_its_replica_answers() {
    let (primary, _standby, _database, server) = start(1).await;
    let request = HealthCheckRequest { service: CATALOG.to_owned() };
    let mut health = HealthClient::new(server.channel()).watch(request).await.unwrap().into_inner();
    let mut until = async |status: ServingStatus| {
        while health.message().await.unwrap().unwrap().status() != status {}
    };
    let mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
    let masked = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: mask });
    let channel = server.channel();
    let reads = async {
        loop {
            let answer = masked.call(&channel, &[EVENTUAL]).await;
            assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("replica")), "{answer:?}");
        }
    };
    let told = async {
        until(ServingStatus::Serving).await;
        primary.pause();
        until(ServingStatus::NotServing).await;
        primary.resume();
        until(ServingStatus::Serving).await;
    };
    tokio::time::timeout(TIMEOUT, async {
        tokio::select! { () = reads => {}, () = told => {} }
    })
    .await
    .unwrap();
}

/// Waits until a condition holds on the replica.
async fn until(standby: &mut PgConnection, condition: &str) {
    let started = Instant::now();
    while !query_scalar::<_, bool>(AssertSqlSafe(condition.to_owned())).fetch_one(&mut *standby).await.unwrap() {
        assert!(started.elapsed() < TIMEOUT, "it never holds: {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_falls_silent_in_the_middle_of_a_read_costs_its_caller_a_moment() {
    const PRODUCTS: usize = 1_000;
    // Much longer than it takes to find out that the replica is silent, and much shorter than the limits that end a
    // read.
    const DEADLINE: Duration = Duration::from_secs(15);
    let (_primary, standby, database, server) = start_with(PRODUCTS, |config| {
        config.limits.transaction_timeout = TIMEOUT;
        config.stream.progress_interval = TIMEOUT;
        config.database.database_tcp_user_timeout = TIMEOUT;
    })
    .await;
    let mut on_standby = standby.connect().await.unwrap();
    let mut operator = database.connect(Role::Operator).await;
    // Readers of the replica wait once it has replayed this.
    run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
    let locked =
        "select exists (select from pg_locks where granted and mode = 'AccessExclusiveLock' and locktype = 'relation')";
    until(&mut on_standby, locked).await;
    let mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
    let reads = [
        get(),
        method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: mask }),
        method(CATALOG, "ListProducts", &ListProductsRequest::default()),
        method(CATALOG, "StreamProducts", &StreamProductsRequest::default()),
    ];
    let expected = reads.len();
    let calls = reads.map(|read| {
        let channel = server.channel();
        tokio::spawn(async move {
            let answer: ReadAnswer =
                call_with(&channel, &read.path, &[EVENTUAL], Some(DEADLINE), vec![read.message]).await.into();
            (read.path, answer)
        })
    });
    let waiting =
        "select count(*) from pg_stat_activity where usename = 'catalog_service' and wait_event_type = 'Lock'";
    until(&mut on_standby, &format!("select ({waiting}) = {expected}")).await;
    standby.signal(Signal::SIGSTOP);
    // The table is free on the primary, which the replica does not know.
    run(&mut operator, "rollback").await;
    for call in calls {
        let (path, answer) = call.await.unwrap();
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{path}: {answer:?}");
        if path.ends_with("StreamProducts") {
            let rows = answer
                .messages
                .unwrap()
                .into_iter()
                .flat_map(|page| <StreamProductsResponse as prost::Message>::decode(page).unwrap().products);
            assert_eq!(
                rows.map(|product| product.uid).collect::<Vec<_>>(),
                uids(PRODUCTS),
                "each row once and in order"
            );
        }
    }
    assert_serving(&server).await;
    standby.signal(Signal::SIGCONT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_replica_is_killed_goes_on_from_the_primary() {
    const PRODUCTS: usize = 5_000;
    let (_primary, mut standby, _database, server) = start(PRODUCTS).await;
    let whole = stream(server.separate_client(), || ()).await;
    assert_eq!(whole, (uids(PRODUCTS), "replica".to_owned()));
    let cut = stream(server.separate_client(), || standby.kill()).await;
    assert_eq!(cut, (uids(PRODUCTS), "primary".to_owned()));
}

/// The uids of all products, and who sent them; `meanwhile` runs after the first page.
async fn stream(
    mut client: CatalogServiceClient<tonic::transport::Channel>,
    meanwhile: impl FnOnce(),
) -> (Vec<String>, String) {
    let mut request = Request::new(StreamProductsRequest { page_size: 20, ..StreamProductsRequest::default() });
    request.metadata_mut().insert(EVENTUAL.0, EVENTUAL.1.parse().unwrap());
    let mut pages = client.stream_products(request).await.unwrap().into_inner();
    let mut all: Vec<String> =
        pages.message().await.unwrap().unwrap().products.into_iter().map(|product| product.uid).collect();
    meanwhile();
    while let Some(page) = pages.message().await.unwrap() {
        all.extend(page.products.into_iter().map(|product| product.uid));
    }
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "none comes twice");
    let trailers = pages.trailers().await.unwrap().unwrap();
    (all, trailers.get("x-served-by").unwrap().to_str().unwrap().to_owned())
}
