//! Writes of orders: header, lines, addresses and summary are written as a whole or not at all.

use orrery_proto::orders::v1::{Address, AddressKind, LineItem, Order, Summary};
use orrery_proto::r#type::v1::{ReferenceCheck, Status as Phase, WriteMode, WriteStart};
use tonic::Code;

use super::fixture::{Fixture, bare};
use crate::harness::line;
use crate::writes::stream::{ORDERS, WriteStream, assert_status, mask, violated, write};

const LINES: &str = "select string_agg(concat_ws(' ', line_number, sku, quantity, unit_price), ', ' order by \
    line_number) \
                     from orders.order_line_item where order_uid = ";

/// An order with all fields, and three lines.
fn whole() -> Order {
    let address = |kind: AddressKind| Address {
        kind: kind.into(),
        name: "Ada".to_owned(),
        lines: vec!["1 Street".to_owned(), "Floor \"2\"".to_owned()],
        country_code: "GB".to_owned(),
        ..Address::default()
    };
    Order {
        customer_id: "c-1".to_owned(),
        line_items: vec![line("A", 2, "1.50"), line("B", -1, "0.001"), line("C", 3, "-2.5000")],
        addresses: vec![address(AddressKind::Shipping), address(AddressKind::Billing)],
        summary: Some(Summary { shipping: "4.99".to_owned(), ..Summary::default() }),
        ..bare("1")
    }
}

#[tokio::test]
async fn an_order_is_rows_of_four_tables() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    assert_eq!(fixture.text(&format!("{LINES} 'ord_1'")).await, "1 A 2 1.50, 2 B -1 0.001, 3 C 3 -2.5000");
    let sums = "select concat_ws(' ', line_count, quantity, subtotal, discount, tax, shipping, total) from \
        orders.order_summary";
    // 2 * 1.50 - 0.001 - 3 * 2.5000
    assert_eq!(fixture.text(sums).await, "3 4 -4.5010 0 0 4.99 0.4890");
    let addresses = "select string_agg(kind || ' ' || lines::text, ', ' order by kind) from orders.order_address";
    let lines = r#"["1 Street", "Floor \"2\""]"#;
    assert_eq!(fixture.text(addresses).await, format!("billing {lines}, shipping {lines}"));
    assert_eq!(fixture.text("select customer_id || revision from orders.order_header").await, "c-11");

    let read = fixture.get("1").await;
    assert_eq!(read.line_items.iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), ["A", "B", "C"]);
    assert_eq!(read.line_items[1].unit_price, "0.001");
    assert_eq!(read.addresses[0].kind(), AddressKind::Billing);
    assert_eq!(read.summary.unwrap().total, "0.4890");
}

/// With keep_unset, lines, addresses and shipping are only replaced if new ones are sent.
#[tokio::test]
async fn a_mask_that_keeps_what_is_unset_leaves_lines_that_are_not_sent() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    let contents = async || {
        let sums = "select concat_ws(' ', line_count, shipping, total) from orders.order_summary";
        let addresses = "select coalesce(string_agg(kind, ' ' order by kind), '') from orders.order_address";
        let header = "select customer_id || ' ' || (status ->> 'phase') from orders.order_header";
        let lines = fixture.text(&format!("{LINES} 'ord_1'")).await;
        [lines, fixture.text(sums).await, fixture.text(addresses).await, fixture.text(header).await]
    };
    let before = contents().await;
    let start = WriteStart {
        update_mask: Some(mask(&["customer_id", "line_items", "addresses", "summary.shipping"])),
        keep_unset: true,
        ..WriteStart::default()
    };
    let confirmed = || Some(Phase { phase: "confirmed".to_owned(), details: None });
    let send = async |order: Order| {
        let (totals, end) = write(fixture.server.channel(), ORDERS, start.clone(), &[order]).await;
        end.unwrap();
        totals.counts()
    };
    assert_eq!(send(Order { status: confirmed(), ..bare("1") }).await, [0, 0, 1, 0, 0]);
    assert_eq!(contents().await, before);
    let order = Order { status: confirmed(), line_items: vec![line("D", 1, "2.00")], ..bare("1") };
    assert_eq!(send(order).await, [0, 1, 0, 0, 0]);
    assert_eq!(contents().await, ["1 D 1 2.00", "1 4.99 6.99", "billing shipping", "c-1 draft"]);
    let shipping = Some(Summary { shipping: "1.00".to_owned(), ..Summary::default() });
    assert_eq!(send(Order { summary: shipping, ..bare("1") }).await, [0, 1, 0, 0, 0]);
    assert_eq!(contents().await, ["1 D 1 2.00", "1 1.00 3.00", "billing shipping", "c-1 draft"]);
}

