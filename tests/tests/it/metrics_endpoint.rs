//! The admin port: exact counts after known traffic, and probes that reflect the database and the drain.

#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test stops at the first surprise, and counts are exact")]

use std::time::Duration;

use orrery_kit::build_info::{COMPILER, PASSES, VERSION};
use orrery_proto::catalog::v1::{GetProductRequest, StreamProductsRequest, UpdateProductRequest};
use orrery_proto::r#type::v1::WriteStart;
use prost_types::FieldMask;
use sqlx::Connection as _;
use tonic::{Code, Status};

use crate::harness::admin::{Admin, Scrape};
use crate::harness::{CatalogServer, Postgres, Role, TestDatabase, product, raw, refusal, seed, uid};
use crate::writes::stream::{PRODUCTS, WriteStream};

const SERVICE: &str = "orrery.catalog.v1.CatalogService";

async fn start(database: &TestDatabase) -> (CatalogServer, Admin) {
    let (admin, listen) = Admin::take();
    let server = CatalogServer::start_with(database, |config| config.admin.admin_listen = listen).await;
    (server, admin)
}

fn unary(scrape: &Scrape, method: &str, code: &str) -> f64 {
    scrape.handled(SERVICE, method, "unary", code)
}

fn streamed(scrape: &Scrape, method: &str, code: &str) -> f64 {
    scrape.handled(SERVICE, method, "server_stream", code)
}

fn open(scrape: &Scrape, method: &str) -> f64 {
    scrape.value("orrery_streams_open", &[("grpc_service", SERVICE), ("grpc_method", method)])
}

async fn get(server: &CatalogServer, uid: &str) -> Result<(), Status> {
    server.client().get_product(GetProductRequest { uid: uid.to_owned(), read_mask: None }).await.map(|_| ())
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code_and_statements_by_rows() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let (server, admin) = start(&database).await;
    let before = admin.scrape().await;
    for number in 1..=3 {
        get(&server, &uid(number)).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(get(&server, "prd_missing").await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(get(&server, "").await.unwrap_err().code(), Code::InvalidArgument);
    for path in [format!("/{SERVICE}/Nothing"), "/orrery.orders.v1.OrdersService/GetOrder".to_owned()] {
        assert_eq!(raw::call(&server.channel(), &path, Vec::new()).await.unwrap_err().code(), Code::Unimplemented);
    }
    // A call is counted when its last byte was sent, which the client may read before that.
    let after = admin.scrape_until("six calls", |scrape| unary(scrape, "GetProduct", "OK") >= 3.0).await;
    assert_eq!(unary(&after, "GetProduct", "OK"), 3.0);
    assert_eq!(unary(&after, "GetProduct", "NotFound"), 2.0);
    assert_eq!(unary(&after, "GetProduct", "InvalidArgument"), 1.0);
    assert_eq!(after.handled("unknown", "unknown", "unknown", "Unimplemented"), 2.0);
    let labels = [("grpc_service", SERVICE), ("grpc_method", "GetProduct"), ("grpc_type", "unary")];
    assert_eq!(after.value("grpc_server_started_total", &labels), 6.0);
    assert_eq!(after.value("grpc_server_handling_seconds_count", &labels), 6.0);

    // One at a time, so that no two share a statement.
    let read = |name: &str| {
        let series = format!("orrery_db_statement_{name}");
        after.value(&series, &[("kind", "read")]) - before.value(&series, &[("kind", "read")])
    };
    assert_eq!((read("rows_count"), read("rows_sum"), read("seconds_count")), (5.0, 3.0, 5.0));
    assert!(read("bytes_sum") > 3.0 * 50.0, "{}", read("bytes_sum"));
}

#[tokio::test]
async fn rows_are_counted_that_are_copied_out() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 25_000).await;
    let (server, admin) = start(&database).await;
    let request = StreamProductsRequest { page_size: 1_000, ..StreamProductsRequest::default() };
    let mut stream = server.client().stream_products(request).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let scrape = admin.scrape_until("the stream's end", |scrape| streamed(scrape, "StreamProducts", "OK") == 1.0).await;
    let copied = |name: &str| scrape.value(&format!("orrery_db_statement_{name}"), &[("kind", "copy_out")]);
    // A statement may return one row more than its page, to see whether there are more.
    let (rows, statements) = (copied("rows_sum"), copied("rows_count"));
    assert!(statements >= 25.0 && (25_000.0..=25_000.0 + statements).contains(&rows), "{rows} in {statements}");
    assert!(copied("bytes_sum") > 25_000.0 * 50.0, "{scrape:#?}");
    assert_eq!(open(&scrape, "StreamProducts"), 0.0);
}

