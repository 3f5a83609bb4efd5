//! A database that is gone, silent, full or locked: clients get an error in time that reveals nothing internal, and the
//! service continues by itself when the database is back.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_kit::config::DatabasePooler;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CreateProductRequest, DeleteProductRequest,
    GetProductMetricsRequest, GetProductRequest, ListProductsRequest, ResolveProductsRequest, StreamProductsRequest,
    UpdateProductRequest, WriteProductMetricsRequest, WriteProductsRequest, write_product_metrics_request,
    write_products_request,
};
use orrery_proto::r#type::v1::WriteStart;
use prost::Message as _;
use sqlx::{AssertSqlSafe, query_scalar};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::harness::raw::{call, methods};
use crate::harness::timed::TimedClient;
use crate::harness::{
    CatalogServer, Postgres, Role, TestDatabase, metric, product, refusal, run, seed, uid, uids, until_no_session,
};

/// A call of each method that needs the database.
fn calls() -> Vec<(String, Vec<Bytes>)> {
    let write = |chunk: Vec<u8>| {
        let start = write_products_request::Payload::Start(WriteStart::default());
        vec![WriteProductsRequest { payload: Some(start) }.encode_to_vec(), chunk]
    };
    let chunk = write_products_request::Chunk { offset: 0, products: vec![product("prd_new")] };
    let chunk = WriteProductsRequest { payload: Some(write_products_request::Payload::Chunk(chunk)) }.encode_to_vec();
    methods(orrery_catalog::SERVICE_NAMES[0])
        .into_iter()
        .map(|method| {
            let messages = match method.name.as_str() {
                "GetProduct" => vec![GetProductRequest { uid: uid(1), ..Default::default() }.encode_to_vec()],
                "BatchGetProducts" => {
                    vec![BatchGetProductsRequest { uids: uids(2), ..Default::default() }.encode_to_vec()]
                }
                "CreateProduct" => {
                    vec![
                        CreateProductRequest { product: Some(product("prd_new")), ..Default::default() }
                            .encode_to_vec(),
                    ]
                }
                "UpdateProduct" => {
                    vec![UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() }.encode_to_vec()]
                }
                "DeleteProduct" => vec![DeleteProductRequest { uid: uid(2), ..Default::default() }.encode_to_vec()],
                "CheckProducts" => vec![CheckProductsRequest { uids: uids(2) }.encode_to_vec()],
                "ResolveProducts" => {
                    vec![ResolveProductsRequest { names: vec!["Mug".to_owned()], ..Default::default() }.encode_to_vec()]
                }
                "GetProductMetrics" => {
                    vec![GetProductMetricsRequest { product_uid: uid(1), ..Default::default() }.encode_to_vec()]
                }
                "WriteProducts" => write(chunk.clone()),
                "WriteProductMetrics" => {
                    let product_metrics = vec![metric("prd_new", "m", "1", 1)];
                    let chunk = write_product_metrics_request::Chunk { offset: 0, product_metrics };
                    let payload = Some(write_product_metrics_request::Payload::Chunk(chunk));
                    write(WriteProductMetricsRequest { payload }.encode_to_vec())
                }
                _ => vec![vec![]],
            };
            (method.path, messages.into_iter().map(Bytes::from).collect())
        })
        .collect()
}