#[tokio::test]
async fn an_order_that_equals_what_is_stored_is_unchanged() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    let versions = fixture.versions().await;
    fixture.write(&[whole()]).await.expect_counts([0, 0, 1, 0, 0]);
    // What was read equals what is stored, including all fields that only the service sets.
    let read = fixture.get("1").await;
    fixture.write(std::slice::from_ref(&read)).await.expect_counts([0, 0, 1, 0, 0]);
    let start = WriteStart { update_mask: Some(mask(&["*"])), ..WriteStart::default() };
    fixture.write_with(start, &[Order { etag: String::new(), ..read }]).await.expect_counts([0, 0, 1, 0, 0]);
    assert_eq!(fixture.versions().await, versions, "no row was rewritten");
}

#[tokio::test]
async fn every_change_of_a_part_is_one_of_the_order() {
    let fixture = Fixture::new().await;
    let mut wanted = whole();
    fixture.write(&[wanted.clone()]).await.expect_counts([1, 0, 0, 0, 0]);
    let mut revision = 1;
    let changes: [fn(&mut Order); 7] = [
        |order| order.line_items[0].quantity = 5,
        |order| order.line_items.push(line("D", 1, "1")),
        |order| drop(order.line_items.remove(1)),
        |order| order.addresses[0].city = "London".to_owned(),
        |order| drop(order.addresses.pop()),
        |order| order.addresses.push(Address { kind: AddressKind::Billing.into(), ..Address::default() }),
        |order| order.summary = Some(Summary { shipping: "0".to_owned(), ..Summary::default() }),
    ];
    for change in changes {
        let before = fixture.get("1").await;
        change(&mut wanted);
        fixture.write(&[wanted.clone()]).await.expect_counts([0, 1, 0, 0, 0]);
        revision += 1;
        let read = fixture.get("1").await;
        assert_eq!(read.revision, revision);
        assert_ne!(read.etag, before.etag);
        let pairs = |order: &Order| order.line_items.iter().map(|l| (l.sku.clone(), l.quantity)).collect::<Vec<_>>();
        assert_eq!(pairs(&read), pairs(&wanted));
        assert_eq!(read.addresses.len(), wanted.addresses.len());
        fixture.assert_sums().await;
    }
    assert_eq!(fixture.get("1").await.summary.unwrap().shipping, "0");
}

#[tokio::test]
async fn what_is_not_said_of_an_order_stays() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    let before = fixture.get("1").await;
    fixture.write(&[Order { customer_id: "c-2".to_owned(), ..bare("1") }]).await.expect_counts([0, 1, 0, 0, 0]);
    let after = fixture.get("1").await;
    assert_eq!((after.customer_id.as_str(), after.revision), ("c-2", 2));
    assert_eq!(
        (after.line_items, after.addresses, after.summary),
        (before.line_items, before.addresses, before.summary)
    );
}

#[tokio::test]
async fn a_mask_reaches_parts_as_wholes() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    let masked = |paths: &[&str]| WriteStart { update_mask: Some(mask(paths)), ..WriteStart::default() };
    // Not in the mask: ignored.
    let other = Order { line_items: vec![line("Z", 1, "1")], customer_id: "c-9".to_owned(), ..bare("1") };
    fixture.write_with(masked(&["customer_id"]), std::slice::from_ref(&other)).await.expect_counts([0, 1, 0, 0, 0]);
    assert_eq!(fixture.get("1").await.line_items.len(), 3);
    // In the mask and set: replaced.
    fixture.write_with(masked(&["line_items"]), &[other]).await.expect_counts([0, 1, 0, 0, 0]);
    let read = fixture.get("1").await;
    assert_eq!(
        (read.line_items.len(), read.addresses.len(), read.summary.as_ref().unwrap().total.as_str()),
        (1, 2, "5.99")
    );
    // In the mask and unset: cleared.
    fixture.write_with(masked(&["summary.shipping"]), &[bare("1")]).await.expect_counts([0, 1, 0, 0, 0]);
    assert_eq!(fixture.get("1").await.summary.unwrap().total, "1");
    fixture.write_with(masked(&["line_items", "addresses"]), &[bare("1")]).await.expect_counts([0, 1, 0, 0, 0]);
    let read = fixture.get("1").await;
    assert_eq!((read.line_items.len(), read.addresses.len(), read.summary.unwrap().line_count), (0, 0, 0));
    assert_eq!(fixture.count("orders.order_line_item").await + fixture.count("orders.order_address").await, 0);
    fixture.assert_sums().await;
}