#[tokio::test]
async fn chunks_and_rows_count_when_they_are_acknowledged() {
    let database = TestDatabase::create().await;
    let (server, admin) = start(&database).await;
    for (validate_only, chunks, rows) in [(false, 3.0, 30.0), (true, 3.0, 30.0), (false, 6.0, 60.0)] {
        let start = WriteStart { validate_only, ..WriteStart::default() };
        let mut stream = WriteStream::open(server.channel(), PRODUCTS, start).await.unwrap();
        for chunk in 0..3 {
            let products: Vec<_> = (0..10).map(|row| product(&uid(chunk * 10 + row))).collect();
            stream.send(chunk as i64 * 10, &products).await;
        }
        let mut committed = 0;
        while committed < 30 {
            committed = stream.answer().await.unwrap().unwrap().committed_offset;
        }
        let scrape = admin.scrape().await;
        let resource = [("resource", "orrery.catalog.v1.Product")];
        assert_eq!(scrape.value("orrery_write_chunks_acknowledged_total", &resource), chunks, "{validate_only}");
        assert_eq!(scrape.value("orrery_write_rows_acknowledged_total", &resource), rows, "{validate_only}");
        assert_eq!(open(&scrape, "WriteProducts"), 1.0);
        drop(stream);
        admin.scrape_until("the write closed", |scrape| open(scrape, "WriteProducts") == 0.0).await;
    }
}

#[tokio::test]
async fn a_stream_counts_at_its_end_with_the_code_of_its_end() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 50_000).await;
    let (server, admin) = start(&database).await;
    let mut client = server.client();

    // Cancelled by its client.
    let mut stream = client.stream_products(StreamProductsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let scrape = admin.scrape().await;
    assert_eq!((open(&scrape, "StreamProducts"), streamed(&scrape, "StreamProducts", "OK")), (1.0, 0.0));
    drop(stream);
    let canceled = |scrape: &Scrape| streamed(scrape, "StreamProducts", "Canceled") == 1.0;
    let scrape = admin.scrape_until("a cancelled stream", canceled).await;
    assert_eq!(open(&scrape, "StreamProducts"), 0.0);

    // Failed halfway: its headers had reported success.
    let request = StreamProductsRequest { page_size: 100, ..StreamProductsRequest::default() };
    let mut stream = client.stream_products(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    postgres.kill().await;
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => unreachable!("the database is gone"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let scrape = admin.scrape_until("a failed stream", |scrape| open(scrape, "StreamProducts") == 0.0).await;
    assert_eq!(streamed(&scrape, "StreamProducts", "Unavailable"), 1.0);
    assert_eq!(streamed(&scrape, "StreamProducts", "OK"), 0.0);
}

#[tokio::test]
async fn the_pool_shows_who_works_and_who_waits() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 10).await;
    let (admin, listen) = Admin::take();
    let server = CatalogServer::start_with(&database, |config| {
        config.admin.admin_listen = listen;
        config.database.database_pool_min = 1;
        config.database.database_pool_max = 1;
        config.database.database_acquire_timeout = Duration::from_secs(60);
    })
    .await;
    let pool =
        |scrape: &Scrape, state| scrape.value("orrery_db_pool_connections", &[("pool", "primary"), ("state", state)]);
    let waiting = |scrape: &Scrape| scrape.value("orrery_db_pool_waiting", &[("pool", "primary")]);
    get(&server, &uid(1)).await.unwrap();
    let scrape = admin.scrape_until("an idle pool", |scrape| pool(scrape, "idle") == 1.0).await;
    assert_eq!((pool(&scrape, "in_use"), waiting(&scrape)), (0.0, 0.0));
    assert_eq!(scrape.value("orrery_db_pool_max", &[("pool", "primary")]), 1.0);
    let waited = |scrape: &Scrape| scrape.value("orrery_db_pool_wait_seconds_count", &[("pool", "primary")]);
    let waits_before = waited(&scrape);

    let mut lock = operator.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.product in access exclusive mode").execute(&mut *lock).await.unwrap();
    let update = |number| {
        let request = UpdateProductRequest {
            product: Some(product(&uid(number))),
            update_mask: Some(FieldMask { paths: vec!["name".to_owned()] }),
            ..UpdateProductRequest::default()
        };
        let mut client = server.client();
        tokio::spawn(async move { client.update_product(request).await })
    };
    let first = update(1);
    admin.scrape_until("a transaction that waits for a lock", |scrape| pool(scrape, "in_use") == 1.0).await;
    let second = update(2);
    let scrape = admin.scrape_until("one who waits for a connection", |scrape| waiting(scrape) == 1.0).await;
    assert_eq!((pool(&scrape, "in_use"), pool(&scrape, "idle")), (1.0, 0.0));
    lock.rollback().await.unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let scrape = admin.scrape_until("an idle pool", |scrape| pool(scrape, "idle") == 1.0).await;
    assert_eq!((pool(&scrape, "in_use"), waiting(&scrape)), (0.0, 0.0));
    assert!(waited(&scrape) > waits_before);
}

