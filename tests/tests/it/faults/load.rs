//! A database that is killed, frozen or locked under load: every client gets a response in time, the service recovers
//! by itself, and acknowledged data is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_proto::catalog::v1::{
    CreateProductRequest, GetProductRequest, ListProductsRequest, Product, StreamProductsRequest,
};
use orrery_tests_needs::{self as needs, Need};
use prost::Message as _;
use prost_types::FieldMask;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::timed::{Outcome, TimedClient};
use crate::harness::{CatalogServer, Postgres, Role, Route, TestDatabase, refusal, run, seed, uid};

const DEADLINE: Duration = Duration::from_secs(1);
/// The additional time that a busy machine may need.
const MORE: Duration = Duration::from_secs(2);
const CALLERS: usize = 12;

/// The number of each response: `OK`, or code and reason.
type Answers = BTreeMap<String, usize>;

/// Checks that a call ended in time, with success or with an error that can be retried.
fn checked(path: &str, outcome: &Outcome) -> String {
    assert!(outcome.took < DEADLINE + MORE, "{path} took {:?}", outcome.took);
    let status = &outcome.status;
    if status.code() == Code::Ok {
        return "OK".to_owned();
    }
    let refused = refusal(status);
    assert!(matches!(refused.code, Code::Unavailable | Code::DeadlineExceeded), "{path}: {status:?}");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{path}: {status:?}");
    format!("{:?} {}", refused.code, refused.reason)
}

/// Calls one method after the other, each with a deadline. Returns the responses and the created products.
async fn call_on(caller: usize, service: TimedClient, enough: Arc<AtomicBool>) -> (Answers, Vec<String>) {
    let (mut answers, mut created) = (Answers::new(), Vec::new());
    let name = FieldMask { paths: vec!["name".to_owned()] };
    for number in 0.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let mine = format!("prd_load-{caller}-{number}");
        let product = Product { uid: mine.clone(), ..Product::default() };
        let calls: [(&str, Vec<u8>); 5] = [
            ("CreateProduct", CreateProductRequest { product: Some(product), ..Default::default() }.encode_to_vec()),
            ("GetProduct", GetProductRequest { uid: uid(1), read_mask: None }.encode_to_vec()),
            ("GetProduct", GetProductRequest { uid: uid(1), read_mask: Some(name.clone()) }.encode_to_vec()),
            ("ListProducts", ListProductsRequest::default().encode_to_vec()),
            ("StreamProducts", StreamProductsRequest::default().encode_to_vec()),
        ];
        for (method, request) in calls {
            let path = format!("/{}/{method}", orrery_catalog::SERVICE_NAMES[0]);
            let outcome = service.call(&path, DEADLINE, &[Bytes::from(request)], true).await;
            let answer = checked(&path, &outcome);
            if method == "CreateProduct" && answer == "OK" {
                created.push(mine.clone());
            }
            *answers.entry(answer).or_default() += 1;
        }
    }
    (answers, created)
}

/// Many clients that call a service continuously.
struct Load<'d> {
    database: &'d TestDatabase,
    service: SocketAddr,
    enough: Arc<AtomicBool>,
    callers: Vec<JoinHandle<(Answers, Vec<String>)>>,
}

impl<'d> Load<'d> {
    async fn begin(database: &'d TestDatabase, service: SocketAddr) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let service = TimedClient::connect(service).await;
            callers.push(tokio::spawn(call_on(caller, service, Arc::clone(&enough))));
        }
        Self { database, service, enough, callers }
    }

    /// Waits until the service has recovered, stops the load, checks that acknowledged data is there, and returns the
    /// responses.
    async fn end(self) -> Answers {
        // By itself, and for all methods.
        let service = TimedClient::connect(self.service).await;
        let begun = Instant::now();
        let get = Bytes::from(GetProductRequest { uid: uid(1), read_mask: None }.encode_to_vec());
        let path = format!("/{}/GetProduct", orrery_catalog::SERVICE_NAMES[0]);
        while service.call(&path, DEADLINE, std::slice::from_ref(&get), true).await.status.code() != Code::Ok {
            assert!(begun.elapsed() < Duration::from_secs(20), "the service does not recover");
        }
        self.enough.store(true, Ordering::Relaxed);
        let (mut answers, mut created) = (Answers::new(), Vec::new());
        for caller in self.callers {
            let (heard, made) = tokio::time::timeout(Duration::from_secs(60), caller).await.unwrap().unwrap();
            created.extend(made);
            for (answer, count) in heard {
                *answers.entry(answer).or_default() += count;
            }
        }
        println!("{answers:?}");
        let stored: i64 = sqlx::query_scalar("select count(*) from catalog.product where uid = any ($1)")
            .bind(&created)
            .fetch_one(&mut self.database.connect(Role::Operator).await)
            .await
            .unwrap();
        assert!(!created.is_empty());
        assert_eq!(usize::try_from(stored).unwrap(), created.len(), "what was acknowledged is there");
        answers
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_is_told_in_time_and_nothing_acknowledged_is_lost() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    seed(&mut database.connect(Role::Operator).await, 2_000).await;
    // Fewer connections than clients, so that some always wait for one.
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_pool_min = 1;
        config.database.database_pool_max = 4;
    })
    .await;
    let load = Load::begin(&database, server.address()).await;
    pause().await;
    for _ in 0..2 {
        postgres.kill().await;
        pause().await;
        postgres.restart().await;
        pause().await;
        postgres.pause();
        pause().await;
        postgres.resume();
        pause().await;
        let mut operator = database.connect(Role::Operator).await;
        run(&mut operator, "begin; lock table catalog.product in access exclusive mode").await;
        pause().await;
        run(&mut operator, "rollback").await;
        pause().await;
    }
    let answers = load.end().await;
    for answer in ["OK", "Unavailable DATABASE_UNAVAILABLE", "DeadlineExceeded DEADLINE_EXCEEDED"] {
        assert!(answers.contains_key(answer), "{answer}: {answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_is_killed_and_started_again_costs_nothing_acknowledged() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await.by(Route::Pooler).await;
    seed(&mut database.connect(Role::Operator).await, 2_000).await;
    let server = CatalogServer::start_with(&database, |config| config.database.database_pool_max = 4).await;
    let pooler = database.pooler();
    let load = Load::begin(&database, server.address()).await;
    pause().await;
    for _ in 0..3 {
        pooler.kill();
        pause().await;
        pooler.restart(&postgres).await;
        pause().await;
    }
    let answers = load.end().await;
    for answer in ["OK", "Unavailable DATABASE_UNAVAILABLE"] {
        assert!(answers.contains_key(answer), "{answer}: {answers:?}");
    }
}