#[tokio::test]
async fn lines_keep_their_identity() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    let first = fixture.get("1").await;
    let uids: Vec<String> = first.line_items.iter().map(|line| line.uid.clone()).collect();
    assert!(uids.iter().all(|uid| uid.starts_with("oli_") && uid.len() == 30), "{uids:?}");
    // The same list gets the same uids; lines of another order get others.
    fixture.write(&[Order { uid: "ord_2".to_owned(), ..whole() }]).await.expect_counts([1, 0, 0, 0, 0]);
    assert!(fixture.get("2").await.line_items.iter().all(|line| !uids.contains(&line.uid)));
    // Without its first line, and with a new one whose number gave another uid before.
    let mut moved = first.clone();
    moved.line_items.remove(0);
    moved.line_items[0].line_number = 7;
    moved.line_items.push(LineItem { line_number: 2, ..line("new", 1, "1") });
    fixture.write(&[Order { revision: 0, etag: String::new(), ..moved }]).await.expect_counts([0, 1, 0, 0, 0]);
    let read = fixture.get("1").await;
    let read: Vec<(i32, &str, &str)> =
        read.line_items.iter().map(|line| (line.line_number, line.sku.as_str(), line.uid.as_str())).collect();
    assert_eq!([read[0].0, read[1].0, read[2].0], [2, 3, 7]);
    assert_eq!([read[0].1, read[1].1, read[2].1], ["new", "C", "B"]);
    assert_eq!([read[1].2, read[2].2], [uids[2].as_str(), uids[1].as_str()]);
    assert!(!uids.iter().any(|uid| uid == read[0].2), "a new line is another line");
}

#[tokio::test]
async fn a_line_without_a_number_comes_after_those_with_one() {
    let fixture = Fixture::new().await;
    let numbered = |number: i32, sku: &str| LineItem { line_number: number, ..line(sku, 1, "1") };
    let lines = vec![numbered(0, "x"), numbered(10, "ten"), numbered(0, "y"), numbered(5, "five")];
    fixture.write(&[Order { line_items: lines, ..bare("1") }]).await.expect_counts([1, 0, 0, 0, 0]);
    assert_eq!(fixture.text(&format!("{LINES} 'ord_1'")).await, "5 five 1 1, 10 ten 1 1, 11 x 1 1, 12 y 1 1");
}

#[tokio::test]
async fn what_is_left_out_of_a_stored_line_stays_and_of_an_address_goes() {
    let fixture = Fixture::new().await;
    let mut full = whole();
    full.line_items[0].name = "Named".to_owned();
    full.line_items[0].labels = [("pick".to_owned(), "1".to_owned())].into();
    full.addresses[0].company = "Old & Co".to_owned();
    fixture.write(&[full]).await.expect_counts([1, 0, 0, 0, 0]);
    let mut bare = whole();
    bare.line_items[0].quantity = 9;
    fixture.write(&[bare]).await.expect_counts([0, 1, 0, 0, 0]);
    let read = fixture.get("1").await;
    assert_eq!((read.line_items[0].name.as_str(), read.line_items[0].quantity), ("Named", 9));
    assert_eq!(read.line_items[0].labels["pick"], "1");
    assert_eq!(read.addresses[1].company, "");
}

#[tokio::test]
async fn the_modes_hold_for_orders_as_wholes() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole()]).await.expect_counts([1, 0, 0, 0, 0]);
    let start = |mode: WriteMode| WriteStart { mode: mode.into(), on_row_error: 2, ..WriteStart::default() };
    let two = [Order { customer_id: "c-9".to_owned(), ..whole() }, Order { uid: "ord_2".to_owned(), ..whole() }];
    let totals = fixture.write_with(start(WriteMode::Create), &two).await;
    totals.expect_counts([1, 0, 0, 1, 0]);
    assert_eq!(totals.totals.errors[0].code, i32::from(Code::AlreadyExists));
    assert_eq!(fixture.get("1").await.customer_id, "c-1");
    let two =
        [Order { uid: "ord_3".to_owned(), ..whole() }, Order { line_items: vec![line("Z", 1, "1")], ..bare("2") }];
    let totals = fixture.write_with(start(WriteMode::Update), &two).await;
    totals.expect_counts([0, 1, 0, 1, 0]);
    assert_eq!(totals.totals.errors[0].code, i32::from(Code::NotFound));
    assert_eq!(fixture.count("orders.order_line_item where order_uid = 'ord_3'").await, 0);
    assert_eq!(fixture.count("orders.order_line_item where order_uid = 'ord_2'").await, 1);
    let dry = WriteStart { validate_only: true, ..WriteStart::default() };
    fixture.write_with(dry, &[Order { line_items: Vec::new(), ..bare("4") }]).await.expect_counts([1, 0, 0, 0, 0]);
    assert_eq!(fixture.count("orders.order_header").await, 2);
}

