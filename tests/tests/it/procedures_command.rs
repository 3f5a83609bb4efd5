//! `orrery procedures` against real services: what it prints, its exit codes, and what it stands.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;
use sqlx::PgPool;

use crate::harness::operator::{CommandResult, ended, orrery, run};
use crate::harness::{CatalogProcess, CatalogServer, OrdersServer, RecordsServer, Role, TestDatabase};

/// Runs `orrery procedures` with words and an option.
async fn procedures(words: &str, service: &str) -> CommandResult {
    let words = ["procedures"].into_iter().chain(words.split(' ')).chain([service]);
    run(&words.collect::<Vec<_>>()).await
}

/// As [`procedures`]; the command succeeds.
async fn succeeded(words: &str, service: &str) -> CommandResult {
    let result = procedures(words, service).await;
    assert_eq!(result.code, Some(0), "{words}: {result:?}");
    result
}

/// As [`procedures`]; the command fails with one line.
async fn failed(words: &str, service: &str) -> String {
    let result = procedures(words, service).await;
    assert_eq!((result.code, result.stderr.lines().count()), (Some(1), 1), "{words}: {result:?}");
    result.stderr
}

/// Writes of the ledger that nobody has used for a long time.
async fn seed_old_writes(pool: &PgPool, writes: i32) {
    let query = "insert into catalog.write_session (resource, write_id, parameters, update_ts) \
                 select 'product', 'w' || n, '{}', now() - interval '400 days' from generate_series(1, $1) n";
    sqlx::query(query).bind(writes).execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procedure_is_run_to_its_end_and_its_result_printed() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Catalog).await;
    seed_old_writes(&pool, 450).await;
    let server = CatalogServer::start_with(&database, |config| config.procedures.procedure_workers = 1).await;
    let service = format!("--catalog={}", server.address());

    let ended = succeeded("run expire_write_sessions retention=9000h --wait", &service).await;
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("exe_") && lines[1].starts_with("expire_write_sessions succeeded after"), "{ended:?}");
    assert_eq!(lines[2..], ["  deleted  450"], "{ended:?}");
    assert!(lines[1].ends_with(", 450 processed"), "{ended:?}");
    // No terminal: a line for each change, at least the last one.
    assert!(ended.stderr.lines().any(|line| line == "succeeded, 450"), "{ended:?}");
    assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
    let left: i64 = sqlx::query_scalar("select count(*) from catalog.write_session").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);

    // What has ended can still be watched.
    let watched = succeeded(&format!("watch {}", lines[0]), &service).await;
    assert_eq!(watched.stdout.lines().collect::<Vec<_>>(), lines[1..]);
    let unknown = failed("watch exe_0", &service).await;
    assert!(unknown.starts_with("orrery: exe_0 cannot be watched any more: "), "{unknown}");

    let listed = succeeded("executions", &service).await;
    let line = listed.stdout.lines().find(|line| line.contains(lines[0])).unwrap();
    assert!(line.contains("  expire_write_sessions  succeeded  ") && line.contains("450; deleted=450"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_asked_for_once_cancelled_and_listed() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let service = format!("--catalog={}", server.address());

    let first = succeeded("run expire_write_sessions --request-id nightly", &service).await;
    let again = succeeded("run expire_write_sessions --request-id nightly", &service).await;
    assert_eq!(first.stdout, again.stdout);
    let other = failed("run expire_write_sessions retention=9000h --request-id nightly", &service).await;
    assert!(other.contains("REQUEST") || other.contains("request_id"), "{other}");
    let second = succeeded("run expire_write_sessions retention=9000h", &service).await;
    assert_ne!(first.stdout, second.stdout);
    let (first, second) = (first.stdout.trim(), second.stdout.trim());

    for (words, message) in [
        ("run nonsense", "nonsense"),
        ("run nonsense a=1", "the service has no procedure \"nonsense\", but "),
        ("run expire_write_sessions a=1", "expire_write_sessions has no parameter \"a\", but retention"),
        ("run expire_write_sessions retention=5", "retention: \"5\" is not a duration"),
        ("run expire_write_sessions retention=1h", "retention"),
        ("cancel exe_0", "exe_0"),
    ] {
        let error = failed(words, &service).await;
        assert!(error.starts_with("orrery: ") && error.contains(message), "{words}: {error}");
    }

    let watching = orrery(&["procedures", "watch", first, &service]).spawn().unwrap();
    let cancelled = succeeded(&format!("cancel {first}"), &service).await;
    assert_eq!(cancelled.stdout, format!("{first} cancelled\n"));
    let watched = ended(watching).await;
    assert_eq!(watched.code, Some(1), "{watched:?}");
    assert!(watched.stderr.ends_with(&format!("orrery: {first} was cancelled\n")), "{watched:?}");
    assert!(watched.stdout.starts_with("expire_write_sessions cancelled"), "{watched:?}");

    let uids = |listed: &CommandResult| -> Vec<String> {
        let words = listed.stdout.split_whitespace();
        words.filter(|word| word.starts_with("exe_")).map(str::to_owned).collect()
    };
    let listed = succeeded("executions", &service).await;
    assert_eq!(uids(&listed), [second, first], "{listed:?}");
    assert_eq!(uids(&succeeded("executions --limit 1", &service).await), [second]);
    assert_eq!(uids(&succeeded("executions --phase cancelled", &service).await), [first]);
    assert!(uids(&succeeded("executions --procedure detect_orphans", &service).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_lists_its_procedures_and_takes_schedules() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let orders = OrdersServer::start(&database).await;
    let records = RecordsServer::start(&database).await;
    for (name, address) in
        [("catalog", catalog.address()), ("orders", orders.address()), ("records", records.address())]
    {
        let service = format!("--{name}={address}");
        let listed = succeeded("list", &service).await.stdout;
        assert!(listed.starts_with(&format!("{name} {address}\n")), "{listed}");
        let parameter = listed.lines().find(|line| line.starts_with("    retention=")).unwrap();
        assert!(parameter.contains("  duration  How long"), "{listed}");

        let words = "schedule expire_write_sessions --every 90m --jitter 5m retention=1000h";
        let set = succeeded(words, &service).await.stdout;
        assert!(set.starts_with("expire_write_sessions every 90m, jitter 5m, next 20"), "{set}");
        assert!(set.ends_with("Z, with retention=1000h\n"), "{set}");
        let listed = succeeded("list", &service).await.stdout;
        assert!(listed.contains("expire_write_sessions  every 90m, jitter 5m, next 20"), "{listed}");

        let off = succeeded("schedule expire_write_sessions --off", &service).await.stdout;
        assert_eq!(off, "expire_write_sessions does not run by itself\n");
        let listed = succeeded("list", &service).await.stdout;
        assert!(listed.contains("expire_write_sessions  does not run by itself"), "{listed}");
        let refused = failed("schedule expire_write_sessions --every 1m --jitter 2m", &service).await;
        assert!(refused.contains("jitter"), "{refused}");
    }
    let nowhere = procedures("list", "--catalog=127.0.0.1:1").await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.lines().last().unwrap().starts_with("orrery: catalog: 127.0.0.1:1 cannot be reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_is_watched_beyond_the_end_of_its_service() {
    let database = TestDatabase::create().await;
    let mut process = CatalogProcess::spawn_with(&database, &["--procedure-workers=0"]).await;
    let service = format!("--catalog={}", process.address());
    let uid = succeeded("run expire_write_sessions", &service).await.stdout.trim().to_owned();
    let watching = orrery(&["procedures", "watch", &uid, &service]).spawn().unwrap();
    let labels =
        [("grpc_service", "orrery.procedures.v1.ProceduresService"), ("grpc_method", "WatchProcedureExecution")];
    process.admin().scrape_until("a watch", |scrape| scrape.value("orrery_streams_open", &labels) > 0.0).await;
    process.kill();
    // Another process runs it, at an address of its own; then the first one is back.
    let worker = CatalogProcess::spawn(&database).await;
    process.start().await;
    let watched = ended(watching).await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    assert!(watched.stderr.contains("; trying again in "), "{watched:?}");
    assert!(watched.stdout.starts_with("expire_write_sessions succeeded"), "{watched:?}");
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_found_and_listed() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Catalog).await;
    let query = "insert into catalog.product_metric (product_uid, name, value, as_of_ts) \
                 select 'prd_' || n, 'stock', 1, now() from generate_series(1, 3) n";
    sqlx::query(query).execute(&pool).await.unwrap();
    let server = CatalogServer::start_with(&database, |config| config.procedures.procedure_workers = 1).await;
    let service = format!("--catalog={}", server.address());
    let words = "run detect_orphans dry_run=true grace=0s relations=catalog.product_metric.product_uid --wait";
    let ended = succeeded(words, &service).await;
    let lines: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["catalog.product_metric.product_uid", "3"]), "{ended:?}");
    let listed = succeeded("orphans", &service).await;
    let uids: Vec<&str> = listed.stdout.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!((uids, listed.stderr.as_str()), (vec!["prd_1", "prd_2", "prd_3"], "3 orphans\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_orphans_are_listed_as_lines_or_as_json() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Orders).await;
    let query = "insert into orders.orphan \
                 (relation, missing_uid, child_uid, execution_uid, first_seen_ts, last_seen_ts, confirm_ts) \
                 select 'orders.order_line_item.product_uid', 'prd_' || lpad(n::text, 6, '0'), e'oli\t' || n, 'exe_1', \
                 '2026-03-01T12:00:00Z', '2026-03-02T12:00:00Z', \
                 case when n % 5 > 0 then '2026-03-02T12:00:00Z'::timestamptz end from generate_series(1, 1000) n";
    sqlx::query(query).execute(&pool).await.unwrap();
    let limited = OrdersServer::start_with(&database, |config| {
        config.service.limits.max_query_rows = 100;
    });
    let server = limited.await;
    let service = format!("--orders={}", server.address());

    let listed = succeeded("orphans", &service).await;
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!((lines.len(), listed.stderr.as_str()), (800, "800 orphans\n"));
    assert!(lines.is_sorted());
    let first = "orders.order_line_item.product_uid\tprd_000001\toli\\t1\t2026-03-01T12:00:00Z\t2026-03-02T12:00:00Z\t\
                 2026-03-02T12:00:00Z";
    assert_eq!(lines[0], first);

    let listed = succeeded("orphans --candidates --json --relation orders.order_line_item.product_uid", &service).await;
    let orphans: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((orphans.len(), listed.stderr.as_str()), (1000, "1,000 orphans\n"));
    assert_eq!((&orphans[4]["child_uid"], &orphans[4]["confirm_ts"]), (&"oli\t5".into(), &Value::Null));
    let none = succeeded("orphans --relation orders.order_summary.order_uid", &service).await;
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "0 orphans\n"));
    let wrong = failed("orphans --resume-token nonsense", &service).await;
    assert!(wrong.starts_with("orrery: the list ended early, after 0 orphans"), "{wrong}");
}
