//! Rows with parts: which records an order takes its lines and addresses from.

use orrery_proto::orders::v1::{Address, AddressKind};

use super::super::rows::EncodedRow;
use super::*;
use crate::resource::ORDERS;

pub(super) const MAPPING: &str = r#"
[group]
by = "uid"

[fields]
uid = { column = "order", prefix = "ord_" }
customer_id = { column = "who" }

[[line_items]]
[line_items.fields]
sku = { column = "sku" }
quantity = { column = "count" }

[[addresses]]
each = "row"
[addresses.fields]
kind = { value = "billing" }
city = { column = "city", pick = "last-non-empty" }
lines = [{ column = "street" }, { value = "c/o" }, { column = "who" }]
"#;

fn read(text: &str, mapping: &str) -> Outcome<Order> {
    read_as(&ORDERS, "x.csv", text.as_bytes().to_vec(), mapping).unwrap()
}

pub(super) fn skus(order: &Order) -> Vec<(&str, i32)> {
    order.line_items.iter().map(|line| (line.sku.as_str(), line.quantity)).collect()
}

fn address(kind: AddressKind, city: &str, lines: &[&str]) -> Address {
    Address {
        kind: kind.into(),
        city: city.into(),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..Address::default()
    }
}

pub(super) const HEADER: &str = "order,who,sku,count,city,street\n";

#[test]
fn each_record_makes_a_line_and_all_of_them_an_address() {
    let text = format!("{HEADER}1,ann,a,1,,\n2,,b,2,,\n1,bob,c,3,York,\n1,,c,3,Leeds,High St\n2,,,,,\n");
    let outcome = read(&text, MAPPING);
    assert_eq!(outcome.uids(), [(2, "ord_1"), (3, "ord_2")]);
    let order = outcome.order("ord_1");
    assert_eq!(skus(order), [("a", 1), ("c", 3), ("c", 3)], "in the order of the file, equal ones too");
    assert_eq!(order.customer_id, "ann");
    assert_eq!(order.addresses, [address(AddressKind::Billing, "Leeds", &["High St", "c/o", "ann"])]);
    let bare = outcome.order("ord_2");
    assert_eq!(skus(bare), [("b", 2)], "a record without an item makes no line");
    assert!(bare.addresses.is_empty(), "constants alone make no address");
}

#[test]
fn without_groups_a_record_is_an_order_of_one_line() {
    let mapping = MAPPING.replace("[group]\nby = \"uid\"", "").replace(", pick = \"last-non-empty\"", "");
    let outcome = read(&format!("{HEADER}1,ann,a,1,York,\n1,,b,2,,\n"), &mapping);
    let orders: Vec<_> = outcome.rows.iter().map(|(_, order)| (skus(order), order.addresses.len())).collect();
    assert_eq!(orders, [(vec![("a", 1)], 1), (vec![("b", 2)], 0)]);
}

pub(super) fn consecutive() -> String {
    MAPPING.replace("[group]", "[group]\nconsecutive = true")
}

#[test]
fn consecutive_records_make_the_same_orders_while_they_are_read() {
    let text = format!("{HEADER}1,ann,a,1,,\n1,,b,2,York,\n2,bob,c,3,,\n3,,d,x,,\n3,,e,4,,\n4,,f,5,,\n");
    let outcome = read(&text, &consecutive());
    assert_eq!(outcome.rows, read(&text, MAPPING).rows);
    assert_eq!(outcome.uids(), [(2, "ord_1"), (4, "ord_2"), (7, "ord_4")]);
    assert_eq!(outcome.refused_on(), [(5, Loss::Record), (5, Loss::RowOfRecords)]);

    let mapping = Mapping::parse(Path::new("mapping.toml"), &consecutive()).unwrap();
    let input = Input::new("x.csv".into(), Box::new(Cursor::new(text)), None).unwrap();
    let mut rows = FileRows::open(&ORDERS, Path::new("x.csv"), input, None, Some(&mapping)).unwrap();
    assert!(matches!(rows.next(), Ok(Some(FileItem::Row(EncodedRow { line: 2, .. })))));
    assert_eq!(rows.records, 3, "an order is whole when the next one begins");
}

