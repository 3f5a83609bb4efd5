//! The limit on calls: it is exact, rejected callers get an error with a retry time at once, and each call releases its
//! place, however it ends.

#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test stops at the first surprise, and counts are exact")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{GetProductRequest, Product, StreamProductsRequest};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::admin::{Admin, Scrape};
use crate::harness::{CatalogServer, Role, TestDatabase, refusal, run, seed, uid};

/// Longer than any step of a test takes.
const TIMEOUT: Duration = Duration::from_secs(30);
const CALLS: usize = 4;
const STREAMS: usize = 2;

struct Fixture {
    database: TestDatabase,
    server: CatalogServer,
    admin: Admin,
}

type Answer = Result<Response<Product>, Status>;

impl Fixture {
    /// A catalog of 50,000 products with a low limit on calls.
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        seed(&mut database.connect(Role::Operator).await, 50_000).await;
        let (admin, listen) = Admin::take();
        let server = CatalogServer::start_with(&database, |config| {
            config.admin.admin_listen = listen;
            config.overload.max_concurrent_calls = Some(CALLS);
            config.overload.max_open_streams = STREAMS;
            // All calls of a test may use one connection.
            config.overload.connection_share = 100;
        })
        .await;
        Self { database, server, admin }
    }

    /// Starts to get a product.
    fn get(&self, uid: String, timeout: Option<Duration>) -> JoinHandle<Answer> {
        let mut client = self.server.client();
        let mut request = Request::new(GetProductRequest { uid, read_mask: None });
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        tokio::spawn(async move { client.get_product(request).await })
    }

    /// Waits until this many calls of a kind are running.
    async fn until_in_flight(&self, kind: &str, count: usize) -> Scrape {
        let in_flight = |scrape: &Scrape| scrape.value("orrery_calls_in_flight", &[("kind", kind)]) == count as f64;
        self.admin.scrape_until(&format!("{count} calls of kind {kind}"), in_flight).await
    }

    /// As many calls as the limit allows, all waiting for a [`lock`].
    async fn full(&self) -> Vec<JoinHandle<Answer>> {
        let calls = (1..=CALLS).map(|number| self.get(uid(number), None)).collect();
        self.until_in_flight("unary", CALLS).await;
        calls
    }

    async fn assert_refused(&self) {
        let begun = Instant::now();
        let status = self.get(uid(1), None).await.unwrap().unwrap_err();
        assert!(begun.elapsed() < TIMEOUT);
        assert_overloaded(&status);
    }

    /// Checks that no place is taken: as many concurrent calls as the limit allows succeed.
    async fn assert_all_free(&self) {
        self.until_in_flight("unary", 0).await;
        let mut holder = self.database.connect(Role::Operator).await;
        lock(&mut holder).await;
        let calls = self.full().await;
        run(&mut holder, "rollback").await;
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
}

/// Blocks all reads of products.
async fn lock(connection: &mut PgConnection) {
    run(connection, "begin").await;
    run(connection, "lock table catalog.product in access exclusive mode").await;
}

/// The time after which to retry.
#[track_caller]
fn assert_overloaded(status: &Status) -> Duration {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{status:?}");
    let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&delay), "{delay:?}");
    delay
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bound_holds_exactly_and_health_is_always_answered() {
    let fixture = Fixture::new().await;
    let mut holder = fixture.database.connect(Role::Operator).await;
    lock(&mut holder).await;
    let calls: Vec<_> = (1..=64).map(|number| fixture.get(uid(number), None)).collect();
    // Only the rejected ones end while the table is locked.
    let shed = |scrape: &Scrape| scrape.value("orrery_calls_shed_total", &[("kind", "unary")]);
    let scrape = fixture.admin.scrape_until("60 refusals", |scrape| shed(scrape) == (64 - CALLS) as f64).await;
    assert_eq!(scrape.value("orrery_calls_in_flight", &[("kind", "unary")]), CALLS as f64);
    assert_eq!(scrape.value("orrery_calls_max", &[("kind", "unary")]), CALLS as f64);
    let refused = scrape.handled("orrery.catalog.v1.CatalogService", "GetProduct", "unary", "ResourceExhausted");
    assert_eq!(refused, (64 - CALLS) as f64);

    let health = HealthClient::new(fixture.server.channel()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status, 1, "SERVING");
    // Streams have their own limit; this one waits for the lock as well.
    let mut client = fixture.server.client();
    let stream = tokio::spawn(async move { client.stream_products(StreamProductsRequest::default()).await });
    fixture.until_in_flight("stream", 1).await;

    run(&mut holder, "rollback").await;
    let (mut served, mut delays) = (0, HashSet::new());
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => served += 1,
            Err(status) => drop(delays.insert(assert_overloaded(&status))),
        }
    }
    assert_eq!(served, CALLS);
    assert!(delays.len() > 16, "callers who were turned away together come back at {} times", delays.len());
    stream.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_place_comes_back_after_success_and_after_an_error() {
    let fixture = Fixture::new().await;
    for round in 0..3 * CALLS {
        fixture.get(uid(1), None).await.unwrap().unwrap();
        let missing = fixture.get(format!("prd_missing_{round}"), None).await.unwrap().unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        let invalid = fixture.get(String::new(), None).await.unwrap().unwrap_err();
        assert_eq!(invalid.code(), Code::InvalidArgument);
    }
    fixture.assert_all_free().await;
}

#[tokio::test]
async fn a_place_comes_back_when_the_caller_leaves_or_its_time_is_over() {
    let fixture = Fixture::new().await;
    let mut holder = fixture.database.connect(Role::Operator).await;
    lock(&mut holder).await;
    let calls = fixture.full().await;
    fixture.assert_refused().await;
    for call in &calls {
        call.abort();
    }
    fixture.until_in_flight("unary", 0).await;
    let calls: Vec<_> = (1..=CALLS).map(|number| fixture.get(uid(number), Some(Duration::from_secs(1)))).collect();
    for call in calls {
        let status = call.await.unwrap().unwrap_err();
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    }
    fixture.until_in_flight("unary", 0).await;
    run(&mut holder, "rollback").await;
    fixture.assert_all_free().await;
}

#[tokio::test]
async fn readers_who_stop_hold_streams_and_no_calls() {
    let fixture = Fixture::new().await;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = fixture
            .server
            .separate_client()
            .stream_products(StreamProductsRequest::default())
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        open.push(stream);
    }
    let request = StreamProductsRequest::default();
    assert_overloaded(&fixture.server.client().stream_products(request.clone()).await.unwrap_err());
    for number in 1..=10 * CALLS {
        fixture.get(uid(number), None).await.unwrap().unwrap();
    }
    // One is dropped, the other is read to its end.
    drop(open.pop());
    fixture.until_in_flight("stream", STREAMS - 1).await;
    let mut last = open.pop().unwrap();
    while last.message().await.unwrap().is_some() {}
    fixture.until_in_flight("stream", 0).await;
    let mut again = fixture.server.client().stream_products(request).await.unwrap().into_inner();
    assert!(again.message().await.unwrap().is_some());
}
