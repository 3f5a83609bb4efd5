//! Orders with children that no write could have created: they stay when something else changes, and do not get in the
//! way.

use orrery_proto::orders::v1::{
    Address, AddressKind, ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest, Order,
    SetProvisionTimerRequest, Summary, TransitionOrderRequest,
};
use prost_types::Duration;
use tonic::Code;

use super::reading::{STRANGE, odd_documents};
use super::{stored, update};
use crate::harness::{assert_invalid, line, timestamp};
use crate::orders::fixture::{Fixture, bare};
use crate::writes::stream::{assert_status, violated};

/// The orders of [`STRANGE`] with a valid uid.
const ORDERS: [&str; 7] = ["without_parts", "numbers", "lines", "addresses", "sums", "time1", "time2"];

#[tokio::test]
async fn what_no_write_could_have_made_stays_when_something_else_changes() {
    let fixture = Fixture::new().await;
    fixture.run(STRANGE).await;
    odd_documents(&fixture).await;
    let odd: Vec<String> = (0..8).map(|number| format!("odd{number}")).collect();
    let numbers: Vec<&str> = ORDERS.into_iter().chain(odd.iter().map(String::as_str)).collect();
    let sums_before = fixture
        .text("select coalesce(string_agg(t::text, ' ' order by t::text), '') from orders.order_summary t")
        .await;
    for number in numbers {
        let before = stored(&fixture).await;
        let read = fixture.get(number).await;
        let mut changed = read.clone();
        changed.etag.clone_from(&read.etag);
        // A revision below 1 cannot be sent.
        changed.revision = read.revision.max(0);
        changed.labels.insert("season".to_owned(), "winter".to_owned());
        let written = update(&fixture, changed, &["labels.season"]).await.unwrap();
        assert_eq!(written.revision, read.revision + 1, "{number}");
        assert_eq!((&written.line_items, &written.addresses), (&read.line_items, &read.addresses));
        assert_eq!((&written.summary, &written.annotations), (&read.summary, &read.annotations));
        // Only the labels in the header have changed.
        let after = stored(&fixture).await;
        let differing = before.iter().filter(|row| !after.contains(row)).count();
        assert_eq!((after.len(), differing), (before.len(), 1), "{number}");
    }
    let sums_after = fixture
        .text("select coalesce(string_agg(t::text, ' ' order by t::text), '') from orders.order_summary t")
        .await;
    assert_eq!(sums_before, sums_after);
}

#[tokio::test]
async fn what_no_write_could_have_made_cannot_be_sent() {
    let fixture = Fixture::new().await;
    fixture.run(STRANGE).await;
    odd_documents(&fixture).await;
    let cases = [
        ("numbers", "line_items", "order.line_items[0].unit_price"),
        ("lines", "line_items", "order.line_items[0].line_number"),
        ("addresses", "addresses", "order.addresses[0].kind"),
        ("sums", "summary.shipping", "order.summary.shipping"),
        ("odd7", "line_items", "order.line_items[0].labels"),
        ("odd7", "labels", "order.labels"),
        ("time1", "customer_id", "order.customer_id"),
        ("time1", "", "order.revision"),
    ];
    for (number, path, field) in cases {
        let mut read = fixture.get(number).await;
        read.revision = if path.is_empty() { read.revision } else { 0 };
        let paths: &[&str] = if path.is_empty() { &["labels.a"] } else { &[path] };
        let refused = update(&fixture, read, paths).await.unwrap_err();
        assert_eq!((refused.code(), violated(&refused).as_str()), (Code::InvalidArgument, field), "{number}");
    }
}

