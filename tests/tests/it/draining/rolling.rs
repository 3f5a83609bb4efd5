//! Two replicas behind a proxy are restarted one after the other while clients read and write.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{CreateProductRequest, Product, ProductFilter, StreamProductsRequest};
use orrery_tests_needs as needs;
use tonic::{Code, Status};

use crate::harness::proxy::{Proxy, ProxyKind};
use crate::harness::{CatalogProcess, Role, TestDatabase, seed, uids, until_healthy};
use crate::writes::stream::connect;
use crate::writes::workload::{PRODUCT_KIND, write_on};

/// Products that exist from the start and do not change.
const ROWS: usize = 10_000;
const ROUNDS: usize = 3;
const EACH: usize = 2;
/// How soon a client retries.
const PAUSE: Duration = Duration::from_millis(20);

/// What a client saw.
#[derive(Debug, Default)]
struct Seen {
    /// The number of completed operations.
    done: usize,
    /// The errors.
    broken: Vec<Status>,
}

/// Reads all products repeatedly, each time from beginning to end, with as many calls as needed.
async fn read_on(address: SocketAddr, enough: Arc<AtomicBool>) -> Seen {
    let mut client = CatalogServiceClient::new(connect(address));
    let mut seen = Seen::default();
    while !enough.load(Ordering::Relaxed) {
        let filter = ProductFilter { label_selector: "shard".to_owned(), ..ProductFilter::default() };
        let mut request = StreamProductsRequest { filter: Some(filter), page_size: 200, ..Default::default() };
        let mut read = Vec::new();
        loop {
            match read_until_it_breaks(&mut client, &mut request, &mut read).await {
                Ok(()) => break,
                Err(status) => seen.broken.push(status),
            }
            tokio::time::sleep(PAUSE).await;
        }
        assert!(read == uids(ROWS), "each row once and in order: {} rows", read.len());
        seen.done += 1;
    }
    seen
}

async fn read_until_it_breaks(
    client: &mut CatalogServiceClient<tonic::transport::Channel>,
    request: &mut StreamProductsRequest,
    read: &mut Vec<String>,
) -> Result<(), Status> {
    let mut stream = client.stream_products(request.clone()).await?.into_inner();
    while let Some(page) = stream.message().await? {
        read.extend(page.products.into_iter().map(|product| product.uid));
        request.resume_token = page.resume_token;
        // A reader with some work of its own, so that streams are always open.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Creates products one by one, retrying each until it exists. The service creates the uids.
async fn create_on(creator: usize, address: SocketAddr, enough: Arc<AtomicBool>) -> Seen {
    let mut client = CatalogServiceClient::new(connect(address));
    let mut seen = Seen::default();
    while !enough.load(Ordering::Relaxed) {
        let name = format!("{creator}/{}", seen.done);
        let labels = [("creator".to_owned(), creator.to_string())].into();
        let request = CreateProductRequest {
            request_id: format!("create-{name}"),
            product: Some(Product { name: name.clone(), labels, ..Product::default() }),
            ..CreateProductRequest::default()
        };
        loop {
            match client.create_product(request.clone()).await {
                Ok(created) => {
                    assert_eq!(created.into_inner().name, name);
                    break;
                }
                Err(status) => seen.broken.push(status),
            }
            tokio::time::sleep(PAUSE).await;
        }
        seen.done += 1;
    }
    seen
}

async fn a_rolling_restart_loses_and_repeats_nothing(kind: ProxyKind) {
    if !needs::met(&[kind.need()]) {
        return;
    }
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, ROWS).await;
    let flags = ["--drain-timeout=10s"];
    let first = CatalogProcess::spawn_with(&database, &flags).await;
    let second = CatalogProcess::spawn_with(&database, &flags).await;
    let proxy = Proxy::start(kind, [first.address(), second.address()]).await;
    let address = proxy.address();
    let enough = Arc::new(AtomicBool::new(false));
    let (mut readers, mut creators, mut writers) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..EACH {
        readers.push(tokio::spawn(read_on(address, Arc::clone(&enough))));
        creators.push(tokio::spawn(create_on(number, address, Arc::clone(&enough))));
        writers.push(tokio::spawn(write_on(PRODUCT_KIND, number, 0, address, Arc::clone(&enough))));
    }
    let mut replicas = [first, second];
    for _ in 0..ROUNDS {
        for replica in &mut replicas {
            tokio::time::sleep(Duration::from_millis(500)).await;
            replica.terminate();
            let code = replica.ended(Duration::from_secs(15)).await;
            assert_eq!(code, Some(0), "{}", replica.log());
            replica.start().await;
        }
    }
    enough.store(true, Ordering::Relaxed);
    // The proxy may consider the last one down for a little longer.
    until_healthy(&connect(address), orrery_catalog::SERVICE_NAMES[0]).await;

    let (mut broken, mut passes) = (Vec::new(), 0);
    for reader in readers {
        let seen = ended(reader).await;
        passes += seen.done;
        broken.extend(seen.broken);
    }
    assert!(passes > 0 && !broken.is_empty(), "{passes} passes, {broken:?}");
    for (number, creator) in creators.into_iter().enumerate() {
        let Seen { done, broken: seen } = ended(creator).await;
        broken.extend(seen);
        let created: Vec<String> = sqlx::query_scalar(
            "select name from catalog.product where labels ->> 'creator' = $1 order by create_ts, uid",
        )
        .bind(number.to_string())
        .fetch_all(&mut operator)
        .await
        .unwrap();
        let expected: Vec<String> = (0..done).map(|at| format!("{number}/{at}")).collect();
        assert!(done > 0 && created == expected, "{done} products were created, each once: {created:?}");
    }
    for writer in writers {
        let progress = ended(writer).await;
        assert!(progress.acknowledged > 0);
        progress.assert_whole(address, &mut operator).await;
        broken.extend(progress.broken);
    }
    for status in broken {
        assert_eq!(
            status.code(),
            Code::Unavailable,
            "who calls again after UNAVAILABLE needs to know nothing else: {status:?}"
        );
    }
}

async fn ended<T>(task: tokio::task::JoinHandle<T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), task).await.expect("a caller comes to its end").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nginx() {
    a_rolling_restart_loses_and_repeats_nothing(ProxyKind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy() {
    a_rolling_restart_loses_and_repeats_nothing(ProxyKind::Haproxy).await;
}
