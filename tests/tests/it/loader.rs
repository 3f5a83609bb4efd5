//! Point reads that share a query return each caller its own product.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use futures::future::join_all;
use orrery_proto::catalog::v1::GetProductRequest;
use sqlx::Connection as _;
use tonic::Code;

use crate::harness::{CatalogServer, Role, TestDatabase, run, seed, uid, until_waiting};

fn request(uid: String) -> GetProductRequest {
    GetProductRequest { uid, read_mask: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_get_what_each_asked_for() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Catalog).await;
    sqlx::query(
        "insert into product (uid, name) select 'prd_' || n, 'Product ' || n from generate_series(0, 499) as n",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let server =
        CatalogServer::start_with(&database, |config| config.overload.max_concurrent_calls = Some(2_000)).await;
    // Every third uid does not exist, and each is requested four times.
    let calls = (0..2_000).map(|at| {
        let mut client = server.client();
        async move {
            let n = at % 750;
            (n, client.get_product(request(format!("prd_{n}"))).await)
        }
    });
    for (n, answer) in join_all(calls).await {
        match answer {
            Ok(product) => assert_eq!(product.into_inner().name, format!("Product {n}")),
            Err(status) => {
                assert!(n >= 500, "{n}: {status}");
                assert_eq!(status.code(), Code::NotFound);
                assert!(status.message().contains(&format!("prd_{n} ")), "{status}");
            }
        }
    }
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_reads_what_another_has_just_written() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let mut connection = database.connect(Role::Catalog).await;
    sqlx::query("insert into product (uid, name) values ('prd_a', '0')").execute(&mut connection).await.unwrap();
    // Readers keep queries running, so that the read under test joins others.
    let readers = (0..8).map(|_| {
        let mut client = server.client();
        tokio::spawn(async move {
            for _ in 0..200 {
                client.get_product(request("prd_a".to_owned())).await.unwrap();
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut client = server.client();
    for n in 1..=100 {
        sqlx::query("update product set name = $1 where uid = 'prd_a'")
            .bind(n.to_string())
            .execute(&mut connection)
            .await
            .unwrap();
        let read = client.get_product(request("prd_a".to_owned())).await.unwrap().into_inner();
        assert_eq!(read.name, n.to_string(), "a read that began after the write was committed");
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_does_not_wait_for_the_end_of_a_slow_query() {
    let database = TestDatabase::create().await;
    let (mut holder, mut watcher) = (database.connect(Role::Operator).await, database.connect(Role::Operator).await);
    seed(&mut holder, 2).await;
    let server = CatalogServer::start(&database).await;
    run(&mut holder, "begin; lock table catalog.product in access exclusive mode").await;
    let get = |number: usize| {
        let mut client = server.client();
        tokio::spawn(async move { client.get_product(request(uid(number))).await.unwrap().into_inner() })
    };
    let first = get(1);
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    let second = get(2);
    until_waiting(&mut watcher, Role::Catalog, 2).await;
    run(&mut holder, "commit").await;
    assert_eq!((first.await.unwrap().uid, second.await.unwrap().uid), (uid(1), uid(2)));
}
