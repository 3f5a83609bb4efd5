//! How chunks become statements: large ones are split, small ones that wait share a commit, and none waits for others
//! to come.

use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{DeleteProductRequest, Product};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};

use super::Fixture;
use super::stream::{METRICS, PRODUCTS, Totals, WriteStream, chunk, metric, named, product, products, violated, write};

const ROWS: i64 = 10_000;

/// The number of committed transactions in this database. A session writes its counters when it has been idle for a
/// moment, so this waits until they stop changing.
async fn commits(fixture: &Fixture) -> i64 {
    let select = "select xact_commit from pg_stat_database where datname = current_database()";
    let mut before = -1;
    loop {
        // This query adds one each time.
        let now: i64 = sqlx::query_scalar(select).fetch_one(&fixture.pool).await.unwrap();
        if now - before <= 2 {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_of_one_row_reach_the_database_in_thousands() {
    let fixture = Fixture::new().await;
    let before = commits(&fixture).await;
    let (stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named("small")).await.unwrap();
    let (requests, mut answers) = stream.split();
    let sender = tokio::spawn(async move {
        for offset in 0..ROWS {
            requests.send(chunk(offset, &products(offset..offset + 1))).await.unwrap();
        }
    });
    let receive = async {
        let mut totals = Totals::default();
        while let Some(answer) = answers.message().await.unwrap() {
            totals.add(answer);
        }
        totals
    };
    // Separate commits would take minutes.
    let totals = tokio::time::timeout(Duration::from_secs(60), receive).await.expect("small chunks share commits");
    sender.await.unwrap();
    assert_eq!((totals.committed_offset, totals.counts()), (ROWS, [ROWS, 0, 0, 0, 0]));
    assert_eq!(fixture.count("catalog.product").await, ROWS);
    let largest: i64 =
        sqlx::query_scalar("select max(row_count) from catalog.write_commit").fetch_one(&fixture.pool).await.unwrap();
    assert!(largest >= 100, "the largest commit held {largest} rows");
    let commits = commits(&fixture).await - before;
    assert!(commits < ROWS / 20, "{commits} commits for {ROWS} chunks");
    assert!(totals.messages < 1_000, "{} acknowledgements for {ROWS} chunks", totals.messages);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_ten_thousand_rows_is_one_commit_of_a_few_statements() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named("large")).await.unwrap();
    stream.send(0, &products(0..ROWS)).await;
    let totals = stream.acknowledged(ROWS).await.unwrap();
    assert_eq!((totals.messages, totals.counts()), (1, [ROWS, 0, 0, 0, 0]));
    let (transactions, statements): (i64, i64) = sqlx::query_as(
        "select count(distinct xmin::text), count(distinct cmin::text || xmin::text) from catalog.product",
    )
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    assert_eq!(transactions, 1, "a chunk is committed whole");
    assert!((2..=5).contains(&statements), "{statements} statements");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_chunk_is_committed_whole() {
    let fixture = Fixture::new().await;
    let (mut stream, _) = WriteStream::resume(fixture.server.channel(), PRODUCTS, named("largest")).await.unwrap();
    stream.send(0, &products(0..100_000)).await;
    assert_eq!(stream.acknowledged(100_000).await.unwrap().counts(), [100_000, 0, 0, 0, 0]);
}

/// Rows of many kilobytes: statements are limited by bytes as well.
#[tokio::test]
async fn large_rows_are_cut_into_statements_by_their_size() {
    let fixture = Fixture::with(|config| config.stream.write_batch_bytes = 256 * 1024).await;
    let large = |at: i64| Product {
        annotations: [("text".to_owned(), "x".repeat(100 * 1024))].into(),
        ..product(&format!("{at:03}"), "Large")
    };
    let rows: Vec<Product> = (0..20).map(large).collect();
    let (totals, end) = write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.created, 20);
    let largest: i64 = sqlx::query_scalar(
        "select max(rows) from (select count(*) as rows from catalog.product group by xmin::text, cmin::text) as \
         statements",
    )
    .fetch_one(&fixture.pool)
    .await
    .unwrap();
    assert!(largest <= 3, "a statement of {largest} rows of 100 KiB where 256 KiB are allowed");
}

#[tokio::test]
async fn a_caller_who_pauses_is_answered_at_once() {
    let fixture = Fixture::new().await;
    let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    let mut slowest = Duration::ZERO;
    for offset in 0..20 {
        let sent = Instant::now();
        stream.send(offset, &products(offset..offset + 1)).await;
        assert_eq!(stream.acknowledged(offset + 1).await.unwrap().created, 1);
        slowest = slowest.max(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// The counts of chunks that share a commit are the same as if they were written separately: a row in two of them is
/// created by the first and updated by the second.
#[tokio::test]
async fn chunks_with_a_key_in_common_do_not_share_a_commit() {
    let fixture = Fixture::new().await;
    let held = fixture.hold("catalog.product").await;
    let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, start).await.unwrap();
    stream.send(0, &products(0..1)).await;
    fixture.until_blocked().await;
    for offset in 1..31 {
        stream.send(offset, &[product("common", &format!("version {}", offset / 2))]).await;
    }
    held.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [2, 15, 14, 0, 0]);
    assert_eq!(fixture.product("common", "name").await.unwrap(), "version 15");
}

/// The lowest limit that can be configured. Everything else that a write touches fits as well.
#[tokio::test]
async fn the_lowest_limit_of_rows_per_statement_is_kept() {
    let fixture = Fixture::with(|config| {
        config.limits.max_statement_rows = 1_000;
        config.stream.write_batch_rows = 1_000;
    })
    .await;
    let channel = || fixture.server.channel();
    for write_id in ["low", "low", "lower"] {
        let (mut stream, offset) = WriteStream::resume(channel(), PRODUCTS, named(write_id)).await.unwrap();
        stream.send(offset, &products(offset..offset + 1_000)).await;
        stream.acknowledged(offset + 1_000).await.unwrap();
        stream.send(0, &products(0..1_000)).await;
        stream.acknowledged(offset + 1_000).await.unwrap();
    }
    let stream = WriteStream::open(channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(0, &products(0..1_001)).await;
    let (_, status) = stream.ended().await;
    assert_eq!(violated(&status), "chunk.products");
    let metrics: Vec<_> = (0..2_500).map(|number| metric("0000000", &format!("m{number}"), "1")).collect();
    for chunk in metrics.chunks(1_000) {
        write(channel(), METRICS, WriteStart::default(), chunk).await.1.unwrap();
    }
    let delete = DeleteProductRequest { uid: "prd_0000000".to_owned(), ..DeleteProductRequest::default() };
    fixture.server.client().delete_product(delete).await.unwrap();
    assert_eq!(fixture.count("catalog.product_metric").await, 0);
}
