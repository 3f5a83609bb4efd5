//! Invalid values in each field of an order, its lines, its addresses and its summary.

use std::collections::BTreeSet;

use orrery_proto::orders::v1::{
    Address, AddressKind, CreateOrderRequest, LineItem, Order, Summary, UpdateOrderRequest,
};
use orrery_proto::r#type::v1::WriteStart;

use super::{field_of, whole, with_address, with_line, with_shipping};
use crate::harness::contract::Contract;
use crate::harness::{assert_invalid, refusal, status, values};
use crate::orders::fixture::{Fixture, bare};
use crate::writes::stream::{ORDERS, write};

/// Fields that accept anything.
const WITHOUT_RULE: &[&str] = &[
    // Any number.
    "line_items.quantity",
    // Output only, and ignored.
    "update_ts",
    "line_items.update_ts",
    "summary.line_count",
    "summary.quantity",
    "summary.subtotal",
    "summary.discount",
    "summary.tax",
    "summary.total",
];

/// Texts that are not amounts.
const NO_AMOUNTS: &[&str] = &[
    "1000000000000000",
    "-1000000000000000.5",
    "0000000000000001",
    "0.00001",
    "1.50000",
    "1e3",
    "1E3",
    "NaN",
    "Infinity",
    "-Infinity",
    "inf",
    "+1",
    "1.",
    ".5",
    "-",
    "--1",
    "1,50",
    "1 000",
    " 1",
    "1\n",
    "0x10",
    "1_000",
    "١٢",
    "１２",
    "1.5.0",
    "1\0",
    "GBP",
];

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// Texts that are too long for a field of this many bytes.
fn too_long(bytes: usize) -> Vec<String> {
    vec!["x".repeat(bytes + 1), "é".repeat(bytes / 2 + 1), "x".repeat(100_000), "a\0b".to_owned()]
}

fn below(field: &str, key: Option<&str>) -> String {
    key.map_or(field.to_owned(), |key| format!("{field}.{key}"))
}

/// Orders with one invalid field each, and its path.
fn broken() -> Vec<(Order, String)> {
    [headers(), lines(), line_items(), addresses(), summaries()].concat()
}

fn headers() -> Vec<(Order, String)> {
    let a = || whole("a");
    let mut cases: Vec<(Order, String)> = Vec::new();
    cases.extend(values::invalid_uids("ord_").into_iter().map(|uid| (Order { uid, ..a() }, "uid".to_owned())));
    for customer_id in too_long(256) {
        cases.push((Order { customer_id, ..a() }, "customer_id".to_owned()));
    }
    for currency_code in ["", "gbp", "Gbp", "GB", "GBPX", "ÄBC", "ÄB", "G B", "GBP ", " GBP", "GB1", "G\0P", "978", "€"]
    {
        cases.push((Order { currency_code: currency_code.to_owned(), ..a() }, "currency_code".to_owned()));
    }
    for revision in [-1, i32::MIN] {
        cases.push((Order { revision, ..a() }, "revision".to_owned()));
    }
    for phase in ["shipped", "Draft", "draft ", "DRAFT", "canceled"] {
        cases.push((Order { status: Some(status(phase)), ..a() }, "status.phase".to_owned()));
    }
    for (status, field) in values::invalid_statuses() {
        cases.push((Order { status: Some(status), ..a() }, below("status", Some(field))));
    }
    for (labels, key) in values::invalid_labels() {
        cases.push((Order { labels, ..a() }, below("labels", key)));
    }
    for (annotations, key) in values::invalid_annotations() {
        cases.push((Order { annotations, ..a() }, below("annotations", key)));
    }
    for time in values::invalid_times() {
        cases.push((Order { provision_timer_ts: Some(time), ..a() }, "provision_timer_ts".to_owned()));
        cases.push((Order { create_ts: Some(time), ..a() }, "create_ts".to_owned()));
    }
    cases.push((Order { etag: "\0".to_owned(), ..a() }, "etag".to_owned()));
    cases
}

