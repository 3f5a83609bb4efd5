//! The cache returns earlier responses, only to clients that ask for it.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test stops at the first surprise, and metrics count whole things"
)]

use std::time::Duration;

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{GetProductRequest, ListProductsRequest, Product, StreamProductsRequest};
use orrery_proto::orders::v1::{GetOrderRequest, UpdateOrderRequest};
use sqlx::{Connection as _, Row as _};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::harness::admin::Admin;
use crate::harness::{
    CatalogServer, OrdersServer, Postgres, Role, TestDatabase, assert_invalid, order, order_uid, refusal, run, seed,
    uid,
};

type Client = CatalogServiceClient<Channel>;

const ROOM: usize = 16 << 20;

async fn cached(database: &TestDatabase) -> CatalogServer {
    CatalogServer::start_with(database, |config| {
        config.cache.cache_bytes = ROOM;
        // All clients may use one connection.
        config.overload.connection_share = 100;
    })
    .await
}

fn asking<T>(message: T, control: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("cache-control", control.parse().unwrap());
    request
}

async fn get(client: &mut Client, uid: String, control: &str) -> Result<Response<Product>, Status> {
    client.get_product(asking(GetProductRequest { uid, read_mask: None }, control)).await
}

/// The metadata about the cache; empty if missing.
fn how(metadata: &MetadataMap) -> String {
    metadata.get("x-cache").map(|how| how.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn age(metadata: &MetadataMap) -> u64 {
    metadata.get("age").map(AsciiMetadataValue::to_str).unwrap().unwrap().parse().unwrap()
}

#[tokio::test]
async fn there_is_no_cache_unless_it_is_turned_on_and_asked_for() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let (off, on) = (CatalogServer::start(&database).await, cached(&database).await);
    for _ in 0..2 {
        let answer = get(&mut off.client(), uid(1), "max-age=60").await.unwrap();
        assert_eq!(how(answer.metadata()), "");
        let answer = on.client().get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap();
        assert_eq!(how(answer.metadata()), "");
        let answer = get(&mut on.client(), uid(1), "no-store").await.unwrap();
        assert_eq!(how(answer.metadata()), "");
    }
    let stream = on.client().stream_products(asking(StreamProductsRequest::default(), "max-age=60")).await.unwrap();
    assert_eq!(how(stream.metadata()), "", "streams are not cached");
}

#[tokio::test]
async fn an_answer_is_given_again_until_it_is_too_old() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 10).await;
    let server = cached(&database).await;
    let mut client = server.client();
    let first = get(&mut client, uid(1), "max-age=600").await.unwrap();
    assert_eq!((how(first.metadata()).as_str(), age(first.metadata())), ("miss", 0));
    run(&mut operator, &format!("update catalog.product set name = 'Other' where uid = '{}'", uid(1))).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    let again = get(&mut client, uid(1), "max-age=600").await.unwrap();
    assert_eq!((how(again.metadata()).as_str(), again.get_ref()), ("hit", first.get_ref()));
    assert!(age(again.metadata()) >= 1, "{}", age(again.metadata()));
    // Older than this client accepts; it still gets the response, and is the last one.
    let stale = get(&mut client, uid(1), "max-age=1, stale-while-revalidate=600").await.unwrap();
    assert_eq!((how(stale.metadata()).as_str(), stale.get_ref()), ("stale", first.get_ref()));
    let renewed = async {
        while get(&mut client, uid(1), "max-age=600").await.unwrap().into_inner().name != "Other" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.expect("it was fetched behind the caller's back");

    run(&mut operator, &format!("update catalog.product set name = 'Third' where uid = '{}'", uid(1))).await;
    let anew = get(&mut client, uid(1), "no-cache").await.unwrap();
    assert_eq!((how(anew.metadata()).as_str(), anew.into_inner().name.as_str()), ("miss", "Third"));
    let kept = get(&mut client, uid(1), "max-age=600").await.unwrap();
    assert_eq!((how(kept.metadata()).as_str(), kept.into_inner().name.as_str()), ("hit", "Third"));
}

#[tokio::test]
async fn an_answer_needs_no_database() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let server = cached(&database).await;
    let mut client = server.client();
    let list = || asking(ListProductsRequest { page_size: 3, ..ListProductsRequest::default() }, "max-age=600");
    get(&mut client, uid(1), "max-age=600").await.unwrap();
    let listed = client.list_products(list()).await.unwrap().into_inner();
    postgres.stop().await;
    let product = get(&mut client, uid(1), "max-age=600").await.unwrap();
    assert_eq!((how(product.metadata()).as_str(), product.into_inner().uid), ("hit", uid(1)));
    assert_eq!(client.list_products(list()).await.unwrap().into_inner(), listed);
    let status = get(&mut client, uid(2), "max-age=600").await.unwrap_err();
    assert_eq!(refusal(&status).code, Code::Unavailable);
    postgres.restart().await;
    let recovered = async {
        while get(&mut client, uid(2), "max-age=600").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("a failure is not kept");
}

