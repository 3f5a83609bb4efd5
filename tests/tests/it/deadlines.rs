//! A client's deadline limits the work in the database, the whole stream, and calls of other services.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery_proto::catalog::v1::{
    DeleteProductRequest, GetProductRequest, ListProductsRequest, ResolveProductsRequest, StreamProductsRequest,
    StreamProductsResponse, UpdateProductRequest, WriteProductsRequest, write_products_request,
};
use orrery_proto::orders::v1::{
    CreateOrderRequest, GetOrderRequest, ListOrdersRequest, StreamOrdersRequest, StreamProductSalesRequest,
};
use prost::Message as _;
use prost_types::FieldMask;
use sqlx::PgConnection;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::timed::{Outcome, TimedClient};
use crate::harness::{
    CatalogProcess, CatalogServer, OrdersProcess, OrdersServer, Role, TestDatabase, order, order_uid, product, refusal,
    run, seed, uid, uids,
};
use crate::writes::stream::named;

const DEADLINE: Duration = Duration::from_millis(1_500);
/// The time that a busy machine needs to report that the deadline has passed.
const MORE: Duration = Duration::from_secs(4);
const EVERYTHING: &str =
    "begin; lock table catalog.product, orders.order_header, orders.order_line_item in access exclusive mode";

/// A call: its path, its messages, and whether the request ends.
type Call = (String, Vec<Bytes>, bool);

fn catalog(method: &str, message: &impl prost::Message) -> Call {
    (format!("/orrery.catalog.v1.CatalogService/{method}"), vec![message.encode_to_vec().into()], true)
}

fn orders(method: &str, message: &impl prost::Message) -> Call {
    (format!("/orrery.orders.v1.OrdersService/{method}"), vec![message.encode_to_vec().into()], true)
}

/// Calls of the catalog whose statements run in a transaction.
fn transactions() -> Vec<Call> {
    let update = UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() };
    let start = write_products_request::Payload::Start(named("deadline"));
    let chunk = write_products_request::Chunk { offset: 0, products: vec![product(&uid(2))] };
    let chunk = write_products_request::Payload::Chunk(chunk);
    let messages = [start, chunk].map(|message| WriteProductsRequest { payload: Some(message) }.encode_to_vec().into());
    vec![
        catalog("UpdateProduct", &update),
        catalog("DeleteProduct", &DeleteProductRequest { uid: uid(3), ..Default::default() }),
        catalog("ListProducts", &ListProductsRequest::default()),
        catalog("StreamProducts", &StreamProductsRequest::default()),
        catalog("ResolveProducts", &ResolveProductsRequest { names: vec!["Mug".to_owned()], ..Default::default() }),
        ("/orrery.catalog.v1.CatalogService/WriteProducts".to_owned(), messages.into(), false),
    ]
}

/// Calls of the catalog that read with one statement.
fn reads() -> Vec<Call> {
    let name = FieldMask { paths: vec!["name".to_owned()] };
    vec![
        catalog("GetProduct", &GetProductRequest { uid: uid(1), read_mask: None }),
        catalog("GetProduct", &GetProductRequest { uid: uid(1), read_mask: Some(name) }),
    ]
}

/// Calls of orders.
fn calls_of_orders() -> Vec<Call> {
    let period = StreamProductSalesRequest {
        day_from: "2026-01-01".to_owned(),
        day_to: "2026-12-31".to_owned(),
        ..StreamProductSalesRequest::default()
    };
    vec![
        orders("GetOrder", &GetOrderRequest { uid: order_uid(1), ..Default::default() }),
        orders("CreateOrder", &CreateOrderRequest { order: Some(order(&order_uid(2))), ..Default::default() }),
        orders("ListOrders", &ListOrdersRequest::default()),
        orders("StreamOrders", &StreamOrdersRequest::default()),
        orders("StreamProductSales", &period),
    ]
}

/// All at once, each on its own connection.
async fn all(address: SocketAddr, calls: Vec<Call>) -> Vec<(String, Outcome)> {
    let calls = calls.into_iter().map(|(path, messages, ends)| async move {
        let outcome = TimedClient::connect(address).await.call(&path, DEADLINE, &messages, ends).await;
        (path, outcome)
    });
    futures::future::join_all(calls).await
}

/// Checks that a call ended at its deadline, with DEADLINE_EXCEEDED and a RetryInfo.
fn assert_exceeded(path: &str, outcome: &Outcome) {
    let status = &outcome.status;
    let refused = refusal(status);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        "{path}: {status:?}"
    );
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{path}: {status:?}");
    assert!(outcome.took < DEADLINE + MORE, "{path} took {:?}", outcome.took);
}

