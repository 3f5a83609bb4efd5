//! Streams that flow when the process drains: rows are there, and the caller takes them. Each ends at its next page,
//! with UNAVAILABLE and a token, and what comes elsewhere by that token is the rest.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{CheckProductsRequest, StreamProductMetricsRequest, StreamProductsRequest};
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{
    CheckOrdersRequest, OrderView, StreamLineItemsRequest, StreamOrdersRequest, StreamProductSalesRequest,
};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;

use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, refusal, run, seed};

/// Far longer than a stream takes to end.
const DRAIN: Duration = Duration::from_secs(60);
/// Of each table: several times what the buffers of both ends hold, some 470 kB on a [`narrow`] connection, of which a
/// page of sales takes 130 bytes.
const ROWS: usize = 40_000;
/// Small pages, so that few of them are on their way when the drain begins.
const PAGE: i32 = 2;
/// What may be on its way: pages in the buffers of both ends, far fewer than there are.
const ON_ITS_WAY: usize = ROWS / 2;

/// A stream of one kind: its rows' names and its tokens.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Products,
    Metrics,
    Orders,
    LineItems,
    Sales,
}

/// An open stream of a kind.
enum Open {
    Products(Streaming<orrery_proto::catalog::v1::StreamProductsResponse>),
    Metrics(Streaming<orrery_proto::catalog::v1::StreamProductMetricsResponse>),
    Orders(Streaming<orrery_proto::orders::v1::StreamOrdersResponse>),
    LineItems(Streaming<orrery_proto::orders::v1::StreamLineItemsResponse>),
    Sales(Streaming<orrery_proto::orders::v1::StreamProductSalesResponse>),
}

impl Kind {
    const ALL: [Self; 5] = [Self::Products, Self::Metrics, Self::Orders, Self::LineItems, Self::Sales];

    async fn open(self, channel: Channel, resume_token: String, page_size: i32) -> Open {
        let catalog = || CatalogServiceClient::new(channel.clone());
        let orders = || OrdersServiceClient::new(channel.clone());
        match self {
            Self::Products => {
                let request = StreamProductsRequest { resume_token, page_size, ..Default::default() };
                Open::Products(catalog().stream_products(request).await.unwrap().into_inner())
            }
            Self::Metrics => {
                let request = StreamProductMetricsRequest { resume_token, page_size, ..Default::default() };
                Open::Metrics(catalog().stream_product_metrics(request).await.unwrap().into_inner())
            }
            Self::Orders => {
                let view = OrderView::Full.into();
                let request = StreamOrdersRequest { resume_token, page_size, view, ..Default::default() };
                Open::Orders(orders().stream_orders(request).await.unwrap().into_inner())
            }
            Self::LineItems => {
                let request = StreamLineItemsRequest { resume_token, page_size, ..Default::default() };
                Open::LineItems(orders().stream_line_items(request).await.unwrap().into_inner())
            }
            Self::Sales => {
                let request = StreamProductSalesRequest {
                    day_from: "2026-01-01".to_owned(),
                    day_to: "2026-12-31".to_owned(),
                    resume_token,
                    page_size,
                    ..Default::default()
                };
                Open::Sales(orders().stream_product_sales(request).await.unwrap().into_inner())
            }
        }
    }
}

impl Open {
    /// The next page: the names of its rows, and its token.
    async fn next(&mut self) -> Result<Option<(Vec<String>, String)>, Status> {
        Ok(match self {
            Self::Products(stream) => stream
                .message()
                .await?
                .map(|page| (page.products.into_iter().map(|row| row.uid).collect(), page.resume_token)),
            Self::Metrics(stream) => stream
                .message()
                .await?
                .map(|page| (page.product_metrics.into_iter().map(|row| row.product_uid).collect(), page.resume_token)),
            Self::Orders(stream) => stream
                .message()
                .await?
                .map(|page| (page.orders.into_iter().map(|row| row.uid).collect(), page.resume_token)),
            Self::LineItems(stream) => stream
                .message()
                .await?
                .map(|page| (page.line_items.into_iter().map(|row| row.uid).collect(), page.resume_token)),
            Self::Sales(stream) => stream
                .message()
                .await?
                .map(|page| (page.product_sales.into_iter().map(|row| row.product_uid).collect(), page.resume_token)),
        })
    }
}

/// Products, metrics, orders, lines and sales: as many rows of each, and each named by its number.
async fn put(database: &TestDatabase) {
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, ROWS).await;
    let number = "lpad(n::text, 7, '0')";
    run(
        &mut operator,
        &format!(
            "insert into catalog.product_metric (product_uid, name, value) \
                 select 'prd_' || {number}, 'sales', n from generate_series(1, {ROWS}) n; \
             insert into orders.order_header (uid, currency_code, status, create_ts) \
                 select 'ord_' || {number}, 'GBP', '{{\"phase\": \"closed\"}}', timestamptz '2026-06-01 00:00:00+00' \
                   from generate_series(1, {ROWS}) n; \
             insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity, unit_price) \
                 select 'ord_' || {number}, 'oli_' || {number}, 1, 'prd_' || {number}, 2, 1.50 \
                   from generate_series(1, {ROWS}) n; \
             analyze"
        ),
    )
    .await;
}