/// A kind that the contract does not know stays stored as it is, whatever is written but the addresses.
#[tokio::test]
async fn an_address_of_an_unknown_kind_survives_until_the_addresses_are_written() {
    let fixture = Fixture::new().await;
    fixture.run(STRANGE).await;
    let kinds =
        "select string_agg(kind, ',' order by kind) from orders.order_address where order_uid = 'ord_addresses'";
    let before = fixture.text(kinds).await;
    assert_eq!(before, ",Shipping,billing,invoice");
    let new = Order { customer_id: "c-1".to_owned(), line_items: vec![line("a", 2, "1.50")], ..bare("addresses") };
    let written = update(&fixture, new.clone(), &["customer_id", "line_items"]).await.unwrap();
    assert_eq!(written.addresses.len(), 4);
    fixture.write(&[Order { customer_id: "c-2".to_owned(), ..new.clone() }]).await.expect_counts([0, 1, 0, 0, 0]);
    assert_eq!(fixture.text(kinds).await, before);
    // Written as a whole: what the list does not hold goes, and what was stored as "Shipping" is no shipping address.
    let shipping = Address { kind: AddressKind::Shipping.into(), ..Address::default() };
    fixture.write(&[Order { addresses: vec![shipping], ..new }]).await.expect_counts([0, 1, 0, 0, 0]);
    assert_eq!(fixture.text(kinds).await, "shipping");
}

#[tokio::test]
async fn lines_that_no_write_could_have_made_can_be_replaced_and_deleted() {
    let fixture = Fixture::new().await;
    fixture.run(STRANGE).await;
    for number in ORDERS {
        let new = Order {
            line_items: vec![line("a", 2, "1.50")],
            summary: Some(Summary { shipping: "1".to_owned(), ..Summary::default() }),
            ..bare(number)
        };
        let written =
            update(&fixture, new, &["line_items", "addresses", "currency_code", "summary.shipping"]).await.unwrap();
        assert_eq!((written.line_items.len(), written.addresses.len()), (1, 0), "{number}");
        assert_eq!(written.summary.unwrap().total, "4.00");
        fixture.delete(number).await;
    }
    // Children without an owner, and those of invalid uids, are still there.
    assert_eq!(fixture.count("orders.order_line_item").await, 2);
    assert_eq!(fixture.count("orders.order_summary").await, 1);
}

#[tokio::test]
async fn what_belongs_to_nobody_is_in_no_new_orders_way_and_none_of_its() {
    let fixture = Fixture::new().await;
    // As a program leaves it that deletes only from one table.
    let mut whole = Order { line_items: vec![line("old", 1, "9"), line("older", 1, "9")], ..bare("1") };
    whole.line_items[0].uid = "oli_1".to_owned();
    whole.addresses = vec![Address { kind: AddressKind::Billing.into(), ..Address::default() }];
    for bulk in [false, true] {
        fixture.write(std::slice::from_ref(&whole)).await;
        fixture.run("delete from orders.order_header").await;
        let mut new = Order { line_items: vec![line("new", 2, "1.50")], ..bare("1") };
        new.line_items[0].uid = "oli_1".to_owned();
        if bulk {
            fixture.write(&[bare("0"), new, bare("2")]).await.expect_counts([3, 0, 0, 0, 0]);
        } else {
            let request = CreateOrderRequest { order: Some(new), ..CreateOrderRequest::default() };
            fixture.server.client().create_order(request).await.unwrap();
        }
        let read = fixture.get("1").await;
        assert_eq!((read.line_items.len(), read.line_items[0].sku.as_str(), read.addresses.len()), (1, "new", 0));
        assert_eq!(read.summary.unwrap().total, "3.00");
        fixture.delete("1").await;
    }
    // An order without lines does not get existing ones either.
    fixture.write(std::slice::from_ref(&whole)).await;
    fixture.run("delete from orders.order_header").await;
    fixture.write(&[bare("1")]).await;
    let read = fixture.get("1").await;
    assert_eq!((read.line_items.len(), read.addresses.len(), read.summary.unwrap().total.as_str()), (0, 0, "0"));
}

