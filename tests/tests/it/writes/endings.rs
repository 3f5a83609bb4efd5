//! Writes that end early: cancelled, out of time, or because the process stops.

use std::time::{Duration, Instant};

use orrery_proto::r#type::v1::WriteStart;
use orrery_proto::wire::WritePayload;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::Fixture;
use super::stream::{PRODUCTS, WriteStream, assert_status, named, product, products};

/// A client that disconnects leaves nothing behind: no open transaction, no lock, no lost connection, no partial chunk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_write_leaves_nothing_half_done() {
    const CHUNK: i64 = 500;
    let fixture = Fixture::with(|config| {
        config.database.database_pool_min = 1;
        config.database.database_pool_max = 2;
    })
    .await;
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..24_i64 {
        let start = if round % 2 == 0 { WriteStart::default() } else { named(&format!("cancelled{round}")) };
        let pause = Duration::from_micros(random.random_range(0..30_000));
        let channel = fixture.server.channel();
        let client = tokio::spawn(async move {
            let mut stream = WriteStream::open(channel, PRODUCTS, start).await.unwrap();
            for number in 0..50 {
                let base = (round * 50 + number) * CHUNK;
                let mut rows = products(base..base + CHUNK);
                for row in &mut rows {
                    row.labels.insert("chunk".to_owned(), format!("{round}-{number}"));
                }
                stream.send(number * CHUNK, &rows).await;
                if number % 7 == 6 {
                    stream.acknowledged(1).await.unwrap();
                }
            }
        });
        tokio::time::sleep(pause).await;
        client.abort();
        let _ = client.await;
    }
    // The pool works: both connections can be used at once.
    let write = |name: &'static str| {
        let channel = fixture.server.channel();
        async move {
            let mut stream = WriteStream::open(channel, PRODUCTS, WriteStart::default()).await.unwrap();
            stream.send(0, &[product(name, "after")]).await;
            stream.acknowledged(1).await.unwrap()
        }
    };
    let both = async { tokio::join!(write("x"), write("y")) };
    let (x, y) = tokio::time::timeout(Duration::from_secs(5), both).await.expect("the pool has connections");
    assert_eq!((x.created, y.created), (1, 1));
    fixture
        .until(
            "select not exists (select from pg_stat_activity where datname = current_database() \
             and state like 'idle in transaction%')",
        )
        .await;
    let halves: i64 = sqlx::query_scalar(
        "select count(*) from (select count(*) as rows from catalog.product where labels ? 'chunk' group by labels) \
         as chunks \
         where rows <> 500",
    )
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    assert_eq!(halves, 0, "chunks are whole or absent");
    let ledger: i64 = sqlx::query_scalar(
        "select count(*) from catalog.write_session s where committed_offset <> \
         coalesce((select sum(row_count) from catalog.write_commit c where c.write_id = s.write_id), 0)",
    )
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    assert_eq!(ledger, 0, "the ledger and what it remembers agree");
}

#[tokio::test]
async fn a_deadline_ends_the_stream_and_the_write_goes_on_later() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let deadline = Some(Duration::from_millis(700));
    // While nothing happens.
    let first = Some(WritePayload::Start(named("deadline")));
    let mut stream = WriteStream::open_with(channel(), PRODUCTS, first.clone(), deadline).await.unwrap();
    assert_eq!(stream.answer().await.unwrap().unwrap().committed_offset, 0);
    stream.send(0, &products(0..10)).await;
    assert_eq!(stream.acknowledged(10).await.unwrap().created, 10);
    let (_, status) = stream.ended().await;
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");

    // While a commit waits for a lock: the database cancels it as well.
    let held = fixture.hold("catalog.product").await;
    let mut stream = WriteStream::open_with(channel(), PRODUCTS, first, deadline).await.unwrap();
    assert_eq!(stream.answer().await.unwrap().unwrap().committed_offset, 10);
    let sent = Instant::now();
    stream.send(10, &products(10..20)).await;
    let (_, status) = stream.ended().await;
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    fixture.until_waiting(0).await;
    held.rollback().await.unwrap();

    let (mut stream, offset) = WriteStream::resume(channel(), PRODUCTS, named("deadline")).await.unwrap();
    assert_eq!(offset, 10, "what was not acknowledged was not written");
    stream.send(10, &products(10..20)).await;
    assert_eq!(stream.acknowledged(20).await.unwrap().created, 10);
}

/// A transaction has a time limit whether the client has a deadline or not.
#[tokio::test]
async fn a_commit_that_takes_too_long_is_given_up() {
    let fixture = Fixture::with(|config| config.limits.transaction_timeout = Duration::from_millis(500)).await;
    let held = fixture.hold("catalog.product").await;
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, named("slow")).await.unwrap();
    let sent = Instant::now();
    stream.send(0, &products(0..10)).await;
    let (_, status) = stream.ended().await;
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(status.get_details_retry_info().is_some());
    assert!(sent.elapsed() < Duration::from_secs(3), "{:?}", sent.elapsed());
    held.rollback().await.unwrap();
    let (_, offset) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named("slow")).await.unwrap();
    assert_eq!((offset, fixture.count("catalog.product").await), (0, 0));
}

#[tokio::test]
async fn a_drain_commits_what_came_acknowledges_it_and_ends_the_stream() {
    let Fixture { server, pool, database } =
        Fixture::with(|config| config.server.drain_timeout = Duration::from_secs(10)).await;
    let (mut idle, _) = WriteStream::resume(server.channel(), PRODUCTS, named("idle")).await.unwrap();
    idle.send(0, &products(0..10)).await;
    idle.acknowledged(10).await.unwrap();
    let silent = WriteStream::open_with(server.channel(), PRODUCTS, None, None).await.unwrap();
    let mut held = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.product in exclusive mode").execute(&mut *held).await.unwrap();
    let (busy, _) = WriteStream::resume(server.channel(), PRODUCTS, named("busy")).await.unwrap();
    busy.send(0, &products(10..20)).await;
    busy.send(10, &products(20..30)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let begun = Instant::now();
    let stopping = tokio::spawn(server.stop());
    for stream in [idle, silent] {
        let (_, status) = stream.ended().await;
        assert_status(&status, Code::Unavailable, "DRAINING");
        assert!(status.get_details_retry_info().is_some());
    }
    held.rollback().await.unwrap();
    let (totals, status) = busy.ended().await;
    assert_status(&status, Code::Unavailable, "DRAINING");
    assert_eq!((totals.committed_offset, totals.created), (20, 20), "what had come is committed and acknowledged");
    stopping.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}: streams end when they are asked to", begun.elapsed());
    let stored: i64 = sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&pool).await.unwrap();
    assert_eq!(stored, 30);
    drop(database);
}

/// The timeout applies although a commit waits for a lock that is never released.
#[tokio::test]
async fn a_drain_ends_within_its_bound_whatever_a_commit_waits_for() {
    let Fixture { server, pool, database } =
        Fixture::with(|config| config.server.drain_timeout = Duration::from_secs(1)).await;
    let mut held = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table catalog.product in exclusive mode").execute(&mut *held).await.unwrap();
    let (stream, _) = WriteStream::resume(server.channel(), PRODUCTS, named("stuck")).await.unwrap();
    stream.send(0, &products(0..10)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(server.stop());
    let (totals, status) = stream.ended().await;
    assert_status(&status, Code::Unavailable, "DRAINING");
    assert_eq!(totals.committed_offset, 0);
    stopping.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    held.rollback().await.unwrap();
    drop(database);
}
