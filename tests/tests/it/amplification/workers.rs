//! Large rows are decoded and encoded outside of the runtime's workers, as many at a time as there are processors.
//! While a test holds all of these turns, large rows wait and everything else continues.

use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use orrery_kit::work::{INLINE_BYTES, offload};
use orrery_proto::catalog::v1::{
    CreateProductRequest, GetProductRequest, ListProductsRequest, Product, StreamProductsRequest,
};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};
use prost_types::value::Kind;
use tokio::sync::{Mutex, MutexGuard};

use super::{LARGEST_REQUEST, LONG, listing};
use crate::harness::{CatalogServer, Role, TestDatabase, product, run, uid};
use crate::writes::stream::{PRODUCTS, WriteStream, connect};

/// Two tests that each hold some of the turns would deadlock.
static HOLDERS: Mutex<()> = Mutex::const_new(());

/// All turns of this process, which the servers of other tests share.
struct Turns {
    end: Vec<mpsc::Sender<()>>,
    _alone: MutexGuard<'static, ()>,
}

impl Turns {
    async fn take() -> Self {
        let alone = HOLDERS.lock().await;
        let mut end = Vec::new();
        for _ in 0..available_parallelism().unwrap().get() {
            let (sender, ended) = mpsc::channel::<()>();
            let (begun, begins) = tokio::sync::oneshot::channel();
            tokio::spawn(offload(INLINE_BYTES + 1, move || {
                begun.send(()).unwrap();
                // Ends when the sender is dropped.
                let _ = ended.recv();
            }));
            begins.await.unwrap();
            end.push(sender);
        }
        Self { end, _alone: alone }
    }

    fn give_back(mut self) {
        self.end.clear();
    }
}

/// A product with as many numbers as are needed for decoding in a turn.
fn large(number: usize) -> Product {
    listing(number, (0..5_000).map(|number| Kind::NumberValue(f64::from(number))).collect())
}

