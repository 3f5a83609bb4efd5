//! Peers that are lost, in the middle of a stream or before.

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::references::ForeignReferences as _;
use orrery_peers::{Page, Pages};
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, ResolveProductsRequest, StreamProductMetricsRequest, StreamProductsRequest,
    StreamProductsResponse,
};
use orrery_proto::orders::v1::StreamProductSalesRequest;
use prost_types::FieldMask;
use tokio::net::TcpListener;

use super::{PATIENT, assert_unavailable, catalog, orders};
use crate::harness::admin::Scrape;
use crate::harness::{
    CatalogProcess, CatalogServer, OrdersProcess, Role, ServiceProcess, TestDatabase, run, seed, uid, uids,
};

const SHORT: Duration = Duration::from_millis(500);
const CATALOG: &str = orrery_catalog::SERVICE_NAMES[0];
const ORDERS: &str = orrery_orders::SERVICE_NAMES[0];

/// A day on which all orders of these tests were created.
fn sales() -> StreamProductSalesRequest {
    StreamProductSalesRequest {
        day_from: "2026-01-01".to_owned(),
        day_to: "2026-01-02".to_owned(),
        page_size: 50,
        ..StreamProductSalesRequest::default()
    }
}

fn products() -> StreamProductsRequest {
    StreamProductsRequest { page_size: 100, ..StreamProductsRequest::default() }
}

fn uids_of_products(page: StreamProductsResponse) -> Vec<String> {
    page.products.into_iter().map(|product| product.uid).collect()
}

/// Reads pages to the end. After the first row, `lose` takes the peer away and brings it back.
async fn read_across<P: Page, R>(
    pages: &mut Pages<P>,
    rows: fn(P) -> Vec<R>,
    lose: impl Future<Output = ()>,
) -> Vec<R> {
    let mut seen = Vec::new();
    while seen.is_empty() {
        seen.extend(rows(pages.next().await.unwrap().unwrap()));
    }
    let rest = async {
        while let Some(page) = pages.next().await.unwrap() {
            seen.extend(rows(page));
        }
    };
    tokio::join!(lose, rest);
    seen
}

/// Checks that the current process sent the end of a stream: the one before it did not.
async fn served_the_end(process: &ServiceProcess, service: &str, method: &str) {
    let served = |scrape: &Scrape| scrape.handled(service, method, "server_stream", "OK") > 0.0;
    process.admin().scrape_until("the end of the stream", served).await;
}