#[tokio::test]
async fn a_drain_can_be_watched_to_its_end() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 50_000).await;
    let (server, admin) = start(&database).await;
    assert_eq!(admin.probe("/readyz").await, (200, "ready".to_owned()));
    assert_eq!(admin.scrape().await.value("orrery_draining", &[]), 0.0);
    // A commit that waits for a lock, so that the drain has to wait for it.
    let mut operator = database.connect(Role::Operator).await;
    let mut lock = operator.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.product in access exclusive mode").execute(&mut *lock).await.unwrap();
    let mut client = server.client();
    let held = tokio::spawn(async move {
        client.get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap_err()
    });
    let labels = [("grpc_service", SERVICE), ("grpc_method", "GetProduct"), ("grpc_type", "unary")];
    admin.scrape_until("a call", |scrape| scrape.value("grpc_server_started_total", &labels) == 1.0).await;

    let stopping = tokio::spawn(server.stop());
    admin.until("/readyz", 503, "draining").await;
    assert_eq!(admin.probe("/livez").await, (200, "alive".to_owned()));
    let scrape = admin.scrape_until("the drain", |scrape| scrape.value("orrery_draining", &[]) == 1.0).await;
    assert_eq!(unary(&scrape, "GetProduct", "OK"), 0.0);
    // The lock is not released: the call ends at the timeout of the drain.
    assert_eq!(refusal(&held.await.unwrap()).reason, "DRAINING");
    stopping.await.unwrap().unwrap();
    lock.rollback().await.unwrap();
    let closed = tokio::net::TcpStream::connect(admin.0).await;
    assert!(closed.is_err(), "the admin port is closed with the process");
}

#[tokio::test]
async fn readiness_follows_the_database_and_liveness_does_not() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let (server, admin) = start(&database).await;
    assert_eq!(admin.probe("/readyz").await, (200, "ready".to_owned()));
    for _ in 0..2 {
        postgres.stop().await;
        admin.until("/readyz", 503, "database").await;
        assert_eq!(admin.probe("/livez").await, (200, "alive".to_owned()));
        postgres.restart().await;
        admin.until("/readyz", 200, "ready").await;
    }
    drop(server);
}

#[tokio::test]
async fn a_process_that_never_found_its_database_lives_and_is_not_ready() {
    let (admin, listen) = Admin::take();
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let mut config =
        <orrery_kit::config::ServiceConfig as orrery_kit::config::Configuration>::for_database(url).unwrap();
    config.admin.admin_listen = listen;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(orrery_catalog::run(config, listener, shutdown.clone()));
    admin.until("/readyz", 503, "database").await;
    assert_eq!(admin.probe("/livez").await, (200, "alive".to_owned()));
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn only_questions_are_answered() {
    let database = TestDatabase::create().await;
    let (_server, admin) = start(&database).await;
    let metrics = admin.ask("GET", "/metrics").await;
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(metrics.head.contains(content_type), "{}", metrics.head);
    let scrape = Scrape::parse(&metrics.body);
    let build = [("version", VERSION), ("compiler", COMPILER), ("passes", PASSES)];
    assert_eq!(scrape.value("orrery_build_info", &build), 1.0);
    for name in ["process_resident_memory_bytes", "process_open_fds", "orrery_cache_entries", "orrery_streams_open"] {
        assert!(scrape.has(name), "{name}");
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        let head = admin.ask("HEAD", path).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            assert_eq!(admin.ask(method, path).await.status, 405, "{method} {path}");
        }
    }
    for path in ["/", "/metrics/", "/debug/pprof", "/../etc/passwd"] {
        assert_eq!(admin.ask("GET", path).await.status, 404, "{path}");
    }
}
