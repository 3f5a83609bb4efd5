//! References to products in order lines, and the catalog that checks them.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::Stream;
use orrery_kit::config::ServiceAddress;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::references::ForeignReferences as _;
use orrery_peers::CatalogClient;
use orrery_peers::config::CatalogPeerConfig;
use orrery_proto::catalog::v1::server::{CatalogService, CatalogServiceServer};
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CheckProductsResponse, CountProductsRequest, CountProductsResponse,
    DeleteProductRequest, GetProductMetricsRequest, GetProductRequest, ListProductsRequest, ResolveProductsRequest,
    ResolveProductsResponse, StreamProductMetricsRequest, StreamProductsRequest,
};
use orrery_proto::orders::v1::{CreateOrderRequest, LineItem, Order, UpdateOrderRequest};
use orrery_proto::r#type::v1::{ReferenceCheck, RowErrorPolicy, WriteStart};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WritePayload, WriteResponse};
use prost_types::FieldMask;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use super::fixture::{Fixture, bare};
use crate::harness::{CatalogServer, Role, refusal, run};
use crate::writes::stream::{ORDERS, WriteStream, write};

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A catalog that counts its calls. A product exists if its uid ends in an even digit.
#[derive(Debug, Default)]
struct Counted {
    calls: AtomicUsize,
    messages: AtomicUsize,
    uids: AtomicUsize,
    largest: AtomicUsize,
    /// Whether it accepts calls and never responds.
    hangs: AtomicBool,
    /// The time in milliseconds that the last call left it; 0 without a deadline.
    left: AtomicU64,
}

