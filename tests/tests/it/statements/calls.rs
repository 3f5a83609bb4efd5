//! The statements of calls, in the order in which a service sends them, as a recorder between service and Postgres sees
//! them. One call of each method, and of its variants that run other statements.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;

use orrery_proto::catalog::v1 as catalog;
use orrery_proto::orders::v1 as orders;
use orrery_proto::orders::v1::lookup_orders_request::Criterion;
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};
use tokio_stream::StreamExt as _;
use tonic::{Response, Status, Streaming};

use super::{said_of, stale};
use crate::harness::wire::WireLimits;
use crate::harness::{CatalogServer, OrdersServer, TestDatabase, line, metric, order, product, timestamp};
use crate::writes::stream::{METRICS, ORDERS, PRODUCTS, Totals, mask, write};

/// The calls of one service, each with its statements.
pub(super) struct Recorder {
    pub(super) database: TestDatabase,
    text: String,
    /// The statements so far, and the call that showed each.
    shown: HashMap<String, String>,
}

impl Recorder {
    pub(super) async fn new(service: &str) -> Self {
        let database = TestDatabase::limited(WireLimits::default()).await;
        database.record_statements();
        let text = format!(
            "-- The statements of calls of {service}, in their order, as they run. Values in the texts are shown \
             as '…'.\n\
             -- A statement that an earlier call has shown stands as a reference to it. Written by\n\
             --   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements\n"
        );
        Self { database, text, shown: HashMap::new() }
    }

    /// Records the statements of a call, which must succeed.
    pub(super) async fn call<T>(&mut self, title: &str, call: impl Future<Output = Result<T, Status>>) -> T {
        self.database.take_statements();
        let answer = call.await.unwrap_or_else(|status| unreachable!("{title}: {status:?}"));
        self.text.extend(["\n-- ", title, "\n"]);
        let mut number = 0;
        for statement in self.database.take_statements() {
            let statement = normal(&statement);
            if is_of_the_health_check(&statement) || sets_the_session(&statement) {
                continue;
            }
            number += 1;
            if let Some(where_shown) = self.shown.get(&statement) {
                self.text.extend(["-- as ", where_shown, "\n"]);
                continue;
            }
            self.text.extend([&statement, ";\n"]);
            if statement.contains('\n') {
                self.shown.insert(statement, format!("{title}, {number}"));
            }
        }
        answer
    }

    pub(super) async fn stream<T>(
        &mut self,
        title: &str,
        call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    ) -> Vec<T> {
        self.call(title, async {
            let mut answers = call.await?.into_inner();
            let mut all = Vec::new();
            while let Some(answer) = answers.next().await {
                all.push(answer?);
            }
            Ok(all)
        })
        .await
    }
}

impl Recorder {
    /// Records a chunked write. Rows may be refused.
    pub(super) async fn write(&mut self, title: &str, write: impl Future<Output = (Totals, Result<(), Status>)>) {
        self.call(title, async { write.await.1 }).await;
    }

    /// Records the statements of work in the background that `wanted` selects, each one once, at its first place.
    pub(super) async fn each_once(&mut self, title: &str, wanted: fn(&str) -> bool, work: impl Future<Output = ()>) {
        self.database.take_statements();
        work.await;
        self.text.extend(["\n-- ", title, "\n"]);
        let mut seen = std::collections::HashSet::new();
        for statement in self.database.take_statements() {
            let statement = normal(&statement);
            let is_of_tables = statement.contains('\n') && wanted(&statement);
            if is_of_tables && !is_of_the_health_check(&statement) && seen.insert(statement.clone()) {
                self.text.extend([&statement, ";\n"]);
            }
        }
    }

    /// Compares what was recorded with the file of a slice.
    pub(super) fn check(self, slice: &str) {
        self.check_file(slice, "calls");
    }

    /// The same, with another file of the slice.
    pub(super) fn check_file(self, slice: &str, name: &str) {
        let stale = stale(&[(path(slice, name), self.text)]);
        assert!(stale.is_empty(), "{}", said_of(&stale));
    }
}

/// Whether a statement sets the time limit of a session, which depends on who had the connection before.
fn sets_the_session(statement: &str) -> bool {
    ["set statement_timeout", "reset statement_timeout"].iter().any(|setting| statement.starts_with(setting))
}

