//! A transaction pooler between a service and its database: many clients share few sessions, and no session state is
//! left for others.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::db::{Database, Statement};
use orrery_kit::deadline::Deadline;
use orrery_kit::metrics::Metrics;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CreateProductRequest, DeleteProductRequest, GetProductRequest, ListProductsRequest,
    Product, ProductFilter, StreamProductsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use orrery_tests_needs::{self as needs, Need};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection, Row as _};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::pooler::SESSIONS;
use crate::harness::{CatalogServer, Postgres, Role, Route, TestDatabase, product, refusal, run, seed, uid, uids};
use crate::writes::stream::{PRODUCTS, named, write};

const CLIENTS: usize = 50;
/// Shared by the seeded products; products of clients do not have it.
const SEEDED: usize = 500;

/// A catalog with as many connections to the pooler as there are clients.
async fn catalog(database: &TestDatabase) -> CatalogServer {
    CatalogServer::start_with(database, |config| {
        config.database.database_pool_max = CLIENTS as u32;
        // Long enough for all to get their turn, even on a busy machine.
        config.database.database_acquire_timeout = Duration::from_secs(60);
    })
    .await
}

/// One client with all kinds of calls, each checked.
async fn work(server: &CatalogServer, number: usize) {
    let mut client = server.separate_client();
    let own = format!("prd_client_{number:03}");
    for round in 0..4 {
        let create = CreateProductRequest { product: Some(product(&own)), ..Default::default() };
        let created = client.create_product(create).await.unwrap().into_inner();
        assert_eq!(client.get_product(get(&own)).await.unwrap().into_inner(), created);

        let name = format!("Client {number}, round {round}");
        let change = Product { uid: own.clone(), name: name.clone(), etag: created.etag.clone(), ..Product::default() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
        let update = UpdateProductRequest { product: Some(change), update_mask, ..Default::default() };
        let updated = client.update_product(update.clone()).await.unwrap().into_inner();
        assert_eq!(updated, Product { name, etag: updated.etag.clone(), update_ts: updated.update_ts, ..created });
        assert_eq!(client.update_product(update).await.unwrap_err().code(), Code::Aborted, "the etag is an old one");

        let wanted: Vec<String> = (1..=20).map(|at| uid(at * (number + 1) % SEEDED + 1)).collect();
        let request = BatchGetProductsRequest { uids: wanted.clone(), ..Default::default() };
        let found = client.batch_get_products(request).await.unwrap().into_inner().products;
        assert_eq!(found.into_iter().map(|product| product.uid).collect::<Vec<_>>(), wanted);

        let mut seen = Vec::new();
        let filter = Some(ProductFilter { label_selector: "shard".to_owned(), ..Default::default() });
        let mut list = ListProductsRequest { page_size: 200, filter: filter.clone(), ..Default::default() };
        loop {
            let page = client.list_products(list.clone()).await.unwrap().into_inner();
            seen.extend(page.products.into_iter().map(|product| product.uid));
            list.page_token = page.next_page_token;
            if list.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, uids(SEEDED));

        let request = StreamProductsRequest { page_size: 120, filter, ..Default::default() };
        let pages = client.stream_products(request).await.unwrap().into_inner();
        let pages: Vec<_> = pages.map(Result::unwrap).collect().await;
        let seen: Vec<String> = pages.into_iter().flat_map(|page| page.products).map(|product| product.uid).collect();
        assert_eq!(seen, uids(SEEDED));

        // Few rows are inserted, many are copied; the second write of the same rows changes nothing.
        let rows: Vec<Product> =
            (0..(3 + 400 * (round % 2))).map(|at| product(&format!("{own}_{round}_{at}"))).collect();
        let count = rows.len() as i64;
        for counts in [[count, 0, 0, 0, 0], [0, 0, count, 0, 0]] {
            let (totals, end) = write(server.channel(), PRODUCTS, WriteStart::default(), &rows).await;
            end.unwrap();
            assert_eq!((totals.counts(), totals.committed_offset), (counts, count));
        }
        let (totals, end) = write(server.channel(), PRODUCTS, named(&format!("{own}-{round}")), &rows[..2]).await;
        end.unwrap();
        assert_eq!(totals.counts(), [0, 0, 2, 0, 0]);

        client.delete_product(DeleteProductRequest { uid: own.clone(), ..Default::default() }).await.unwrap();
        assert_eq!(client.get_product(get(&own)).await.unwrap_err().code(), Code::NotFound);
    }
}

fn get(uid: &str) -> GetProductRequest {
    GetProductRequest { uid: uid.to_owned(), read_mask: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_share_two_sessions() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let database = TestDatabase::pooled().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, SEEDED).await;
    let server = catalog(&database).await;
    let work = join_all((0..CLIENTS).map(|number| work(&server, number)));
    // A busy pooler does not make the service unready.
    let health = async {
        loop {
            let answer = HealthClient::new(server.channel()).check(HealthCheckRequest::default()).await.unwrap();
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        _ = work => {}
        () = health => {}
    }

    let sessions: i64 = sqlx::query(
        "select count(*) from pg_stat_activity where datname = current_database() and usename = 'catalog_service'",
    )
    .fetch_one(&mut operator)
    .await
    .unwrap()
    .get(0);
    assert!(sessions <= SESSIONS as i64, "{sessions} sessions");
    let rows: i64 = sqlx::query("select count(*) from catalog.product").fetch_one(&mut operator).await.unwrap().get(0);
    assert_eq!(rows, SEEDED as i64 + CLIENTS as i64 * (3 + 403 + 3 + 403));

    // The pooler was used, and its sessions were shared.
    let pools = database.pooler().show("pools").await;
    let pool = pools.iter().find(|pool| pool["database"] == database.name()).unwrap();
    let count = |name: &str| pool[name].parse::<usize>().unwrap();
    assert_eq!(pool["pool_mode"], "transaction");
    assert!((3..=CLIENTS + 1).contains(&(count("cl_active") + count("cl_waiting"))), "{pool:?}");
    assert!(count("sv_active") + count("sv_idle") + count("sv_used") <= SESSIONS, "{pool:?}");
    let stats = database.pooler().show("stats").await;
    let stats = stats.iter().find(|stats| stats["database"] == database.name()).unwrap();
    let transactions: usize = stats["total_xact_count"].parse().unwrap();
    assert!(transactions >= CLIENTS * 4 * 10, "{stats:?}");
    assert!(stats["total_wait_time"].parse::<u64>().unwrap() > 0, "{stats:?}");
    assert_eq!(database.pooler().refusals(&database), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_a_transaction() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let database = TestDatabase::pooled().await;
    seed(&mut database.connect(Role::Operator).await, SEEDED).await;
    let server = catalog(&database).await;
    join_all((0..8).map(|number| work(&server, number))).await;

    // As many concurrent transactions as there are sessions, so that each session is checked.
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = database.pooler().connect(Role::Catalog, &database).await;
        run(&mut session, "begin").await;
        sessions.push(session);
    }
    let mut seen = Vec::new();
    for session in &mut sessions {
        seen.push(text(session, "select pg_backend_pid()::text").await);
        let prepared = "select coalesce(string_agg(name || ': ' || statement, '; '), '') from pg_prepared_statements";
        assert_eq!(text(session, prepared).await, "");
        for setting in [
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "plan_cache_mode",
            "client_connection_check_interval",
            "transaction_isolation",
            "transaction_read_only",
        ] {
            let changed = "select coalesce(string_agg(name || ' is ' || setting, ', '), '') from pg_settings \
                           where setting is distinct from reset_val and name = ";
            assert_eq!(text(session, &format!("{changed}'{setting}'")).await, "");
        }
        let locks =
            "select count(*)::text from pg_locks where pid = pg_backend_pid() and locktype in ('advisory', 'tuple')";
        assert_eq!(text(session, locks).await, "0");
    }
    seen.dedup();
    assert_eq!(seen.len(), SESSIONS, "each transaction has a session of its own");
}

/// The only value of a query in the simple protocol, which needs no prepared statement.
async fn text(connection: &mut PgConnection, sql: &str) -> String {
    let rows = connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
    rows[0].get(0)
}

#[tokio::test]
async fn a_lone_statement_keeps_its_limit_and_leaves_the_session_to_others() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let database = TestDatabase::pooled().await;
    let pool = database.data_layer(|config| config.database.database_pool_max = 8);
    let settings = Statement::new(
        "select current_setting('statement_timeout'), current_setting('transaction_read_only'), \
                current_setting('client_connection_check_interval'), $1::text",
        1,
    );
    // More clients than sessions; each would wait forever if another kept its session.
    let answers = join_all((0..8).map(|number| {
        let statement = settings.clone().bind(number.to_string()).unwrap();
        let pool = pool.clone();
        async move { pool.fetch(&statement, Deadline::none()).await }
    }))
    .await;
    for (number, rows) in answers.into_iter().enumerate() {
        let row = &rows.unwrap()[0];
        let read = [0, 1, 2, 3].map(|at| row.get::<String, _>(at));
        assert_eq!(read, ["20s", "on", "500ms", &number.to_string()]);
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_session_no_longer_than_for_a_connection() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let database = TestDatabase::pooled().await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_acquire_timeout = Duration::from_millis(300);
    })
    .await;
    let mut holders = Vec::new();
    for _ in 0..SESSIONS {
        let mut holder = database.pooler().connect(Role::Catalog, &database).await;
        run(&mut holder, "begin").await;
        holders.push(holder);
    }
    // Without a deadline, a read and a write.
    let mut client = server.client();
    let create = CreateProductRequest { product: Some(product(&uid(1))), ..Default::default() };
    let patience = Duration::from_secs(10);
    let listed = tokio::time::timeout(patience, client.list_products(ListProductsRequest::default())).await.unwrap();
    let created = tokio::time::timeout(patience, client.create_product(create.clone())).await.unwrap();
    for status in [listed.unwrap_err(), created.unwrap_err()] {
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
        assert!(status.get_details_retry_info().is_some());
    }
    for holder in &mut holders {
        run(holder, "rollback").await;
    }
    client.create_product(create).await.unwrap();
}