/// Checks that a status is UNAVAILABLE with a RetryInfo.
#[track_caller]
fn assert_unavailable(status: &Status) {
    let refused = refusal(status);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"), "{status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
}

async fn until_health_is(server: &CatalogServer, wanted: ServingStatus) {
    let started = Instant::now();
    loop {
        let service = orrery_catalog::SERVICE_NAMES[0].to_owned();
        let answer = HealthClient::new(server.channel()).check(HealthCheckRequest { service }).await.unwrap();
        if answer.into_inner().status() == wanted {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "health does not become {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_its_database_every_method_says_so_and_then_serves_again() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_acquire_timeout = Duration::from_millis(500);
    })
    .await;
    for way in ["stopped", "killed"] {
        // Connections are open, and are closed with the server.
        server.client().get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap();
        if way == "stopped" {
            postgres.stop().await;
        } else {
            postgres.kill().await;
        }
        for (path, messages) in calls() {
            let started = Instant::now();
            let status = call(&server.channel(), &path, messages).await.unwrap_err();
            assert_unavailable(&status);
            assert!(started.elapsed() < Duration::from_secs(2), "{path} took {:?}", started.elapsed());
        }
        until_health_is(&server, ServingStatus::NotServing).await;
        postgres.restart().await;
        // By itself, without a restart of the service, and with the first call.
        for (path, messages) in calls() {
            if path.ends_with("/CreateProduct") || path.ends_with("/DeleteProduct") {
                continue;
            }
            if let Err(status) = call(&server.channel(), &path, messages).await {
                unreachable!("{path} after a restart: {status:?}");
            }
        }
        until_health_is(&server, ServingStatus::Serving).await;
    }
}

#[tokio::test]
async fn the_first_call_after_a_restart_of_the_database_succeeds() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let server = CatalogServer::start(&database).await;
    let asked = ["GetProduct", "CheckProducts", "ListProducts", "UpdateProduct"];
    for (path, messages) in calls().into_iter().filter(|(path, _)| asked.iter().any(|name| path.ends_with(name))) {
        // Several connections are idle; all are closed afterwards.
        let lists = (0..12).map(|_| {
            let mut client = server.client();
            async move { client.list_products(ListProductsRequest::default()).await }
        });
        futures::future::join_all(lists).await.into_iter().for_each(|answer| drop(answer.unwrap()));
        postgres.kill().await;
        postgres.restart().await;
        if let Err(status) = call(&server.channel(), &path, messages).await {
            unreachable!("{path} after a restart: {status:?}");
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_database_that_is_gone_is_told_within_the_deadline() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start(&database).await;
    let mut client = server.client();
    // A password that is no longer valid is not the client's mistake.
    let mut operator = postgres.connect().await;
    run(&mut operator, "alter role catalog_service password 'another one'").await;
    run(&mut operator, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'catalog_service'")
        .await;
    assert_unavailable(&client.list_products(ListProductsRequest::default()).await.unwrap_err());
    postgres.stop().await;
    // Shorter than the time that a call would wait for a connection.
    let timeout = Duration::from_secs(1);
    let started = Instant::now();
    for method in ["GetProduct", "ListProducts", "DeleteProduct"] {
        let (path, messages) = calls().into_iter().find(|(path, _)| path.ends_with(method)).unwrap();
        let status = TimedClient::connect(server.address()).await.call(&path, timeout, &messages, true).await.status;
        // A pooler does not report that the database is gone, so the deadline may end the call.
        if status.code() == Code::DeadlineExceeded && database.pooler_mode() == DatabasePooler::Transaction {
            assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
        } else {
            assert_unavailable(&status);
        }
    }
    assert!(started.elapsed() < timeout * 3 + Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stream_survives_a_restart_of_the_database_or_is_resumed() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 20_000).await;
    let server = CatalogServer::start(&database).await;
    let mut request = StreamProductsRequest { page_size: 100, ..Default::default() };
    let (mut seen, mut pages, mut broken) = (Vec::new(), 0, 0);
    'whole: loop {
        let mut stream = match server.client().stream_products(request.clone()).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                assert_unavailable(&status);
                continue;
            }
        };
        loop {
            match stream.message().await {
                Ok(Some(page)) => {
                    seen.extend(page.products.into_iter().map(|product| product.uid));
                    request.resume_token = page.resume_token;
                    pages += 1;
                    if pages % 50 == 0 && pages < 170 {
                        postgres.kill().await;
                        postgres.restart().await;
                    }
                }
                Ok(None) => break 'whole,
                Err(status) => {
                    assert_unavailable(&status);
                    broken += 1;
                    break;
                }
            }
        }
    }
    assert_eq!(seen, uids(20_000), "after {broken} breaks");
}

#[tokio::test]
async fn a_silent_database_costs_no_more_than_the_deadline() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 20_000).await;
    let server = CatalogServer::start(&database).await;
    let mut client = server.client();
    client.get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap();
    let mut request = Request::new(StreamProductsRequest { page_size: 10, ..Default::default() });
    request.set_timeout(Duration::from_secs(2));
    let mut stream = client.stream_products(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    postgres.pause();
    let started = Instant::now();
    let mut request = Request::new(GetProductRequest { uid: uid(1), read_mask: None });
    request.set_timeout(Duration::from_millis(300));
    let status = client.get_product(request).await.unwrap_err();
    let mut request = Request::new(ListProductsRequest::default());
    request.set_timeout(Duration::from_millis(300));
    let listed = client.list_products(request).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
    let streamed = loop {
        // What was read ahead still arrives.
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    for status in [status, listed, streamed] {
        // Calls that waited for a connection failed slightly earlier. A client's own timer may fire first.
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable), "{status:?}");
    }
    postgres.resume();
    client.get_product(GetProductRequest { uid: uid(1), read_mask: None }).await.unwrap();
}

