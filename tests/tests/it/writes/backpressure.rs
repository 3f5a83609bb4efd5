//! A fast client and a slow database: the client waits, and the memory of the server does not grow.

use std::time::{Duration, Instant};

use orrery_kit::config::ServiceConfig;
use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};

use tonic::Code;

use super::stream::{PRODUCTS, Totals, WriteStream, assert_status, chunk, connect, named, product, products};
use crate::harness::{CatalogProcess, CatalogServer, Postgres, Role};

/// Sends chunks until none is accepted for a while, and returns how many were.
async fn until_it_stalls(
    requests: &tokio::sync::mpsc::Sender<orrery_proto::wire::WriteRequest>,
    rows: impl Fn(i64) -> Vec<Product>,
    most: i64,
) -> i64 {
    let mut offset = 0;
    for number in 0..most {
        let rows = rows(number);
        let message = chunk(offset, &rows);
        if tokio::time::timeout(Duration::from_secs(1), requests.send(message)).await.is_err() {
            return number;
        }
        offset += rows.len() as i64;
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_stands_still_the_client_does_too() {
    const CHUNK: i64 = 1_000;
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start(&database).await;
    let (stream, _) = WriteStream::resume(server.channel(), PRODUCTS, named("paused")).await.unwrap();
    let (requests, mut answers) = stream.split();
    postgres.pause();
    let rows = |number: i64| products(number * CHUNK..(number + 1) * CHUNK);
    let taken = until_it_stalls(&requests, rows, 1_000).await;
    postgres.resume();
    assert!((1..200).contains(&taken), "{taken} chunks of {CHUNK} rows were taken from the client");
    // All accepted chunks, and the one whose send was given up is sent again.
    let sender = tokio::spawn(async move {
        for number in taken..taken + 5 {
            requests.send(chunk(number * CHUNK, &rows(number))).await.unwrap();
        }
    });
    let mut totals = Totals::default();
    while let Some(answer) = answers.message().await.unwrap() {
        totals.add(answer);
    }
    sender.await.unwrap();
    let sent = (taken + 5) * CHUNK;
    assert_eq!((totals.committed_offset, totals.counts()), (sent, [sent, 0, 0, 0, 0]));
    let mut connection = database.connect(Role::Operator).await;
    let stored: i64 =
        sqlx::query_scalar("select count(*) from catalog.product").fetch_one(&mut connection).await.unwrap();
    assert_eq!(stored, sent);
}

/// The service's own limit ends a commit, although the client has no deadline and the database does not respond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_for_too_long_is_given_up() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let limit = |config: &mut ServiceConfig| {
        config.limits.transaction_timeout = Duration::from_millis(800);
        // The first commit's connection is used for the second, because opening another one now would be a different
        // failure.
        config.database.database_pool_min = 1;
        config.database.database_pool_max = 1;
    };
    let server = CatalogServer::start_with(&database, limit).await;
    let (mut stream, _) = WriteStream::resume(server.channel(), PRODUCTS, named("frozen")).await.unwrap();
    stream.send(0, &products(0..10)).await;
    stream.acknowledged(10).await.unwrap();
    // The pool checks a connection with the server before it takes it back, after the response.
    tokio::time::sleep(Duration::from_millis(500)).await;
    postgres.pause();
    let sent = Instant::now();
    stream.send(10, &products(10..20)).await;
    let (_, status) = stream.ended().await;
    postgres.resume();
    assert_status(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(sent.elapsed() < Duration::from_secs(3), "{:?}", sent.elapsed());
    let (mut stream, offset) = WriteStream::resume(server.channel(), PRODUCTS, named("frozen")).await.unwrap();
    assert_eq!(offset, 10);
    stream.send(10, &products(10..20)).await;
    assert_eq!(stream.acknowledged(20).await.unwrap().created, 10);
}

/// Rows that will be rejected or superseded need memory while they wait, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_will_not_be_written_wait_in_the_client_too() {
    const CHUNK: usize = 1_000;
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let process = CatalogProcess::spawn(&database).await;
    let before = process.peak_memory();
    let long = "x".repeat(100);
    let refused = || Product { labels: [(format!("-{long}"), String::new())].into(), ..product("x", "") };
    for (name, row) in [("refused", refused()), ("superseded", product("same", &long))] {
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
        let channel = connect(process.address());
        let (requests, answers) = WriteStream::open(channel, PRODUCTS, start).await.unwrap().split();
        // One chunk is being written.
        postgres.pause();
        let taken = until_it_stalls(&requests, |_| vec![row.clone(); CHUNK], 1_000).await;
        postgres.resume();
        assert!(taken < 200, "{name}: {taken} chunks of {CHUNK} rows were taken from the client");
        drop((requests, answers));
    }
    let grown = (process.peak_memory() - before) >> 20;
    assert!(grown < 48, "the server grew by {grown} MiB");
}
