//! Transactions that conflict with another one: repeated, and ABORTED if that does not help.

use std::sync::Arc;

use orrery_kit::db::{Statement, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_proto::catalog::v1::{
    CreateProductRequest, DeleteProductRequest, ListProductsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use tokio::sync::Barrier;

use super::{assert_logged, assert_status, assert_told, direct, logged, lone, operator, set, transaction};
use crate::harness::{CatalogServer, Role, product, run, until_waiting};
use crate::writes::stream::{PRODUCTS, WriteStream, named, product as named_product, write};

#[tokio::test]
async fn a_serialization_failure_is_a_conflict() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    run(&mut connection, "insert into catalog.product (uid) values ('prd_a')").await;
    let pool = lone(&database);
    let others = database.pool(Role::Operator).await;
    let error = pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            transaction.fetch(Statement::new("set transaction isolation level repeatable read", 1)).await?;
            transaction.fetch(Statement::new("select uid from catalog.product", 1)).await?;
            sqlx::raw_sql("update catalog.product set name = 'theirs'").execute(&others).await?;
            transaction.fetch(Statement::new("update catalog.product set name = 'ours'", 1)).await?;
            Ok(TransactionEnd::Commit(()))
        })
    });
    assert_told(&database, "40001", error.await.unwrap_err());
}

/// With repeatable read as the default isolation, waiting leads to a conflict, and the write is repeated.
#[tokio::test]
async fn a_write_that_could_not_be_serialized_is_done_again() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    let mut watcher = operator(&database).await;
    set(&mut connection, &database, "default_transaction_isolation = 'repeatable read'").await;
    run(&mut connection, "insert into catalog.product (uid, name) values ('prd_a', 'before')").await;
    let server = CatalogServer::start(&database).await;
    run(&mut connection, "begin; update catalog.product set labels = '{\"by\": \"others\"}'").await;
    let mut client = server.client();
    let request = UpdateProductRequest { product: Some(named_product("a", "after")), ..Default::default() };
    let update = tokio::spawn(async move { client.update_product(request).await });
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    run(&mut connection, "commit").await;
    let updated = update.await.unwrap().unwrap().into_inner();
    assert_eq!((updated.name.as_str(), updated.labels.len()), ("after", 1), "both changes are there");
    assert_logged(&database, "40001");
}

/// The same applies to what is written before a write or a read: the ledger row of a write, and the first token key.
#[tokio::test]
async fn what_comes_before_a_write_or_a_page_is_done_again_as_well() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    let mut watcher = operator(&database).await;
    set(&mut connection, &database, "default_transaction_isolation = 'repeatable read'").await;
    let server = CatalogServer::start(&database).await;
    let rows = [named_product("a", "A"), named_product("b", "B")];
    let (_, end) = write(server.channel(), PRODUCTS, named("w"), &rows).await;
    end.unwrap();
    run(&mut connection, "begin; update catalog.write_session set update_ts = now()").await;
    let resumed = tokio::spawn(WriteStream::resume(server.channel(), PRODUCTS, named("w")));
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    run(&mut connection, "commit").await;
    let (_, offset) = resumed.await.unwrap().unwrap();
    assert_eq!(offset, 2);
    assert_eq!(logged(&database, "40001"), 1);

    // Another process creates the key at the same moment.
    run(
        &mut connection,
        "begin; insert into catalog.token_key (name, key) values ('page', 'another one, of 32 bytes or so...')",
    )
    .await;
    let mut client = server.client();
    let request = ListProductsRequest { page_size: 1, ..ListProductsRequest::default() };
    let listed = tokio::spawn(async move { client.list_products(request).await });
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    run(&mut connection, "commit").await;
    assert_ne!(listed.await.unwrap().unwrap().into_inner().next_page_token, "");
    assert_eq!(logged(&database, "40001"), 2);
}

#[tokio::test]
async fn of_two_transactions_that_wait_for_each_other_one_is_a_conflict() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    set(&mut connection, &database, "deadlock_timeout = '10ms'").await;
    run(&mut connection, "insert into catalog.product (uid) values ('prd_a'), ('prd_b')").await;
    let pool = database.data_layer(|_| ());
    let both_hold = Arc::new(Barrier::new(2));
    let ends = [["prd_a", "prd_b"], ["prd_b", "prd_a"]].map(|uids| {
        let both_hold = Arc::clone(&both_hold);
        pool.transaction(Deadline::none(), move |transaction| {
            Box::pin(async move {
                let lock = |uid| {
                    let sql = "select uid from catalog.product where uid = $1 for update";
                    Statement::new(sql, 1).bind(uid)
                };
                transaction.fetch(lock(uids[0])?).await?;
                both_hold.wait().await;
                transaction.fetch(lock(uids[1])?).await?;
                Ok(TransactionEnd::Commit(()))
            })
        })
    });
    let [one, other] = ends;
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "one of them comes through: {one:?} {other:?}");
    assert_told(&database, "40P01", one.and(other).unwrap_err());
}

