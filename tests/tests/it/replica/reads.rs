//! Which server reads come from, and when.

use std::time::{Duration, Instant};

use orrery_kit::lsn::Lsn;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CreateProductRequest, GetProductMetricsRequest, GetProductRequest,
    ListProductsRequest, ResolveProductsRequest, StreamProductMetricsRequest, StreamProductsRequest,
};
use orrery_proto::orders::v1::lookup_orders_request::Criterion;
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, GetOrderRequest, ListOrdersRequest, LookupOrdersRequest, OrderView,
    StreamLineItemsRequest, StreamOrdersRequest, StreamProductSalesRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use prost_types::FieldMask;
use tonic::Code;
use tonic::transport::Channel;

use super::{CATALOG, EVENTUAL, Method, ORDERS, TIMEOUT, method, until_served_by};
use crate::harness::raw::call_with;
use crate::harness::{
    CatalogServer, OrdersServer, Postgres, Role, StandbyServer, TestDatabase, line, metric, order, product, seed,
    status, uid,
};
use crate::writes::stream::{METRICS, write};

/// All reads of the catalog, for product 1.
pub(super) fn catalog_reads() -> Vec<Method> {
    let uids = vec![uid(1)];
    let name = || Some(FieldMask { paths: vec!["name".to_owned()] });
    // Found by the index before a change, and among all names before and after it.
    let names = ["Thing 1".to_owned(), "NEW".to_owned()];
    vec![
        method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None }),
        method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: name() }),
        method(CATALOG, "BatchGetProducts", &BatchGetProductsRequest { uids: uids.clone(), read_mask: None }),
        method(CATALOG, "ListProducts", &ListProductsRequest::default()),
        method(CATALOG, "StreamProducts", &StreamProductsRequest::default()),
        method(CATALOG, "CheckProducts", &CheckProductsRequest { uids }),
        method(CATALOG, "ResolveProducts", &ResolveProductsRequest { names: names.to_vec(), ..Default::default() }),
        method(CATALOG, "GetProductMetrics", &GetProductMetricsRequest { product_uid: uid(1), read_mask: None }),
        method(CATALOG, "StreamProductMetrics", &StreamProductMetricsRequest::default()),
    ]
}

/// All reads of orders, for the order "ord_a".
pub(super) fn order_reads() -> Vec<Method> {
    let one = || "ord_a".to_owned();
    let sales = StreamProductSalesRequest {
        day_from: "2000-01-01".to_owned(),
        day_to: "2009-12-31".to_owned(),
        time_zone: "Europe/London".to_owned(),
        phases: vec!["draft".to_owned()],
        ..StreamProductSalesRequest::default()
    };
    let basic = OrderView::Basic as i32;
    vec![
        method(ORDERS, "GetOrder", &GetOrderRequest { uid: one(), ..GetOrderRequest::default() }),
        method(ORDERS, "GetOrder", &GetOrderRequest { uid: one(), view: basic, read_mask: None }),
        method(ORDERS, "BatchGetOrders", &BatchGetOrdersRequest { uids: vec![one()], ..Default::default() }),
        method(ORDERS, "ListOrders", &ListOrdersRequest::default()),
        method(ORDERS, "StreamOrders", &StreamOrdersRequest { view: OrderView::Full as i32, ..Default::default() }),
        method(ORDERS, "CheckOrders", &CheckOrdersRequest { uids: vec![one()] }),
        method(
            ORDERS,
            "LookupOrders",
            &LookupOrdersRequest { criterion: Some(Criterion::CustomerId("17850".to_owned())), ..Default::default() },
        ),
        method(ORDERS, "StreamLineItems", &StreamLineItemsRequest::default()),
        method(ORDERS, "StreamProductSales", &sales),
    ]
}

/// A server, its standby, and a database on both.
async fn pair() -> (Postgres, StandbyServer, TestDatabase) {
    let primary = Postgres::own().await;
    let database = primary.create_database().await;
    let standby = StandbyServer::of(&primary).await;
    (primary, standby, database)
}

async fn catalog_with(database: &TestDatabase, standby: &StandbyServer, wait: Duration) -> CatalogServer {
    let url = standby.url(Role::Catalog, database);
    CatalogServer::start_with(database, |config| {
        config.replica.database_replica_url = Some(url.parse().unwrap());
        config.replica.database_replica_wait = wait;
    })
    .await
}

