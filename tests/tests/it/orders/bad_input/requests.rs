//! Every field of every request breaks its rule.

use std::collections::BTreeSet;

use bytes::Bytes;
use orrery_proto::orders::v1::lookup_orders_request::{Annotation, By};
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest,
    GetOrderRequest, LineItemFilter, ListOrdersRequest, LookupOrdersRequest, Order, OrderFilter,
    SetProvisionTimerRequest, StreamLineItemsRequest, StreamOrdersRequest, StreamProductSalesRequest,
    TransitionOrderRequest, UpdateOrderRequest,
};
use orrery_proto::r#type::v1::{TimeRange, WriteStart};
use orrery_proto::wire::{WriteChunk, WriteMessage, WriteRequest};
use prost::Message;
use prost_types::{Duration, FieldMask};

use super::{field_of, whole};
use crate::harness::contract::Contract;
use crate::harness::raw::{call, methods};
use crate::harness::{assert_invalid, timestamp, values};
use crate::orders::fixture::{Fixture, bare};
use crate::writes::stream::mask;

/// Fields whatever may stand in, or whose rules are those of an order, by the method's name and their path.
const WITHOUT_RULE: &[&str] = &[
    "UpdateOrder allow_missing",
    "DeleteOrder allow_missing",
    // Compared with the stored one, whatever it is.
    "DeleteOrder etag",
    "WriteOrders start.validate_only",
];

