//! Hundreds of calls are cancelled at random moments. The service still works normally afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CreateProductRequest, DeleteProductRequest, GetProductRequest, ListProductsRequest,
    Product, StreamProductsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use orrery_tests_needs::{self as needs, Need};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::error::Elapsed;
use tonic::Status;

use super::{SESSIONS_OPEN, TIMEOUT};
use crate::harness::pooler::SESSIONS;
use crate::harness::{CatalogServer, Role, Route, TestDatabase, product, run, seed, uid, until_no_session};
use crate::writes::stream::{PRODUCTS, WriteStream, connect};

const SEED: u64 = 20_261_126;
const SEEDED: usize = 3_000;
const CALLS: usize = 400;
/// The number of concurrent calls.
const AT_ONCE: usize = 32;
const POOL: u32 = 8;
/// Rows of a chunk, and chunks of a write.
const ROWS: usize = 40;
const CHUNKS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Get,
    GetSomeFields,
    BatchGet,
    List,
    Stream,
    Create,
    Update,
    Delete,
    Write,
}

const SHAPES: [Shape; 9] = [
    Shape::Get,
    Shape::GetSomeFields,
    Shape::BatchGet,
    Shape::List,
    Shape::Stream,
    Shape::Create,
    Shape::Update,
    Shape::Delete,
    Shape::Write,
];

/// A call's number and shape, and how it ended unless it was given up.
/// Longer than a call may take.
const LONG: Duration = Duration::from_secs(60);

type Outcome = (usize, Shape, Result<Result<(), Status>, Elapsed>);

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_calls_that_are_given_up_leaves_nothing_behind() {
    storm(TestDatabase::create().await.by(Route::Direct).await, POOL as usize).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_behind_a_pooler() {
    if !needs::met(&[Need::PgBouncer]) {
        return;
    }
    storm(TestDatabase::pooled().await, SESSIONS).await;
}

/// A storm of calls to a service with this many sessions.
async fn storm(database: TestDatabase, sessions: usize) {
    println!("seed {SEED}");
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, SEEDED).await;
    let server = CatalogServer::start_with(&database, |config| config.database.database_pool_max = POOL).await;
    // Measures the duration of each kind of call, so that it can be cancelled at a random moment within it.
    let mut lives = BTreeMap::new();
    for (at, shape) in SHAPES.into_iter().enumerate() {
        let started = Instant::now();
        call(&server, shape, CALLS + at).await.unwrap();
        lives.insert(shape, started.elapsed());
    }

    let mut random = StdRng::seed_from_u64(SEED);
    let plan: Vec<(usize, Shape, Duration)> = (0..CALLS)
        .map(|number| {
            let shape = SHAPES[random.random_range(0..SHAPES.len())];
            // Under load a call takes longer. Some run to their end.
            let patience = lives[&shape].mul_f64(random.random_range(0.0..4.0));
            (number, shape, if number % 8 == 0 { LONG } else { patience })
        })
        .collect();
    let outcomes = futures::stream::iter(plan).map(|(number, shape, patience)| {
        let call = call(&server, shape, number);
        async move { (number, shape, tokio::time::timeout(patience, call).await) }
    });
    let outcomes: Vec<Outcome> = outcomes.buffer_unordered(AT_ONCE).collect().await;
    let ended = now(&mut operator).await;

    let given_up = outcomes.iter().filter(|(_, _, outcome)| outcome.is_err()).count();
    assert!((CALLS / 10..CALLS).contains(&given_up), "{given_up} of {CALLS} calls were given up");
    // Calls that were not cancelled succeeded.
    for (number, shape, outcome) in &outcomes {
        if let Ok(Err(status)) = outcome {
            unreachable!("call {number}, {shape:?}: {status:?}");
        }
    }
    until_no_session(&mut operator, "state <> 'idle'", TIMEOUT).await;
    until_no_session(&mut operator, &format!("({SESSIONS_OPEN}) > {}", sessions + 1), TIMEOUT).await;
    whole_chunks(&mut operator, &outcomes).await;
    whole_pool(&server, &mut operator, &database, sessions, ended).await;
    if database.pooler_mode() != orrery_kit::config::DatabasePooler::None {
        assert_eq!(database.pooler().sessions_missed(&database), [] as [String; 0]);
    }
}