#[tokio::test]
async fn an_order_moves_and_keeps_what_is_in_its_status() {
    let fixture = Fixture::new().await;
    let kept = r#""f": 1.10, "big": 12345678901234567890, "nested": {"list": [1.10, null, {"a": []}]}, "note": "n""#;
    // Contents that other programs may have stored in place of the history, and the number of entries after another
    // one.
    let histories = [
        ("", 1),
        (r#", "transitions": []"#, 1),
        (r#", "transitions": null"#, 1),
        (r#", "transitions": [1.10, {"x": 1}]"#, 3),
        (r#", "transitions": {"mine": 1.10}"#, 2),
        (r#", "transitions": "none""#, 2),
    ];
    for (number, (history, entries)) in histories.into_iter().enumerate() {
        fixture
            .run(&format!(
                "insert into orders.order_header (uid, currency_code, status, labels, provision_timer_ts) \
                 values ('ord_{number}', 'GBP', '{{\"phase\": \"draft\", {kept}{history}}}', '{{\"a\": [1.10]}}', \
                 '2026-01-01')"
            ))
            .await;
        let uid = format!("ord_{number}");
        let request =
            TransitionOrderRequest { uid: uid.clone(), to_phase: "confirmed".to_owned(), ..Default::default() };
        let moved = fixture.server.client().transition_order(request).await.unwrap().into_inner();
        assert_eq!((moved.status.unwrap().phase.as_str(), moved.revision), ("confirmed", 2));
        let select = |what: &str| format!("select {what} from orders.order_header where uid = '{uid}'");
        assert_eq!(fixture.text(&select("jsonb_array_length(status -> 'transitions')")).await, entries.to_string());
        let rest = fixture.text(&select("status - 'phase' - 'transitions'")).await;
        assert_eq!(rest, fixture.text(&format!("select '{{{kept}}}'::jsonb")).await);

        let request = SetProvisionTimerRequest {
            uid: uid.clone(),
            provision_timer_ts: Some(timestamp(1)),
            revision: 2,
            ..SetProvisionTimerRequest::default()
        };
        fixture.server.client().set_provision_timer(request).await.unwrap();
        assert_eq!(fixture.text(&select("labels")).await, r#"{"a": [1.10]}"#);
    }
    let lease = Some(Duration { seconds: 60, nanos: 0 });
    let claimed = fixture.server.client().claim_due_orders(ClaimDueOrdersRequest { lease, ..Default::default() }).await;
    assert_eq!(claimed.unwrap().into_inner().orders.len(), histories.len());
    let differing = format!(
        "select count(*) from orders.order_header where (status - 'phase' - 'transitions')::text <> \
         '{{{kept}}}'::jsonb::text \
            or labels::text <> '{{\"a\": [1.10]}}' or status ->> 'phase' <> 'provisioning'"
    );
    assert_eq!(fixture.text(&differing).await, "0");
}

/// Statuses without a valid phase.
const PHASELESS: [&str; 14] = [
    "{}",
    "null",
    "[]",
    "5",
    r#""draft""#,
    r#"{"phase": null}"#,
    r#"{"phase": 5}"#,
    r#"{"phase": true, "note": {"a": [1.10]}}"#,
    r#"{"phase": ["draft"]}"#,
    r#"{"phase": ""}"#,
    r#"{"phase": "DRAFT"}"#,
    r#"{"phase": "shipped\n", "transitions": [1.10]}"#,
    r#"{"phase": {"phase": "draft"}, "details": 7}"#,
    r#"[{"phase": "draft"}]"#,
];

/// Inserts an order with each of them, without the service.
async fn phaseless(fixture: &Fixture) {
    for (number, status) in PHASELESS.into_iter().enumerate() {
        fixture
            .run(&format!(
                "insert into orders.order_header (uid, currency_code, status, provision_timer_ts) \
                 values ('ord_{number}', 'GBP', '{status}', '2026-01-01')"
            ))
            .await;
    }
}

#[tokio::test]
async fn an_order_without_a_phase_of_ours_moves_to_any() {
    let fixture = Fixture::new().await;
    for to_phase in ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"] {
        fixture.run("delete from orders.order_header").await;
        phaseless(&fixture).await;
        for number in 0..PHASELESS.len() {
            let select = |what: &str| format!("select {what} from orders.order_header where uid = 'ord_{number}'");
            let kept = "case jsonb_typeof(status) when 'object' then status - 'phase' - 'transitions' else '{}' end";
            let before = fixture.text(&select(kept)).await;
            let moving = |to_phase: &str, revision| TransitionOrderRequest {
                uid: format!("ord_{number}"),
                to_phase: to_phase.to_owned(),
                reason: "repair".to_owned(),
                revision,
                ..TransitionOrderRequest::default()
            };
            let unknown = fixture.server.client().transition_order(moving("shipped", 0)).await;
            assert_invalid(unknown, "FIELD_INVALID", "to_phase");
            let moved = fixture.server.client().transition_order(moving(to_phase, 1)).await.unwrap().into_inner();
            assert_eq!((moved.status.unwrap().phase.as_str(), moved.revision), (to_phase, 2), "{number}");
            let timed = ["draft", "confirmed", "provisioning"].contains(&to_phase);
            assert_eq!(moved.provision_timer_ts.is_some(), timed, "{number}");
            assert_eq!(fixture.text(&select(kept)).await, before, "{number}");
            // From then on the lifecycle applies.
            let again = fixture.server.client().transition_order(moving(to_phase, 2)).await.unwrap_err();
            assert_status(&again, Code::FailedPrecondition, "PHASE_FORBIDS");
        }
    }
}

#[tokio::test]
async fn an_order_without_a_phase_of_ours_can_be_changed_and_is_handed_to_nobody() {
    let fixture = Fixture::new().await;
    phaseless(&fixture).await;
    let before = fixture.versions().await;
    for number in 0..PHASELESS.len() {
        let uid = format!("ord_{number}");
        let request = SetProvisionTimerRequest {
            uid,
            provision_timer_ts: Some(timestamp(1)),
            revision: 0,
            ..SetProvisionTimerRequest::default()
        };
        let refused = fixture.server.client().set_provision_timer(request).await.unwrap_err();
        assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    }
    let lease = Some(Duration { seconds: 60, nanos: 0 });
    let claimed = fixture.server.client().claim_due_orders(ClaimDueOrdersRequest { lease, ..Default::default() }).await;
    assert_eq!(claimed.unwrap().into_inner().orders, []);
    assert_eq!(fixture.versions().await, before);
    // A mask changes other fields, whatever else is sent; the timer can be cleared; an import of history can set a
    // phase; and the order can be deleted.
    for number in 0..PHASELESS.len() {
        let mut read = fixture.get(&number.to_string()).await;
        read.customer_id = "c".to_owned();
        let changed = update(&fixture, read, &["customer_id"]).await.unwrap();
        assert_eq!((changed.customer_id.as_str(), changed.revision), ("c", 2));
        let request = SetProvisionTimerRequest { uid: format!("ord_{number}"), ..SetProvisionTimerRequest::default() };
        fixture.server.client().set_provision_timer(request).await.unwrap();
        let set = Order { status: Some(crate::harness::status("confirmed")), ..bare(&number.to_string()) };
        fixture.write(&[set]).await.expect_counts([0, 1, 0, 0, 0]);
        assert_eq!(fixture.get(&number.to_string()).await.status.unwrap().phase, "confirmed");
        let delete = DeleteOrderRequest { uid: format!("ord_{number}"), ..DeleteOrderRequest::default() };
        fixture.server.client().delete_order(delete).await.unwrap();
    }
}

#[tokio::test]
async fn a_revision_that_cannot_grow_any_more_refuses_changes() {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "insert into orders.order_header (uid, currency_code, revision, provision_timer_ts, status) \
             values ('ord_1', 'GBP', 2147483647, '2026-01-01', '{\"phase\": \"draft\"}')",
        )
        .await;
    let named = Order { customer_id: "c".to_owned(), ..bare("1") };
    assert_invalid(
        update(&fixture, Order { revision: -1, ..named.clone() }, &[]).await,
        "FIELD_INVALID",
        "order.revision",
    );
    let before = fixture.get("1").await;
    let refused = update(&fixture, named, &[]).await.unwrap_err();
    assert_eq!((refused.code(), violated(&refused).as_str()), (Code::InvalidArgument, "order"), "{refused:?}");
    assert_eq!(fixture.get("1").await, before);
    // What changes nothing is no change.
    assert_eq!(update(&fixture, Order { customer_id: String::new(), ..bare("1") }, &[]).await.unwrap(), before);
}
