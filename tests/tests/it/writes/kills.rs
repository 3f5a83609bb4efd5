//! Processes that die in the middle of writes: the service, and the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::WriteStart;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgConnection;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::stream::{PRODUCTS, WriteStream, connect, named, product};
use crate::harness::{CatalogProcess, CatalogServer, Postgres, Role, TestDatabase};

/// Rows that one writer sends, again and again the same keys, so that a chunk that is applied twice or late shows in the
/// contents.
const KEYS: i64 = 400;

/// What a writer has to say, row by row: a fixed function of writer and offset.
fn row(writer: usize, offset: i64) -> Product {
    // A key comes back after KEYS rows, with another name.
    let mut row = product(&format!("w{writer}-{:04}", offset % KEYS), &format!("offset {offset}"));
    row.labels.insert("writer".to_owned(), writer.to_string());
    row
}

/// What is stored once everything before `committed` is.
fn model(writer: usize, committed: i64) -> BTreeMap<String, String> {
    (0..committed).map(|offset| row(writer, offset)).map(|row| (row.uid, row.name)).collect()
}

async fn stored(connection: &mut PgConnection, writer: usize) -> BTreeMap<String, String> {
    sqlx::query_as::<_, (String, String)>("select uid, name from catalog.product where labels ->> 'writer' = $1")
        .bind(writer.to_string())
        .fetch_all(connection)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

/// One writer's progress over all its streams.
#[derive(Debug)]
struct Progress {
    writer: usize,
    /// Every row before it was acknowledged.
    acknowledged: i64,
    /// Ends of the chunks that were sent and not acknowledged yet.
    sent: Vec<i64>,
}

/// Writes until the stream breaks, or `enough` says so.
async fn write_until_it_breaks(
    progress: &mut Progress,
    channel: Channel,
    random: &mut StdRng,
    enough: &AtomicBool,
) -> Result<(), Status> {
    let writer = progress.writer;
    let start = WriteStart { ..named(&format!("writer{writer}")) };
    let (mut stream, offset) = WriteStream::resume(channel, PRODUCTS, start).await?;
    assert!(offset >= progress.acknowledged, "writer {writer}: acknowledged {progress:?}, and now {offset}");
    assert!(
        offset == progress.acknowledged || progress.sent.contains(&offset),
        "writer {writer}: {offset} is no end of a chunk: {progress:?}"
    );
    progress.acknowledged = offset;
    progress.sent.clear();
    let mut at = offset;
    while !enough.load(Ordering::Relaxed) {
        // Up to three chunks are on their way.
        while progress.sent.len() < 3 {
            let end = at + random.random_range(1..300);
            stream.send(at, &(at..end).map(|offset| row(writer, offset)).collect::<Vec<_>>()).await;
            progress.sent.push(end);
            at = end;
        }
        let answer = stream.answer().await?.ok_or_else(|| Status::internal("the stream ended"))?;
        assert!(progress.sent.contains(&answer.committed_offset), "{answer:?}, {progress:?}");
        progress.acknowledged = answer.committed_offset;
        progress.sent.retain(|end| *end > answer.committed_offset);
    }
    Ok(())
}

/// Writers that write, and write on whenever the service is there again.
async fn write_on(writer: usize, address: std::net::SocketAddr, enough: Arc<AtomicBool>) -> (Progress, Vec<Status>) {
    let mut progress = Progress { writer, acknowledged: 0, sent: Vec::new() };
    let mut random = StdRng::seed_from_u64(writer as u64);
    let mut broken = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(status) = write_until_it_breaks(&mut progress, connect(address), &mut random, &enough).await {
        broken.push(status);
        if enough.load(Ordering::Relaxed) {
            break;
        }
        assert!(Instant::now() < deadline, "{broken:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (progress, broken)
}

/// Everything that was acknowledged is there, once, and what was on its way is there by whole chunks.
async fn assert_whole(connection: &mut PgConnection, progress: &Progress) {
    let writer = progress.writer;
    let committed: i64 = sqlx::query_scalar("select committed_offset from catalog.write_session where write_id = $1")
        .bind(format!("writer{writer}"))
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert!(
        committed == progress.acknowledged || progress.sent.contains(&committed),
        "{committed} is committed: {progress:?}"
    );
    let (stored, model) = (stored(connection, writer).await, model(writer, committed));
    assert_eq!(stored.len(), model.len(), "writer {writer}, {committed} rows committed");
    let differing: Vec<_> = stored.iter().filter(|(uid, name)| model.get(*uid) != Some(name)).take(5).collect();
    assert!(differing.is_empty(), "writer {writer}, {committed} rows committed: {differing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_loses_nothing_it_acknowledged_and_writes_nothing_twice() {
    const WRITERS: usize = 3;
    let database = TestDatabase::create().await;
    let mut process = CatalogProcess::spawn(&database).await;
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_on(writer, process.address(), Arc::clone(&enough)))).collect();
    let mut random = StdRng::seed_from_u64(2026);
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        process.restart().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    enough.store(true, Ordering::Relaxed);
    let mut connection = database.connect(Role::Operator).await;
    for writer in writers {
        let (progress, broken) = tokio::time::timeout(Duration::from_secs(30), writer).await.unwrap().unwrap();
        assert!(broken.len() >= 4, "the kills were noticed: {broken:?}");
        assert!(progress.acknowledged > 0, "{progress:?}");
        // What is still on its way may commit a moment later; a new stream waits for it.
        let resumed =
            WriteStream::resume(connect(process.address()), PRODUCTS, named(&format!("writer{}", progress.writer)));
        let (_, offset) = resumed.await.unwrap();
        assert!(offset >= progress.acknowledged);
        assert_whole(&mut connection, &progress).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_is_unavailable_for_a_moment_and_the_write_goes_on() {
    const WRITERS: usize = 3;
    // What was committed must survive the kill of every process of the server; the machine does not fall.
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_acquire_timeout = Duration::from_millis(300);
    })
    .await;
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_on(writer, server.address(), Arc::clone(&enough)))).collect();
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        if round == 1 {
            postgres.stop().await;
        } else {
            postgres.kill().await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        postgres.restart().await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    enough.store(true, Ordering::Relaxed);
    let mut connection = database.connect(Role::Operator).await;
    for writer in writers {
        let (progress, broken) = tokio::time::timeout(Duration::from_secs(30), writer).await.unwrap().unwrap();
        assert!(broken.len() >= 3, "{broken:?}");
        for status in broken {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(info.reason, "DATABASE_UNAVAILABLE", "{status:?}");
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
            assert!(!status.message().contains("127.0.0.1") && !status.message().contains("select"), "{status:?}");
        }
        assert!(progress.acknowledged > 0);
        let (_, offset) = WriteStream::resume(server.channel(), PRODUCTS, named(&format!("writer{}", progress.writer)))
            .await
            .unwrap();
        assert!(offset >= progress.acknowledged);
        assert_whole(&mut connection, &progress).await;
    }
}

/// Connections that died while nobody used them are replaced without a caller noticing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_write_after_a_restart_of_the_database_succeeds() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start(&database).await;
    for (round, kill) in [true, false].into_iter().enumerate() {
        // Many at once, so that the pool holds many idle connections.
        let many = (0..12).map(|writer| {
            let channel = server.channel();
            async move {
                let rows = [product(&format!("{round}-{writer}"), "before")];
                super::stream::write(channel, PRODUCTS, WriteStart::default(), &rows).await.1.unwrap();
            }
        });
        futures::future::join_all(many).await;
        if kill {
            postgres.kill().await;
        } else {
            postgres.stop().await;
        }
        postgres.restart().await;
        let rows = [product(&format!("{round}"), "after")];
        let (totals, end) = super::stream::write(server.channel(), PRODUCTS, WriteStart::default(), &rows).await;
        end.unwrap();
        assert_eq!(totals.created, 1);
    }
}