/// Whether a statement is one that health waits for: it is sent at any time, or once when the service starts.
fn is_of_the_health_check(statement: &str) -> bool {
    statement == "select 1"
        || statement.contains("from pg_description as d")
        || statement.contains("from pg_catalog.pg_attribute as a")
}

/// A statement without what differs between runs: the values in its text.
fn normal(statement: &str) -> String {
    let mut normal = String::new();
    let mut rest = statement;
    while let Some((before, behind)) = rest.split_once('\'') {
        let (value, after) = behind.split_once('\'').unwrap_or((behind, ""));
        let is_value = ["prd_", "ord_", "tag_", "tgr_", "mda_", "mdc_"].iter().any(|prefix| value.starts_with(prefix));
        let value = if is_value { "…" } else { value };
        normal.extend([before, "'", value, "'"]);
        rest = after;
    }
    normal += rest;
    without_times(&normal)
}

/// Timeouts follow from what is left of a call's deadline.
fn without_times(statement: &str) -> String {
    let mut pieces = statement.split("_timeout = ");
    let mut normal = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        normal.extend(["_timeout = …", piece.trim_start_matches(|c: char| c.is_ascii_digit())]);
    }
    normal
}

fn path(slice: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../services/{slice}/sql/{name}.sql"))
}

pub(super) const MODES: [(WriteMode, &str); 4] = [
    (WriteMode::Create, "CREATE"),
    (WriteMode::Update, "UPDATE"),
    (WriteMode::Upsert, "UPSERT"),
    (WriteMode::Delete, "DELETE"),
];

pub(super) fn start(mode: WriteMode, name: &str) -> WriteStart {
    WriteStart {
        mode: mode.into(),
        write_id: name.to_owned(),
        on_row_error: RowErrorPolicy::Skip.into(),
        ..WriteStart::default()
    }
}

#[tokio::test]
async fn calls_of_the_catalog_run_what_is_written_down() {
    let mut recorder = Recorder::new("CatalogService").await;
    let server = CatalogServer::start(&recorder.database).await;
    let client = || server.client();
    let create = |uid: &str| catalog::CreateProductRequest { product: Some(product(uid)), ..Default::default() };
    recorder.call("CreateProduct", client().create_product(create("prd_1"))).await;
    let request = catalog::CreateProductRequest { request_id: "first".to_owned(), ..create("prd_2") };
    recorder.call("CreateProduct with request_id", client().create_product(request)).await;
    let get = || catalog::GetProductRequest { uid: "prd_1".to_owned(), ..Default::default() };
    recorder.call("GetProduct", client().get_product(get())).await;
    let uids = vec!["prd_1".to_owned(), "prd_2".to_owned()];
    let request = catalog::BatchGetProductsRequest { uids, ..Default::default() };
    recorder.call("BatchGetProducts", client().batch_get_products(request)).await;
    let renamed = |name: &str| catalog::UpdateProductRequest {
        product: Some(catalog::Product { name: name.to_owned(), etag: String::new(), ..product("prd_1") }),
        update_mask: Some(mask(&["name"])),
        ..Default::default()
    };
    recorder.call("UpdateProduct", client().update_product(renamed("another"))).await;
    recorder.call("UpdateProduct that changes nothing", client().update_product(renamed("another"))).await;
    let etag = client().get_product(get()).await.unwrap().into_inner().etag;
    let mut request = renamed("a third");
    request.product.as_mut().unwrap().etag = etag;
    recorder.call("UpdateProduct with etag", client().update_product(request)).await;
    let request = catalog::ListProductsRequest { page_size: 1, ..Default::default() };
    let list = client().list_products(request.clone()).await.unwrap().into_inner();
    recorder.call("ListProducts", client().list_products(request.clone())).await;
    let request = catalog::ListProductsRequest { page_token: list.next_page_token, ..request };
    recorder.call("ListProducts, next page", client().list_products(request)).await;
    for order_by in ["name", "create_ts desc"] {
        let request = catalog::ListProductsRequest { order_by: order_by.to_owned(), ..Default::default() };
        recorder.call(&format!("ListProducts by {order_by}"), client().list_products(request)).await;
    }
    recorder.stream("StreamProducts", client().stream_products(catalog::StreamProductsRequest::default())).await;
    let check = |uid: &str| catalog::CheckProductsRequest { uids: vec![uid.to_owned()] };
    let requests = tokio_stream::iter([check("prd_1")]);
    recorder.stream("CheckProducts", client().check_products(requests)).await;
    for (mode, name) in MODES {
        let rows = ["prd_1", "prd_8", "prd_9"].map(|uid| written_product(uid, mode));
        let title = format!("WriteProducts, WRITE_MODE_{name}");
        recorder.write(&title, write(server.channel(), PRODUCTS, start(mode, name), &rows)).await;
        let rows = [metric("prd_1", "stock", "7", 10), metric("prd_2", "stock", "8", 10)];
        let title = format!("WriteProductMetrics, WRITE_MODE_{name}");
        recorder.write(&title, write(server.channel(), METRICS, start(mode, name), &rows)).await;
    }
    let rows = ["prd_1", "prd_2"].map(|uid| written_product(uid, WriteMode::Upsert));
    recorder
        .write("WriteProducts without write_id", write(server.channel(), PRODUCTS, WriteStart::default(), &rows))
        .await;
    for (title, name) in [("of an exact name", "WRITE_MODE_UPSERT"), ("of another name", "Mug")] {
        let request = catalog::ResolveProductsRequest { names: vec![name.to_owned()], ..Default::default() };
        recorder.call(&format!("ResolveProducts {title}"), client().resolve_products(request)).await;
    }
    let request = catalog::GetProductMetricsRequest { product_uid: "prd_2".to_owned(), ..Default::default() };
    recorder.call("GetProductMetrics", client().get_product_metrics(request)).await;
    let request = catalog::StreamProductMetricsRequest::default();
    recorder.stream("StreamProductMetrics", client().stream_product_metrics(request)).await;
    let request = catalog::DeleteProductRequest { uid: "prd_2".to_owned(), ..Default::default() };
    recorder.call("DeleteProduct", client().delete_product(request)).await;
    recorder.check("catalog");
}