#[tokio::test]
async fn a_query_ends_with_the_call_that_wanted_it() {
    let database = TestDatabase::create().await;
    let database = database.bypassing_pooler("more statements have to run at once than it has sessions").await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100).await;
    let server = CatalogServer::start(&database).await;
    server.client().list_products(ListProductsRequest::default()).await.unwrap();
    // All readers of the table have to wait.
    run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
    let mut watcher = database.connect(Role::Operator).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = server.client();
        waiting.push(tokio::spawn(async move {
            let mut request = Request::new(ListProductsRequest::default());
            request.set_timeout(Duration::from_millis(800));
            client.list_products(request).await
        }));
        let mut client = server.client();
        waiting.push(tokio::spawn(async move {
            let mut request =
                Request::new(UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() });
            request.set_timeout(Duration::from_millis(800));
            client.update_product(request).await.map(|_| unreachable!("the table is locked"))
        }));
    }
    for call in waiting {
        let status = call.await.unwrap().unwrap_err();
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    }
    until_no_session(&mut watcher, "state <> 'idle'", Duration::from_secs(3)).await;
    run(&mut operator, "rollback").await;
    let page = server.client().list_products(ListProductsRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.products[0].name, "Thing 1", "the update was given up");
}

/// Limits of the server itself, and an operator who cancels: not the service's timers.
#[tokio::test]
async fn a_statement_that_the_server_ends_is_told_as_what_it_is() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100).await;
    let server = CatalogServer::start(&database).await;
    let mut watcher = database.connect(Role::Operator).await;
    for (ends, method, code) in [
        ("pg_cancel_backend", "UpdateProduct", Code::DeadlineExceeded),
        ("pg_terminate_backend", "UpdateProduct", Code::Unavailable),
    ] {
        run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
        let channel = server.channel();
        let (path, messages) = calls().into_iter().find(|(path, _)| path.ends_with(method)).unwrap();
        let waiting = tokio::spawn(async move { call(&channel, &path, messages).await });
        let started = Instant::now();
        loop {
            let ended: i64 = query_scalar(AssertSqlSafe(format!(
                "select count({ends}(pid)) from pg_stat_activity where datname = current_database() \
                 and usename = 'catalog_service' and wait_event_type = 'Lock'"
            )))
            .fetch_one(&mut watcher)
            .await
            .unwrap();
            if ended == 1 {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{method} does not wait for the lock");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = waiting.await.unwrap().unwrap_err();
        assert_eq!(status.code(), code, "{method}, {ends}: {status:?}");
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");
        run(&mut operator, "rollback").await;
    }
    let page = server.client().list_products(ListProductsRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.products[0].name, "Thing 1", "nothing was written");
}

#[tokio::test]
async fn a_pool_without_a_free_connection_says_come_again() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100).await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_pool_min = 1;
        config.database.database_pool_max = 1;
        config.database.database_acquire_timeout = Duration::from_millis(300);
    })
    .await;
    server.client().list_products(ListProductsRequest::default()).await.unwrap();
    run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
    let mut client = server.client();
    let holding = tokio::spawn(async move {
        client.update_product(UpdateProductRequest { product: Some(product(&uid(1))), ..Default::default() }).await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    assert_unavailable(&server.client().list_products(ListProductsRequest::default()).await.unwrap_err());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // Health uses its own connection.
    until_health_is(&server, ServingStatus::Serving).await;
    run(&mut operator, "rollback").await;
    holding.await.unwrap().unwrap();
    server.client().list_products(ListProductsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_database_stays_in_the_log() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 10).await;
    let server = CatalogServer::start(&database).await;
    // A missing table, and a function that fails within a statement.
    let damages = [
        "alter table catalog.product rename to gone",
        "alter table catalog.gone rename to product; \
         create function public.fails() returns trigger language plpgsql as \
             $$ begin raise exception 'the secret at 10.0.0.1 is hunter2'; end $$; \
         create trigger fails before insert or update or delete on catalog.product for each statement execute \
         function public.fails()",
    ];
    for damage in damages {
        run(&mut operator, damage).await;
        for (path, messages) in calls() {
            let Err(status) = call(&server.channel(), &path, messages).await else { continue };
            let refused = refusal(&status);
            assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "INTERNAL"), "{path}: {status:?}");
            for word in ["gone", "secret", "hunter2", "product", "fails"] {
                assert!(!status.message().contains(word), "{path}: {status:?}");
            }
        }
    }
}
