//! Statements, transactions and sessions that the server ends because of a time limit, or because somebody requests it.

use std::time::Duration;

use orrery_kit::db::{CopyEnd, CopyRequest, Statement, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use sqlx::{Connection as _, PgConnection, Row as _, query_scalar};
use tonic::Status;

use super::{assert_is, assert_logged, assert_told, direct, expected, lone, operator, own, set, transaction};
use crate::harness::wire::{Limit, WireLimits};
use crate::harness::{Role, TestDatabase, run, until_waiting};

/// Waits until a session is gone.
async fn until_gone(connection: &mut PgConnection, pid: i32) {
    let there = "select exists (select from pg_stat_activity where pid = $1)";
    let wait = async {
        while query_scalar::<_, bool>(there).bind(pid).fetch_one(&mut *connection).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the session ends");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_late() {
    let database = direct().await;
    let pool = lone(&database);
    let slow = "select pg_sleep(60)::text";
    let error = transaction(&pool, &["set local statement_timeout = 20", slow]).await.unwrap_err();
    assert_told(&database, "57014", error);
    let request = CopyRequest { select: slow, timeout: Duration::from_millis(20), deadline: Deadline::none() };
    let end = pool.copy_out(request, |_| unreachable!("it ends before its first row")).await.unwrap();
    let CopyEnd::Broken(error) = end else { unreachable!("{end:?}") };
    assert_told(&database, "57014", error);
}

/// An idle transaction of the service, which the server considers abandoned.
#[tokio::test]
async fn a_transaction_in_which_nothing_happens_is_late() {
    let database = direct().await;
    let mut watcher = operator(&database).await;
    let pool = lone(&database);
    let error = pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            let pid = transaction.fetch(Statement::new("select pg_backend_pid()", 1)).await?[0].get(0);
            transaction.fetch(Statement::new("set local idle_in_transaction_session_timeout = 20", 1)).await?;
            until_gone(&mut watcher, pid).await;
            transaction.fetch(Statement::new("select 1", 1)).await?;
            Ok(TransactionEnd::Commit(()))
        })
    });
    assert_told(&database, "25P03", error.await.unwrap_err());
    transaction(&pool, &["select 1"]).await.unwrap();
}

/// Servers before version 17 have no time limit for transactions; the tests' proxy for the limits of a managed server
/// returns the same error.
#[tokio::test]
async fn a_transaction_that_takes_too_long_is_late() {
    let limits = WireLimits { transaction: Duration::from_millis(300), ..WireLimits::default() };
    let database = TestDatabase::limited(limits).await;
    let pool = lone(&database);
    let error = transaction(&pool, &["select pg_sleep(60)"]).await.unwrap_err();
    assert_is(&Status::from(error), expected("25P04"), "25P04");
    let violations = database.take_violations();
    assert!(violations.iter().all(|violation| violation.limit == Limit::TransactionAge), "{violations:?}");
    assert_eq!(violations.len(), 1, "{violations:?}");
}

#[tokio::test]
async fn a_session_that_is_ended_is_unavailable() {
    let database = direct().await;
    let mut connection = operator(&database).await;
    let mut watcher = operator(&database).await;
    run(&mut connection, "begin; lock table catalog.product in access exclusive mode").await;
    let pool = lone(&database);
    let waiting = tokio::spawn(async move { transaction(&pool, &["select uid from catalog.product"]).await });
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and usename = 'catalog_service'";
    run(&mut watcher, end).await;
    assert_told(&database, "57P01", waiting.await.unwrap().unwrap_err());
}

/// After a crash of one process, the server ends the other sessions. It sends "57P02" as a warning and not as an error,
/// which would be logged; clients see the end of the connection.
#[tokio::test]
async fn a_crash_of_another_session_is_unavailable() {
    let (postgres, database) = own().await;
    let mut connection = operator(&database).await;
    let mut watcher = operator(&database).await;
    let victim: i32 = query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    run(&mut connection, "begin; lock table catalog.product in access exclusive mode").await;
    let pool = lone(&database);
    let other = pool.clone();
    let waiting = tokio::spawn(async move { transaction(&other, &["select uid from catalog.product"]).await });
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), nix::sys::signal::Signal::SIGKILL).unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::DatabaseUnavailable(_)), "{error:?}");
    assert_is(&Status::from(error), expected("57P02"), "57P02");
    assert_eq!(postgres.logged(database.name(), &["57P02"]), Vec::<String>::new());
}

/// A server that waits for its last session to end accepts no other. The driver retries for as long as a call waits for
/// a connection.
#[tokio::test]
async fn a_server_that_shuts_down_is_unavailable() {
    let (postgres, database) = own().await;
    let connection = operator(&database).await;
    let postmaster = nix::unistd::Pid::from_raw(postgres.pid().cast_signed());
    nix::sys::signal::kill(postmaster, nix::sys::signal::Signal::SIGTERM).unwrap();
    let until_refused = async {
        // The signal may take a moment.
        while PgConnection::connect(&database.url(Role::Catalog)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), until_refused).await.expect("the server takes no new session");
    let error = transaction(&lone(&database), &["select 1"]).await.unwrap_err();
    assert_told(&database, "57P03", error);
    drop(connection);
}

/// A server that ends idle sessions causes no failed calls.
#[tokio::test]
async fn a_session_that_was_ended_for_its_idleness_is_replaced() {
    let database = direct().await;
    let mut watcher = operator(&database).await;
    set(&mut watcher, &database, "idle_session_timeout = '100ms'").await;
    let pool = lone(&database);
    let pid = Statement::new("select pg_backend_pid()", 1);
    for _ in 0..3 {
        // Before a statement that runs alone, and before a transaction.
        for _ in 0..2 {
            let pid: i32 = pool.fetch(&pid, Deadline::none()).await.unwrap()[0].get(0);
            until_gone(&mut watcher, pid).await;
        }
        transaction(&pool, &["select 1"]).await.unwrap();
    }
    assert_logged(&database, "57P05");
    // If the session is ended within a call, the client gets the usual error for that.
    let error = pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            transaction.fetch(Statement::new("select pg_terminate_backend(pg_backend_pid())", 1)).await?;
            Ok(TransactionEnd::Commit(()))
        })
    });
    assert_told(&database, "57P01", error.await.unwrap_err());
}