impl Counted {
    fn counts(&self) -> [usize; 3] {
        [&self.calls, &self.messages, &self.uids].map(|count| count.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct FakeCatalog(Arc<Counted>);

/// Methods that are never called.
macro_rules! unasked {
    ($($method:ident($request:ty) -> $answer:ty;)*) => {
        $(fn $method<'life, 'future>(&'life self, _request: Request<$request>)
            -> Pin<Box<dyn Future<Output = Answer<$answer>> + Send + 'future>>
        where
            'life: 'future,
            Self: 'future,
        {
            Box::pin(async { Err(Status::unimplemented("nobody asks this")) })
        })*
    };
}

#[tonic::async_trait]
impl CatalogService for FakeCatalog {
    type CheckProductsStream = Answers<CheckProductsResponse>;
    type StreamProductsStream = Answers<Encoded>;
    type WriteProductsStream = Answers<WriteResponse>;
    type StreamProductMetricsStream = Answers<Encoded>;
    type WriteProductMetricsStream = Answers<WriteResponse>;

    async fn check_products(
        &self,
        request: Request<Streaming<CheckProductsRequest>>,
    ) -> Answer<Answers<CheckProductsResponse>> {
        let counted = Arc::clone(&self.0);
        counted.calls.fetch_add(1, Ordering::SeqCst);
        let left = Deadline::of(&request).remaining().map_or(0, |left| left.as_millis() as u64);
        counted.left.store(left, Ordering::SeqCst);
        if counted.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let mut requests = request.into_inner();
        Ok(Response::new(Box::pin(async_stream::try_stream! {
            while let Some(CheckProductsRequest { uids }) = requests.message().await? {
                counted.messages.fetch_add(1, Ordering::SeqCst);
                counted.uids.fetch_add(uids.len(), Ordering::SeqCst);
                counted.largest.fetch_max(uids.len(), Ordering::SeqCst);
                let checked = uids.len() as i64;
                let missing_uids = uids.into_iter().filter(|uid| !uid.ends_with(['0', '2', '4', '6', '8'])).collect();
                yield CheckProductsResponse { checked, missing_uids };
            }
        })))
    }

    unasked! {
        get_product(GetProductRequest) -> Encoded;
        batch_get_products(BatchGetProductsRequest) -> Encoded;
        create_product(ReceivedCreate) -> Encoded;
        update_product(ReceivedUpdate) -> Encoded;
        delete_product(DeleteProductRequest) -> ();
        list_products(ListProductsRequest) -> Encoded;
        count_products(CountProductsRequest) -> CountProductsResponse;
        stream_products(StreamProductsRequest) -> Answers<Encoded>;
        write_products(Streaming<ReceivedWrite>) -> Answers<WriteResponse>;
        resolve_products(ResolveProductsRequest) -> ResolveProductsResponse;
        get_product_metrics(GetProductMetricsRequest) -> Encoded;
        stream_product_metrics(StreamProductMetricsRequest) -> Answers<Encoded>;
        write_product_metrics(Streaming<ReceivedWrite>) -> Answers<WriteResponse>;
    }
}

/// A counting catalog with its own address; dropping it stops it.
struct Serving {
    counted: Arc<Counted>,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Serving {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::on(listener)
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let counted = Arc::new(Counted::default());
        let service = CatalogServiceServer::new(FakeCatalog(Arc::clone(&counted)));
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let shutdown = CancellationToken::new();
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
        tokio::spawn(async move { server.await.unwrap() });
        Self { counted, address, shutdown }
    }

    fn hang(&self, hangs: bool) {
        self.counted.hangs.store(hangs, Ordering::SeqCst);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn asking(address: SocketAddr, timeout: Duration) -> Fixture {
    Fixture::with(|config| {
        config.catalog.address = at(address);
        config.catalog.timeout = timeout;
    })
    .await
}

fn at(address: SocketAddr) -> ServiceAddress {
    address.to_string().parse().unwrap()
}

const PATIENT: Duration = Duration::from_secs(30);
const NEVER: Duration = Duration::from_secs(600);

/// An order with a line for each of these products.
fn naming(number: &str, products: &[String]) -> Order {
    let line = |uid: &String| LineItem { product_uid: uid.clone(), quantity: 1, ..LineItem::default() };
    Order { line_items: products.iter().map(line).collect(), ..bare(number) }
}

fn products(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("prd_{number}")).collect()
}

fn start(check: ReferenceCheck, policy: RowErrorPolicy) -> WriteStart {
    WriteStart { reference_check: check.into(), on_row_error: policy.into(), ..WriteStart::default() }
}

fn create(order: Order, check: ReferenceCheck) -> CreateOrderRequest {
    CreateOrderRequest { order: Some(order), reference_check: check.into(), ..CreateOrderRequest::default() }
}

/// Checks that a call failed because the catalog is unreachable, and that the error does not contain its address.
#[track_caller]
fn assert_without_catalog(status: &Status) {
    let told = refusal(status);
    assert_eq!((told.code, told.reason.as_str()), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"), "{status:?}");
    assert!(status.get_details_retry_info().is_some());
    assert!(status.message().contains("catalog") && !status.message().contains("127.0.0.1"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_asks_for_a_whole_chunk() {
    let catalog = Serving::start().await;
    let fixture = asking(catalog.address, PATIENT).await;
    // 25,000 different products in 50 orders, each referenced by two orders.
    let orders: Vec<Order> = (0..50)
        .map(|order| {
            let own = (0..1_000).map(|line| ((order * 500 + line) % 25_000) * 2);
            naming(&format!("{order:02}"), &products(own))
        })
        .collect();
    let reject = start(ReferenceCheck::Reject, RowErrorPolicy::Stop);
    fixture.write_with(reject.clone(), &orders).await.expect_counts([50, 0, 0, 0, 0]);
    assert_eq!(catalog.counted.counts(), [1, 3, 25_000]);
    assert_eq!(catalog.counted.largest.load(Ordering::SeqCst), 10_000);
    let left = catalog.counted.left.load(Ordering::SeqCst);
    assert!(left > 0 && left <= PATIENT.as_millis() as u64, "the service's own patience: {left} ms");
    // One call for each further chunk; none without products.
    fixture.write_with(reject.clone(), &[naming("a", &products([2]))]).await;
    assert_eq!(catalog.counted.counts(), [2, 4, 25_001]);
    fixture.write_with(reject, &[bare("b")]).await;
    fixture.write_with(start(ReferenceCheck::Accept, RowErrorPolicy::Stop), &[naming("c", &products([1]))]).await;
    fixture.write_with(start(ReferenceCheck::Unspecified, RowErrorPolicy::Stop), &[naming("d", &products([1]))]).await;
    assert_eq!(catalog.counted.counts(), [2, 4, 25_001], "ACCEPT is the default of a chunked write, and asks nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_does_not_exist_costs_its_order() {
    let catalog = Serving::start().await;
    let fixture = asking(catalog.address, PATIENT).await;
    let orders = [naming("1", &products([2, 4])), naming("2", &products([2, 3, 5])), naming("3", &products([6]))];
    let skip = start(ReferenceCheck::Reject, RowErrorPolicy::Skip);
    let (totals, end) = write(fixture.server.channel(), ORDERS, skip, &orders).await;
    end.unwrap();
    assert_eq!(totals.counts(), [2, 0, 0, 1, 0]);
    let [error] = totals.errors.as_slice() else { unreachable!("{:?}", totals.errors) };
    assert_eq!((error.offset, error.field.as_str()), (1, "line_items[1].product_uid"));
    assert!(error.message.contains("prd_3"), "{error:?}");

    let stop = start(ReferenceCheck::Reject, RowErrorPolicy::Stop);
    let orders = [naming("4", &products([2])), naming("5", &products([7]))];
    let (_, end) = write(fixture.server.channel(), ORDERS, stop, &orders).await;
    assert_eq!(refusal(&end.unwrap_err()).reason, "ROW_REJECTED");
    assert_eq!(fixture.count("orders.order_header where uid in ('ord_2', 'ord_4', 'ord_5')").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn single_writes_check_unless_told_otherwise() {
    let catalog = Serving::start().await;
    let fixture = asking(catalog.address, PATIENT).await;
    let mut client = fixture.server.client();
    for check in [ReferenceCheck::Unspecified, ReferenceCheck::Reject] {
        let refused = client.create_order(create(naming("1", &products([2, 3])), check)).await.unwrap_err();
        let told = refusal(&refused);
        assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "REFERENCE_MISSING"));
        assert_eq!(told.fields, ["order.line_items[1].product_uid"]);
    }
    assert_eq!(fixture.count("orders.order_header").await, 0);
    client.create_order(create(naming("1", &products([2, 4])), ReferenceCheck::Reject)).await.unwrap();
    client.create_order(create(naming("2", &products([3])), ReferenceCheck::Accept)).await.unwrap();

    let update = |order: Order, check: ReferenceCheck, mask: &[&str]| UpdateOrderRequest {
        order: Some(order),
        reference_check: check.into(),
        update_mask: (!mask.is_empty())
            .then(|| FieldMask { paths: mask.iter().map(|&path| path.to_owned()).collect() }),
        ..UpdateOrderRequest::default()
    };
    let refused = client.update_order(update(naming("1", &products([5])), ReferenceCheck::Unspecified, &[])).await;
    assert_eq!(refusal(&refused.unwrap_err()).reason, "REFERENCE_MISSING");
    assert_eq!(fixture.get("1").await.line_items.len(), 2);
    let calls = catalog.counted.counts()[0];
    // Fields outside of an update are not checked: a line of this order has a missing product.
    let named = Order { customer_id: "c".to_owned(), ..naming("2", &products([3])) };
    client.update_order(update(named, ReferenceCheck::Reject, &["customer_id"])).await.unwrap();
    assert_eq!(catalog.counted.counts()[0], calls);
    client.update_order(update(naming("1", &products([5])), ReferenceCheck::Accept, &[])).await.unwrap();
    assert_eq!(fixture.get("1").await.line_items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_catalog_reject_writes_nothing_and_accept_goes_on() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fixture = asking(address, PATIENT).await;
    let mut client = fixture.server.client();
    let orders = [bare("1"), naming("2", &products([2]))];
    let reject = start(ReferenceCheck::Reject, RowErrorPolicy::Skip);
    let (totals, end) = write(fixture.server.channel(), ORDERS, reject.clone(), &orders).await;
    assert_without_catalog(&end.unwrap_err());
    assert_eq!((totals.committed_offset, fixture.count("orders.order_header").await), (0, 0));
    assert_without_catalog(&client.create_order(create(orders[1].clone(), ReferenceCheck::Reject)).await.unwrap_err());
    fixture.write_with(start(ReferenceCheck::Accept, RowErrorPolicy::Stop), &orders).await;
    client.create_order(create(bare("3"), ReferenceCheck::Reject)).await.unwrap();
    client.create_order(create(naming("4", &products([2])), ReferenceCheck::Accept)).await.unwrap();

    // It starts, stops and starts again, without a restart of the orders service.
    for number in ["5", "6"] {
        let catalog = Serving::on(TcpListener::bind(address).await.unwrap());
        let written = naming(number, &products([2]));
        let patience = std::time::Instant::now();
        while let Err(status) = client.create_order(create(written.clone(), ReferenceCheck::Reject)).await {
            assert_without_catalog(&status);
            assert!(patience.elapsed() < PATIENT, "it is not found again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(catalog);
        let patience = std::time::Instant::now();
        loop {
            // An open connection lives slightly longer than its server.
            match client
                .create_order(create(naming(&format!("{number}0"), &products([2])), ReferenceCheck::Reject))
                .await
            {
                Err(status) if status.code() == Code::AlreadyExists => {}
                Err(status) => break assert_without_catalog(&status),
                Ok(_) => {}
            }
            assert!(patience.elapsed() < PATIENT, "it is gone and nobody says so");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_hangs_is_given_up() {
    let catalog = Serving::start().await;
    catalog.hang(true);
    let fixture = asking(catalog.address, Duration::from_millis(300)).await;
    let mut client = fixture.server.client();
    let orders = [naming("1", &products([2]))];
    // The client would wait; the service does not.
    let mut patient = Request::new(create(orders[0].clone(), ReferenceCheck::Reject));
    patient.set_timeout(PATIENT);
    assert_without_catalog(&client.create_order(patient).await.unwrap_err());
    let reject = start(ReferenceCheck::Reject, RowErrorPolicy::Stop);
    let (_, end) = write(fixture.server.channel(), ORDERS, reject, &orders).await;
    assert_without_catalog(&end.unwrap_err());
    assert_eq!(fixture.count("orders.order_header").await, 0);
    fixture.write_with(start(ReferenceCheck::Accept, RowErrorPolicy::Stop), &orders).await;
    // It responds again, on the same connection.
    catalog.hang(false);
    client.create_order(create(naming("2", &products([2])), ReferenceCheck::Reject)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_the_callers_time_travels() {
    let catalog = Serving::start().await;
    let fixture = asking(catalog.address, PATIENT).await;
    let (whole, waited) = (PATIENT / 2, Duration::from_millis(500));
    let first = Some(WritePayload::Start(start(ReferenceCheck::Reject, RowErrorPolicy::Stop)));
    let mut stream = WriteStream::open_with(fixture.server.channel(), ORDERS, first, Some(whole)).await.unwrap();
    let mut before = whole;
    for at in 0..3 {
        tokio::time::sleep(waited).await;
        stream.send(at, &[naming(&at.to_string(), &products([2]))]).await;
        stream.acknowledged(at + 1).await.unwrap();
        let left = Duration::from_millis(catalog.counted.left.load(Ordering::SeqCst));
        assert!(left > Duration::ZERO && left + waited <= before, "{left:?} left of {before:?}");
        before = left;
    }
    // A call has as much time as its client.
    let mut request = Request::new(create(naming("x", &products([2])), ReferenceCheck::Reject));
    request.set_timeout(whole);
    fixture.server.client().create_order(request).await.unwrap();
    let left = Duration::from_millis(catalog.counted.left.load(Ordering::SeqCst));
    assert!(left > Duration::ZERO && left <= whole, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_patience_ends_first_is_told() {
    let serving = Serving::start().await;
    serving.hang(true);
    let ask = async |caller: Duration, own: Duration| {
        let config = CatalogPeerConfig { address: at(serving.address), timeout: own };
        CatalogClient::new(&config).missing(products([2]), Deadline::after(caller)).await.unwrap_err()
    };
    let short = Duration::from_millis(200);
    assert!(matches!(ask(short, NEVER).await, Error::DeadlineExceeded));
    assert!(matches!(ask(NEVER, short).await, Error::DependencyUnavailable { service: "catalog", .. }));
    assert!(matches!(ask(Duration::ZERO, NEVER).await, Error::DeadlineExceeded));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_itself_knows_its_products() {
    let fixture = {
        let database = crate::harness::TestDatabase::create().await;
        let catalog = CatalogServer::start(&database).await;
        let mut connection = database.connect(Role::Operator).await;
        run(&mut connection, "insert into catalog.product (uid, name) values ('prd_1', 'One')").await;
        let fixture = asking(catalog.address(), PATIENT).await;
        let mut client = fixture.server.client();
        client.create_order(create(naming("1", &products([1])), ReferenceCheck::Reject)).await.unwrap();
        let refused = client.create_order(create(naming("2", &products([1, 2])), ReferenceCheck::Reject)).await;
        assert_eq!(refusal(&refused.unwrap_err()).fields, ["order.line_items[1].product_uid"]);
        fixture
    };
    // Another service at the catalog's address is a configuration error, not the client's.
    let wrong = asking(fixture.server.address(), PATIENT).await;
    let refused = wrong.server.client().create_order(create(naming("3", &products([1])), ReferenceCheck::Reject)).await;
    assert_eq!(refusal(&refused.unwrap_err()).code, Code::Internal);
}