fn written_product(uid: &str, mode: WriteMode) -> catalog::Product {
    match mode {
        // Only the key.
        WriteMode::Delete => catalog::Product { uid: uid.to_owned(), ..Default::default() },
        mode => catalog::Product { name: mode.as_str_name().to_owned(), ..product(uid) },
    }
}

fn written_order(uid: &str, mode: WriteMode) -> orders::Order {
    match mode {
        WriteMode::Delete => orders::Order { uid: uid.to_owned(), ..Default::default() },
        mode => orders::Order { customer_id: mode.as_str_name().to_owned(), ..order(uid) },
    }
}

#[tokio::test]
async fn calls_of_the_orders_run_what_is_written_down() {
    let mut recorder = Recorder::new("OrdersService").await;
    let server = OrdersServer::start(&recorder.database).await;
    let client = || server.client();
    let create = |uid: &str| orders::CreateOrderRequest { order: Some(order(uid)), ..Default::default() };
    recorder.call("CreateOrder", client().create_order(create("ord_1"))).await;
    let request = orders::CreateOrderRequest { request_id: "first".to_owned(), ..create("ord_2") };
    recorder.call("CreateOrder with request_id", client().create_order(request)).await;
    for (view, name) in [(orders::OrderView::Full, "FULL"), (orders::OrderView::Basic, "BASIC")] {
        let request = orders::GetOrderRequest { uid: "ord_1".to_owned(), view: view.into(), ..Default::default() };
        recorder.call(&format!("GetOrder, ORDER_VIEW_{name}"), client().get_order(request)).await;
    }
    let uids = vec!["ord_1".to_owned(), "ord_2".to_owned()];
    let request = orders::BatchGetOrdersRequest { uids, ..Default::default() };
    recorder.call("BatchGetOrders", client().batch_get_orders(request)).await;
    let changed = |change: fn(&mut orders::Order), paths: &[&str]| {
        let mut order = order("ord_1");
        change(&mut order);
        orders::UpdateOrderRequest { order: Some(order), update_mask: Some(mask(paths)), ..Default::default() }
    };
    let request = changed(|order| "17851".clone_into(&mut order.customer_id), &["customer_id"]);
    recorder.call("UpdateOrder of a field", client().update_order(request)).await;
    let request = changed(|order| order.line_items.push(line("85123B", 1, "2")), &["line_items"]);
    recorder.call("UpdateOrder of the lines", client().update_order(request)).await;
    let request = orders::ListOrdersRequest { page_size: 1, ..Default::default() };
    let list = client().list_orders(request.clone()).await.unwrap().into_inner();
    recorder.call("ListOrders", client().list_orders(request.clone())).await;
    let request = orders::ListOrdersRequest { page_token: list.next_page_token, ..request };
    recorder.call("ListOrders, next page", client().list_orders(request)).await;
    let request = orders::ListOrdersRequest { order_by: "provision_timer_ts".to_owned(), ..Default::default() };
    recorder.call("ListOrders by provision_timer_ts", client().list_orders(request)).await;
    let request = orders::StreamOrdersRequest { view: orders::OrderView::Full.into(), ..Default::default() };
    recorder.stream("StreamOrders, ORDER_VIEW_FULL", client().stream_orders(request)).await;
    let request = orders::CheckOrdersRequest { uids: vec!["ord_1".to_owned()] };
    recorder.stream("CheckOrders", client().check_orders(tokio_stream::iter([request]))).await;
    let transition = |to: &str| orders::TransitionOrderRequest {
        uid: "ord_1".to_owned(),
        to_phase: to.to_owned(),
        ..Default::default()
    };
    recorder.call("TransitionOrder", client().transition_order(transition("confirmed"))).await;
    let request = orders::TransitionOrderRequest { request_id: "second".to_owned(), ..transition("provisioning") };
    recorder.call("TransitionOrder with request_id", client().transition_order(request)).await;
    let request = orders::SetProvisionTimerRequest {
        uid: "ord_1".to_owned(),
        provision_timer_ts: Some(timestamp(1_000)),
        ..Default::default()
    };
    recorder.call("SetProvisionTimer", client().set_provision_timer(request.clone())).await;
    let claim = || orders::ClaimDueOrdersRequest {
        lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    recorder.call("ClaimDueOrders, the first", client().claim_due_orders(claim())).await;
    client().set_provision_timer(request.clone()).await.unwrap();
    recorder.call("ClaimDueOrders", client().claim_due_orders(claim())).await;
    client().set_provision_timer(request).await.unwrap();
    let named = || orders::ClaimDueOrdersRequest { request_id: "third".to_owned(), ..claim() };
    recorder.call("ClaimDueOrders with request_id", client().claim_due_orders(named())).await;
    recorder.call("ClaimDueOrders, repeated", client().claim_due_orders(named())).await;
    for (mode, name) in MODES {
        let rows = ["ord_1", "ord_8", "ord_9"].map(|uid| written_order(uid, mode));
        let title = format!("WriteOrders, WRITE_MODE_{name}");
        recorder.write(&title, write(server.channel(), ORDERS, start(mode, name), &rows)).await;
    }
    for (criterion, name) in [
        (Criterion::Text("17850".to_owned()), "text"),
        (Criterion::CustomerId("17850".to_owned()), "customer_id"),
        (Criterion::Sku("85123A".to_owned()), "sku"),
    ] {
        let request = orders::LookupOrdersRequest { criterion: Some(criterion), ..Default::default() };
        recorder.call(&format!("LookupOrders by {name}"), client().lookup_orders(request)).await;
    }
    let request = orders::StreamLineItemsRequest::default();
    recorder.stream("StreamLineItems", client().stream_line_items(request)).await;
    let request = orders::StreamProductSalesRequest {
        day_from: "2026-01-01".to_owned(),
        day_to: "2026-01-31".to_owned(),
        ..Default::default()
    };
    recorder.stream("StreamProductSales", client().stream_product_sales(request.clone())).await;
    let request = orders::StreamProductSalesRequest { recent_days: vec![7, 30], ..request };
    recorder.stream("StreamProductSales with recent_days", client().stream_product_sales(request)).await;
    let request = orders::DeleteOrderRequest { uid: "ord_2".to_owned(), ..Default::default() };
    recorder.call("DeleteOrder", client().delete_order(request)).await;
    recorder.check("orders");
}
