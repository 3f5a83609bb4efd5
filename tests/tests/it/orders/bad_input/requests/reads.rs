//! Requests that read.

use orrery_proto::orders::v1::lookup_orders_request::{Annotation, Criterion};
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, GetOrderRequest, LineItemFilter, ListOrdersRequest, LookupOrdersRequest,
    OrderFilter, StreamLineItemsRequest, StreamOrdersRequest, StreamProductSalesRequest,
};
use orrery_proto::r#type::v1::TimeRange;

use super::{Cases, invalid_masks, invalid_uid_lists};
use crate::harness::{timestamp, values};
use crate::writes::stream::mask;

/// Invalid time ranges, and the invalid part.
fn invalid_ranges() -> Vec<(TimeRange, &'static str)> {
    let mut ranges = vec![(TimeRange { start: Some(timestamp(2)), end: Some(timestamp(1)) }, "end")];
    for time in values::invalid_times() {
        ranges.push((TimeRange { start: Some(time), end: None }, "start"));
        ranges.push((TimeRange { start: None, end: Some(time) }, "end"));
    }
    ranges
}

const BROKEN_SELECTORS: [&str; 6] = ["a in (", "a=b=c", "a,,b", "-a", "a\0", "(a)"];

/// Lists that are too long, or contain invalid phases or names.
fn invalid_names() -> Vec<Vec<String>> {
    let one = |text: &str| vec!["a".to_owned(), text.to_owned()];
    vec![vec!["a".to_owned(); 65], one(""), one("\0"), one(&"x".repeat(257))]
}