fn get(number: usize) -> GetProductRequest {
    GetProductRequest { uid: uid(number), read_mask: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_writes_wait_for_a_turn_and_small_ones_do_not() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let turns = Turns::take().await;
    let large_chunk = WriteStream::open(server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    large_chunk.send(0, &[large(1)]).await;
    let request =
        CreateProductRequest { product: Some(large(2)), request_id: String::new(), ..CreateProductRequest::default() };
    let mut client = server.client();
    let created = tokio::spawn(async move { client.create_product(request).await });
    for number in 10..30 {
        let stream = WriteStream::open(server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
        stream.send(0, &[product(&uid(number))]).await;
        let (totals, end) = stream.finish().await;
        end.unwrap();
        assert_eq!(totals.created, 1);
        server.client().get_product(get(number)).await.unwrap();
    }
    for number in [1, 2] {
        assert_eq!(server.client().get_product(get(number)).await.unwrap_err().code(), tonic::Code::NotFound);
    }
    turns.give_back();
    let (totals, end) = large_chunk.finish().await;
    end.unwrap();
    assert_eq!(totals.created, 1);
    created.await.unwrap().unwrap();
    for number in [1, 2] {
        let stored = server.client().get_product(get(number)).await.unwrap().into_inner();
        assert_eq!(stored.status, large(number).status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_rows_wait_for_a_turn_and_small_ones_do_not() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    run(
        &mut operator,
        "insert into catalog.product (uid, name, status) values \
             ('prd_0000001', 'large', \
              jsonb_build_object('list', (select jsonb_agg(n) from generate_series(1, 20000) n))), \
             ('prd_0000002', 'small', '{}')",
    )
    .await;
    let server = CatalogServer::start(&database).await;
    let turns = Turns::take().await;
    let mut reads = Vec::new();
    for way in 0..4 {
        let mut client = server.client();
        reads.push(tokio::spawn(async move {
            let mask = |paths: &[&str]| {
                Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
            };
            match way {
                0 => client.get_product(get(1)).await.map(|answer| vec![answer.into_inner()]),
                1 => {
                    let request = GetProductRequest { read_mask: mask(&["uid", "status"]), ..get(1) };
                    client.get_product(request).await.map(|answer| vec![answer.into_inner()])
                }
                2 => client.list_products(ListProductsRequest::default()).await.map(|page| page.into_inner().products),
                _ => {
                    let mut pages = client.stream_products(StreamProductsRequest::default()).await?.into_inner();
                    pages.message().await.map(|page| page.unwrap_or_default().products)
                }
            }
        }));
    }
    for _ in 0..20 {
        server.client().get_product(get(2)).await.unwrap();
    }
    for read in &reads {
        assert!(!read.is_finished(), "a large row is put together by a worker");
    }
    turns.give_back();
    for read in reads {
        let products = read.await.unwrap().unwrap();
        let details = products[0].status.as_ref().and_then(|status| status.details.as_ref()).unwrap();
        let Some(Kind::ListValue(list)) = &details.fields["list"].kind else { unreachable!("{details:?}") };
        assert_eq!(list.values.len(), 20_000);
    }
}

/// Prints how long the only worker of a service was blocked while the service read its largest chunks, both rejected
/// ones with doubles that are too long and valid ones, and while it returned what was written.
/// `cargo test --locked --release --workspace --test it -- amplification::workers::the_worker --nocapture` shows it.
#[test]
fn the_worker_of_a_service_is_held_up_for_as_long_as_is_told() {
    const NUMBERS: usize = 20_000;
    let runtime =
        |workers| tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    let (client, serving) = (runtime(2), runtime(1));
    let database = client.block_on(TestDatabase::create());
    let server = serving
        .block_on(async { tokio::spawn(async move { (CatalogServer::start(&database).await, database) }).await });
    let (server, _database) = server.unwrap();
    let longest = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&longest);
    // Alternates with everything else that the worker does.
    let ticker = serving.spawn(async move {
        let mut last = Instant::now();
        loop {
            tokio::task::yield_now().await;
            let now = Instant::now();
            let mut longest = told.lock().unwrap();
            longest.push(now - last);
            longest.sort_unstable_by(|a, b| b.cmp(a));
            longest.truncate(5);
            last = now;
        }
    });
    let rows = |value: &dyn Fn(usize) -> f64| -> Vec<bytes::Bytes> {
        let row = |number| listing(number, (0..NUMBERS).map(|at| Kind::NumberValue(value(at))).collect());
        (0..LARGEST_REQUEST / 222_000).map(|number| prost::Message::encode_to_vec(&row(number)).into()).collect()
    };
    let tell = |what: &str| println!("{what}: {:?}", std::mem::take(&mut *longest.lock().unwrap()));
    client.block_on(async {
        for (what, refused, rows) in
            [("long numbers", true, rows(&|_| LONG)), ("numbers", false, rows(&|at| -1.0 / (at as f64 + 3.0)))]
        {
            longest.lock().unwrap().clear();
            let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
            let stream = WriteStream::open(connect(server.address()), PRODUCTS, start).await.unwrap();
            let count = rows.len() as i64;
            stream.send_bytes(0, rows).await;
            let (totals, end) = stream.finish().await;
            end.unwrap();
            assert_eq!(totals.counts(), if refused { [0, 0, 0, count, 0] } else { [count, 0, 0, 0, 0] });
            tell(what);
        }
        let pages = server.separate_client().stream_products(StreamProductsRequest::default()).await.unwrap();
        let mut pages = pages.into_inner();
        let mut rows = 0;
        while let Some(page) = pages.message().await.unwrap() {
            rows += page.products.len();
        }
        assert_eq!(rows, LARGEST_REQUEST / 222_000);
        tell("read");
    });
    ticker.abort();
    drop(server);
    serving.shutdown_timeout(Duration::from_secs(10));
}