/// After a pooler failed to reach the server, it closes all connections of clients, including new ones, until it tries
/// again.
#[tokio::test]
async fn a_pooler_that_has_not_seen_the_server_return_is_asked_until_it_has() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await.by(Route::Pooler).await;
    seed(&mut database.connect(Role::Operator).await, 1).await;
    let server = CatalogServer::start(&database).await;
    for round in 0..5 {
        server.client().list_products(ListProductsRequest::default()).await.unwrap();
        postgres.kill().await;
        let url = database.url(Role::Catalog).parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
        // Calls before the pooler has noticed the failure wait.
        let refused = async || {
            let asked = async { url.clone().connect().await?.execute("select 1").await };
            matches!(tokio::time::timeout(Duration::from_millis(200), asked).await, Ok(Err(_)))
        };
        let started = Instant::now();
        while !refused().await {
            assert!(started.elapsed() < Duration::from_secs(10), "the pooler does not know that the server is gone");
        }
        postgres.restart().await;
        let change = Product { uid: uid(1), name: format!("Round {round}"), ..Product::default() };
        let update = UpdateProductRequest { product: Some(change), ..Default::default() };
        server.client().update_product(update).await.unwrap();
    }
}

#[tokio::test]
async fn without_the_setting_the_pooler_refuses_and_the_watch_sees_it() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await.by(Route::Pooler).await;
    let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
    config.database.database_acquire_timeout = Duration::from_secs(2);
    let pool = Database::new(&config.database, &config.limits, &Metrics::default()).unwrap();
    let refused = pool.fetch(&Statement::new("select 1", 1), Deadline::none()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let seen = database.pooler().sessions_missed(&database);
    assert!(seen.iter().any(|line| line.contains("startup parameter")), "{}", database.pooler().log());

    // Named statements, as a client sends them that expects its own session.
    let mut clients = Vec::new();
    for _ in 0..SESSIONS * 2 {
        clients.push(database.pooler().connect(Role::Catalog, &database).await);
    }
    let mut states = Vec::new();
    for client in &mut clients {
        for _ in 0..2 {
            let answer = sqlx::query("select $1::integer").bind(1).execute(&mut *client).await;
            states.extend(answer.err().and_then(|error| Some(error.as_database_error()?.code()?.into_owned())));
        }
    }
    assert!(states.iter().any(|state| state == "42P05"), "{states:?}");
    let seen = database.pooler().sessions_missed(&database);
    assert!(seen.iter().any(|line| line.contains("] 42P05 ")), "{seen:?}");
    // This fails every other test.
    let _ = database.by(Route::Direct).await;
}