#[test]
fn records_that_should_be_consecutive_and_are_not_end_the_import() {
    let text = format!("{HEADER}1,ann,a,1,,\n2,,b,2,,\n1,,c,3,,\n");
    assert_eq!(read(&text, MAPPING).rows.len(), 2);
    let expected = "line 4: the records of ord_1 are not consecutive, and it was sent without this one; import the \
        file again without `consecutive` in [group]";
    assert_eq!(fault_of(&ORDERS, "x.csv", &text, &consecutive()), expected);
    // A record that is refused is part of its order too.
    assert_eq!(fault_of(&ORDERS, "x.csv", &text.replace("c,3", "c,x"), &consecutive()), expected);
}

#[test]
fn of_several_rules_the_first_that_gives_something_counts() {
    let mapping = MAPPING.replace(
        "customer_id = { column = \"who\" }",
        r#"customer_id = [{ column = "who", transforms = [{ map = { "no*" = "", "*" = "known" } }] }, { column = "city" }, { value = "nobody" }]
        "labels.*" = [{ column = "who" }, { column = "city" }]"#,
    );
    let text = format!("{HEADER}1,ann,a,1,York,\n2,nobody,a,1,York,\n3,,a,1,,\n4,,a,1,,\n4,,a,1,Leeds,\n4,ann,a,1,,\n");
    let outcome = read(&text, &mapping);
    let customers: Vec<&str> = outcome.rows.iter().map(|(_, order)| order.customer_id.as_str()).collect();
    assert_eq!(customers, ["known", "York", "nobody", "known"], "whichever record it stands on");
    assert_eq!(sorted(&outcome.order("ord_1").labels), [("ann", "ann"), ("York", "York")].into());
}

#[test]
fn a_wrong_section_of_a_list_is_told() {
    let with = |section: &str| format!("[fields]\nuid = {{ column = \"order\" }}\n{section}");
    for (mapping, expected) in [
        (
            with("[items]"),
            "unknown section `items`, expected `source`, `group`, `fields` or a list of Order: `line_items`, \
             `addresses`",
        ),
        (with("[[summary]]"), "unknown section `summary`, expected `source`, "),
        (with("[line_items]"), "line_items: a list needs double brackets: [[line_items]]"),
        (with("[[line_items]]"), "line_items.1: [line_items.fields] is missing"),
        (
            with("[[line_items]]\neach = \"order\""),
            "line_items.1.each: unknown name `order`, expected `record` or `row`",
        ),
        (
            with("[[line_items]]\nfields = {}\nonce = true"),
            "line_items.1: unknown setting `once`, expected `each`, `on` or `fields`",
        ),
        (
            with("[[addresses]]\nfields = {}\n[[addresses]]\nfields.town = { column = \"city\" }"),
            "addresses.2.fields.\"town\": unknown field `town` of Address, expected one of `order_uid`, `kind`, ",
        ),
        (
            with("[[line_items]]\nfields.update_ts = { column = \"x\" }"),
            "line_items.1.fields.\"update_ts\": is set by the service (output only)",
        ),
        (
            with("\"summary.total\" = { column = \"x\" }"),
            "fields.\"summary.total\": is set by the service (output only)",
        ),
        (with("revision = { column = \"x\" }"), "fields.\"revision\": is set by the service (output only)"),
        (
            with("line_items = { column = \"x\" }"),
            "fields.\"line_items\": `line_items` is a list of messages: use a section [[line_items]]",
        ),
        (with("customer_id = []"), "fields.\"customer_id\": is empty"),
        (with("customer_id = [{ colum = \"x\" }]"), "fields.\"customer_id\": unknown setting `colum`, expected one of"),
        (
            MAPPING.replace("{ column = \"sku\" }", "{ column = \"sku\", pick = \"first\" }"),
            "line_items.1.fields.\"sku\": `pick` is not allowed for an element made of one record",
        ),
        (MAPPING.replace("lines = [", "\"lines.x\" = ["), "addresses.1.fields.\"lines.x\": `lines` has no fields"),
    ] {
        let error = fault_of(&ORDERS, "x.csv", HEADER, &mapping);
        assert!(
            error.strip_prefix("mapping.toml: ").is_some_and(|error| error.starts_with(expected)),
            "{mapping}\ngives\n{error}\nnot\n{expected}"
        );
    }
}

