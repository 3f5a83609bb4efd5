//! Sessions that a server refuses: it has none left, does not know the database or role, or denies access.

use std::time::Duration;

use orrery_kit::db::Database;
use orrery_proto::catalog::v1::{CreateProductRequest, ListProductsRequest};
use sqlx::PgConnection;
use tonic_types::StatusExt as _;

use super::{assert_logged, assert_status, assert_told, direct, impatient, lone, operator, own, transaction};
use crate::harness::{CatalogServer, Role, TestDatabase, product, refusal, run};

/// The data layer with a changed URL.
fn by(database: &TestDatabase, from: &str, to: &str) -> Database {
    let url = database.url(Role::Catalog);
    assert!(url.contains(from), "{url}");
    let changed = url.replacen(from, to, 1);
    database.data_layer(|config| {
        impatient(config);
        config.database.database_url = changed.parse().unwrap();
    })
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable() {
    let database = direct().await;
    let other = TestDatabase::create_empty().await.by(crate::harness::Route::Direct).await;
    let name = other.name().to_owned();
    run(&mut operator(&database).await, &format!("drop database {name} with (force)")).await;
    let error = transaction(&lone(&other), &["select 1"]).await.unwrap_err();
    assert_told(&other, "3D000", error);
}

#[tokio::test]
async fn a_password_that_is_wrong_and_a_role_that_may_not_log_in_are_unavailable() {
    let (_postgres, database) = own().await;
    let error = transaction(&by(&database, "catalog_service:", "catalog_service:x"), &["select 1"]).await.unwrap_err();
    assert_told(&database, "28P01", error);
    run(&mut operator(&database).await, "alter role catalog_service nologin").await;
    let error = transaction(&lone(&database), &["select 1"]).await.unwrap_err();
    assert_told(&database, "28000", error);
}

/// The driver waits for a free session for as long as a call waits for a connection.
#[tokio::test]
async fn a_role_that_has_all_its_sessions_is_unavailable() {
    let (_postgres, database) = own().await;
    run(&mut operator(&database).await, "alter role catalog_service connection limit 1").await;
    let only: PgConnection = database.connect(Role::Catalog).await;
    let error = transaction(&lone(&database), &["select 1"]).await.unwrap_err();
    assert_told(&database, "53300", error);
    drop(only);
    let patient = database.data_layer(|config| config.database.database_acquire_timeout = Duration::from_secs(30));
    transaction(&patient, &["select 1"]).await.unwrap();
}

/// Any error at the start of a session means that there is no database.
#[tokio::test]
async fn whatever_keeps_a_session_out_is_unavailable() {
    let (_postgres, database) = own().await;
    let mut connection = operator(&database).await;
    let name = database.name();
    run(&mut connection, &format!("revoke connect on database {name} from public")).await;
    let status = tonic::Status::from(transaction(&lone(&database), &["select 1"]).await.unwrap_err());
    assert_logged(&database, "42501");
    assert_eq!(refusal(&status).reason, "DATABASE_UNAVAILABLE", "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    run(&mut connection, &format!("grant connect on database {name} to public")).await;
    let mut elsewhere = database.postgres().connect().await;
    run(&mut elsewhere, &format!("alter database {name} allow_connections false")).await;
    let error = transaction(&lone(&database), &["select 1"]).await.unwrap_err();
    assert_told(&database, "55000", error);
    // Within a session the same codes are errors of the service or its rights.
    run(&mut elsewhere, &format!("alter database {name} allow_connections true")).await;
    let pool = lone(&database);
    let error = transaction(&pool, &["select * from orders.order_header"]).await.unwrap_err();
    assert_told(&database, "42501", error);
    let error = transaction(&pool, &["select * from catalog.nothing"]).await.unwrap_err();
    assert_told(&database, "42P01", error);
}

/// A database that an operator has closed for writes: everything can be read.
#[tokio::test]
async fn a_database_that_takes_no_writes_is_unavailable_to_those() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    super::set(&mut connection, &database, "default_transaction_read_only = on").await;
    run(&mut connection, "insert into catalog.product (uid) values ('prd_a')").await;
    let server = CatalogServer::start(&database).await;
    let listed = server.client().list_products(ListProductsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.products.len(), 1);
    let create = CreateProductRequest { product: Some(product("prd_b")), ..Default::default() };
    let status = server.client().create_product(create).await.unwrap_err();
    assert_status(&database, "25006", &status);
}
