//! The query of a cancelled call, a read or a write, ends within a second. The time is measured by the database's
//! clock, so it does not depend on when this process checks.

use std::time::Duration;

use bytes::Bytes;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CreateProductRequest, DeleteProductRequest, GetProductRequest,
    ListProductsRequest, Product, ResolveProductsRequest, StreamProductsRequest, UpdateProductRequest,
    WriteProductsRequest, write_products_request,
};
use orrery_proto::orders::v1::{
    ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest, GetOrderRequest, ListOrdersRequest, Order,
    OrderView, StreamOrdersRequest, StreamProductSalesRequest, TransitionOrderRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use orrery_tests_needs::{self as needs, Need};
use prost::Message;
use sqlx::{PgConnection, Row as _};
use tonic::transport::Channel;

use crate::harness::raw::call;
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, order_uid, run, uid};

const BOUND: Duration = Duration::from_secs(1);
/// The attempts for a call that took longer: a machine may be busy for a moment, but not each time.
const TRIES: usize = 5;
/// The limit for any wait.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A path and its request messages.
type Called = (String, Vec<Bytes>);

fn catalog(method: &str, message: &impl Message) -> Called {
    (format!("/orrery.catalog.v1.CatalogService/{method}"), vec![message.encode_to_vec().into()])
}

fn orders(method: &str, message: &impl Message) -> Called {
    (format!("/orrery.orders.v1.OrdersService/{method}"), vec![message.encode_to_vec().into()])
}

/// All reads of the catalog, with shared and separate queries, and all its writes.
fn calls_of_the_catalog() -> Vec<Called> {
    let name = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
    let product = Some(Product { uid: uid(1), name: "one".to_owned(), ..Product::default() });
    let chunk = write_products_request::Chunk { offset: 0, products: product.iter().cloned().collect() };
    let start = WriteStart { write_id: "given-up".to_owned(), ..WriteStart::default() };
    let written = [write_products_request::Payload::Start(start), write_products_request::Payload::Chunk(chunk)];
    let written = written.map(|message| WriteProductsRequest { payload: Some(message) }.encode_to_vec().into());
    vec![
        ("/orrery.catalog.v1.CatalogService/WriteProducts".to_owned(), written.to_vec()),
        catalog("CreateProduct", &CreateProductRequest { product: product.clone(), ..Default::default() }),
        catalog("UpdateProduct", &UpdateProductRequest { product, ..Default::default() }),
        catalog("DeleteProduct", &DeleteProductRequest { uid: uid(1), ..Default::default() }),
        catalog("GetProduct", &GetProductRequest { uid: uid(1), read_mask: None }),
        catalog("GetProduct", &GetProductRequest { uid: uid(1), read_mask: name }),
        catalog("BatchGetProducts", &BatchGetProductsRequest { uids: vec![uid(1)], read_mask: None }),
        catalog("CheckProducts", &CheckProductsRequest { uids: vec![uid(1)] }),
        catalog("ListProducts", &ListProductsRequest::default()),
        catalog("StreamProducts", &StreamProductsRequest::default()),
        catalog("ResolveProducts", &ResolveProductsRequest { names: vec!["Mug".to_owned()], ..Default::default() }),
    ]
}

/// All other reads and writes of orders.
fn calls_of_orders() -> Vec<Called> {
    let (day_from, day_to) = ("2026-01-01".to_owned(), "2026-12-31".to_owned());
    let order = Some(Order { uid: order_uid(1), currency_code: "GBP".to_owned(), ..Order::default() });
    let move_on = TransitionOrderRequest {
        uid: order_uid(1),
        to_phase: "confirmed".to_owned(),
        ..TransitionOrderRequest::default()
    };
    let lease = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    vec![
        orders("CreateOrder", &CreateOrderRequest { order, ..Default::default() }),
        orders("DeleteOrder", &DeleteOrderRequest { uid: order_uid(1), ..Default::default() }),
        orders("TransitionOrder", &move_on),
        orders("ClaimDueOrders", &ClaimDueOrdersRequest { limit: 1, lease, ..Default::default() }),
        orders("GetOrder", &GetOrderRequest { uid: order_uid(1), ..Default::default() }),
        orders("ListOrders", &ListOrdersRequest::default()),
        orders("StreamOrders", &StreamOrdersRequest { view: OrderView::Full as i32, ..Default::default() }),
        orders("StreamProductSales", &StreamProductSalesRequest { day_from, day_to, ..Default::default() }),
    ]
}

/// The server's clock, and the number of statements of services that are running.
async fn look(watcher: &mut PgConnection) -> (Duration, i64) {
    let look = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint, count(*) from pg_stat_activity \
                where datname = current_database() and usename in ('catalog_service', 'orders_service') \
                and state = 'active' and wait_event_type = 'Lock'";
    let row = sqlx::query(look).fetch_one(watcher).await.unwrap();
    (Duration::from_micros(row.get::<i64, _>(0).cast_unsigned()), row.get(1))
}

/// Cancels a call whose query waits for a lock, and returns how long the query was still seen after that.
async fn runs_on(channel: &Channel, (path, messages): &Called, watcher: &mut PgConnection) -> Duration {
    let (channel, path, messages) = (channel.clone(), path.clone(), messages.clone());
    let (begun, _) = look(watcher).await;
    // Without a deadline: only the client ends the call.
    let call = tokio::spawn(async move { call(&channel, &path, messages).await });
    loop {
        match look(watcher).await {
            (_, 1..) => break,
            (now, _) => {
                assert!(now.saturating_sub(begun) < TIMEOUT, "no query waits for the lock");
                assert!(!call.is_finished(), "{:?}", call.await);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let (left, _) = look(watcher).await;
    let mut last = Duration::ZERO;
    loop {
        match look(watcher).await {
            (_, 0) => return last,
            (now, _) => last = now.saturating_sub(left),
        }
        assert!(last < TIMEOUT, "the query waits for the lock to the end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn all_end(database: TestDatabase) {
    let (products, sales) = (CatalogServer::start(&database).await, OrdersServer::start(&database).await);
    let (mut holder, mut watcher) = (database.connect(Role::Operator).await, database.connect(Role::Operator).await);
    let everything =
        "begin; lock table catalog.product, orders.order_header, orders.order_line_item in access exclusive mode";
    run(&mut holder, everything).await;
    let of_products = calls_of_the_catalog().into_iter().map(|called| (products.channel(), called));
    let of_orders = calls_of_orders().into_iter().map(|called| (sales.channel(), called));
    for (channel, called) in of_products.chain(of_orders) {
        let mut took = Vec::new();
        while took.last().is_none_or(|last| *last > BOUND) {
            assert!(took.len() < TRIES, "{}: its query ran on for {took:?}", called.0);
            took.push(runs_on(&channel, &called, &mut watcher).await);
        }
        println!("{} {took:?}", called.0);
    }
    run(&mut holder, "rollback").await;
    // None of the writes was done.
    let left = "select (select count(*) from catalog.product) + (select count(*) from orders.order_header)";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&mut watcher).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_of_a_call_that_was_given_up_ends_within_a_second() {
    all_end(TestDatabase::create().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_behind_a_pooler() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    all_end(TestDatabase::pooled().await).await;
}
