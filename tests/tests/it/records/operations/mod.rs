//! What a service must do in operation, for each method of the records service: without its database, without its
//! peers, at the caller's deadline, and while it stops.

mod artifacts;
mod calls;
mod procedures;

use std::path::Path;
use std::time::{Duration, Instant};

use orrery_proto::records::v1::RefreshTagPerformanceAggregateRequest;
use orrery_records::config::RecordsConfig;
use orrery_records::storage::DocumentsLocation;
use sqlx::PgConnection;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::calls::{Call, calls, rows};
use crate::harness::raw::call;
use crate::harness::timed::TimedClient;
use crate::harness::{
    CatalogServer, OrdersServer, Postgres, RecordsServer, Role, TestDatabase, refusal, run, seed, until_waiting,
};

/// Catalog and orders on a database of their own, with two products.
async fn peers() -> (TestDatabase, CatalogServer, OrdersServer) {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 2).await;
    let (catalog, orders) = (CatalogServer::start(&database).await, OrdersServer::start(&database).await);
    (database, catalog, orders)
}

/// The records service, with a folder for documents.
async fn start(database: &TestDatabase, folder: &Path, change: impl FnOnce(&mut RecordsConfig)) -> RecordsServer {
    RecordsServer::start_with(database, |config| {
        config.documents.location = DocumentsLocation::Folder(folder.to_owned());
        change(config);
    })
    .await
}

async fn insert_rows(operator: &mut PgConnection) {
    for rows in rows() {
        run(operator, rows).await;
    }
}

/// Checks that a call may be repeated later, and that it says when.
#[track_caller]
fn assert_repeatable(path: &str, status: &Status, code: Code, reason: &str) {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (code, reason), "{path}: {status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{path}: {status:?}");
}

/// The calls of methods with these names.
fn only(names: &[&str]) -> Vec<Call> {
    let found: Vec<Call> =
        calls().into_iter().filter(|(path, _)| names.iter().any(|name| path.ends_with(&format!("/{name}")))).collect();
    assert_eq!(found.len(), names.len());
    found
}

#[tokio::test]
async fn without_its_database_every_method_says_so_and_then_serves_again() {
    let (_elsewhere, catalog, orders) = peers().await;
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    insert_rows(&mut database.connect(Role::Operator).await).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&database, folder.path(), |config| {
        config.service.database.database_acquire_timeout = Duration::from_millis(300);
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.orders.address = orders.address().to_string().parse().unwrap();
    })
    .await;
    // Connections are open, and are closed with the database.
    for (path, messages) in only(&["GetTag", "StreamProductTags"]) {
        call(&server.channel(), &path, messages).await.unwrap_or_else(|status| panic!("{path}: {status:?}"));
    }
    postgres.kill().await;
    for (path, messages) in calls() {
        let begun = Instant::now();
        let status = call(&server.channel(), &path, messages).await.unwrap_err();
        assert_repeatable(&path, &status, Code::Unavailable, "DATABASE_UNAVAILABLE");
        assert!(begun.elapsed() < Duration::from_secs(2), "{path} took {:?}", begun.elapsed());
    }
    postgres.restart().await;
    // By itself, with the first call.
    for (path, messages) in calls() {
        call(&server.channel(), &path, messages).await.unwrap_or_else(|status| panic!("{path}: {status:?}"));
    }
}

#[tokio::test]
async fn without_its_peers_only_what_needs_them_fails_and_writes_nothing() {
    const NEED_PEERS: [&str; 6] = [
        "/GetTagDistribution",
        "/WriteProductTags",
        "/RefreshTagPerformanceAggregate",
        "/LinkProducts",
        "/ClassifyProducts",
        "/ImportComboReports",
    ];
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    insert_rows(&mut operator).await;
    let none = "truncate records.link_product_tag, records.link_product_macrodata_artifact";
    run(&mut operator, none).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&database, folder.path(), |config| {
        config.catalog.timeout = Duration::from_millis(300);
        config.orders.timeout = Duration::from_millis(300);
    })
    .await;
    for (path, messages) in calls() {
        let answer = call(&server.channel(), &path, messages).await;
        if NEED_PEERS.iter().any(|name| path.ends_with(name)) {
            assert_repeatable(&path, &answer.unwrap_err(), Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
        } else {
            answer.unwrap_or_else(|status| panic!("{path}: {status:?}"));
        }
    }
    let links = "select count(*) from records.link_product_tag";
    let links: i64 = sqlx::query_scalar(links).fetch_one(&mut operator).await.unwrap();
    assert_eq!(links, 0);
}