#[tokio::test]
async fn a_stale_revision_or_etag_costs_its_order() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole(), Order { uid: "ord_2".to_owned(), ..whole() }]).await.expect_counts([2, 0, 0, 0, 0]);
    let skip = || WriteStart { on_row_error: 2, ..WriteStart::default() };
    for (field, stale, present) in [
        ("revision", Order { revision: 7, ..whole() }, Order { revision: 1, ..whole() }),
        ("etag", Order { etag: "00".to_owned(), ..whole() }, Order { etag: fixture.get("2").await.etag, ..whole() }),
    ] {
        let stale = Order { line_items: vec![line("stale", 1, "1")], ..stale };
        let present = Order { uid: "ord_2".to_owned(), ..present };
        let written = fixture.write_with(skip(), &[stale, present]).await;
        written.expect_counts([0, 0, 1, 1, 0]);
        let error = &written.totals.errors[0];
        assert_eq!((error.code, error.field.as_str(), error.offset), (i32::from(Code::Aborted), field, 0));
    }
    assert_eq!(fixture.get("1").await.line_items.len(), 3);
}

#[tokio::test]
async fn the_later_of_two_orders_of_one_uid_wins_with_its_lines() {
    let fixture = Fixture::new().await;
    let later = Order { line_items: vec![line("later", 1, "1")], ..bare("1") };
    fixture.write(&[whole(), later]).await.expect_counts([1, 0, 0, 0, 1]);
    assert_eq!(fixture.text(&format!("{LINES} 'ord_1'")).await, "1 later 1 1");
}

#[tokio::test]
async fn an_order_of_other_programs_gets_sums_of_its_own_lines() {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "insert into orders.order_header (uid, currency_code) values ('ord_1', 'EUR'); \
             insert into orders.order_line_item (order_uid, uid, line_number, quantity, unit_price) \
             values ('ord_1', 'oli_a', 1, 2, 1.25), ('ord_1', 'oli_b', 2, 1, 3)",
        )
        .await;
    assert_eq!(fixture.get("1").await.summary, None);
    let shipping = Order { summary: Some(Summary { shipping: "1".to_owned(), ..Summary::default() }), ..bare("1") };
    fixture.write(&[shipping]).await.expect_counts([0, 1, 0, 0, 0]);
    let read = fixture.get("1").await;
    let summary = read.summary.unwrap();
    assert_eq!((summary.line_count, summary.total.as_str(), read.revision), (2, "6.50", 2));
}

