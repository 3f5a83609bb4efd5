//! The rows of a chunk and the ledger always agree, whatever fails: there is no row that the ledger does not know, and
//! no offset without its rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Code;

use super::Fixture;
use super::stream::{ORDERS, PRODUCTS, WriteStream, assert_status, named, products};
use crate::harness::{Role, until_waiting};
use crate::orders::fixture::{Fixture as Orders, bare};

/// The ledger's offsets and the number of rows, as of one moment.
const BOTH: &str = "select (select coalesce(max(committed_offset), 0) from catalog.write_session), \
                           (select coalesce(sum(row_count), 0)::bigint from catalog.write_commit), \
                           (select count(*) from catalog.product)";

async fn both(fixture: &Fixture) -> (i64, i64, i64) {
    sqlx::query_as(BOTH).fetch_one(&fixture.pool).await.unwrap()
}

#[tokio::test]
async fn a_session_that_ends_between_the_ledger_and_the_rows_leaves_neither() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let held = fixture.hold("catalog.product").await;
    let (stream, _) = WriteStream::resume(channel(), PRODUCTS, named("between")).await.unwrap();
    stream.send(0, &products(0..10)).await;
    fixture.until_blocked().await;
    assert_eq!(both(&fixture).await, (0, 0, 0), "nothing is recorded before the commit");
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and usename = 'catalog_service' and wait_event_type = 'Lock'";
    let ended: i64 = sqlx::query_scalar(end).fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(ended, 1);
    let (totals, status) = stream.ended().await;
    assert_eq!(totals.committed_offset, 0);
    assert_status(&status, Code::Unavailable, "DATABASE_UNAVAILABLE");
    held.rollback().await.unwrap();
    assert_eq!(both(&fixture).await, (0, 0, 0));
    let (mut stream, offset) = WriteStream::resume(channel(), PRODUCTS, named("between")).await.unwrap();
    assert_eq!(offset, 0);
    stream.send(0, &products(0..10)).await;
    assert_eq!(stream.acknowledged(10).await.unwrap().counts(), [10, 0, 0, 0, 0]);
    assert_eq!(both(&fixture).await, (10, 10, 10));
}

/// The children of an order as well: its header waits for its lines.
#[tokio::test]
async fn an_order_whose_lines_are_waited_for_is_neither_there_nor_in_the_ledger() {
    let fixture = Orders::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    let mut held = fixture.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table orders.order_line_item in exclusive mode").execute(&mut *held).await.unwrap();
    let (stream, _) = WriteStream::resume(fixture.server.channel(), ORDERS, named("lines")).await.unwrap();
    let order = orrery_proto::orders::v1::Order { line_items: vec![crate::harness::line("a", 1, "2.50")], ..bare("a") };
    stream.send(0, &[order]).await;
    until_waiting(&mut watcher, Role::Orders, 1).await;
    let both = "select row((select count(*) from orders.write_session), (select count(*) from orders.order_header))";
    assert_eq!(fixture.text(both).await, "(0,0)");
    held.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 0, 0, 0, 0]);
    assert_eq!(fixture.text(both).await, "(1,1)");
}

/// If the ledger refuses an entry or the table refuses a row, the other contains nothing of that chunk.
#[tokio::test]
async fn what_fails_in_one_of_them_is_in_neither() {
    let internal = (Code::Internal, "INTERNAL");
    for (number, (constraint, (code, reason))) in [
        ("alter table catalog.write_commit add constraint full_now check (first_offset < 10)", internal),
        ("alter table catalog.write_session add constraint full_now check (committed_offset <= 10)", internal),
        // The error of a refused row.
        (
            "alter table catalog.product add constraint full_now check (uid < 'prd_0000015')",
            (Code::InvalidArgument, "ROW_REJECTED"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let fixture = Fixture::new().await;
        sqlx::raw_sql(constraint).execute(&fixture.pool).await.unwrap();
        let write_id = format!("refused-{number}");
        let (mut stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named(&write_id)).await.unwrap();
        stream.send(0, &products(0..10)).await;
        assert_eq!(stream.acknowledged(10).await.unwrap().created, 10);
        stream.send(10, &products(10..20)).await;
        let (_, status) = stream.ended().await;
        assert_status(&status, code, reason);
        assert_eq!(both(&fixture).await, (10, 10, 10), "{constraint}");
        let (_, offset) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named(&write_id)).await.unwrap();
        assert_eq!(offset, 10);
    }
}

/// An observer always sees the same number in both, and never less than what was acknowledged before.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_sees_as_many_rows_as_the_ledger_says() {
    const CHUNKS: i64 = 150;
    const CHUNK: i64 = 4;
    let fixture = Arc::new(Fixture::new().await);
    let enough = Arc::new(AtomicBool::new(false));
    let looking = {
        let (fixture, enough) = (Arc::clone(&fixture), Arc::clone(&enough));
        tokio::spawn(async move {
            let mut seen = std::collections::BTreeSet::new();
            while !enough.load(Ordering::Relaxed) {
                let (offset, remembered, rows) = both(&fixture).await;
                assert_eq!(offset, rows, "the ledger and the rows");
                // Only the last commits are remembered.
                assert!(remembered <= offset);
                seen.insert(offset);
            }
            seen
        })
    };
    let (mut stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named("watched")).await.unwrap();
    for chunk in 0..CHUNKS {
        let first = chunk * CHUNK;
        stream.send(first, &products(first..first + CHUNK)).await;
        stream.acknowledged(first + CHUNK).await.unwrap();
        let (offset, _, rows) = both(&fixture).await;
        assert!(offset >= first + CHUNK && rows >= first + CHUNK, "acknowledged, and not there");
    }
    enough.store(true, Ordering::Relaxed);
    let seen = looking.await.unwrap();
    assert!(seen.len() > 10, "it was looked at while rows came: {seen:?}");
}
