//! Writing back what was read changes nothing, and changing one field keeps the others.

use orrery_proto::orders::v1::Order;
use orrery_proto::r#type::v1::{Status, WriteStart};
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::{orders, sendable_orders, stored, update};
use crate::orders::fixture::Fixture;
use crate::writes::stream::mask;

async fn read_all(fixture: &Fixture, uids: &[String]) -> Vec<Order> {
    let mut all = Vec::new();
    for uid in uids {
        let mut order = fixture.get(uid.trim_start_matches("ord_")).await;
        // What was read may be sent back after the order has changed otherwise.
        order.etag.clear();
        order.revision = 0;
        all.push(order);
    }
    all
}

#[tokio::test]
async fn what_is_written_back_as_it_was_read_changes_nothing() {
    let fixture = Fixture::new().await;
    let uids = sendable_orders(&fixture).await;
    // Without totals, because other programs do not write them. The first write of lines adds them, which is a change.
    let sums = read_all(&fixture, &uids).await;
    assert!(sums.iter().all(|order| order.summary.is_none()));
    let before = stored(&fixture).await;
    fixture.write(&sums).await.expect_counts([0, uids.len() as i64, 0, 0, 0]);
    assert_eq!(stored(&fixture).await, before);
    fixture.assert_sums().await;

    let versions = fixture.versions().await;
    let read = read_all(&fixture, &uids).await;
    // A status without a phase gets the default phase when it, or its line, is replaced as a whole.
    let has_phase = |status: &Option<Status>| status.as_ref().is_some_and(|status| !status.phase.is_empty());
    let (whole, part): (Vec<Order>, Vec<Order>) =
        read.into_iter().partition(|order| order.line_items.iter().all(|line| has_phase(&line.status)));
    assert!(whole.len() > 3 && part.len() > 3, "{} {}", whole.len(), part.len());
    let all = [whole.clone(), part].concat();
    let masks: [(&[Order], &[&str]); 5] = [
        (&all, &[]),
        (&all, &["addresses"]),
        (&all, &["customer_id", "labels", "annotations", "currency_code", "status.details"]),
        (&whole, &["line_items"]),
        (&whole, &["line_items", "summary", "status.details"]),
    ];
    for (orders, paths) in masks {
        let update_mask = (!paths.is_empty()).then(|| mask(paths));
        let written = fixture.write_with(WriteStart { update_mask, ..WriteStart::default() }, orders).await;
        assert_eq!(fixture.versions().await, versions, "{paths:?}");
        written.expect_counts([0, 0, orders.len() as i64, 0, 0]);
        for order in orders {
            update(&fixture, order.clone(), paths).await.unwrap();
        }
    }
    for order in whole.into_iter().filter(|order| has_phase(&order.status)) {
        for path in ["*", "status"] {
            update(&fixture, order.clone(), &[path]).await.unwrap();
        }
    }
    assert_eq!(fixture.versions().await, versions);
}