#[test]
fn an_order_of_many_lines_is_a_row_as_long_as_a_message_carries_it() {
    let lines =
        |count: usize| (0..count).fold(HEADER.to_owned(), |text, line| text + &format!("1,ann,{line:0100},1,,\n"));
    let outcome = read(&lines(100_000), MAPPING);
    assert_eq!(outcome.order("ord_1").line_items.len(), 100_000);
    let outcome = read(&lines(150_000), MAPPING);
    assert!(outcome.rows.is_empty() && outcome.refused[0].1.starts_with("the row has more than 15 MiB"));
}

/// What an export writes is taken back, without what a writer must not set.
#[test]
fn a_kind_of_address_is_named_in_full_or_in_short_in_any_letter_case() {
    let mapping = |kind: &str| MAPPING.replace("kind = { value = \"billing\" }", &format!("kind = {kind}"));
    let rows = format!("{HEADER}1,ann,a,1,Leeds,High St\n");
    for (kind, expected) in [
        ("billing", AddressKind::Billing),
        ("Shipping", AddressKind::Shipping),
        ("ADDRESS_KIND_BILLING", AddressKind::Billing),
        ("address_kind_shipping", AddressKind::Shipping),
    ] {
        let constant = read(&rows, &mapping(&format!("{{ value = \"{kind}\" }}")));
        assert_eq!(constant.order("ord_1").addresses[0].kind(), expected, "{kind}");
        let column = read(&rows.replace("ann", kind), &mapping("{ column = \"who\" }"));
        assert_eq!(column.order("ord_1").addresses[0].kind(), expected, "{kind}");
        let json = format!(r#"{{"uid":"ord_1","currency_code":"GBP","addresses":[{{"kind":"{kind}"}}]}}"#);
        let exported: Outcome<Order> = read_as(&ORDERS, "x.jsonl", json.into_bytes(), "").unwrap();
        assert_eq!(exported.order("ord_1").addresses[0].kind(), expected, "{kind}");
    }
    for kind in ["home", "ADDRESS_KIND_", "KIND_BILLING", "billing ", "1"] {
        let json = format!(r#"{{"uid":"ord_1","currency_code":"GBP","addresses":[{{"kind":"{kind}"}}]}}"#);
        let refused: Outcome<Order> = read_as(&ORDERS, "x.jsonl", json.into_bytes(), "").unwrap();
        assert!(refused.uids().is_empty(), "{kind}");
    }
}

#[test]
fn an_exported_order_is_taken_back() {
    let json = concat!(
        r#"{"uid":"ord_1","customer_id":"7","currency_code":"GBP","revision":3,"status":{"phase":"fulfilled"},"#,
        r#""update_ts":"2026-01-02T03:04:05Z","etag":"x","#,
        r#""line_items":[{"uid":"oli_1","line_number":1,"quantity":2,"unit_price":"0.001","discount":"0","tax":"0","#,
        r#""update_ts":"2026-01-02T03:04:05Z"}],"addresses":[{"kind":"ADDRESS_KIND_SHIPPING","lines":["a","b"]}],"#,
        r#""summary":{"line_count":1,"quantity":"2","subtotal":"0.002","discount":"0","tax":"0","shipping":"4.95","total":"4.952"}}"#,
    );
    let outcome: Outcome<Order> = read_as(&ORDERS, "x.jsonl", json.as_bytes().to_vec(), "").unwrap();
    let order = outcome.order("ord_1");
    assert_eq!((order.revision, order.update_ts, order.etag.as_str()), (0, None, ""));
    assert_eq!(order.addresses, [address(AddressKind::Shipping, "", &["a", "b"])]);
    let line = &order.line_items[0];
    assert_eq!(
        (line.uid.as_str(), line.line_number, line.unit_price.as_str(), line.update_ts),
        ("oli_1", 1, "0.001", None)
    );
    let summary = order.summary.as_ref().unwrap();
    assert_eq!((summary.shipping.as_str(), summary.total.as_str(), summary.quantity), ("4.95", "", 0));
}
