//! A database that is or has become a standby.

use std::time::Duration;

use bytes::Bytes;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::db::{Database, Statement};
use orrery_kit::deadline::Deadline;
use orrery_kit::metrics::Metrics;
use orrery_proto::catalog::v1::{
    CreateProductRequest, DeleteProductRequest, GetProductRequest, UpdateProductRequest, WriteProductsRequest,
    write_products_request,
};
use orrery_proto::r#type::v1::WriteStart;
use prost::Message as _;
use sqlx::query_scalar;
use tonic::Status;

use super::{UNAVAILABLE, assert_is, expected, own};
use crate::harness::raw::call;
use crate::harness::{CatalogServer, Role, StandbyServer, product, run, seed, uid};

/// All writes of a product.
fn writes() -> Vec<(&'static str, Vec<Bytes>)> {
    let uid = || uid(1);
    let create = CreateProductRequest { product: Some(product("prd_new")), ..Default::default() };
    let update = UpdateProductRequest { product: Some(product(&uid())), ..Default::default() };
    let delete = DeleteProductRequest { uid: uid(), ..Default::default() };
    let chunk = |write_id: &str| {
        let start = WriteStart { write_id: write_id.to_owned(), ..WriteStart::default() };
        let chunk = write_products_request::Chunk { offset: 0, products: vec![product(&uid())] };
        [write_products_request::Payload::Start(start), write_products_request::Payload::Chunk(chunk)]
            .map(|message| WriteProductsRequest { payload: Some(message) }.encode_to_vec().into())
            .to_vec()
    };
    vec![
        ("CreateProduct", vec![create.encode_to_vec().into()]),
        ("UpdateProduct", vec![update.encode_to_vec().into()]),
        ("DeleteProduct", vec![delete.encode_to_vec().into()]),
        ("WriteProducts", chunk("")),
        ("WriteProducts", chunk("named")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_became_a_standby_is_unavailable_to_writes_and_read_from() {
    let (primary, database) = own().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let standby = StandbyServer::of(&primary).await;
    // The service's address now leads to a standby, as after a failed failover.
    let url = standby.url(Role::Catalog, &database);
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_url = url.parse().unwrap();
    })
    .await;
    for (method, messages) in writes() {
        let path = format!("/orrery.catalog.v1.CatalogService/{method}");
        let status = call(&server.channel(), &path, messages).await.unwrap_err();
        assert_is(&status, expected("25006"), method);
    }
    let get = GetProductRequest { uid: uid(1), read_mask: None };
    assert_eq!(server.client().get_product(get).await.unwrap().into_inner().name, "Thing 1");
}

/// A session of a standby whose database is dropped on the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_dropped_under_a_session_is_unavailable() {
    let (primary, database) = own().await;
    let standby = StandbyServer::of(&primary).await;
    let mut config = ServiceConfig::for_database(&standby.url(Role::Catalog, &database)).unwrap();
    config.database.database_pool_max = 1;
    config.database.database_pool_min = 0;
    let pool = Database::new(&config.database, &config.limits, &Metrics::default()).unwrap();
    let sleep = Statement::new("select pg_sleep(60)", 1);
    let reader = pool.clone();
    let reading = tokio::spawn(async move { reader.fetch(&sleep, Deadline::none()).await });
    let mut on_standby = standby.connect().await.unwrap();
    let until_it_reads = async {
        let reads = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')";
        while !query_scalar::<_, bool>(reads).fetch_one(&mut on_standby).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until_it_reads).await.unwrap();
    run(&mut primary.connect().await, &format!("drop database {} with (force)", database.name())).await;
    let status = Status::from(reading.await.unwrap().unwrap_err());
    // "57P04" ends the session, and the next one is refused: with "3D000" once the database is gone, with "55000" while
    // it is being dropped.
    assert_is(&status, UNAVAILABLE, "57P04");
    let log = standby.log();
    assert!(log.contains("57P04") && ["3D000", "55000"].iter().any(|state| log.contains(state)), "{log}");
}
