//! Bugs of sqlx 0.9.0 that the data layer works around. Each is shown in the driver itself, so that a fix is noticed,
//! and shown not to affect users of [`Database`].

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::db::{CopyEnd, CopyRequest, Database, Statement, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::metrics::Metrics;
use orrery_tests_needs::{self as needs, Need};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::{SESSIONS_OPEN, TIMEOUT};
use crate::harness::{Role, Route, TestDatabase, until_no_session};

const PREPARED: &str = "select count(*) from pg_prepared_statements";
const MINUTE: Duration = Duration::from_secs(60);

/// Both routes to the database. The second one keeps no session state.
async fn both_ways() -> [TestDatabase; 2] {
    [TestDatabase::create().await.by(Route::Direct).await, TestDatabase::pooled().await]
}

/// A pool of the data layer with this many connections, for the URL with a suffix.
fn pool(database: &TestDatabase, connections: u32, more: &str) -> Database {
    let mut config = ServiceConfig::for_database(&format!("{}{more}", database.url(Role::Catalog))).unwrap();
    config.database.database_pooler = database.pooler_mode();
    config.database.database_pool_min = 0;
    config.database.database_pool_max = connections;
    Database::new(&config.database, &config.limits, &Metrics::default()).unwrap()
}

/// Polls a future this many times, or until it is ready, and drops it.
async fn abandoned_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn without_a_cache_the_driver_leaks_prepared_statements() {
    let database = TestDatabase::create().await.by(Route::Direct).await;
    let options: PgConnectOptions = database.url(Role::Catalog).parse().unwrap();
    let mut connection = options.statement_cache_capacity(0).connect().await.unwrap();
    for _ in 0..20 {
        sqlx::query("select $1::integer").bind(1).execute(&mut connection).await.unwrap();
    }
    let leaked: String = sqlx::raw_sql("select count(*)::text from pg_prepared_statements")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    assert!(
        leaked.parse::<u32>().unwrap() >= 20,
        "sqlx is mended: STATEMENT_CACHE need not be set ({leaked} statements)"
    );
}

#[tokio::test]
async fn no_url_makes_the_data_layer_leak_prepared_statements() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    for database in both_ways().await {
        let pool = pool(&database, 1, "?statement-cache-capacity=0");
        for _ in 0..20 {
            pool.fetch(&Statement::new("select $1::integer", 1).bind(1).unwrap(), Deadline::none()).await.unwrap();
        }
        // More different texts than are cached.
        for at in 0..150 {
            pool.fetch(&Statement::new(format!("select {at}"), 1), Deadline::none()).await.unwrap();
        }
        let rows = pool.fetch(&Statement::new(PREPARED, 1), Deadline::none()).await.unwrap();
        let count: i64 = rows[0].get(0);
        assert!(count <= 100, "{count} statements are prepared");
        pool.close().await;
    }
}

#[tokio::test]
async fn a_begin_that_was_cancelled_leaves_the_drivers_pool_a_transaction() {
    let database = TestDatabase::create().await.by(Route::Direct).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&database.url(Role::Catalog)).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    // The first poll sends BEGIN. Sometimes the response is already there, which is not a cancellation.
    while let Some(begun) = connection.begin().now_or_never() {
        begun.unwrap().rollback().await.unwrap();
    }
    drop(connection);
    let mut next = pool.acquire().await.unwrap();
    // Outside of a transaction this is refused (25P01).
    let savepoint = sqlx::raw_sql("savepoint inherited").execute(&mut *next).await;
    assert!(savepoint.is_ok(), "sqlx is mended: a cancelled begin leaves nothing ({savepoint:?})");
}