/// Creates product 1 and returns its position.
async fn create(channel: &Channel, name: &str) -> Lsn {
    let mut made = product(&uid(1));
    made.name = name.to_owned();
    let create = CreateProductRequest { product: Some(made), ..CreateProductRequest::default() };
    let answer = method(CATALOG, "CreateProduct", &create).call(channel, &[]).await;
    assert_eq!(answer.code(), Code::Ok, "{answer:?}");
    answer.min_lsn.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eventual_reads_show_what_the_replica_has_and_strong_ones_what_is() {
    let (_primary, standby, database) = pair().await;
    seed(&mut database.connect(Role::Operator).await, 1).await;
    standby.catch_up().await;
    let server = catalog_with(&database, &standby, Duration::from_millis(100)).await;
    let channel = server.channel();
    let reads = catalog_reads();
    until_served_by("replica", &channel, &reads[0]).await;
    let old = before(&channel, &reads).await;
    standby.pause_replay().await;

    let mut operator = database.connect(Role::Operator).await;
    crate::harness::run(&mut operator, "delete from catalog.product").await;
    let mut changed = product(&uid(1));
    changed.name = "New".to_owned();
    let create = CreateProductRequest { product: Some(changed), ..CreateProductRequest::default() };
    let lsn = method(CATALOG, "CreateProduct", &create).call(&channel, &[]).await.min_lsn.unwrap();
    let (_, end) = write(channel.clone(), METRICS, WriteStart::default(), &[metric(&uid(1), "m", "1", 1)]).await;
    end.unwrap();
    let lsn = lsn.to_string();
    for (read, old) in reads.iter().zip(old) {
        let eventual = read.call(&channel, &[EVENTUAL]).await;
        assert_eq!(eventual.read(), (old.clone(), Some("replica")), "{}", read.path);
        let strong = read.call(&channel, &[]).await;
        assert_eq!(strong.read().1, None, "{}", read.path);
        // What was not replayed cannot be served by the replica.
        let fresh = read.call(&channel, &[EVENTUAL, ("x-min-lsn", &lsn)]).await;
        assert_eq!(fresh.read(), (strong.read().0, Some("primary")), "{}", read.path);
        if !read.path.ends_with("CheckProducts") {
            assert_ne!(strong.read().0, old, "{}", read.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_come_from_the_replica_with_all_that_belongs_to_them() {
    let (_primary, standby, database) = pair().await;
    let url = standby.url(Role::Orders, &database);
    let server = OrdersServer::start_with(&database, |config| {
        config.service.replica.database_replica_url = Some(url.parse().unwrap());
        config.service.replica.database_replica_wait = Duration::from_millis(100);
    })
    .await;
    let channel = server.channel();
    let mut made = order("ord_a");
    made.status = Some(status("draft"));
    made.line_items.push(line("22423", 1, "12.75"));
    let create = orrery_proto::orders::v1::CreateOrderRequest { order: Some(made), ..Default::default() };
    assert_eq!(method(ORDERS, "CreateOrder", &create).call(&channel, &[]).await.code(), Code::Ok);
    standby.catch_up().await;
    let reads = order_reads();
    until_served_by("replica", &channel, &reads[0]).await;
    for read in &reads {
        let (eventual, strong) = (read.call(&channel, &[EVENTUAL]).await, read.call(&channel, &[]).await);
        assert_eq!(eventual.read(), (strong.read().0, Some("replica")), "{}", read.path);
    }
    standby.pause_replay().await;
    crate::harness::run(&mut database.connect(Role::Operator).await, "delete from orders.order_line_item").await;
    for read in &reads {
        let (eventual, strong) = (read.call(&channel, &[EVENTUAL]).await, read.call(&channel, &[]).await);
        assert_eq!(eventual.read().1, Some("replica"), "{}", read.path);
        if read.path.ends_with("StreamOrders") || read.path.ends_with("StreamLineItems") {
            assert_ne!(eventual.read().0, strong.read().0, "{}", read.path);
        }
    }
}

async fn before(channel: &Channel, reads: &[Method]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for read in reads {
        all.push(read.call(channel, &[EVENTUAL]).await.read().0);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_the_write_that_it_has_to_see() {
    let (_primary, standby, database) = pair().await;
    let server = catalog_with(&database, &standby, TIMEOUT).await;
    let channel = server.channel();
    let check = method(CATALOG, "CheckProducts", &CheckProductsRequest { uids: vec![uid(1)] });
    until_served_by("replica", &channel, &check).await;
    standby.pause_replay().await;
    let lsn = create(&channel, "Written").await.to_string();
    let get = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None });
    assert_eq!(get.call(&channel, &[EVENTUAL]).await.code(), Code::NotFound);

    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (channel, lsn) = (channel.clone(), lsn.clone());
            let get = Method { path: get.path.clone(), message: get.message.clone() };
            tokio::spawn(async move { get.call(&channel, &[EVENTUAL, ("x-min-lsn", &lsn)]).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(waiting.iter().all(|read| !read.is_finished()), "nothing was replayed yet");
    standby.resume_replay().await;
    for read in waiting {
        let answer = tokio::time::timeout(TIMEOUT, read).await.unwrap().unwrap();
        assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("replica")), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_wait_longer_comes_from_the_primary() {
    let (_primary, standby, database) = pair().await;
    let impatient = catalog_with(&database, &standby, Duration::from_millis(50)).await;
    let patient = catalog_with(&database, &standby, TIMEOUT * 10).await;
    let get = method(CATALOG, "GetProduct", &GetProductRequest { uid: uid(1), read_mask: None });
    let check = method(CATALOG, "CheckProducts", &CheckProductsRequest { uids: vec![uid(1)] });
    for server in [&impatient, &patient] {
        until_served_by("replica", &server.channel(), &check).await;
    }
    standby.pause_replay().await;
    let lsn = create(&impatient.channel(), "Written").await.to_string();
    // Because of the setting.
    let answer = get.call(&impatient.channel(), &[EVENTUAL, ("x-min-lsn", &lsn)]).await;
    assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
    // Because of the deadline; enough time is left for the primary.
    let started = Instant::now();
    let deadline = Some(Duration::from_secs(4));
    let metadata = [EVENTUAL, ("x-min-lsn", lsn.as_str())];
    let answer: super::ReadAnswer =
        call_with(&patient.channel(), &get.path, &metadata, deadline, vec![get.message.clone()]).await.into();
    assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
    assert!(started.elapsed() >= Duration::from_secs(1), "it did wait: {:?}", started.elapsed());
    // A position in no log.
    let answer = get.call(&impatient.channel(), &[EVENTUAL, ("x-min-lsn", "FFFFFFFF/FFFFFFFF")]).await;
    assert_eq!((answer.code(), answer.served_by.as_deref()), (Code::Ok, Some("primary")), "{answer:?}");
}
