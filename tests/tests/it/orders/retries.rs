//! A retry is recognised before it is checked against data that may have changed since the first call.

use std::time::Duration;

use orrery_proto::orders::v1::{CreateOrderRequest, DeleteOrderRequest, LineItem, Order};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteStart};
use sqlx::{Connection as _, PgConnection};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::fixture::{Fixture, bare};
use crate::harness::{CatalogServer, Role, TestDatabase, refusal, run};
use crate::writes::stream::{ORDERS, WriteStream, assert_status, named};

/// Both services with their own database and the products prd_1 and prd_2.
async fn start() -> (CatalogServer, Fixture) {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    run(&mut database.connect(Role::Operator).await, "insert into catalog.product (uid) values ('prd_1'), ('prd_2')")
        .await;
    let address = catalog.address().to_string().parse().unwrap();
    let fixture = Fixture::on(database, |config| {
        config.catalog.address = address;
        config.catalog.timeout = Duration::from_secs(30);
    })
    .await;
    (catalog, fixture)
}

/// An order with a line for each of these products.
fn naming(uid: &str, products: &[&str]) -> Order {
    let line = |uid: &&str| LineItem { product_uid: (*uid).to_owned(), quantity: 1, ..LineItem::default() };
    Order { uid: uid.to_owned(), line_items: products.iter().map(line).collect(), ..bare("") }
}