/// Calls that are refused.
#[derive(Default)]
struct Cases(Vec<(&'static str, Vec<Bytes>, String)>);

impl Cases {
    fn add(&mut self, method: &'static str, field: impl Into<String>, request: &impl Message) {
        self.0.push((method, vec![request.encode_to_vec().into()], field.into()));
    }

    fn add_write(&mut self, field: impl Into<String>, messages: impl IntoIterator<Item = WriteMessage>) {
        let messages =
            messages.into_iter().map(|message| WriteRequest { message: Some(message) }.encode_to_vec().into());
        self.0.push(("WriteOrders", messages.collect(), field.into()));
    }
}

/// Masks that name no field of an order, or a part of what has none.
fn broken_masks() -> Vec<FieldMask> {
    let mut masks: Vec<FieldMask> = [
        "nope",
        "",
        ".",
        "uid.",
        "uid.x",
        "revision.x",
        "etag.x",
        "labels.",
        "annotations.",
        "status.nope",
        "status.details.",
        "status.details.phase",
        "line_items.sku",
        "line_items.",
        "line_items[0]",
        "line_items.0",
        "addresses.city",
        "summary.nope",
        "summary.order_uid",
        "summary.",
        "lineItems",
        "customerId",
        "Summary",
        "uid,labels",
        " uid",
        "uid\0",
        "*.*",
    ]
    .map(|path| mask(&[path]))
    .into();
    masks.extend([mask(&["uid", "nope"]), mask(&["uid", "*"]), mask(&vec!["labels.a"; 257])]);
    masks
}

/// Masks that name what a write cannot change.
fn forbidden_masks() -> Vec<FieldMask> {
    let fixed = [
        "uid",
        "revision",
        "create_ts",
        "update_ts",
        "etag",
        "summary.total",
        "summary.line_count",
        "summary.quantity",
        "summary.subtotal",
        "summary.discount",
        "summary.tax",
    ];
    fixed.map(|path| mask(&[path])).into_iter().chain([mask(&["customer_id", "summary.total"])]).collect()
}

/// Ranges of time that are none, and the part that is wrong.
fn broken_ranges() -> Vec<(TimeRange, &'static str)> {
    let mut ranges = vec![(TimeRange { start: Some(timestamp(2)), end: Some(timestamp(1)) }, "end")];
    for time in values::broken_times() {
        ranges.push((TimeRange { start: Some(time), end: None }, "start"));
        ranges.push((TimeRange { start: None, end: Some(time) }, "end"));
    }
    ranges
}

const BROKEN_SELECTORS: [&str; 6] = ["a in (", "a=b=c", "a,,b", "-a", "a\0", "(a)"];

/// Lists that are too long, or hold what no list of phases or names may hold.
fn broken_names() -> Vec<Vec<String>> {
    let one = |text: &str| vec!["a".to_owned(), text.to_owned()];
    vec![vec!["a".to_owned(); 65], one(""), one("\0"), one(&"x".repeat(257))]
}

/// Lists of uids, and the place that is wrong.
fn broken_uid_lists(prefix: &str, most: usize) -> Vec<(Vec<String>, &'static str)> {
    let good = format!("{prefix}a");
    let mut lists = vec![(vec![good.clone(); most + 1], "")];
    lists.extend(values::broken_uids(prefix).into_iter().map(|uid| (vec![good.clone(), uid], "[1]")));
    lists.push((vec![good, String::new()], "[1]"));
    lists
}

fn all() -> Vec<(&'static str, Vec<Bytes>, String)> {
    let mut cases = Cases::default();
    single_reads(&mut cases);
    filters(&mut cases);
    paging(&mut cases);
    single_writes(&mut cases);
    chunked_writes(&mut cases);
    lifecycle(&mut cases);
    lookups(&mut cases);
    lines(&mut cases);
    sales(&mut cases);
    cases.0
}

fn single_reads(cases: &mut Cases) {
    let uid = || "ord_a".to_owned();
    for uid in values::broken_uids("ord_").into_iter().chain([String::new()]) {
        cases.add("GetOrder", "uid", &GetOrderRequest { uid, ..GetOrderRequest::default() });
    }
    for read_mask in broken_masks().into_iter().map(Some) {
        let get = GetOrderRequest { uid: uid(), read_mask: read_mask.clone(), ..GetOrderRequest::default() };
        cases.add("GetOrder", "read_mask", &get);
        let batch = BatchGetOrdersRequest { uids: vec![uid()], read_mask, ..BatchGetOrdersRequest::default() };
        cases.add("BatchGetOrders", "read_mask", &batch);
    }
    for view in [3, -1, i32::MAX] {
        cases.add("GetOrder", "view", &GetOrderRequest { uid: uid(), view, ..GetOrderRequest::default() });
        let batch = BatchGetOrdersRequest { uids: vec![uid()], view, ..BatchGetOrdersRequest::default() };
        cases.add("BatchGetOrders", "view", &batch);
    }
    for (uids, place) in broken_uid_lists("ord_", 1_000).into_iter().chain([(vec![], "")]) {
        let batch = BatchGetOrdersRequest { uids, ..BatchGetOrdersRequest::default() };
        cases.add("BatchGetOrders", format!("uids{place}"), &batch);
    }
    for (uids, place) in broken_uid_lists("ord_", 10_000).into_iter().chain([(vec![], "")]) {
        cases.add("CheckOrders", format!("uids{place}"), &CheckOrdersRequest { uids });
    }
}

fn filters(cases: &mut Cases) {
    let mut filters: Vec<(String, OrderFilter)> = Vec::new();
    let none = OrderFilter::default;
    for selector in BROKEN_SELECTORS {
        filters.push(("label_selector".to_owned(), OrderFilter { label_selector: selector.to_owned(), ..none() }));
    }
    for phases in broken_names() {
        filters.push(("phases".to_owned(), OrderFilter { phases, ..none() }));
    }
    for (uids, place) in broken_uid_lists("ord_", 1_000) {
        filters.push((format!("uids{place}"), OrderFilter { uids, ..none() }));
    }
    for (range, part) in broken_ranges() {
        filters.push((format!("created.{part}"), OrderFilter { created: Some(range), ..none() }));
        filters.push((format!("updated.{part}"), OrderFilter { updated: Some(range), ..none() }));
        filters.push((format!("provision_timer.{part}"), OrderFilter { provision_timer: Some(range), ..none() }));
    }
    for customer_id in ["x".repeat(257), "\0".to_owned()] {
        filters.push(("customer_id".to_owned(), OrderFilter { customer_id, ..none() }));
    }
    for code in ["gbp", "GB", "GBPX", "ÄB", "\0\0\0"] {
        filters.push(("currency_code".to_owned(), OrderFilter { currency_code: code.to_owned(), ..none() }));
    }
    for product_uid in values::broken_uids("prd_") {
        filters.push(("product_uid".to_owned(), OrderFilter { product_uid, ..none() }));
    }
    for (field, filter) in filters {
        let field = format!("filter.{field}");
        let list = ListOrdersRequest { filter: Some(filter.clone()), ..ListOrdersRequest::default() };
        cases.add("ListOrders", field.clone(), &list);
        cases.add(
            "StreamOrders",
            field,
            &StreamOrdersRequest { filter: Some(filter), ..StreamOrdersRequest::default() },
        );
    }
}

fn paging(cases: &mut Cases) {
    for page_size in [-1, i32::MIN] {
        cases.add("ListOrders", "page_size", &ListOrdersRequest { page_size, ..ListOrdersRequest::default() });
        cases.add("StreamOrders", "page_size", &StreamOrdersRequest { page_size, ..StreamOrdersRequest::default() });
        cases.add(
            "StreamLineItems",
            "page_size",
            &StreamLineItemsRequest { page_size, ..StreamLineItemsRequest::default() },
        );
        cases.add("StreamProductSales", "page_size", &StreamProductSalesRequest { page_size, ..day("2011-06-09") });
        cases.add("LookupOrders", "page_size", &LookupOrdersRequest { page_size, ..by(By::Sku("a".to_owned())) });
    }
    for view in [3, -1] {
        cases.add("ListOrders", "view", &ListOrdersRequest { view, ..ListOrdersRequest::default() });
        cases.add("StreamOrders", "view", &StreamOrdersRequest { view, ..StreamOrdersRequest::default() });
        cases.add("LookupOrders", "view", &LookupOrdersRequest { view, ..by(By::Sku("a".to_owned())) });
    }
    for read_mask in broken_masks().into_iter().map(Some) {
        let list = ListOrdersRequest { read_mask: read_mask.clone(), ..ListOrdersRequest::default() };
        cases.add("ListOrders", "read_mask", &list);
        let stream = StreamOrdersRequest { read_mask: read_mask.clone(), ..StreamOrdersRequest::default() };
        cases.add("StreamOrders", "read_mask", &stream);
        cases.add("LookupOrders", "read_mask", &LookupOrdersRequest { read_mask, ..by(By::Sku("a".to_owned())) });
    }
    for order_by in
        ["nope", "customer_id", "uid sideways", "uid,", ",", "uid asc desc", "create_ts, uid", "uid\0", "*", "UID"]
    {
        let list = ListOrdersRequest { order_by: order_by.to_owned(), ..ListOrdersRequest::default() };
        cases.add("ListOrders", "order_by", &list);
    }
}

fn single_writes(cases: &mut Cases) {
    let order = || Some(bare("new"));
    cases.add("CreateOrder", "order", &CreateOrderRequest::default());
    for request_id in ["with space", "a\0", "é", "line\n", &"x".repeat(129)] {
        let create =
            CreateOrderRequest { order: order(), request_id: request_id.to_owned(), ..CreateOrderRequest::default() };
        cases.add("CreateOrder", "request_id", &create);
    }
    let set = Order { etag: "x".to_owned(), ..bare("new") };
    cases.add("CreateOrder", "order.etag", &CreateOrderRequest { order: Some(set), ..CreateOrderRequest::default() });
    let set = Order { revision: 1, ..bare("new") };
    cases.add(
        "CreateOrder",
        "order.revision",
        &CreateOrderRequest { order: Some(set), ..CreateOrderRequest::default() },
    );
    cases.add("UpdateOrder", "order", &UpdateOrderRequest::default());
    let unnamed = Order { uid: String::new(), ..bare("a") };
    cases.add(
        "UpdateOrder",
        "order.uid",
        &UpdateOrderRequest { order: Some(unnamed), ..UpdateOrderRequest::default() },
    );
    for reference_check in [3, -1, i32::MAX] {
        let create = CreateOrderRequest { order: order(), reference_check, ..CreateOrderRequest::default() };
        cases.add("CreateOrder", "reference_check", &create);
        let update = UpdateOrderRequest { order: Some(bare("a")), reference_check, ..UpdateOrderRequest::default() };
        cases.add("UpdateOrder", "reference_check", &update);
    }
    for update_mask in broken_masks().into_iter().chain(forbidden_masks()).map(Some) {
        for allow_missing in [false, true] {
            let update_mask = update_mask.clone();
            let update = UpdateOrderRequest {
                order: Some(whole("a")),
                update_mask,
                allow_missing,
                ..UpdateOrderRequest::default()
            };
            cases.add("UpdateOrder", "update_mask", &update);
        }
    }
    for uid in values::broken_uids("ord_").into_iter().chain([String::new()]) {
        cases.add("DeleteOrder", "uid", &DeleteOrderRequest { uid, ..DeleteOrderRequest::default() });
    }
    for revision in [-1, i32::MIN] {
        let delete = DeleteOrderRequest { uid: "ord_a".to_owned(), revision, ..DeleteOrderRequest::default() };
        cases.add("DeleteOrder", "revision", &delete);
    }
}

fn chunked_writes(cases: &mut Cases) {
    let none = WriteStart::default;
    let mut starts = Vec::new();
    for value in [4, -1, i32::MAX] {
        starts.push(("start.mode", WriteStart { mode: value, ..none() }));
        starts.push(("start.on_row_error", WriteStart { on_row_error: value, ..none() }));
        starts.push(("start.reference_check", WriteStart { reference_check: value, ..none() }));
    }
    for write_id in ["with space", "a\0", "é", "line\n", &"x".repeat(129)] {
        starts.push(("start.write_id", WriteStart { write_id: write_id.to_owned(), ..none() }));
    }
    for update_mask in broken_masks().into_iter().chain(forbidden_masks()).map(Some) {
        starts.push(("start.update_mask", WriteStart { update_mask, ..none() }));
    }
    for (field, start) in starts {
        cases.add_write(field, [WriteMessage::Start(start)]);
    }
    let row = || Bytes::from(whole("a").encode_to_vec());
    let chunk = |offset, rows| WriteMessage::Chunk(WriteChunk { offset, rows });
    let start = || WriteMessage::Start(none());
    cases.add_write("start", []);
    cases.add_write("start", [chunk(0, vec![row()])]);
    cases.add_write("start", [start(), start()]);
    cases.add_write("chunk.orders", [start(), chunk(0, vec![])]);
    cases.add_write("chunk.orders", [start(), chunk(0, vec![Bytes::new(); 100_001])]);
    cases.add_write("chunk.offset", [start(), chunk(-1, vec![row()])]);
    cases.add_write("chunk.offset", [start(), chunk(i64::MAX, vec![row()])]);
}

fn lifecycle(cases: &mut Cases) {
    let uid = || "ord_a".to_owned();
    let transition =
        || TransitionOrderRequest { uid: uid(), to_phase: "confirmed".to_owned(), ..TransitionOrderRequest::default() };
    for uid in values::broken_uids("ord_").into_iter().chain([String::new()]) {
        cases.add("TransitionOrder", "uid", &TransitionOrderRequest { uid: uid.clone(), ..transition() });
        cases.add("SetProvisionTimer", "uid", &SetProvisionTimerRequest { uid, ..SetProvisionTimerRequest::default() });
    }
    for to_phase in ["", "shipped", "Confirmed", "confirmed ", "\0", &"x".repeat(100_000)] {
        cases.add(
            "TransitionOrder",
            "to_phase",
            &TransitionOrderRequest { to_phase: to_phase.to_owned(), ..transition() },
        );
    }
    for reason in ["x".repeat(1_025), "a\0b".to_owned()] {
        cases.add("TransitionOrder", "reason", &TransitionOrderRequest { reason, ..transition() });
    }
    for revision in [-1, i32::MIN] {
        cases.add("TransitionOrder", "revision", &TransitionOrderRequest { revision, ..transition() });
        let timer = SetProvisionTimerRequest { uid: uid(), revision, ..SetProvisionTimerRequest::default() };
        cases.add("SetProvisionTimer", "revision", &timer);
    }
    for time in values::broken_times() {
        let timer = SetProvisionTimerRequest { uid: uid(), provision_timer_ts: Some(time), revision: 0 };
        cases.add("SetProvisionTimer", "provision_timer_ts", &timer);
    }
    let claim = || ClaimDueOrdersRequest {
        lease: Some(Duration { seconds: 60, nanos: 0 }),
        ..ClaimDueOrdersRequest::default()
    };
    for limit in [-1, i32::MIN] {
        cases.add("ClaimDueOrders", "limit", &ClaimDueOrdersRequest { limit, ..claim() });
    }
    cases.add("ClaimDueOrders", "lease", &ClaimDueOrdersRequest { lease: None, ..claim() });
    let leases = [
        (0, 0),
        (0, 999_999_999),
        (-1, 0),
        (0, -1),
        (-1, -1),
        (1, -1),
        (86_400, 1),
        (86_401, 0),
        (60, 1_000_000_000),
        (i64::MAX, 0),
        (i64::MIN, i32::MIN),
    ];
    for (seconds, nanos) in leases {
        cases.add(
            "ClaimDueOrders",
            "lease",
            &ClaimDueOrdersRequest { lease: Some(Duration { seconds, nanos }), ..claim() },
        );
    }
    for view in [3, -1] {
        cases.add("ClaimDueOrders", "view", &ClaimDueOrdersRequest { view, ..claim() });
    }
    for read_mask in broken_masks().into_iter().map(Some) {
        cases.add("ClaimDueOrders", "read_mask", &ClaimDueOrdersRequest { read_mask, ..claim() });
    }
}

fn by(by: By) -> LookupOrdersRequest {
    LookupOrdersRequest { by: Some(by), ..LookupOrdersRequest::default() }
}

fn lookups(cases: &mut Cases) {
    cases.add("LookupOrders", "by", &LookupOrdersRequest::default());
    for text in ["", "\0", &"x".repeat(1_025)].map(str::to_owned) {
        cases.add("LookupOrders", "text", &by(By::Text(text)));
    }
    for text in ["", "\0", &"x".repeat(257)].map(str::to_owned) {
        cases.add("LookupOrders", "customer_id", &by(By::CustomerId(text.clone())));
        cases.add("LookupOrders", "sku", &by(By::Sku(text)));
    }
    for text in ["", "\0", &"x".repeat(1_025)].map(str::to_owned) {
        let good = || "a".to_owned();
        let key = Annotation { key: text.clone(), value: good() };
        cases.add("LookupOrders", "annotation.key", &by(By::Annotation(key)));
        cases.add("LookupOrders", "annotation.value", &by(By::Annotation(Annotation { key: good(), value: text })));
    }
    for prefix in values::broken_uids("ord_").into_iter().chain([String::new()]) {
        cases.add("LookupOrders", "uid_prefix", &by(By::UidPrefix(prefix)));
    }
}

fn lines(cases: &mut Cases) {
    let none = LineItemFilter::default;
    let mut filters: Vec<(String, LineItemFilter)> = Vec::new();
    for (order_uids, place) in broken_uid_lists("ord_", 1_000) {
        filters.push((format!("order_uids{place}"), LineItemFilter { order_uids, ..none() }));
    }
    for (product_uids, place) in broken_uid_lists("prd_", 1_000) {
        filters.push((format!("product_uids{place}"), LineItemFilter { product_uids, ..none() }));
    }
    for names in broken_names() {
        filters.push(("skus".to_owned(), LineItemFilter { skus: names.clone(), ..none() }));
        filters.push(("phases".to_owned(), LineItemFilter { phases: names, ..none() }));
    }
    for selector in BROKEN_SELECTORS {
        filters.push(("label_selector".to_owned(), LineItemFilter { label_selector: selector.to_owned(), ..none() }));
    }
    for (range, part) in broken_ranges() {
        filters.push((format!("created.{part}"), LineItemFilter { created: Some(range), ..none() }));
        filters.push((format!("updated.{part}"), LineItemFilter { updated: Some(range), ..none() }));
    }
    for (field, filter) in filters {
        let stream = StreamLineItemsRequest { filter: Some(filter), ..StreamLineItemsRequest::default() };
        cases.add("StreamLineItems", format!("filter.{field}"), &stream);
    }
    for path in ["nope", "", "customer_id", "labels.", "sku.x", "line_items", "order_uid.x"] {
        let stream = StreamLineItemsRequest { read_mask: Some(mask(&[path])), ..StreamLineItemsRequest::default() };
        cases.add("StreamLineItems", "read_mask", &stream);
    }
}

fn day(day: &str) -> StreamProductSalesRequest {
    StreamProductSalesRequest {
        day_from: day.to_owned(),
        day_to: day.to_owned(),
        ..StreamProductSalesRequest::default()
    }
}

fn sales(cases: &mut Cases) {
    let good = || day("2011-06-09");
    let days = [
        "",
        "2011-6-9",
        "2011-06-31",
        "2011-13-01",
        "0000-01-01",
        "10000-01-01",
        "-2011-06-09",
        " 2011-06-09",
        "2011-06-09T00:00:00Z",
        "09.06.2011",
        "today",
        "infinity",
        "\0",
    ];
    for text in days.map(str::to_owned) {
        cases.add("StreamProductSales", "day_from", &StreamProductSalesRequest { day_from: text.clone(), ..good() });
        cases.add("StreamProductSales", "day_to", &StreamProductSalesRequest { day_to: text, ..good() });
    }
    for text in ["2011-06-08", "2021-06-17"].map(str::to_owned) {
        cases.add("StreamProductSales", "day_to", &StreamProductSalesRequest { day_to: text, ..good() });
    }
    for zone in
        ["Europe/Nowhere", "europe/london2", "\0", "+01", "01:00", "'; select 1", "Europe/London\n", &"x".repeat(65)]
    {
        let sales = StreamProductSalesRequest { time_zone: zone.to_owned(), ..good() };
        cases.add("StreamProductSales", "time_zone", &sales);
    }
    for phases in broken_names() {
        cases.add("StreamProductSales", "phases", &StreamProductSalesRequest { phases, ..good() });
    }
}

/// The fields that the requests of the service have, by the method's name and their path. An order's own are another test's.
fn known() -> BTreeSet<String> {
    let contract = Contract::new();
    let mut known = BTreeSet::new();
    for method in methods(orrery_orders::SERVICE_NAMES[0]) {
        for path in contract.paths(&method.input) {
            if !path.starts_with("order.") && !path.starts_with("chunk.orders.") {
                known.insert(format!("{} {path}", method.name));
            }
        }
    }
    known
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_refused_by_its_field() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole("a")]).await;
    let before = fixture.versions().await;
    let cases = all();
    // Tokens have a test of their own.
    let is_token = |path: &str| path.ends_with("_token");
    let reached: BTreeSet<String> =
        cases.iter().map(|(method, _, field)| format!("{method} {}", field_of(field))).collect();
    let left_out: BTreeSet<String> =
        known().into_iter().filter(|path| !reached.contains(path) && !is_token(path)).collect();
    assert_eq!(left_out, WITHOUT_RULE.iter().map(|&path| path.to_owned()).collect());

    for (method, messages, field) in cases {
        let path = format!("/{}/{method}", orrery_orders::SERVICE_NAMES[0]);
        let ends = messages.iter().map(|message| message.slice(message.len().saturating_sub(60)..));
        println!("{method} {field}: ...{:?}", ends.collect::<Vec<_>>());
        assert_invalid(call(&fixture.server.channel(), &path, messages).await, "FIELD_INVALID", &field);
    }
    assert_eq!(fixture.versions().await, before);
    assert_eq!(fixture.count("orders.write_session").await, 0);
}
