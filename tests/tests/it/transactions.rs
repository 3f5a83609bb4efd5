//! Transactions report a commit only if they were committed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::ops::ControlFlow;
use std::time::Duration;

use orrery_kit::db::{CopySource as _, Statement, Transaction, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_tests_needs::{self as needs, Need};
use sqlx::{Connection as _, PgConnection, Row as _};
use tonic::Code;

use crate::harness::{Role, Route, TestDatabase};

/// How a statement fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    Fetch,
    Insert,
    CopyIn,
    CopyOut,
}

impl Failing {
    const ALL: [Self; 4] = [Self::Fetch, Self::Insert, Self::CopyIn, Self::CopyOut];

    /// Runs a statement that fails if the product `prd_a` exists.
    async fn run(self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        let insert = Statement::new("insert into catalog.product (uid) values ('prd_a')", 1);
        let put = |out: &mut Vec<u8>| {
            out.extend_from_slice(&1_i16.to_be_bytes());
            out.extend_from_slice(&5_i32.to_be_bytes());
            out.extend_from_slice(b"prd_a");
        };
        match self {
            Self::Fetch => transaction.fetch(insert).await.map(drop),
            Self::Insert => transaction.insert(insert).await,
            Self::CopyIn => transaction.copy_in("copy catalog.product (uid) from stdin (format binary)", 1, put).await,
            Self::CopyOut => transaction
                .copy_out("select 1 / (n - 1) from generate_series(1, 2) as n", |_| Ok(ControlFlow::Continue(())))
                .await
                .map(drop),
        }
    }
}

#[tokio::test]
async fn the_driver_takes_a_rollback_for_the_commit_that_was_asked_for() {
    let database = TestDatabase::create().await.by(Route::Direct).await;
    let mut connection = PgConnection::connect(&database.url(Role::Catalog)).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("insert into product (uid) values ('prd_a')").execute(&mut *transaction).await.unwrap();
    sqlx::query("insert into product (uid) values ('prd_a')").execute(&mut *transaction).await.unwrap_err();
    let committed = transaction.commit().await;
    assert!(committed.is_ok(), "sqlx is mended: the data layer need not count failed statements ({committed:?})");
    let stored: i64 = sqlx::query_scalar("select count(*) from product").fetch_one(&mut connection).await.unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn work_that_keeps_an_error_to_itself_is_not_taken_for_committed() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    for database in [TestDatabase::create().await, TestDatabase::pooled().await] {
        let pool = database.data_layer(|config| config.database.database_pool_max = 1);
        let mut operator = database.connect(Role::Operator).await;
        for failing in Failing::ALL {
            let outcome = pool.transaction(Deadline::none(), move |transaction| {
                Box::pin(async move {
                    transaction.fetch(Statement::new("insert into catalog.product (uid) values ('prd_a')", 1)).await?;
                    drop(failing.run(transaction).await);
                    Ok(TransactionEnd::Commit(()))
                })
            });
            let error = outcome.await.unwrap_err();
            assert_eq!(error.code(), Code::Internal, "{failing:?}: {error:?}");
            let stored: i64 =
                sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&mut operator).await.unwrap();
            assert_eq!(stored, 0, "{failing:?}");
        }
        // The caller gets the error, and the next transaction is not affected.
        let outcome = pool.transaction(Deadline::none(), |transaction| {
            Box::pin(async move {
                transaction.fetch(Statement::new("insert into catalog.product (uid) values ('prd_a')", 1)).await?;
                Failing::Insert.run(transaction).await?;
                Ok(TransactionEnd::Commit(()))
            })
        });
        assert!(matches!(outcome.await, Err(Error::TransactionConflict(_))));
        let outcome = pool.transaction(Deadline::none(), |transaction| {
            Box::pin(async move {
                transaction.fetch(Statement::new("insert into catalog.product (uid) values ('prd_b')", 1)).await?;
                Ok(TransactionEnd::Commit(()))
            })
        });
        outcome.await.unwrap();
        let stored: Vec<String> =
            sqlx::query_scalar("select uid from catalog.product").fetch_all(&mut operator).await.unwrap();
        assert_eq!(stored, ["prd_b"]);
        pool.close().await;
    }
}

/// If a service is frozen or cut off, the server ends its statements and idle transactions.
#[tokio::test]
async fn a_transaction_tells_the_server_how_long_it_may_last() {
    const LIMIT: Duration = Duration::from_secs(7);
    const LEFT: Duration = Duration::from_secs(5);
    const SETTINGS: &str = "select setting::bigint from pg_settings \
         where name in ('statement_timeout', 'idle_in_transaction_session_timeout')";
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    for database in [TestDatabase::create().await, TestDatabase::pooled().await] {
        let pool = database.data_layer(|config| config.limits.transaction_timeout = LIMIT);
        for (deadline, most) in [(Deadline::none(), LIMIT), (Deadline::after(LEFT), LEFT)] {
            let settings = pool.transaction(deadline, |transaction| {
                Box::pin(
                    async move { Ok(TransactionEnd::Commit(transaction.fetch(Statement::new(SETTINGS, 2)).await?)) },
                )
            });
            let settings: Vec<i64> = settings.await.unwrap().iter().map(|row| row.get(0)).collect();
            let most = most.as_millis() as i64;
            assert_eq!(settings.len(), 2);
            assert!(settings.iter().all(|ms| (most - 2_000..=most).contains(ms)), "{settings:?} of {most} ms");
        }
    }
}

#[tokio::test]
async fn a_statement_that_runs_alone_is_committed_and_its_error_costs_nothing() {
    const INSERT: &str = "insert into catalog.product (uid) values ('prd_a')";
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let direct = TestDatabase::create().await.by(Route::Direct).await;
    for (database, is_alone) in [(direct, true), (TestDatabase::pooled().await, false)] {
        let pool = database.data_layer(|config| config.database.database_pool_max = 1);
        let mut operator = database.connect(Role::Operator).await;
        let mut stored = async || -> i64 {
            sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&mut operator).await.unwrap()
        };
        let write = |end: fn(()) -> TransactionEnd<()>| {
            pool.lazy_transaction(Deadline::none(), move |transaction| {
                Box::pin(async move {
                    transaction.write_alone(Statement::new(INSERT, 1)).await?;
                    Ok(end(()))
                })
            })
        };
        // Behind a pooler it is part of a transaction.
        write(TransactionEnd::RollBack).await.unwrap();
        assert_eq!(stored().await, i64::from(is_alone));
        if !is_alone {
            write(TransactionEnd::Commit).await.unwrap();
        }
        assert_eq!(stored().await, 1);
        // The row exists: the error is the caller's, and the connection serves the next one.
        let error = write(TransactionEnd::Commit).await.unwrap_err();
        assert!(matches!(error, Error::RowRefused(_)), "{error:?}");
        // After the error of a statement that ran alone, and after one that succeeded, a transaction may begin.
        let next = pool.lazy_transaction(Deadline::none(), move |transaction| {
            Box::pin(async move {
                let refused = transaction.write_alone(Statement::new(INSERT, 1)).await;
                if !is_alone {
                    return refused.map(|_| TransactionEnd::Commit(()));
                }
                assert!(matches!(refused, Err(Error::RowRefused(_))), "{refused:?}");
                transaction.write_alone(Statement::new("delete from catalog.product where uid = 'prd_a'", 1)).await?;
                transaction.write(Statement::new(INSERT, 1)).await?;
                Ok(TransactionEnd::RollBack(()))
            })
        });
        assert_eq!(next.await.is_ok(), is_alone);
        assert_eq!(stored().await, i64::from(!is_alone));
    }
}
