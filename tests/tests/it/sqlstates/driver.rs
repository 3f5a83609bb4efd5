//! Errors of the driver itself, without an error from the server. `WorkerCrashed` is from another database's driver,
//! `BeginFailed` from a call that the services do not make; refused, lost and missing connections are tested in
//! `outages`.

use std::io;
use std::net::Ipv4Addr;

use orrery_kit::error::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Status;

use super::{INTERNAL, UNAVAILABLE, assert_is, direct, impatient, lone, transaction};
use crate::harness::Role;

#[tokio::test]
async fn a_server_without_the_encryption_that_is_asked_for_is_unavailable() {
    let database = direct().await;
    let url = format!("{}?sslmode=require", database.url(Role::Catalog));
    let pool = database.data_layer(|config| {
        impatient(config);
        config.database.database_url = url.parse().unwrap();
    });
    let error = transaction(&pool, &["select 1"]).await.unwrap_err();
    assert!(matches!(error, Error::DatabaseUnavailable(sqlx::Error::Tls(_))), "{error:?}");
    assert_is(&Status::from(error), UNAVAILABLE, "no TLS");
}

#[tokio::test]
async fn a_pool_that_was_closed_is_unavailable() {
    let database = direct().await;
    let pool = lone(&database);
    pool.close().await;
    let error = transaction(&pool, &["select 1"]).await.unwrap_err();
    assert!(matches!(error, Error::DatabaseUnavailable(sqlx::Error::PoolClosed)), "{error:?}");
    assert_is(&Status::from(error), UNAVAILABLE, "closed");
}

/// Another program listens at the database's address.
#[tokio::test]
async fn what_is_no_database_is_unavailable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await?;
            let mut request = [0; 1024];
            let _ = client.read(&mut request).await?;
            client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await?;
        }
        #[expect(unreachable_code, reason = "says what the loop's errors are")]
        io::Result::Ok(())
    });
    let database = direct().await;
    let pool = database.data_layer(|config| {
        impatient(config);
        config.database.database_url =
            format!("postgres://catalog_service@127.0.0.1:{port}/x?sslmode=disable").parse().unwrap();
    });
    let status = Status::from(transaction(&pool, &["select 1"]).await.unwrap_err());
    assert_is(&status, UNAVAILABLE, "no Postgres");
    server.abort();
}

/// A result with another type than the service expects is an internal error.
#[tokio::test]
async fn a_value_of_another_type_is_internal() {
    let database = direct().await;
    let rows = lone(&database)
        .fetch(&orrery_kit::db::Statement::new("select 1::integer", 1), orrery_kit::deadline::Deadline::none())
        .await
        .unwrap();
    let error = sqlx::Row::try_get::<String, _>(&rows[0], 0).unwrap_err();
    assert_is(&Status::from(Error::from(error)), INTERNAL, "another type");
}
