//! A caller who leaves takes the work with it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod driver;
mod storm;

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::GetProductRequest;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tonic::{Code, Request};

use crate::harness::{CatalogServer, Role, TestDatabase};

/// Longer than anything takes to end that was cancelled.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many sessions the catalog has.
const SESSIONS_OPEN: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and usename = 'catalog_service'";

/// Waits until no session of the catalog fulfils a condition on `pg_stat_activity`.
async fn until_no_session(operator: &mut PgConnection, condition: &str) {
    let sql = format!(
        "select coalesce(string_agg(format('%s %s since %s: %s', pid, state, now() - state_change, query), '; '), '') \
         from pg_stat_activity where datname = current_database() and usename = 'catalog_service' and {condition}"
    );
    let started = Instant::now();
    loop {
        let left: String = sqlx::query(AssertSqlSafe(sql.clone())).fetch_one(&mut *operator).await.unwrap().get(0);
        if left.is_empty() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{condition}: {left}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_of_a_caller_who_gave_up_ends() {
    // A read of some fields has a query of its own.
    a_query_ends_behind_its_caller(Some(prost_types::FieldMask { paths: vec!["name".to_owned()] })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_callers_share_ends_too() {
    a_query_ends_behind_its_caller(None).await;
}

async fn a_query_ends_behind_its_caller(read_mask: Option<prost_types::FieldMask>) {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let mut operator = database.connect(Role::Operator).await;
    let mut holder = database.connect(Role::Operator).await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.product in access exclusive mode").execute(&mut *lock).await.unwrap();

    let mut request = Request::new(GetProductRequest { uid: "prd_a".to_owned(), read_mask });
    request.set_timeout(Duration::from_millis(500));
    let mut client = server.client();
    let call = tokio::spawn(async move { client.get_product(request).await });
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
                   and usename = 'catalog_service' and wait_event_type = 'Lock'";
    let mut seen = false;
    let status = loop {
        let count: i64 = sqlx::query(waiting).fetch_one(&mut operator).await.unwrap().get(0);
        seen |= count > 0;
        if call.is_finished() {
            break call.await.unwrap().unwrap_err();
        }
    };
    // Whichever of client and service looked at its clock first.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    assert!(seen, "the query had to wait for the lock");

    let left = Instant::now();
    loop {
        let count: i64 = sqlx::query(waiting).fetch_one(&mut operator).await.unwrap().get(0);
        if count == 0 {
            break;
        }
        assert!(left.elapsed() < Duration::from_secs(20), "the query still waits for the lock");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lock.rollback().await.unwrap();
}