#[tokio::test]
async fn an_order_of_30000_lines_is_written_changed_and_deleted() {
    // With a tenth of the usual rows per statement: no statement may need more, however many lines there are.
    let fixture = Fixture::with(|config| config.service.limits.max_statement_rows = 10_000).await;
    let lines = |count: i32| (1..=count).map(|number| line(&number.to_string(), number, "0.01")).collect::<Vec<_>>();
    let large = |count| Order { line_items: lines(count), ..bare("1") };
    fixture.write(&[large(30_000)]).await.expect_counts([1, 0, 0, 0, 0]);
    fixture.write(&[large(30_000)]).await.expect_counts([0, 0, 1, 0, 0]);
    let read = fixture.get("1").await;
    assert_eq!(read.line_items.len(), 30_000);
    assert!(
        read.line_items.iter().zip(1..).all(|(line, number)| line.line_number == number && line.quantity == number)
    );
    assert_eq!(read.summary.unwrap().quantity, 450_015_000);
    let mut changed = large(25_001);
    changed.line_items[12_345].unit_price = "0.02".to_owned();
    fixture.write(&[changed]).await.expect_counts([0, 1, 0, 0, 0]);
    assert_eq!(fixture.count("orders.order_line_item").await, 25_001);
    assert_eq!(fixture.text("select sku from orders.order_line_item where unit_price = 0.02").await, "12346");
    fixture.assert_sums().await;
    fixture.delete("1").await;
    for table in ["order_header", "order_line_item", "order_address", "order_summary"] {
        assert_eq!(fixture.count(&format!("orders.{table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn an_order_of_100001_lines_is_refused_before_anything_is_written() {
    let fixture = Fixture::new().await;
    let lines = vec![LineItem { quantity: 1, ..LineItem::default() }; 100_001];
    let (totals, end) = write(
        fixture.server.channel(),
        ORDERS,
        WriteStart::default(),
        &[whole(), Order { line_items: lines, ..bare("2") }],
    )
    .await;
    assert_eq!(totals.counts(), [0, 0, 0, 1, 0]);
    let status = end.unwrap_err();
    assert_status(&status, Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(violated(&status), "chunk.orders[1].line_items");
    assert!(status.message().contains("100001") && status.message().contains("100000"), "{}", status.message());
    assert_eq!(fixture.count("orders.order_header").await, 0);
}

/// An empty line takes two bytes, so the size of a message alone would allow millions of them.
#[tokio::test]
async fn a_chunk_of_more_lines_than_one_order_may_have_is_refused_and_the_one_before_it_stands() {
    let fixture = Fixture::new().await;
    let half = |number: &str| Order { line_items: vec![LineItem::default(); 50_000], ..bare(number) };
    let stream = WriteStream::open(fixture.server.channel(), ORDERS, WriteStart::default()).await.unwrap();
    stream.send(0, &[whole()]).await;
    stream.send(1, &[half("2"), Order { line_items: vec![LineItem::default(); 50_001], ..bare("3") }]).await;
    let (totals, status) = stream.ended().await;
    assert_eq!(totals.counts(), [1, 0, 0, 0, 0]);
    assert_eq!(violated(&status), "chunk.orders");
    assert_eq!(fixture.count("orders.order_header").await, 1);
    fixture.write(&[half("2"), half("3")]).await.expect_counts([2, 0, 0, 0, 0]);
}

#[tokio::test]
async fn chunks_of_orders_are_written_once_whatever_comes_again() {
    let fixture = Fixture::new().await;
    let start = || WriteStart { write_id: "w".to_owned(), ..WriteStart::default() };
    let orders: Vec<Order> = (0..20).map(|n| Order { uid: format!("ord_{n:02}"), ..whole() }).collect();
    let (stream, offset) = WriteStream::resume(fixture.server.channel(), ORDERS, start()).await.unwrap();
    assert_eq!(offset, 0);
    stream.send(0, &orders[..10]).await;
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [10, 0, 0, 0, 0]);
    let (stream, offset) = WriteStream::resume(fixture.server.channel(), ORDERS, start()).await.unwrap();
    assert_eq!(offset, 10);
    stream.send(5, &orders[5..]).await;
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [10, 0, 0, 0, 0]);
    // Another line in a committed order is other content.
    let mut other = orders[3].clone();
    other.line_items[2].quantity += 1;
    let (stream, _) = WriteStream::resume(fixture.server.channel(), ORDERS, start()).await.unwrap();
    stream.send(3, &[other]).await;
    let (_, status) = stream.ended().await;
    assert_eq!(assert_status(&status, Code::Aborted, "OFFSET_CONFLICT")["offset"], "3");
    assert_eq!(fixture.count("orders.order_line_item").await, 60);
}

#[tokio::test]
async fn imports_of_history_set_any_known_phase() {
    let fixture = Fixture::new().await;
    let phases = ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"];
    let in_phase = |number: usize, phase: &str| Order {
        status: Some(Phase { phase: phase.to_owned(), details: None }),
        ..bare(&number.to_string())
    };
    let orders: Vec<Order> = phases.iter().enumerate().map(|(number, phase)| in_phase(number, phase)).collect();
    fixture.write(&orders).await.expect_counts([7, 0, 0, 0, 0]);
    fixture.write(&[in_phase(5, "draft")]).await.expect_counts([0, 1, 0, 0, 0]);
    let (_, end) = write(fixture.server.channel(), ORDERS, WriteStart::default(), &[in_phase(1, "shipped")]).await;
    assert_eq!(violated(&end.unwrap_err()), "chunk.orders[0].status.phase");
}

#[tokio::test]
async fn without_the_catalog_references_are_refused_or_accepted() {
    let fixture = Fixture::new().await;
    let mut pointing = whole();
    pointing.line_items[1].product_uid = "prd_1".to_owned();
    let start = |check: ReferenceCheck| WriteStart { reference_check: check.into(), ..WriteStart::default() };
    let (totals, end) =
        write(fixture.server.channel(), ORDERS, start(ReferenceCheck::Reject), &[pointing.clone()]).await;
    assert_eq!(totals.counts(), [0; 5]);
    assert_status(&end.unwrap_err(), Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
    assert_eq!(fixture.count("orders.order_header").await, 0);
    fixture.write_with(start(ReferenceCheck::Accept), &[pointing]).await.expect_counts([1, 0, 0, 0, 0]);
}