/// Lines that are invalid by themselves.
fn lines() -> Vec<(Order, String)> {
    type Set = fn(&mut LineItem, String);
    let amounts = texts(NO_AMOUNTS);
    let table: [(&str, Vec<String>, Set); 8] = [
        ("order_uid", [texts(&["ord_b", "x", "\0", "ORD_a"]), values::invalid_uids("ord_")].concat(), |line, text| {
            line.order_uid = text;
        }),
        ("uid", values::invalid_uids("oli_"), |line, text| line.uid = text),
        ("product_uid", values::invalid_uids("prd_"), |line, text| line.product_uid = text),
        ("sku", too_long(256), |line, text| line.sku = text),
        ("name", too_long(2_048), |line, text| line.name = text),
        ("unit_price", amounts.clone(), |line, text| line.unit_price = text),
        ("discount", amounts.clone(), |line, text| line.discount = text),
        ("tax", amounts, |line, text| line.tax = text),
    ];
    let mut cases = Vec::new();
    for (field, texts, set) in table {
        let path = format!("line_items[3].{field}");
        cases.extend(texts.into_iter().map(|text| (with_line(|line| set(line, text)), path.clone())));
    }
    for number in [-1, i32::MIN] {
        cases.push((with_line(|line| line.line_number = number), "line_items[3].line_number".to_owned()));
    }
    for (status, field) in values::invalid_statuses() {
        let path = below("line_items[3].status", Some(field));
        cases.push((with_line(|line| line.status = Some(status)), path));
    }
    for (labels, key) in values::invalid_labels() {
        cases.push((with_line(|line| line.labels = labels), below("line_items[3].labels", key)));
    }
    for (annotations, key) in values::invalid_annotations() {
        cases.push((with_line(|line| line.annotations = annotations), below("line_items[3].annotations", key)));
    }
    for time in values::invalid_times() {
        cases.push((with_line(|line| line.create_ts = Some(time)), "line_items[3].create_ts".to_owned()));
    }
    cases
}

/// Lines that contradict each other.
fn line_items() -> Vec<(Order, String)> {
    let with = |change: fn(&mut Vec<LineItem>)| {
        let mut order = whole("a");
        change(&mut order.line_items);
        order
    };
    let case = |change, path: &str| (with(change), path.to_owned());
    vec![
        case(
            |lines| {
                "oli_x".clone_into(&mut lines[1].uid);
                "oli_x".clone_into(&mut lines[2].uid);
            },
            "line_items[2].uid",
        ),
        case(
            |lines| {
                lines[0].line_number = 7;
                lines[2].line_number = 7;
            },
            "line_items[2].line_number",
        ),
        // The largest number is used, and three lines have none.
        case(|lines| lines[0].line_number = i32::MAX, "line_items"),
        case(|lines| lines.resize(100_001, LineItem::default()), "line_items"),
    ]
}

fn addresses() -> Vec<(Order, String)> {
    type Set = fn(&mut Address, String);
    let table: [(&str, Vec<String>, Set); 9] = [
        ("order_uid", texts(&["ord_b", "x", "\0"]), |address, text| address.order_uid = text),
        ("name", too_long(512), |address, text| address.name = text),
        ("company", too_long(512), |address, text| address.company = text),
        ("city", too_long(256), |address, text| address.city = text),
        ("region", too_long(256), |address, text| address.region = text),
        ("postal_code", too_long(64), |address, text| address.postal_code = text),
        ("country_code", texts(&["gb", "G", "GBR", "G1", "Ä", "ÄÖ", "G\0", "G "]), |address, text| {
            address.country_code = text;
        }),
        ("phone", too_long(64), |address, text| address.phone = text),
        ("email", too_long(320), |address, text| address.email = text),
    ];
    let mut cases = Vec::new();
    for (field, texts, set) in table {
        let path = format!("addresses[1].{field}");
        cases.extend(texts.into_iter().map(|text| (with_address(|address| set(address, text)), path.clone())));
    }
    // Unset, numbers that no kind has, and the kind of the first address.
    for kind in [0, 3, -1, i32::MIN, i32::MAX, AddressKind::Billing.into()] {
        cases.push((with_address(|address| address.kind = kind), "addresses[1].kind".to_owned()));
    }
    for text in too_long(512) {
        cases.push((with_address(|address| address.lines[2] = text), "addresses[1].lines[2]".to_owned()));
    }
    cases.push((with_address(|address| address.lines.resize(9, String::new())), "addresses[1].lines".to_owned()));
    cases
}