#[tokio::test]
async fn nothing_cancelled_leaves_the_data_layers_pool_a_transaction() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    for database in both_ways().await {
        let pool = pool(&database, 2, "");
        let mut operator = database.connect(Role::Operator).await;
        let reading = Statement::new("select count(*) from catalog.product where uid > $1", 1).bind("").unwrap();
        for polls in 1..=8 {
            for _ in 0..4 {
                let opened = abandoned_after(polls, pool.snapshot(MINUTE, Deadline::none())).await;
                drop(opened);
                drop(abandoned_after(polls, pool.fetch(&reading, Deadline::none())).await);
                let request = CopyRequest {
                    select: "select uid from catalog.product",
                    timeout: MINUTE,
                    deadline: Deadline::none(),
                };
                drop(abandoned_after(polls, pool.copy_out(request, |_| Ok(ControlFlow::Continue(())))).await);
                // This one continues without its caller.
                let write = pool.transaction(Deadline::none(), |transaction| {
                    Box::pin(async move {
                        transaction.fetch(Statement::new("select pg_current_xact_id()::text", 1)).await?;
                        Ok(TransactionEnd::RollBack(()))
                    })
                });
                drop(abandoned_after(polls, write).await);
                // `set transaction isolation level` is refused (25001) after any other statement in a transaction.
                let own = pool.transaction(Deadline::none(), |transaction| {
                    Box::pin(async move {
                        transaction.fetch(Statement::new("set transaction isolation level serializable", 1)).await?;
                        let rows =
                            transaction.fetch(Statement::new("select pg_current_xact_id_if_assigned()::text", 1));
                        Ok(TransactionEnd::Commit(rows.await?[0].get::<Option<String>, _>(0)))
                    })
                });
                assert_eq!(own.await.unwrap(), None, "the transaction of a caller who left");
            }
        }
        until_no_session(
            &mut operator,
            "state in ('active', 'idle in transaction', 'idle in transaction (aborted)')",
            TIMEOUT,
        )
        .await;
        until_no_session(&mut operator, &format!("({SESSIONS_OPEN}) > 2"), TIMEOUT).await;
        pool.close().await;
    }
}

/// Twenty rows within this many seconds, sent one by one.
fn slow_rows(seconds: f64) -> String {
    let each = seconds / 20.0;
    format!("select repeat('x', 20000), pg_sleep({each})::text from generate_series(1, 20)")
}

#[tokio::test]
async fn the_driver_reads_a_dropped_result_to_its_end_before_the_next() {
    let database = TestDatabase::create().await.by(Route::Direct).await;
    let mut connection = PgConnection::connect(&database.url(Role::Catalog)).await.unwrap();
    let mut rows = sqlx::raw_sql(AssertSqlSafe(slow_rows(2.0))).fetch(&mut connection);
    rows.next().await.unwrap().unwrap();
    drop(rows);
    let dropped = Instant::now();
    sqlx::raw_sql("select 1").execute(&mut connection).await.unwrap();
    assert!(dropped.elapsed() > Duration::from_millis(800), "sqlx is mended: a dropped result holds nobody up");
}

#[tokio::test]
async fn the_data_layer_drops_a_result_and_its_statement_ends() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    for database in both_ways().await {
        let pool = pool(&database, 1, "");
        let mut operator = database.connect(Role::Operator).await;
        let select = slow_rows(600.0);
        let request = CopyRequest { select: &select, timeout: MINUTE * 10, deadline: Deadline::none() };
        // The first row comes after half a minute; the caller leaves before that.
        let left =
            tokio::time::timeout(Duration::from_millis(300), pool.copy_out(request, |_| Ok(ControlFlow::Continue(()))));
        assert!(left.await.is_err());
        let select = slow_rows(20.0);
        let request = CopyRequest { select: &select, timeout: MINUTE, deadline: Deadline::none() };
        assert!(matches!(pool.copy_out(request, |_| Ok(ControlFlow::Break(()))).await, Ok(CopyEnd::Stopped)));
        let dropped = Instant::now();
        pool.fetch(&Statement::new("select 1", 1), Deadline::none()).await.unwrap();
        assert!(dropped.elapsed() < Duration::from_secs(15), "{:?}", dropped.elapsed());
        until_no_session(&mut operator, "state = 'active'", TIMEOUT).await;
        pool.close().await;
    }
}