/// Runs one call to its end.
async fn call(server: &CatalogServer, shape: Shape, number: usize) -> Result<(), Status> {
    // A third have their own connection, which is closed when they are cancelled.
    let mut client = if number.is_multiple_of(3) { server.separate_client() } else { server.client() };
    let existing = uid(number % SEEDED + 1);
    match shape {
        Shape::Get => {
            client.get_product(GetProductRequest { uid: existing, read_mask: None }).await?;
        }
        Shape::GetSomeFields => {
            let read_mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
            client.get_product(GetProductRequest { uid: existing, read_mask }).await?;
        }
        Shape::BatchGet => {
            let uids = (1..=50).map(uid).collect();
            client.batch_get_products(BatchGetProductsRequest { uids, ..Default::default() }).await?;
        }
        Shape::List => {
            client.list_products(ListProductsRequest { page_size: 1_000, ..Default::default() }).await?;
        }
        Shape::Stream => {
            let request = StreamProductsRequest { page_size: 100, ..Default::default() };
            let mut pages = client.stream_products(request).await?.into_inner();
            while pages.message().await?.is_some() {}
        }
        Shape::Create => {
            let product = Some(product(&format!("prd_created_{number}")));
            client.create_product(CreateProductRequest { product, ..Default::default() }).await?;
        }
        Shape::Update => {
            let change = Product { uid: existing, name: format!("Changed by {number}"), ..Product::default() };
            let update_mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
            let request = UpdateProductRequest { product: Some(change), update_mask, ..Default::default() };
            client.update_product(request).await?;
        }
        Shape::Delete => {
            let request =
                DeleteProductRequest { uid: format!("prd_never_{number}"), allow_missing: true, ..Default::default() };
            client.delete_product(request).await?;
        }
        Shape::Write => {
            let channel = if number.is_multiple_of(3) { connect(server.address()) } else { server.channel() };
            let mut stream = WriteStream::open(channel, PRODUCTS, WriteStart::default()).await?;
            for chunk in 0..CHUNKS {
                let rows: Vec<Product> =
                    (0..ROWS).map(|row| product(&format!("prd_written_{number:04}_{chunk}_{row:03}"))).collect();
                stream.send((chunk * ROWS) as i64, &rows).await;
                stream.acknowledged(((chunk + 1) * ROWS) as i64).await?;
            }
            stream.finish().await.1?;
        }
    }
    Ok(())
}

/// For each write some whole chunks were committed, without gaps from the first one; all chunks if the call succeeded.
async fn whole_chunks(operator: &mut PgConnection, outcomes: &[Outcome]) {
    let rows = sqlx::query(
        "select split_part(uid, '_', 3)::integer, split_part(uid, '_', 4)::integer, count(*) \
         from catalog.product where uid like 'prd\\_written\\_%' group by 1, 2 order by 1, 2",
    )
    .fetch_all(&mut *operator)
    .await
    .unwrap();
    let mut written: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for row in rows {
        let (number, chunk, count): (i32, i32, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(count, ROWS as i64, "chunk {chunk} of write {number}");
        written.entry(number).or_default().push(chunk);
    }
    for (number, chunks) in &written {
        assert_eq!(*chunks, (0..chunks.len() as i32).collect::<Vec<_>>(), "write {number}");
    }
    for (number, shape, outcome) in outcomes {
        if *shape == Shape::Write && outcome.is_ok() {
            assert_eq!(written[&(*number as i32)].len(), CHUNKS, "write {number}");
        }
    }
}

/// As many concurrent calls as there are sessions all get one, with a transaction that began after the storm.
async fn whole_pool(
    server: &CatalogServer,
    operator: &mut PgConnection,
    database: &TestDatabase,
    sessions: usize,
    ended: i64,
) {
    let mut holder = database.connect(Role::Operator).await;
    let mut lock = holder.begin().await.unwrap();
    run(&mut lock, "lock table catalog.product in access exclusive mode").await;
    // The paths differ, so that no two calls share a query.
    let masks = ["name", "labels", "annotations", "status", "create_ts", "update_ts", "etag", "uid"];
    let calls = (0..sessions).map(|at| {
        let mut client = server.client();
        let read_mask = Some(prost_types::FieldMask { paths: vec![masks[at % masks.len()].to_owned()] });
        tokio::spawn(async move { client.get_product(GetProductRequest { uid: uid(1), read_mask }).await })
    });
    let calls: Vec<_> = calls.collect();
    let waiting = "select count(*), coalesce(min(extract(epoch from xact_start) * 1000000)::bigint, 0) from \
        pg_stat_activity \
                   where datname = current_database() and usename = 'catalog_service' and wait_event_type = 'Lock'";
    let started = Instant::now();
    loop {
        let row = sqlx::query(waiting).fetch_one(&mut *operator).await.unwrap();
        let (count, oldest): (i64, i64) = (row.get(0), row.get(1));
        if count == sessions as i64 {
            assert!(oldest >= ended, "a transaction of the storm goes on");
            break;
        }
        assert!(started.elapsed() < TIMEOUT, "only {count} of {sessions} calls get a session");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lock.rollback().await.unwrap();
    for answer in join_all(calls).await {
        answer.unwrap().unwrap();
    }
}

/// The server's clock in microseconds.
async fn now(operator: &mut PgConnection) -> i64 {
    let row = sqlx::query("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetch_one(operator).await;
    row.unwrap().get(0)
}