/// The chunk holds `a` and waits for `b`. Another transaction waits for `a` and holds `c`. When the chunk reaches `c`,
/// there is a deadlock; the chunk is cancelled and written again.
#[tokio::test]
async fn a_chunk_that_loses_a_deadlock_is_written_again() {
    let database = direct().await;
    let mut watcher = operator(&database).await;
    // The chunk checks for deadlocks as soon as it waits.
    set(&mut watcher, &database, "deadlock_timeout = '10ms'").await;
    run(&mut watcher, "insert into catalog.product (uid) values ('prd_a'), ('prd_b'), ('prd_c')").await;
    let server = CatalogServer::start(&database).await;
    let (mut of_b, mut of_c) = (operator(&database).await, operator(&database).await);
    let lock = |uid: &str| format!("update catalog.product set labels = '{{\"by\": \"others\"}}' where uid = '{uid}'");
    run(&mut of_b, &format!("begin; {}", lock("prd_b"))).await;
    run(&mut of_c, &format!("set deadlock_timeout = '1h'; begin; {}", lock("prd_c"))).await;
    let channel = server.channel();
    let rows = ["a", "b", "c"].map(|uid| named_product(uid, "ours"));
    let written = tokio::spawn(async move { write(channel, PRODUCTS, WriteStart::default(), &rows).await });
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    let third = tokio::spawn(async move { run(&mut of_c, &format!("{}; commit", lock("prd_a"))).await });
    until_waiting(&mut watcher, Role::Operator, 1).await;
    run(&mut of_b, "commit").await;
    third.await.unwrap();
    let (totals, end) = written.await.unwrap();
    end.unwrap();
    assert_eq!(totals.counts(), [0, 3, 0, 0, 0]);
    assert_logged(&database, "40P01");
    let both: i64 =
        sqlx::query_scalar("select count(*) from catalog.product where name = 'ours' and labels ->> 'by' = 'others'")
            .fetch_one(&mut watcher)
            .await
            .unwrap();
    assert_eq!(both, 3, "no change is lost");
}

/// If a lock is held for longer than a write may wait, the write fails, however often it is repeated.
#[tokio::test]
async fn a_lock_that_is_not_to_be_had_is_a_conflict_to_every_write() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    set(&mut connection, &database, "lock_timeout = '20ms'").await;
    run(&mut connection, "insert into catalog.product (uid) values ('prd_a')").await;
    let server = CatalogServer::start(&database).await;
    run(&mut connection, "begin; lock table catalog.product in access exclusive mode").await;
    let mut client = server.client();
    let create = CreateProductRequest { product: Some(product("prd_new")), ..Default::default() };
    let update = UpdateProductRequest { product: Some(product("prd_a")), ..Default::default() };
    let delete = DeleteProductRequest { uid: "prd_a".to_owned(), ..Default::default() };
    for status in [
        client.create_product(create).await.unwrap_err(),
        client.update_product(update).await.unwrap_err(),
        client.delete_product(delete).await.unwrap_err(),
        write(server.channel(), PRODUCTS, WriteStart::default(), &[product("prd_a")]).await.1.unwrap_err(),
    ] {
        assert_status(&database, "55P03", &status);
    }
    run(&mut connection, "rollback").await;
    let (_, end) = write(server.channel(), PRODUCTS, WriteStart::default(), &[product("prd_a")]).await;
    end.unwrap();
    // The ledger's lock is treated alike.
    run(&mut connection, "begin; lock table catalog.write_session in access exclusive mode").await;
    let (_, end) = write(server.channel(), PRODUCTS, named("ledger"), &[product("prd_a")]).await;
    assert_status(&database, "55P03", &end.unwrap_err());
}

#[tokio::test]
async fn a_row_that_is_asked_for_without_waiting_is_a_conflict() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    run(&mut connection, "insert into catalog.product (uid) values ('prd_a')").await;
    run(&mut connection, "begin; select from catalog.product for update").await;
    let pool = lone(&database);
    let nowait = "select uid from catalog.product for update nowait";
    assert_told(&database, "55P03", transaction(&pool, &[nowait]).await.unwrap_err());
    assert_told(&database, "55P03", pool.fetch(&Statement::new(nowait, 1), Deadline::none()).await.unwrap_err());
}