/// Products whose rows are larger, all together, than what a connection receives ahead: 10 MB.
async fn many_products(database: &TestDatabase) -> Vec<String> {
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 20_000).await;
    run(&mut operator, "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 500))").await;
    uids(20_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_products_survives_a_kill_and_a_drain() {
    let database = TestDatabase::create().await;
    let all = many_products(&database).await;
    let mut process = CatalogProcess::spawn(&database).await;
    let client = catalog(process.address(), PATIENT);
    for drained in [false, true] {
        let mut pages = client.stream_products(products(), Deadline::after(PATIENT * 2));
        let lose = async {
            if drained {
                process.terminate();
                assert_eq!(process.ended(PATIENT).await, Some(0));
                process.start().await;
            } else {
                process.restart().await;
            }
        };
        let seen = read_across(&mut pages, uids_of_products, lose).await;
        assert!(seen == all, "{} of {} rows, drained: {drained}", seen.len(), all.len());
        served_the_end(&process, CATALOG, "StreamProducts").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_metrics_survives_a_kill() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 20_000).await;
    let metrics = "insert into catalog.product_metric (product_uid, name, value, unit) \
                   select uid, metric, 1.5, repeat('u', 200) \
                     from catalog.product, unnest(array['clicks', 'spend']) metric";
    run(&mut operator, metrics).await;
    let mut process = CatalogProcess::spawn(&database).await;
    let request = StreamProductMetricsRequest { page_size: 100, ..StreamProductMetricsRequest::default() };
    let mut pages = catalog(process.address(), PATIENT).stream_product_metrics(request, Deadline::none());
    let seen = read_across(
        &mut pages,
        |page| page.product_metrics.into_iter().map(|metric| (metric.product_uid, metric.name)).collect(),
        process.restart(),
    )
    .await;
    let all: Vec<(String, String)> = uids(20_000)
        .into_iter()
        .flat_map(|uid| [(uid.clone(), "clicks".to_owned()), (uid, "spend".to_owned())])
        .collect();
    assert!(seen == all, "{} of {} rows", seen.len(), all.len());
    served_the_end(&process, CATALOG, "StreamProductMetrics").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_sales_survives_a_kill() {
    const COUNT: usize = 6_000;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    // Uids as other programs may have them: the rows are larger, all together, than what a connection receives ahead.
    run(
        &mut operator,
        &format!(
            "insert into orders.order_header (uid, currency_code, status, create_ts) \
             select 'ord_' || n, 'EUR', '{{\"phase\": \"closed\"}}', timestamptz '2026-01-01 12:00:00+00' \
               from generate_series(1, {COUNT}) n; \
             insert into orders.order_line_item (order_uid, uid, line_number, product_uid, quantity, unit_price) \
             select 'ord_' || n, 'oli_' || n, 1, 'prd_' || lpad(n::text, 7, '0') || repeat('x', 1000), 2, 1.25 \
               from generate_series(1, {COUNT}) n; \
             analyze orders.order_header, orders.order_line_item"
        ),
    )
    .await;
    let mut process = OrdersProcess::spawn(&database).await;
    let mut pages = orders(process.address(), PATIENT).stream_product_sales(sales(), Deadline::none());
    let seen = read_across(
        &mut pages,
        |page| page.product_sales.into_iter().map(|row| (row.product_uid[..11].to_owned(), row.units)).collect(),
        process.restart(),
    )
    .await;
    let all: Vec<(String, i64)> = uids(COUNT).into_iter().map(|uid| (uid, 2)).collect();
    assert!(seen == all, "{} of {} rows", seen.len(), all.len());
    served_the_end(&process, ORDERS, "StreamProductSales").await;
}

/// A process that was stopped by the system keeps its connections and answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_in_a_stream_is_given_up() {
    let database = TestDatabase::create().await;
    let all = many_products(&database).await;
    let process = CatalogProcess::spawn(&database).await;
    let pid = Pid::from_raw(process.pid().cast_signed());
    let mut pages = catalog(process.address(), SHORT).stream_products(products(), Deadline::none());
    let mut hurried = catalog(process.address(), PATIENT).stream_products(products(), Deadline::after(PATIENT / 10));
    let mut seen = uids_of_products(pages.next().await.unwrap().unwrap());
    hurried.next().await.unwrap();
    kill(pid, Signal::SIGSTOP).unwrap();
    let error = loop {
        match pages.next().await {
            Ok(page) => seen.extend(uids_of_products(page.unwrap())),
            Err(error) => break error,
        }
    };
    assert_unavailable(error, "catalog");
    let error = loop {
        if let Err(error) = hurried.next().await {
            break error;
        }
    };
    assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    assert!(seen.len() < all.len());

    // It goes on, and so does the stream.
    kill(pid, Signal::SIGCONT).unwrap();
    let mut failures = 0;
    loop {
        match pages.next().await {
            Ok(Some(page)) => seen.extend(uids_of_products(page)),
            Ok(None) => break,
            // The machine may be busy.
            Err(error) => {
                assert_unavailable(error, "catalog");
                failures += 1;
                assert!(failures < 100, "it does not go on");
            }
        }
    }
    assert!(seen == all, "{} of {} rows", seen.len(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_there_is_unavailable_and_one_that_says_nothing_too() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let down = nobody.local_addr().unwrap();
    drop(nobody);
    // The kernel accepts its connections, and nobody answers.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let batch = || BatchGetProductsRequest { uids: vec!["prd_1".to_owned()], ..BatchGetProductsRequest::default() };
    for address in [down, silent.local_addr().unwrap()] {
        let client = catalog(address, SHORT);
        for deadline in [Deadline::none(), Deadline::after(PATIENT)] {
            let uids = vec!["prd_1".to_owned()];
            assert_unavailable(client.missing(uids, deadline).await.unwrap_err(), "catalog");
            assert_unavailable(client.batch_get_products(batch(), deadline).await.unwrap_err(), "catalog");
            assert_unavailable(client.stream_products(products(), deadline).next().await.unwrap_err(), "catalog");
            let mut pages = orders(address, SHORT).stream_product_sales(sales(), deadline);
            assert_unavailable(pages.next().await.unwrap_err(), "orders");
        }
    }
    let client = catalog(silent.local_addr().unwrap(), PATIENT);
    let error = client.batch_get_products(batch(), Deadline::after(SHORT)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_returned_by_uid() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let server = CatalogServer::start(&database).await;
    let request = BatchGetProductsRequest {
        uids: [uids(2), vec!["prd_none".to_owned()]].concat(),
        read_mask: Some(FieldMask { paths: vec!["uid".to_owned(), "name".to_owned()] }),
    };
    let client = catalog(server.address(), PATIENT);
    let answer = client.batch_get_products(request, Deadline::none()).await.unwrap();
    let names: Vec<&str> = answer.products.iter().map(|product| product.name.as_str()).collect();
    assert_eq!((names, answer.missing_uids), (vec!["Thing 1", "Thing 2"], vec!["prd_none".to_owned()]));
    // A request that is refused is this service's mistake, not its caller's.
    let error = client.batch_get_products(BatchGetProductsRequest::default(), Deadline::none()).await.unwrap_err();
    assert!(matches!(error, Error::Internal(_)), "{error:?}");
}

/// The catalog compares names with those of all products, which takes longer than other calls.
#[tokio::test(flavor = "multi_thread")]
async fn products_are_found_by_name_and_waited_for_longer() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let process = CatalogProcess::spawn(&database).await;
    let request = |names: &[&str]| ResolveProductsRequest {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        ..ResolveProductsRequest::default()
    };
    let client = catalog(process.address(), SHORT);
    let error = client.resolve_products(request(&[]), Deadline::none()).await.unwrap_err();
    assert!(matches!(error, Error::Internal(_)), "{error:?}");
    let pid = Pid::from_raw(process.pid().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    let find = client.resolve_products(request(&["THING 2", "none", "Thing 1"]), Deadline::none());
    let resume = async {
        let batch = BatchGetProductsRequest { uids: uids(1), ..BatchGetProductsRequest::default() };
        assert_unavailable(client.batch_get_products(batch, Deadline::none()).await.unwrap_err(), "catalog");
        tokio::time::sleep(SHORT).await;
        kill(pid, Signal::SIGCONT).unwrap();
    };
    let (found, ()) = tokio::join!(find, resume);
    let found = found.unwrap();
    let found: Vec<&str> = found.iter().map(|resolved| resolved.product_uid.as_str()).collect();
    assert_eq!(found, [&*uid(2), "", &*uid(1)]);
}
