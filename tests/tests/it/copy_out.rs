//! Results copied out of snapshots and transactions see one state and respect limits. A connection whose result was not
//! read completely is not reused.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::ops::ControlFlow;
use std::time::Duration;

use orrery_kit::config::ServiceConfig;
use orrery_kit::db::{CopyEnd, CopyRequest, CopySource, Database, Statement, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;

use crate::harness::{Role, TestDatabase, run, seed};

const COUNT: &str = "select count(*)::text from catalog.product";
const MANY: &str = "select uid from catalog.product order by uid";
const MINUTE: Duration = Duration::from_secs(60);

/// A pool of one connection, so that the next user gets the same one if it is usable.
fn pool(database: &TestDatabase, change: impl FnOnce(&mut ServiceConfig)) -> Database {
    database.data_layer(|config| {
        config.database.database_pool_max = 1;
        change(config);
    })
}

/// The only value of a select.
async fn only(source: &mut impl CopySource, select: &str) -> Result<String, Error> {
    let mut value = String::new();
    let end = source.copy_out(select, |tuple| {
        value = String::from_utf8_lossy(&tuple[4..]).into_owned();
        Ok(ControlFlow::Continue(()))
    });
    match end.await? {
        CopyEnd::Broken(error) => Err(error),
        CopyEnd::Whole | CopyEnd::Stopped => Ok(value),
    }
}

/// Reads one of many rows and stops.
async fn stop_early(source: &mut impl CopySource) {
    let end = source.copy_out(MANY, |_| Ok(ControlFlow::Break(()))).await.unwrap();
    assert!(matches!(end, CopyEnd::Stopped));
}

/// The backend of the pool's connection.
async fn backend(pool: &Database) -> String {
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    let backend = only(&mut snapshot, "select pg_backend_pid()::text").await.unwrap();
    snapshot.close().await.unwrap();
    backend
}

#[tokio::test]
async fn all_results_of_a_snapshot_see_the_same_rows() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100).await;
    let pool = pool(&database, |_| ());
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    assert_eq!(only(&mut snapshot, COUNT).await.unwrap(), "100");
    run(&mut operator, "delete from catalog.product where uid < 'prd_0000050'").await;
    assert_eq!(only(&mut snapshot, COUNT).await.unwrap(), "100");
    snapshot.close().await.unwrap();
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    assert_eq!(only(&mut snapshot, COUNT).await.unwrap(), "51");
}

#[tokio::test]
async fn a_connection_is_used_again_only_if_its_results_were_read_to_their_end() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 20_000).await;
    let pool = pool(&database, |_| ());
    let first = backend(&pool).await;
    assert_eq!(backend(&pool).await, first);
    // Not read completely: nothing more is read, and the connection is not reused.
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    stop_early(&mut snapshot).await;
    assert!(matches!(only(&mut snapshot, COUNT).await, Err(Error::Internal(_))));
    assert!(matches!(snapshot.close().await, Err(Error::Internal(_))));
    let second = backend(&pool).await;
    assert_ne!(second, first);
    // Dropped.
    drop(pool.snapshot(MINUTE, Deadline::none()).await.unwrap());
    let third = backend(&pool).await;
    assert_ne!(third, second);
    // Refused by the server.
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    assert!(only(&mut snapshot, "select nothing from catalog.product").await.is_err());
    snapshot.release().await;
    assert_ne!(backend(&pool).await, third);
    // A select on its own.
    let request = CopyRequest { select: MANY, timeout: MINUTE, deadline: Deadline::none() };
    let fourth = backend(&pool).await;
    assert!(matches!(pool.copy_out(request, |_| Ok(ControlFlow::Continue(()))).await, Ok(CopyEnd::Whole)));
    assert_eq!(backend(&pool).await, fourth);
    assert!(matches!(pool.copy_out(request, |_| Ok(ControlFlow::Break(()))).await, Ok(CopyEnd::Stopped)));
    assert_ne!(backend(&pool).await, fourth);
}

#[tokio::test]
async fn a_transaction_copies_out_what_it_wrote_and_cannot_commit_half_read() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 20_000).await;
    let pool = pool(&database, |_| ());
    let insert = || Statement::new("insert into catalog.product (uid) values ('prd_new')", 1);
    let committed = pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            transaction.fetch(insert()).await?;
            Ok(TransactionEnd::RollBack(only(transaction, COUNT).await?))
        })
    });
    assert_eq!(committed.await.unwrap(), "20001");
    let before = backend(&pool).await;
    let half_read = pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            transaction.fetch(insert()).await?;
            stop_early(transaction).await;
            Ok(TransactionEnd::Commit(()))
        })
    });
    assert!(matches!(half_read.await, Err(Error::Internal(_))));
    assert_ne!(backend(&pool).await, before);
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    assert_eq!(only(&mut snapshot, COUNT).await.unwrap(), "20000");
}

#[tokio::test]
async fn a_snapshot_keeps_the_limits_of_statement_transaction_and_result() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 1_000).await;
    let pool = pool(&database, |config| {
        config.limits.transaction_timeout = Duration::from_secs(2);
        config.limits.max_result_bytes = 10_000;
    });
    // The server ends a statement that takes too long.
    let mut snapshot = pool.snapshot(Duration::from_millis(100), Deadline::none()).await.unwrap();
    assert_eq!(only(&mut snapshot, "select current_setting('statement_timeout')").await.unwrap(), "100ms");
    let slow = only(&mut snapshot, "select pg_sleep(60)::text").await;
    assert!(matches!(slow, Err(Error::DeadlineExceeded)), "{slow:?}");
    drop(snapshot);
    // Several fast ones take too long together.
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    let mut done = 0;
    let ended = loop {
        match only(&mut snapshot, "select pg_sleep(0.3)::text").await {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, Error::DeadlineExceeded), "{ended:?}");
    assert!((1..=7).contains(&done), "{done}");
    drop(snapshot);
    let mut snapshot = pool.snapshot(MINUTE, Deadline::none()).await.unwrap();
    let large = only(&mut snapshot, MANY).await;
    assert!(matches!(large, Err(Error::ResultTooLarge(10_000))), "{large:?}");
}
