//! Missing resources of a server: disk space, memory, or the right to use as much of them as needed.

use std::os::unix::fs::symlink;

use orrery_proto::catalog::v1::{CreateProductRequest, GetProductRequest};
use orrery_proto::r#type::v1::WriteStart;
use sqlx::query_scalar;
use tonic::Code;

use super::{assert_status, assert_told, direct, lone, operator, own, own_with, set, transaction};
use crate::harness::{CatalogServer, product};
use crate::writes::stream::{PRODUCTS, write};

/// A full disk: the table's file cannot be written to.
#[tokio::test]
async fn a_disk_that_is_full_is_unavailable_to_writes() {
    let (postgres, database) = own().await;
    let mut connection = operator(&database).await;
    let file: String =
        query_scalar("select pg_relation_filepath('catalog.product')").fetch_one(&mut connection).await.unwrap();
    let folder: String =
        query_scalar("select current_setting('data_directory')").fetch_one(&mut connection).await.unwrap();
    let file = std::path::Path::new(&folder).join(file);
    std::fs::remove_file(&file).unwrap();
    symlink("/dev/full", &file).unwrap();
    let server = CatalogServer::start(&database).await;
    let create = CreateProductRequest { product: Some(product("prd_a")), ..Default::default() };
    let status = server.client().create_product(create).await.unwrap_err();
    assert_status(&database, "53100", &status);
    let (totals, end) = write(server.channel(), PRODUCTS, WriteStart::default(), &[product("prd_a")]).await;
    assert_eq!(totals.committed_offset, 0);
    assert_status(&database, "53100", &end.unwrap_err());
    let get = GetProductRequest { uid: "prd_a".to_owned(), read_mask: None };
    assert_eq!(server.client().get_product(get).await.unwrap_err().code(), Code::NotFound, "it can be read from");
    drop(postgres);
}

#[tokio::test]
async fn a_table_of_locks_that_is_full_is_too_much() {
    let (_postgres, database) = own_with(&[("max_locks_per_transaction", "10"), ("max_connections", "20")]).await;
    let locks = "select count(pg_advisory_xact_lock(n)) from generate_series(1, 1000000) as n";
    let error = transaction(&lone(&database), &[locks]).await.unwrap_err();
    assert_told(&database, "53200", error);
}

#[tokio::test]
async fn a_sort_that_may_not_take_as_much_of_the_disk_is_too_much() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    set(&mut connection, &database, "temp_file_limit = '64kB'").await;
    set(&mut connection, &database, "work_mem = '64kB'").await;
    let sort =
        "select count(*) from (select n from generate_series(1, 200000) as n order by n * 7919 % 100003, n) as s";
    let error = transaction(&lone(&database), &[sort]).await.unwrap_err();
    assert_told(&database, "53400", error);
}

#[tokio::test]
async fn a_value_that_no_server_can_hold_is_too_much() {
    let database = direct().await;
    let error = transaction(&lone(&database), &["select length(repeat('x', 1 << 30))"]).await.unwrap_err();
    assert_told(&database, "54000", error);
}