#[tokio::test]
async fn one_key_is_written_and_everything_else_stays_byte_for_byte() {
    let fixture = Fixture::new().await;
    let uids = orders(&fixture).await;
    super::reading::odd_documents(&fixture).await;
    let all: Vec<String> = uids.iter().cloned().chain((0..8).map(|number| format!("ord_odd{number}"))).collect();
    let new = |uid: &str, word: &str| {
        let text = Value { kind: Some(Kind::StringValue(word.to_owned())) };
        let details = Some(Struct { fields: [("k".to_owned(), text)].into() });
        Order {
            uid: uid.to_owned(),
            status: Some(Status { phase: String::new(), details }),
            labels: [("season".to_owned(), word.to_owned())].into(),
            annotations: [("x/y".to_owned(), word.to_owned())].into(),
            currency_code: "GBP".to_owned(),
            ..Order::default()
        }
    };
    let parts = [
        ("labels.season", "labels", "season"),
        ("annotations.x/y", "annotations", "x/y"),
        ("status.details.k", "status", "k"),
    ];
    for (path, column, key) in parts {
        for bulk in [false, true] {
            let word = format!("new {bulk}");
            // As the contract describes it: in the object, or in a new one if there is none.
            fixture
                .run(&format!(
                    "create table expected as select * from orders.order_header; \
                     update expected set {column} = case jsonb_typeof({column}) when 'object' then {column} else \
                     '{{}}' end \
                       || jsonb_build_object('{key}', '{word}'::text); \
                     create table lines as select * from orders.order_line_item; \
                     create table addresses as select * from orders.order_address"
                ))
                .await;
            if bulk {
                let orders: Vec<Order> = all.iter().map(|uid| new(uid, &word)).collect();
                let start = || WriteStart { update_mask: Some(mask(&[path])), ..WriteStart::default() };
                fixture.write_with(start(), &orders).await.expect_counts([0, all.len() as i64, 0, 0, 0]);
                fixture.write_with(start(), &orders).await.expect_counts([0, 0, all.len() as i64, 0, 0]);
            } else {
                for uid in &all {
                    let written = update(&fixture, new(uid, &word), &[path]).await.unwrap();
                    assert_eq!(update(&fixture, new(uid, &word), &[path]).await.unwrap(), written, "{path}");
                }
            }
            let differing = "select count(*) from orders.order_header t join expected e using (uid) \
                             where t.status::text <> e.status::text or t.labels::text <> e.labels::text \
                                or t.annotations::text <> e.annotations::text or t.revision <> e.revision + 1 \
                                or (to_jsonb(t) - 'revision' - 'update_ts') <> (to_jsonb(e) - 'revision' - \
                                'update_ts')";
            assert_eq!(fixture.text(differing).await, "0", "{path} {bulk}");
            for (table, before) in [("order_line_item", "lines"), ("order_address", "addresses")] {
                let differing = format!(
                    "select count(*) from (select t::text from orders.{table} t except all select b::text from \
                     {before} b) as d"
                );
                assert_eq!(fixture.text(&differing).await, "0", "{path} {bulk} {table}");
            }
            fixture.run("drop table expected; drop table lines; drop table addresses").await;
        }
    }
}

#[tokio::test]
async fn a_line_is_changed_and_its_neighbours_stay() {
    let fixture = Fixture::new().await;
    let uids = sendable_orders(&fixture).await;
    let read = read_all(&fixture, &uids).await;
    fixture.write(&read).await;
    fixture
        .run(
            "create table expected as select * from orders.order_line_item; \
             update expected set quantity = 7, \
                    labels = labels || '{\"season\": \"winter\"}', \
                    status = (case jsonb_typeof(status) when 'object' then status else '{}' end) || '{\"k\": \"new\"}' \
              where line_number = 86",
        )
        .await;
    let mut changed = read;
    for order in &mut changed {
        // The second line, which has the smaller number.
        let line = &mut order.line_items[0];
        assert_eq!(line.line_number, 86);
        line.quantity = 7;
        line.labels.insert("season".to_owned(), "winter".to_owned());
        let details = line.status.get_or_insert_default().details.get_or_insert_default();
        details.fields.insert("k".to_owned(), Value { kind: Some(Kind::StringValue("new".to_owned())) });
    }
    fixture.write(&changed).await.expect_counts([0, uids.len() as i64, 0, 0, 0]);
    let differing = "select count(*) from orders.order_line_item t join expected e using (order_uid, uid) \
                     where (to_jsonb(t) - 'update_ts')::text <> (to_jsonb(e) - 'update_ts')::text";
    assert_eq!(fixture.text(differing).await, "0");
    let touched =
        "select count(*) from orders.order_line_item where line_number = 93 and update_ts <> '2026-01-01 00:00:00+00'";
    assert_eq!(fixture.text(touched).await, "0", "the other line is not rewritten");
    fixture.assert_sums().await;
}

#[tokio::test]
async fn a_changed_address_line_keeps_the_order_of_the_others() {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "insert into orders.order_header (uid, currency_code) values ('ord_1', 'GBP'); \
             insert into orders.order_address (order_uid, kind, lines) \
             values ('ord_1', 'billing', '[1, \"Street\"]'), ('ord_1', 'shipping', '[1.10, null]')",
        )
        .await;
    let mut read = fixture.get("1").await;
    read.addresses[0].lines.push("Floor 3".to_owned());
    update(&fixture, read, &["addresses"]).await.unwrap();
    let lines = fixture.text("select string_agg(lines::text, ' ' order by kind) from orders.order_address").await;
    assert_eq!(lines, r#"["1", "Street", "Floor 3"] [1.10, null]"#);
}