/// Longer than any of these streams may take to end.
const DRAIN: Duration = Duration::from_secs(30);

/// Locks that keep every method waiting.
const EVERYTHING: &str = "begin; lock table records.tag, records.tag_classification, records.tag_group, \
    records.link_product_tag, records.tag_performance_refresh, records.macrodata_catalog, \
    records.macrodata_artifact, records.link_product_macrodata_artifact, records.upload, \
    records.procedure_execution, records.procedure_schedule, records.orphan \
    in access exclusive mode";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_ends_at_its_deadline() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let (_elsewhere, catalog, orders) = peers().await;
    let database = TestDatabase::create().await;
    let database = database.bypassing_pooler("more statements have to wait at once than it has sessions").await;
    let mut operator = database.connect(Role::Operator).await;
    insert_rows(&mut operator).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&database, folder.path(), |config| {
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.orders.address = orders.address().to_string().parse().unwrap();
    })
    .await;
    run(&mut operator, EVERYTHING).await;
    // Some at a time: each of them holds a connection to the database.
    for some in calls().chunks(6) {
        let outcomes = some.iter().map(async |(path, messages)| {
            let ends = messages.len() == 1;
            (path, TimedClient::connect(server.address()).await.call(path, DEADLINE, messages, ends).await)
        });
        for (path, outcome) in futures::future::join_all(outcomes).await {
            assert_repeatable(path, &outcome.status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            assert!(outcome.took < DEADLINE * 3, "{path} took {:?}", outcome.took);
        }
    }
}

#[tokio::test]
async fn streams_end_with_the_service_and_say_so() {
    const STREAMS: [&str; 10] = [
        "StreamTags",
        "StreamTagClassifications",
        "StreamUnclassifiedTags",
        "StreamProductTags",
        "StreamTagPerformance",
        "StreamArtifacts",
        "ExportComboReports",
        "StreamProductLinks",
        "StreamOrphans",
        "WatchProcedureExecution",
    ];
    let (_elsewhere, catalog, orders) = peers().await;
    let database = TestDatabase::create().await;
    let database = database.bypassing_pooler("more streams have to wait at once than it has sessions").await;
    let (mut operator, mut watcher) = (database.connect(Role::Operator).await, database.connect(Role::Operator).await);
    insert_rows(&mut operator).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&database, folder.path(), |config| {
        config.service.server.drain_timeout = DRAIN;
        config.service.stream.progress_interval = DRAIN;
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.orders.address = orders.address().to_string().parse().unwrap();
    })
    .await;
    run(&mut operator, EVERYTHING).await;
    let channel = server.channel();
    let streams = only(&STREAMS).into_iter().map(|(path, messages)| {
        let channel = channel.clone();
        tokio::spawn(async move { (call(&channel, &path, messages).await, path) })
    });
    let streams: Vec<_> = streams.collect();
    until_waiting(&mut watcher, Role::Records, STREAMS.len() as i64).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(server.stop());
    for stream in streams {
        let (ended, path) = stream.await.unwrap();
        assert_repeatable(&path, &ended.unwrap_err(), Code::Unavailable, "DRAINING");
    }
    stopping.await.unwrap().unwrap();
    assert!(begun.elapsed() < DRAIN / 2, "nobody waits for the bound: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_rebuild_that_waits_for_another_service_ends_with_its_own() {
    let (elsewhere, catalog, orders) = peers().await;
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&database, folder.path(), |config| {
        config.service.server.drain_timeout = DRAIN;
        config.orders.timeout = DRAIN;
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.orders.address = orders.address().to_string().parse().unwrap();
    })
    .await;
    let mut operator = elsewhere.connect(Role::Operator).await;
    let mut watcher = elsewhere.connect(Role::Operator).await;
    run(&mut operator, "begin; lock table orders.order_header in access exclusive mode").await;
    let mut refreshing = server
        .client()
        .refresh_tag_performance_aggregate(RefreshTagPerformanceAggregateRequest::default())
        .await
        .unwrap()
        .into_inner();
    until_waiting(&mut watcher, Role::Orders, 1).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(server.stop());
    let ended = loop {
        match refreshing.message().await {
            Ok(progress) => assert!(progress.is_some(), "a rebuild that was broken off ends as if it were complete"),
            Err(status) => break status,
        }
    };
    assert_repeatable("RefreshTagPerformanceAggregate", &ended, Code::Unavailable, "DRAINING");
    stopping.await.unwrap().unwrap();
    assert!(begun.elapsed() < DRAIN / 2, "nobody waits for the bound: {:?}", begun.elapsed());
}