pub(super) fn single_reads(cases: &mut Cases) {
    let uid = || "ord_a".to_owned();
    for uid in values::impossible_keys() {
        cases.add("GetOrder", "uid", &GetOrderRequest { uid, ..GetOrderRequest::default() });
    }
    for read_mask in invalid_masks().into_iter().map(Some) {
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
    for (uids, place) in invalid_uid_lists(1_000).into_iter().chain([(vec![], "")]) {
        let batch = BatchGetOrdersRequest { uids, ..BatchGetOrdersRequest::default() };
        cases.add("BatchGetOrders", format!("uids{place}"), &batch);
    }
    for (uids, place) in invalid_uid_lists(10_000).into_iter().chain([(vec![], "")]) {
        cases.add("CheckOrders", format!("uids{place}"), &CheckOrdersRequest { uids });
    }
}

pub(super) fn filters(cases: &mut Cases) {
    let mut filters: Vec<(String, OrderFilter)> = Vec::new();
    let none = OrderFilter::default;
    for selector in BROKEN_SELECTORS {
        filters.push(("label_selector".to_owned(), OrderFilter { label_selector: selector.to_owned(), ..none() }));
    }
    for phases in invalid_names() {
        filters.push(("phases".to_owned(), OrderFilter { phases, ..none() }));
    }
    for (uids, place) in invalid_uid_lists(1_000) {
        filters.push((format!("uids{place}"), OrderFilter { uids, ..none() }));
    }
    for (range, part) in invalid_ranges() {
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
    for product_uid in values::impossible_keys().into_iter().filter(|uid| !uid.is_empty()) {
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

pub(super) fn paging(cases: &mut Cases) {
    for page_size in [-1, i32::MIN] {
        cases.add("ListOrders", "page_size", &ListOrdersRequest { page_size, ..ListOrdersRequest::default() });
        cases.add("StreamOrders", "page_size", &StreamOrdersRequest { page_size, ..StreamOrdersRequest::default() });
        cases.add(
            "StreamLineItems",
            "page_size",
            &StreamLineItemsRequest { page_size, ..StreamLineItemsRequest::default() },
        );
        cases.add("StreamProductSales", "page_size", &StreamProductSalesRequest { page_size, ..day("2011-06-09") });
        cases.add(
            "LookupOrders",
            "page_size",
            &LookupOrdersRequest { page_size, ..by(Criterion::Sku("a".to_owned())) },
        );
    }
    for view in [3, -1] {
        cases.add("ListOrders", "view", &ListOrdersRequest { view, ..ListOrdersRequest::default() });
        cases.add("StreamOrders", "view", &StreamOrdersRequest { view, ..StreamOrdersRequest::default() });
        cases.add("LookupOrders", "view", &LookupOrdersRequest { view, ..by(Criterion::Sku("a".to_owned())) });
    }
    for read_mask in invalid_masks().into_iter().map(Some) {
        let list = ListOrdersRequest { read_mask: read_mask.clone(), ..ListOrdersRequest::default() };
        cases.add("ListOrders", "read_mask", &list);
        let stream = StreamOrdersRequest { read_mask: read_mask.clone(), ..StreamOrdersRequest::default() };
        cases.add("StreamOrders", "read_mask", &stream);
        cases.add(
            "LookupOrders",
            "read_mask",
            &LookupOrdersRequest { read_mask, ..by(Criterion::Sku("a".to_owned())) },
        );
    }
    for order_by in [
        "nope",
        "customer_id",
        "uid sideways",
        "uid,",
        ",",
        "uid asc desc",
        "uid, create_ts",
        "create_ts desc, uid",
        "uid\0",
        "*",
        "UID",
    ] {
        let list = ListOrdersRequest { order_by: order_by.to_owned(), ..ListOrdersRequest::default() };
        cases.add("ListOrders", "order_by", &list);
        let stream = StreamOrdersRequest { order_by: order_by.to_owned(), ..StreamOrdersRequest::default() };
        cases.add("StreamOrders", "order_by", &stream);
        let lines = StreamLineItemsRequest { order_by: order_by.to_owned(), ..StreamLineItemsRequest::default() };
        cases.add("StreamLineItems", "order_by", &lines);
    }
}

fn by(criterion: Criterion) -> LookupOrdersRequest {
    LookupOrdersRequest { criterion: Some(criterion), ..LookupOrdersRequest::default() }
}

pub(super) fn lookups(cases: &mut Cases) {
    cases.add("LookupOrders", "criterion", &LookupOrdersRequest::default());
    for text in ["", "\0", &"x".repeat(1_025)].map(str::to_owned) {
        cases.add("LookupOrders", "text", &by(Criterion::Text(text)));
    }
    for text in ["", "\0", &"x".repeat(257)].map(str::to_owned) {
        cases.add("LookupOrders", "customer_id", &by(Criterion::CustomerId(text.clone())));
        cases.add("LookupOrders", "sku", &by(Criterion::Sku(text)));
    }
    for text in ["", "\0", &"x".repeat(1_025)].map(str::to_owned) {
        let good = || "a".to_owned();
        let key = Annotation { key: text.clone(), value: good() };
        cases.add("LookupOrders", "annotation.key", &by(Criterion::Annotation(key)));
        cases.add(
            "LookupOrders",
            "annotation.value",
            &by(Criterion::Annotation(Annotation { key: good(), value: text })),
        );
    }
    // The common prefix of all uids is not accepted as a beginning.
    for prefix in ["", "o", "ord_", "ORD_", " ord_\n", "ord_a\0", &"x".repeat(1_025)].map(str::to_owned) {
        cases.add("LookupOrders", "uid_prefix", &by(Criterion::UidPrefix(prefix)));
    }
}

pub(super) fn lines(cases: &mut Cases) {
    let none = LineItemFilter::default;
    let mut filters: Vec<(String, LineItemFilter)> = Vec::new();
    for (order_uids, place) in invalid_uid_lists(1_000) {
        filters.push((format!("order_uids{place}"), LineItemFilter { order_uids, ..none() }));
    }
    for (product_uids, place) in invalid_uid_lists(1_000) {
        filters.push((format!("product_uids{place}"), LineItemFilter { product_uids, ..none() }));
    }
    for names in invalid_names() {
        filters.push(("skus".to_owned(), LineItemFilter { skus: names.clone(), ..none() }));
        filters.push(("phases".to_owned(), LineItemFilter { phases: names, ..none() }));
    }
    for selector in BROKEN_SELECTORS {
        filters.push(("label_selector".to_owned(), LineItemFilter { label_selector: selector.to_owned(), ..none() }));
    }
    for (range, part) in invalid_ranges() {
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

pub(super) fn sales(cases: &mut Cases) {
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
    for phases in invalid_names() {
        cases.add("StreamProductSales", "phases", &StreamProductSalesRequest { phases, ..good() });
    }
    for days in [0, -1, 3_662, i32::MAX, i32::MIN] {
        let sales = StreamProductSalesRequest { recent_days: vec![7, days], ..good() };
        cases.add("StreamProductSales", "recent_days[1]", &sales);
    }
    cases.add("StreamProductSales", "recent_days", &StreamProductSalesRequest { recent_days: vec![7; 9], ..good() });
}
