//! SIGTERM to real processes: each ends by itself in time, with exit code 0.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{GetProductRequest, UpdateProductRequest};
use orrery_proto::orders::v1::CreateOrderRequest;
use sqlx::PgConnection;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::{
    CatalogProcess, OrdersProcess, Role, TestDatabase, order, order_uid, product, refusal, run, seed, uid,
};
use crate::writes::stream::connect;

/// The additional time that a busy machine may need.
const MORE: Duration = Duration::from_secs(5);

/// Waits until a session waits for a lock.
async fn until_blocked(connection: &mut PgConnection) {
    let begun = Instant::now();
    let blocked = "select exists (select from pg_locks l join pg_database d on d.oid = l.database \
                   where d.datname = current_database() and not granted)";
    while !sqlx::query_scalar::<_, bool>(blocked).fetch_one(&mut *connection).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until connections are refused.
async fn until_refused(address: SocketAddr) {
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn idle_connections_keep_no_process() {
    let database = TestDatabase::create().await;
    let mut process = CatalogProcess::spawn(&database).await;
    let channel = connect(process.address());
    let service = orrery_catalog::SERVICE_NAMES[0].to_owned();
    let mut watch = HealthClient::new(channel).watch(HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let idle: Vec<_> = (0..20).map(|_| process.client()).collect();
    for mut client in idle.clone() {
        let missing = client.get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
    }
    process.terminate();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing, "at once");
    // Much less than the 20 seconds that running calls would have.
    assert_eq!(process.ended(MORE).await, Some(0));
    drop(idle);
}

#[tokio::test]
async fn calls_that_run_finish_and_new_ones_are_refused() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 10).await;
    let mut watcher = database.connect(Role::Operator).await;
    let mut catalog = CatalogProcess::spawn(&database).await;
    let mut orders = OrdersProcess::spawn(&database).await;
    run(&mut operator, "begin; lock table catalog.product, orders.order_header in access exclusive mode").await;
    let mut client = catalog.client();
    let update = UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() };
    let updated = tokio::spawn(async move { client.update_product(update).await });
    let mut client = catalog.client();
    let read =
        tokio::spawn(async move { client.get_product(GetProductRequest { uid: uid(2), read_mask: None }).await });
    let mut client = orders.client();
    let request = CreateOrderRequest { order: Some(order(&order_uid(1))), ..Default::default() };
    let created = tokio::spawn(async move { client.create_order(request).await });
    until_blocked(&mut watcher).await;
    // Long enough for the other calls to have started.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = catalog.client();
    let _opened = before.clone().get_product(GetProductRequest { uid: String::new(), read_mask: None }).await;

    catalog.terminate();
    orders.terminate();
    until_refused(catalog.address()).await;
    until_refused(orders.address()).await;
    for mut client in [before, catalog.client()] {
        let refused = client.get_product(GetProductRequest { uid: uid(3), read_mask: None }).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    }
    assert!(!updated.is_finished() && !read.is_finished() && !created.is_finished());
    run(&mut operator, "rollback").await;
    assert_eq!(updated.await.unwrap().unwrap().into_inner().name, product(&uid(1)).name);
    assert_eq!(read.await.unwrap().unwrap().into_inner().uid, uid(2));
    assert_eq!(created.await.unwrap().unwrap().into_inner().uid, order_uid(1));
    assert_eq!((catalog.ended(MORE).await, orders.ended(MORE).await), (Some(0), Some(0)));
}

#[tokio::test]
async fn calls_that_do_not_finish_are_ended_at_the_bound() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 10).await;
    let mut watcher = database.connect(Role::Operator).await;
    let mut process = CatalogProcess::spawn_with(&database, &["--drain-timeout=1s"]).await;
    run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
    let mut client = process.client();
    let update = UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() };
    let updated = tokio::spawn(async move { client.update_product(update).await });
    until_blocked(&mut watcher).await;
    process.terminate();
    let status = updated.await.unwrap().unwrap_err();
    let refused = refusal(&status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"), "{status:?}");
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(process.ended(MORE).await, Some(0));
    run(&mut operator, "rollback").await;
    // The connection of the call is closed, so that it cannot do anything later.
    let name: String = sqlx::query_scalar("select name from catalog.product where uid = $1")
        .bind(uid(1))
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(name, "Thing 1");
}

/// An HTTP/2 frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client sends to get all products: preface, settings, a large window, and a call of StreamProducts.
fn everything_wanted() -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/orrery.catalog.v1.CatalogService/StreamProducts"),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // A literal without indexing (RFC 7541, 6.2.2).
        headers.push(0);
        for text in [name, value] {
            headers.push(u8::try_from(text.len()).unwrap());
            headers.extend_from_slice(text.as_bytes());
        }
    }
    // SETTINGS_INITIAL_WINDOW_SIZE
    let window = [&4u16.to_be_bytes()[..], &0x7fff_ffff_u32.to_be_bytes()].concat();
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &window),
        frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()),
        frame(1, 4, 1, &headers),
        // An empty message, and the end of the stream.
        frame(0, 1, 1, &[0; 5]),
    ]
    .concat()
}

#[tokio::test]
async fn clients_that_say_nothing_and_clients_that_never_read_keep_no_process() {
    let database = TestDatabase::create().await;
    // More than the buffers on both sides can hold.
    seed(&mut database.connect(Role::Operator).await, 50_000).await;
    let mut process = CatalogProcess::spawn_with(&database, &["--drain-timeout=1s"]).await;
    let silent = std::net::TcpStream::connect(process.address()).unwrap();
    let deaf: Vec<_> = (0..3)
        .map(|_| {
            let mut deaf = std::net::TcpStream::connect(process.address()).unwrap();
            deaf.write_all(&everything_wanted()).unwrap();
            deaf
        })
        .collect();
    // Until the buffers are full.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut waiting = [0; 4096];
    assert!(deaf[0].peek(&mut waiting).unwrap() > 1_000, "it is sent something");
    process.terminate();
    assert_eq!(process.ended(Duration::from_secs(1) + MORE).await, Some(0));
    drop((silent, deaf));
}