async fn create(fixture: &Fixture, order: Order, request_id: &str) -> Result<Order, Status> {
    let request =
        CreateOrderRequest { order: Some(order), request_id: request_id.to_owned(), ..CreateOrderRequest::default() };
    fixture.server.client().create_order(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_although_its_product_or_the_catalog_is_gone() {
    let (catalog, fixture) = start().await;
    let first = create(&fixture, naming("", &["prd_1"]), "r-1").await.unwrap();
    fixture.run("delete from catalog.product where uid = 'prd_1'").await;
    assert_eq!(create(&fixture, naming("", &["prd_1"]), "r-1").await.unwrap(), first);
    // Other content with the same request_id is an error, whatever it references.
    for product in ["prd_1", "prd_2"] {
        let other = create(&fixture, naming("", &[product, product]), "r-1").await.unwrap_err();
        assert_status(&other, Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
    }
    // An order that was never created is checked, and its request_id stays unused.
    let refused = create(&fixture, naming("", &["prd_1"]), "r-2").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "REFERENCE_MISSING");
    assert_status(
        &create(&fixture, naming("", &["prd_1"]), "").await.unwrap_err(),
        Code::FailedPrecondition,
        "REFERENCE_MISSING",
    );
    fixture.run("insert into catalog.product (uid) values ('prd_1')").await;
    create(&fixture, naming("", &["prd_1"]), "r-2").await.unwrap();

    catalog.stop().await.unwrap();
    assert_eq!(create(&fixture, naming("", &["prd_1"]), "r-1").await.unwrap(), first);
    let refused = create(&fixture, naming("", &["prd_1"]), "r-3").await.unwrap_err();
    assert_status(&refused, Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
    assert_eq!(fixture.count("orders.order_header").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_what_was_deleted_since_creates_nothing_and_says_so() {
    let (_catalog, fixture) = start().await;
    let first = create(&fixture, naming("", &["prd_1"]), "r-1").await.unwrap();
    let delete = DeleteOrderRequest { uid: first.uid.clone(), ..DeleteOrderRequest::default() };
    fixture.server.client().delete_order(delete).await.unwrap();
    for gone in [false, true] {
        if gone {
            fixture.run("delete from catalog.product").await;
        }
        let refused = create(&fixture, naming("", &["prd_1"]), "r-1").await.unwrap_err();
        assert_status(&refused, Code::NotFound, "CREATED_RESOURCE_DELETED");
        assert_eq!(refused.get_details_resource_info().unwrap().resource_name, first.uid);
    }
    // The same applies to an order without references.
    let plain = create(&fixture, naming("ord_plain", &[]), "r-2").await.unwrap();
    fixture.delete("plain").await;
    let refused = create(&fixture, naming("ord_plain", &[]), "r-2").await.unwrap_err();
    assert_status(&refused, Code::NotFound, "CREATED_RESOURCE_DELETED");
    assert_eq!(refused.get_details_resource_info().unwrap().resource_name, plain.uid);
    assert_eq!(fixture.count("orders.order_header").await, 0);
    create(&fixture, naming("ord_plain", &[]), "r-3").await.unwrap();
}

/// Waits until this many sessions of the orders service wait for a lock.
pub(super) async fn until_waiting(connection: &mut PgConnection, sessions: i64) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
                   and usename = 'orders_service' and wait_event_type = 'Lock'";
    let wait = async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *connection).await.unwrap() != sessions {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the sessions wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_comes_while_the_first_call_is_at_it_waits_and_is_answered_as_that_is() {
    let (_catalog, fixture) = start().await;
    let mut operator = fixture.database.connect(Role::Operator).await;
    let mut holder = fixture.database.connect(Role::Operator).await;
    let mut held = holder.begin().await.unwrap();
    run(&mut held, "lock table orders.order_header in exclusive mode").await;
    // It has found its product and waits for the table.
    let first = create(&fixture, naming("", &["prd_1"]), "r-1");
    let retry = async {
        until_waiting(&mut operator, 1).await;
        run(&mut operator, "delete from catalog.product where uid = 'prd_1'").await;
        let retry = create(&fixture, naming("", &["prd_1"]), "r-1");
        let release = async {
            // Its own product is deleted; its result depends on the first call.
            until_waiting(&mut operator, 2).await;
            held.rollback().await.unwrap();
        };
        tokio::join!(retry, release).0
    };
    let (first, retry) = tokio::join!(first, retry);
    assert_eq!(retry.unwrap(), first.unwrap());
    assert_eq!(fixture.count("orders.order_header").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_committed_is_acknowledged_whatever_it_points_at_by_now() {
    let (catalog, fixture) = start().await;
    let orders = [naming("ord_1", &["prd_1"]), naming("ord_2", &["prd_2"])];
    let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..named("w") };
    let (stream, _) = WriteStream::resume(fixture.server.channel(), ORDERS, start.clone()).await.unwrap();
    stream.send(0, &orders).await;
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [2, 0, 0, 0, 0]);
    fixture.run("delete from catalog.product; delete from orders.order_header where uid = 'ord_2'").await;
    catalog.stop().await.unwrap();
    let (mut stream, offset) = WriteStream::resume(fixture.server.channel(), ORDERS, start).await.unwrap();
    assert_eq!(offset, 2);
    stream.send(0, &orders).await;
    assert_eq!(stream.acknowledged(2).await.unwrap().counts(), [0; 5]);
    // New rows in the same chunk are checked.
    stream.send(0, &[orders.as_slice(), &[naming("ord_3", &["prd_1"])]].concat()).await;
    let (totals, status) = stream.ended().await;
    assert_eq!(totals.committed_offset, 2);
    assert_eq!(refusal(&status).reason, "DEPENDENCY_UNAVAILABLE");
    assert_eq!(fixture.count("orders.order_header").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_committed_is_acknowledged_under_a_smaller_bound() {
    let fixture = Fixture::new().await;
    let orders: Vec<Order> = (0..1_500).map(|number| bare(&format!("{number:04}"))).collect();
    let (stream, _) = WriteStream::resume(fixture.server.channel(), ORDERS, named("w")).await.unwrap();
    stream.send(0, &orders).await;
    stream.finish().await.1.unwrap();
    let Fixture { server, database, .. } = fixture;
    server.stop().await.unwrap();
    let fixture = Fixture::on(database, |config| {
        config.service.limits.max_statement_rows = 1_000;
        config.service.stream.write_batch_rows = 1_000;
    })
    .await;
    let (mut stream, _) = WriteStream::resume(fixture.server.channel(), ORDERS, named("w")).await.unwrap();
    stream.send(0, &orders).await;
    assert_eq!(stream.acknowledged(1_500).await.unwrap().counts(), [0; 5]);
    stream.send(1_500, &orders).await;
    assert_eq!(refusal(&stream.ended().await.1).fields, ["chunk.orders"]);
}