async fn running(connection: &mut PgConnection) -> i64 {
    let running = "select count(*) from pg_stat_activity where datname = current_database() \
                   and usename in ('catalog_service', 'orders_service') and state = 'active'";
    sqlx::query_scalar(running).fetch_one(connection).await.unwrap()
}

async fn until_none_runs(connection: &mut PgConnection) {
    let begun = Instant::now();
    loop {
        let running = running(connection).await;
        if running == 0 {
            return;
        }
        assert!(begun.elapsed() < DEADLINE + MORE, "{running} statements still run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_at_its_deadline_and_so_does_its_statement() {
    let database = TestDatabase::create().await;
    let (mut operator, mut watcher) = (database.connect(Role::Operator).await, database.connect(Role::Operator).await);
    seed(&mut operator, 100).await;
    let (products, sales) = (CatalogServer::start(&database).await, OrdersServer::start(&database).await);
    run(&mut operator, EVERYTHING).await;
    let of_products = all(products.address(), [transactions(), reads()].concat());
    let of_orders = all(sales.address(), calls_of_orders());
    let (of_products, of_orders) = tokio::join!(of_products, of_orders);
    for (path, outcome) in of_products.iter().chain(&of_orders) {
        assert_exceeded(path, outcome);
    }
    // The lock is still held.
    until_none_runs(&mut watcher).await;
}

/// The database enforces the deadline by itself, because each transaction sets the remaining time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_ends_at_the_deadline_although_the_service_is_frozen() {
    let database = TestDatabase::create().await;
    let database = database.bypassing_pooler("more statements have to run at once than it has sessions").await;
    let (mut operator, mut watcher) = (database.connect(Role::Operator).await, database.connect(Role::Operator).await);
    seed(&mut operator, 100).await;
    let (products, sales) = (CatalogProcess::spawn(&database).await, OrdersProcess::spawn(&database).await);
    run(&mut operator, EVERYTHING).await;
    let create = calls_of_orders().into_iter().filter(|(path, ..)| path.ends_with("/CreateOrder")).collect();
    let expected = transactions().len() as i64 + 1;
    let calls = [tokio::spawn(all(products.address(), transactions())), tokio::spawn(all(sales.address(), create))];
    let begun = Instant::now();
    while running(&mut watcher).await < expected {
        assert!(begun.elapsed() < DEADLINE, "the statements are there before the deadline");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let frozen = [products.pid(), sales.pid()].map(|pid| Pid::from_raw(pid.cast_signed()));
    for pid in frozen {
        kill(pid, Signal::SIGSTOP).unwrap();
    }
    until_none_runs(&mut watcher).await;
    for pid in frozen {
        kill(pid, Signal::SIGCONT).unwrap();
    }
    for call in calls {
        for (path, outcome) in call.await.unwrap() {
            assert_eq!(outcome.status.code(), Code::DeadlineExceeded, "{path}: {:?}", outcome.status);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_runs_out_of_time_goes_on_from_its_last_token() {
    const ROWS: usize = 20_000;
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, ROWS).await;
    let server = CatalogServer::start(&database).await;
    // Enough pages for several deadlines, however fast they are read.
    let mut request = StreamProductsRequest { page_size: 5, ..Default::default() };
    let (mut seen, mut broken) = (Vec::new(), 0);
    let path = "/orrery.catalog.v1.CatalogService/StreamProducts";
    loop {
        let connection = TimedClient::connect(server.address()).await;
        // The deadline grows each time, so the test ends on any machine. It is never shorter than a new connection to a
        // busy database may take, which would be UNAVAILABLE.
        let deadline = Duration::from_millis(400 << broken.min(6));
        let outcome = connection.call(path, deadline, &[request.encode_to_vec().into()], true).await;
        for message in &outcome.messages {
            let page = StreamProductsResponse::decode(message.clone()).unwrap();
            assert!(!page.resume_token.is_empty());
            request.resume_token = page.resume_token;
            seen.extend(page.products.into_iter().map(|product| product.uid));
        }
        if outcome.status.code() == Code::Ok {
            break;
        }
        let refused = refusal(&outcome.status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert!(outcome.status.get_details_retry_info().is_some());
        broken += 1;
    }
    assert!(broken > 0, "the deadline passed in the middle");
    assert!(seen == uids(ROWS), "each row once and in order: {} rows", seen.len());
}