#[tokio::test]
async fn who_asks_the_same_at_the_same_time_waits_for_one_query() {
    const CALLERS: usize = 30;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 10).await;
    let server = cached(&database).await;
    let mut lock = operator.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.product in access exclusive mode").execute(&mut *lock).await.unwrap();
    let list = || asking(ListProductsRequest { page_size: 3, ..ListProductsRequest::default() }, "max-age=60");
    let (hurried, calls): (Vec<_>, Vec<_>) = (0..CALLERS)
        .map(|caller| {
            let (mut client, mut request) = (server.client(), list());
            // Every third one leaves early, including the first.
            if caller % 3 == 0 {
                request.set_timeout(Duration::from_millis(500));
            }
            (caller, tokio::spawn(async move { client.list_products(request).await }))
        })
        .partition(|(caller, _)| caller % 3 == 0);
    for (_, call) in hurried {
        // CANCELLED comes from the client's own timer.
        let code = call.await.unwrap().unwrap_err().code();
        assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
    }
    let waiting = "select count(*) from pg_locks as l join pg_database as d on d.oid = l.database \
                   where d.datname = current_database() and not l.granted and l.relation = 'catalog.product'::regclass";
    let waiting: i64 = sqlx::query(waiting).fetch_one(&mut *lock).await.unwrap().get(0);
    assert_eq!(waiting, 1, "queries for {CALLERS} callers");
    lock.commit().await.unwrap();
    for (_, call) in calls {
        let answer = call.await.unwrap().unwrap();
        assert_eq!(how(answer.metadata()), "miss");
        assert_eq!(answer.into_inner().products.len(), 3);
    }
    assert_eq!(how(server.client().list_products(list()).await.unwrap().metadata()), "hit");
}

#[tokio::test]
async fn nobody_is_answered_with_what_another_was_allowed_to_see() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let server = cached(&database).await;
    let ask = async |authorization: Option<&str>| {
        let mut request = asking(GetProductRequest { uid: uid(1), read_mask: None }, "max-age=60");
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        how(server.client().get_product(request).await.unwrap().metadata())
    };
    for caller in [None, Some("Bearer a"), Some("Bearer b")] {
        assert_eq!(ask(caller).await, "miss", "{caller:?}");
    }
    for caller in [None, Some("Bearer a"), Some("Bearer b")] {
        assert_eq!(ask(caller).await, "hit", "{caller:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_kept_and_a_wrong_directive_is_named() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let server = cached(&database).await;
    let mut client = server.client();
    assert_eq!(get(&mut client, uid(1), "max-age=60").await.unwrap_err().code(), Code::NotFound);
    seed(&mut operator, 1).await;
    get(&mut client, uid(1), "max-age=60").await.unwrap();
    assert_invalid(get(&mut client, uid(1), "max-age=soon").await, "FIELD_INVALID", "cache-control");
    // An invalid request fails as usual.
    assert_invalid(get(&mut client, String::new(), "max-age=60").await, "FIELD_INVALID", "uid");
}

#[tokio::test]
async fn orders_are_cached_by_the_same_layer() {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start_with(&database, |config| config.service.cache.cache_bytes = ROOM).await;
    let mut client = server.client();
    let uid = order_uid(1);
    let create = orrery_proto::orders::v1::CreateOrderRequest { order: Some(order(&uid)), ..Default::default() };
    let created = client.create_order(create).await.unwrap().into_inner();
    let get = || asking(GetOrderRequest { uid: uid.clone(), ..GetOrderRequest::default() }, "max-age=60");
    let first = client.get_order(get()).await.unwrap().into_inner();
    let change = orrery_proto::orders::v1::Order { customer_id: "other".to_owned(), ..order(&uid) };
    let mask = prost_types::FieldMask { paths: vec!["customer_id".to_owned()] };
    let update = UpdateOrderRequest { order: Some(change), update_mask: Some(mask), ..UpdateOrderRequest::default() };
    client.update_order(asking(update, "max-age=60")).await.unwrap();
    let again = client.get_order(get()).await.unwrap();
    assert_eq!(how(again.metadata()), "hit");
    assert_eq!(again.into_inner(), first);
    assert_eq!(first.customer_id, created.customer_id);
}

#[tokio::test]
async fn the_metrics_say_what_the_cache_did() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let (admin, listen) = Admin::take();
    let server = CatalogServer::start_with(&database, |config| {
        config.cache.cache_bytes = ROOM;
        config.admin.admin_listen = listen;
    })
    .await;
    let mut client = server.client();
    for (control, seen) in [
        ("max-age=600", "miss"),
        ("max-age=600", "hit"),
        ("max-age=600", "hit"),
        ("max-age=0, stale-while-revalidate=600", "stale"),
        ("no-store", ""),
    ] {
        assert_eq!(how(get(&mut client, uid(1), control).await.unwrap().metadata()), seen);
    }
    let scrape = admin.scrape().await;
    for (result, count) in [("miss", 1.0), ("hit", 2.0), ("stale", 1.0), ("bypass", 1.0)] {
        assert_eq!(scrape.value("orrery_cache_requests_total", &[("result", result)]), count, "{result}");
    }
    assert_eq!(scrape.value("orrery_cache_entries", &[]), 1.0);
    let bytes = scrape.value("orrery_cache_bytes", &[]);
    assert!((200.0..2_000.0).contains(&bytes), "{bytes}");
    // A hit is counted as a call.
    let labels = [
        ("grpc_service", "orrery.catalog.v1.CatalogService"),
        ("grpc_method", "GetProduct"),
        ("grpc_type", "unary"),
        ("grpc_code", "OK"),
    ];
    assert_eq!(scrape.value("grpc_server_handled_total", &labels), 5.0, "{scrape:#?}");
}