/// A connection on which little is on its way. By default 2 MiB of a stream may be.
fn narrow(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.initial_stream_window_size(64 * 1024).connect_lazy()
}

/// What a service says of its health from now on.
async fn health(channel: Channel, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).watch(request).await.unwrap().into_inner()
}

/// Waits until a service says that it takes no new calls.
async fn until_draining(mut health: Streaming<HealthCheckResponse>) {
    let health_change =
        async { while health.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {} };
    tokio::time::timeout(DRAIN, health_change).await.expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_flows_ends_at_its_next_page_and_the_rest_comes_elsewhere() {
    let database = TestDatabase::create().await;
    put(&database).await;
    for kind in Kind::ALL {
        let (catalog, orders) = (
            CatalogServer::start_with(&database, |config| config.server.drain_timeout = DRAIN).await,
            OrdersServer::start_with(&database, |config| config.service.server.drain_timeout = DRAIN).await,
        );
        let of_catalog = matches!(kind, Kind::Products | Kind::Metrics);
        let address = if of_catalog { catalog.address() } else { orders.address() };
        let channel = narrow(address);
        let service = if of_catalog { orrery_catalog::SERVICE_NAMES[0] } else { orrery_orders::SERVICE_NAMES[0] };
        let mut stream = kind.open(channel.clone(), String::new(), PAGE).await;
        let (mut seen, mut token) = stream.next().await.unwrap().unwrap();
        let health = health(channel, service).await;
        let begun = Instant::now();
        let stopping = if of_catalog { tokio::spawn(catalog.stop()) } else { tokio::spawn(orders.stop()) };
        until_draining(health).await;
        let status = loop {
            match stream.next().await {
                Ok(Some((rows, next))) => {
                    seen.extend(rows);
                    token = next;
                }
                Ok(None) => panic!("{kind:?}: the stream flows on to its end"),
                Err(status) => break status,
            }
        };
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"), "{kind:?}: {status:?}");
        assert!(status.get_details_retry_info().is_some(), "{kind:?}: {status:?}");
        assert!(seen.len() < ON_ITS_WAY, "{kind:?}: {} rows came after all", seen.len());
        stopping.await.unwrap().unwrap();
        assert!(begun.elapsed() < DRAIN / 2, "{kind:?}: nobody waits for the bound: {:?}", begun.elapsed());

        let (catalog, orders) = (CatalogServer::start(&database).await, OrdersServer::start(&database).await);
        let channel = if of_catalog { catalog.channel() } else { orders.channel() };
        let mut rest = kind.open(channel, token, 0).await;
        while let Some((rows, _)) = rest.next().await.unwrap() {
            seen.extend(rows);
        }
        let prefix = &seen[0][..4];
        let all: Vec<String> = (1..=ROWS).map(|number| format!("{prefix}{number:07}")).collect();
        assert!(seen == all, "{kind:?}: each row once and in order: {} rows", seen.len());
    }
}

/// A check whose caller asks and then thinks, and one whose caller asks without end: neither keeps the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_ends_whether_its_caller_thinks_or_never_stops_asking() {
    let database = TestDatabase::create().await;
    for endless in [false, true] {
        let catalog = CatalogServer::start_with(&database, |config| config.server.drain_timeout = DRAIN).await;
        let orders = OrdersServer::start_with(&database, |config| config.service.server.drain_timeout = DRAIN).await;
        let times = if endless { usize::MAX } else { 1 };
        let (of_products, of_orders) = (vec!["prd_a".to_owned()], vec!["ord_a".to_owned()]);
        let asked = std::iter::repeat_n(CheckProductsRequest { uids: of_products.clone() }, times);
        let asked = tokio_stream::iter(asked).chain(tokio_stream::pending());
        let mut products = catalog.client().check_products(asked).await.unwrap().into_inner();
        assert_eq!(products.message().await.unwrap().unwrap().missing_uids, of_products);
        let asked = std::iter::repeat_n(CheckOrdersRequest { uids: of_orders.clone() }, times);
        let asked = tokio_stream::iter(asked).chain(tokio_stream::pending());
        let mut checked = orders.client().check_orders(asked).await.unwrap().into_inner();
        assert_eq!(checked.message().await.unwrap().unwrap().missing_uids, of_orders);
        let begun = Instant::now();
        let stopping = [tokio::spawn(catalog.stop()), tokio::spawn(orders.stop())];
        let of_products = async {
            loop {
                match products.message().await {
                    Ok(answer) => assert!(endless && answer.is_some(), "it ends as if all were answered"),
                    Err(status) => break status,
                }
            }
        };
        let of_orders = async {
            loop {
                match checked.message().await {
                    Ok(answer) => assert!(endless && answer.is_some(), "it ends as if all were answered"),
                    Err(status) => break status,
                }
            }
        };
        let (of_products, of_orders) = tokio::join!(of_products, of_orders);
        for status in [of_products, of_orders] {
            let refused = refusal(&status);
            assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"), "{status:?}");
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
        }
        for server in stopping {
            server.await.unwrap().unwrap();
        }
        assert!(begun.elapsed() < DRAIN / 2, "nobody waits for the bound: {:?}", begun.elapsed());
    }
}