fn summaries() -> Vec<(Order, String)> {
    let mut cases: Vec<(Order, String)> =
        NO_AMOUNTS.iter().map(|amount| (with_shipping(amount), "summary.shipping".to_owned())).collect();
    for order_uid in ["ord_b", "x", "\0"] {
        let summary = Summary { order_uid: order_uid.to_owned(), ..Summary::default() };
        cases.push((Order { summary: Some(summary), ..whole("a") }, "summary.order_uid".to_owned()));
    }
    cases
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_path() {
    let fixture = Fixture::new().await;
    let cases = broken();
    let reached: BTreeSet<String> = cases.iter().map(|(_, path)| field_of(path)).collect();
    let known = Contract::new().paths(".orrery.orders.v1.Order");
    let left_out: Vec<&String> = known.iter().filter(|path| !reached.contains(*path)).collect();
    assert_eq!(left_out, WITHOUT_RULE.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());

    let mut client = fixture.server.client();
    for (order, path) in cases {
        let field = format!("order.{path}");
        let create = CreateOrderRequest { order: Some(order.clone()), ..CreateOrderRequest::default() };
        assert_invalid(client.create_order(create).await, "FIELD_INVALID", &field);
        let update =
            UpdateOrderRequest { order: Some(order.clone()), allow_missing: true, ..UpdateOrderRequest::default() };
        assert_invalid(client.update_order(update).await, "FIELD_INVALID", &field);

        // In a chunk it costs the chunk, and the error has the offset.
        let rows = [whole("before"), order, whole("behind")];
        let (totals, end) = write(fixture.server.channel(), ORDERS, WriteStart::default(), &rows).await;
        assert_invalid(end, "ROW_REJECTED", &format!("chunk.orders[1].{path}"));
        let [error] = &totals.errors[..] else { unreachable!("{totals:?}") };
        assert_eq!((error.offset, error.code, &error.field), (1, 3, &path));
        assert!(!error.message.is_empty() && error.message.chars().count() <= 512);
    }
    for table in ["order_header", "order_line_item", "order_address", "order_summary", "write_session"] {
        assert_eq!(fixture.count(&format!("orders.{table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn an_update_refuses_what_it_names_and_leaves_the_order() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole("a")]).await;
    let before = fixture.versions().await;
    for (order, path) in broken() {
        let top = path.split(['.', '[']).next().unwrap();
        let mask = match top {
            // The key and the preconditions are always checked.
            "uid" | "revision" | "etag" => "customer_id",
            "summary" => "summary.shipping",
            // `create_ts` never changes.
            "create_ts" => continue,
            top => top,
        };
        let update_mask = Some(crate::writes::stream::mask(&[mask]));
        let update = UpdateOrderRequest { order: Some(order), update_mask, ..UpdateOrderRequest::default() };
        let impossible = update.order.as_ref().is_some_and(|order| order.uid.contains('\0'));
        let answer = fixture.server.client().update_order(update).await;
        if path == "uid" && !impossible {
            // Another program may have stored it.
            assert_eq!(answer.unwrap_err().code(), tonic::Code::NotFound);
            continue;
        }
        assert_invalid(answer, "FIELD_INVALID", &format!("order.{path}"));
    }
    assert_eq!(fixture.versions().await, before);
}

#[tokio::test]
async fn rows_that_break_a_rule_are_skipped_and_the_others_written() {
    let fixture = Fixture::new().await;
    let broken: Vec<(Order, String)> = broken().into_iter().filter(|(order, _)| order.line_items.len() < 100).collect();
    let mut rows = Vec::new();
    for (number, (order, path)) in broken.iter().enumerate() {
        let mut order = order.clone();
        if path != "uid" {
            // Whether it is stored with such lines is known only when the chunk is written: of several rows with one
            // uid the last is used.
            order.uid = format!("ord_a{number}");
            order
                .line_items
                .iter_mut()
                .filter(|line| line.order_uid == "ord_a")
                .for_each(|line| line.order_uid.clear());
        }
        rows.extend([bare(&format!("good{number}")), order]);
    }
    let start =
        WriteStart { on_row_error: orrery_proto::r#type::v1::RowErrorPolicy::Skip.into(), ..WriteStart::default() };
    let written = fixture.write_with(start, &rows).await;
    let count = broken.len() as i64;
    written.expect_counts([count, 0, 0, count, 0]);
    let told: Vec<(i64, String)> = written.totals.errors.into_iter().map(|error| (error.offset, error.field)).collect();
    let expected: Vec<(i64, String)> =
        broken.into_iter().enumerate().map(|(at, (_, path))| (2 * at as i64 + 1, path)).collect();
    assert_eq!(told, expected);
    assert_eq!(fixture.count("orders.order_header").await, count);
}

#[tokio::test]
async fn several_mistakes_are_all_told() {
    let fixture = Fixture::new().await;
    let mut order = whole("a");
    order.customer_id = "\0".to_owned();
    order.currency_code = "gbp".to_owned();
    order.line_items[1].unit_price = "NaN".to_owned();
    order.line_items[3].sku = "\0".to_owned();
    order.line_items[3].tax = "1.".to_owned();
    order.addresses[0].country_code = "UK!".to_owned();
    order.summary = Some(Summary { shipping: "free".to_owned(), ..Summary::default() });
    let request = CreateOrderRequest { order: Some(order), ..CreateOrderRequest::default() };
    let refused = refusal(&fixture.server.client().create_order(request).await.unwrap_err());
    let expected = [
        "customer_id",
        "currency_code",
        "line_items[1].unit_price",
        "line_items[3].sku",
        "line_items[3].tax",
        "addresses[0].country_code",
        "summary.shipping",
    ];
    assert_eq!(refused.fields, expected.map(|path| format!("order.{path}")));
}
