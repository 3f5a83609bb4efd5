//! Valid orders that the database refuses, because somebody added a constraint to one of the tables of an order.

use orrery_proto::orders::v1::{
    Address, AddressKind, ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest, Order,
    SetProvisionTimerRequest, TransitionOrderRequest, UpdateOrderRequest,
};
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowErrorPolicy, WriteStart};
use tonic::Code;

use crate::harness::{line, refusal, timestamp};
use crate::orders::fixture::{Fixture, bare};
use crate::writes::stream::{ORDERS, assert_status, violated, write};

fn good(number: usize) -> Order {
    let address = Address { kind: AddressKind::Billing.into(), city: format!("City {number}"), ..Address::default() };
    Order {
        customer_id: format!("c{number}"),
        line_items: vec![line(&format!("s{number}"), 1, "1.50"), line("any", 2, "1")],
        addresses: vec![address],
        ..bare(&format!("{number:04}"))
    }
}

/// What is added, how an order violates it, and the field, code and reason of the error.
type Case = (&'static str, fn(&mut Order), &'static str, Code, ErrorReason);

/// A case for each table of an order.
fn cases() -> Vec<Case> {
    let invalid = (Code::InvalidArgument, ErrorReason::FieldInvalid);
    let taken = (Code::AlreadyExists, ErrorReason::ResourceExists);
    let missing = (Code::FailedPrecondition, ErrorReason::ReferenceMissing);
    let case = |sql, bad, field, (code, reason)| -> Case { (sql, bad, field, code, reason) };
    vec![
        case(
            "alter table orders.order_header add constraint order_header_customer_id_check \
             check (customer_id <> 'bad')",
            |order| "bad".clone_into(&mut order.customer_id),
            "customer_id",
            invalid,
        ),
        case(
            "create unique index order_header_customer_id_key on orders.order_header (customer_id) \
             where customer_id = 'c0'; \
             insert into orders.order_header (uid, currency_code, customer_id) \
             values ('ord_holder', 'GBP', 'c0')",
            |order| "c0".clone_into(&mut order.customer_id),
            "customer_id",
            taken,
        ),
        case(
            "alter table orders.order_line_item add check (sku <> 'bad')",
            |order| "bad".clone_into(&mut order.line_items[1].sku),
            "line_items",
            invalid,
        ),
        case(
            "create unique index theirs on orders.order_line_item (order_uid, sku) where sku = 'bad'",
            |order| order.line_items.iter_mut().for_each(|line| "bad".clone_into(&mut line.sku)),
            "line_items",
            taken,
        ),
        case(
            "create table public.city (name text primary key); \
             insert into public.city select 'City ' || n from generate_series(0, 99) as n; \
             alter table orders.order_address add foreign key (city) references public.city",
            |order| "Atlantis".clone_into(&mut order.addresses[0].city),
            "addresses",
            missing,
        ),
        case(
            "alter table orders.order_summary add check (total < 1000)",
            |order| "1000".clone_into(&mut order.line_items[0].unit_price),
            "summary",
            invalid,
        ),
        case(
            "alter table orders.order_line_item add column theirs numeric \
             generated always as (1 / (quantity - 13)) stored",
            |order| order.line_items[0].quantity = 13,
            "",
            invalid,
        ),
    ]
}

#[tokio::test]
async fn an_order_is_refused_with_all_that_belongs_to_it_and_alone() {
    for (sql, bad, field, code, reason) in cases() {
        let fixture = Fixture::new().await;
        fixture.run(sql).await;
        let mut client = fixture.server.client();
        let known = fixture.count("orders.order_header").await;
        let mut rows: Vec<Order> = (1..=20).map(good).collect();
        for at in [4, 19] {
            bad(&mut rows[at]);
        }
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
        // New orders, then the same again, with a change that is refused.
        let written = fixture.write_with(start.clone(), &rows).await;
        written.expect_counts([18, 0, 0, 2, 0]);
        let mut changed = rows.clone();
        bad(&mut changed[7]);
        let again = fixture.write_with(start, &changed).await;
        again.expect_counts([0, 0, 17, 3, 0]);
        let errors = [written.totals.errors, again.totals.errors].concat();
        let offsets: Vec<i64> = errors.iter().map(|error| error.offset).collect();
        assert_eq!(offsets, [4, 19, 4, 7, 19], "{sql}");
        for error in errors {
            let told = (Code::from_i32(error.code), error.reason(), error.field.as_str());
            assert_eq!(told, (code, reason, field), "{sql}: {error:?}");
        }
        for (table, each) in [("order_header", 1), ("order_line_item", 2), ("order_address", 1), ("order_summary", 1)] {
            let extra = if table == "order_header" { known } else { 0 };
            assert_eq!(fixture.count(&format!("orders.{table}")).await, 18 * each + extra, "{sql} {table}");
        }
        let (totals, end) = write(fixture.server.channel(), ORDERS, WriteStart::default(), &rows).await;
        assert_eq!(assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED")["offset"], "4");
        assert_eq!(totals.rejected, 2);

        let references = ReferenceCheck::Accept.into();
        let create = CreateOrderRequest {
            order: Some(Order { uid: "ord_single".to_owned(), ..rows[4].clone() }),
            reference_check: references,
            ..CreateOrderRequest::default()
        };
        let update = UpdateOrderRequest {
            order: Some(changed[7].clone()),
            reference_check: references,
            ..UpdateOrderRequest::default()
        };
        for status in [client.create_order(create).await.unwrap_err(), client.update_order(update).await.unwrap_err()] {
            let told = refusal(&status);
            assert_eq!((told.code, format!("ERROR_REASON_{}", told.reason)), (code, reason.as_str_name().to_owned()));
            assert_eq!(violated(&status), format!("order.{field}").trim_end_matches('.'), "{sql}: {status:?}");
        }
    }
}

#[tokio::test]
async fn a_move_a_timer_and_a_delete_are_told_what_is_refused() {
    let fixture = Fixture::new().await;
    fixture.write(&[good(1)]).await;
    fixture
        .run(
            "alter table orders.order_header add constraint order_header_status_check \
             check (status ->> 'phase' <> 'cancelled'); \
             alter table orders.order_header add constraint theirs check (provision_timer_ts > '2026-01-01'); \
             create table public.shipment (order_uid text, uid text, \
             foreign key (order_uid, uid) references orders.order_line_item); \
             insert into public.shipment select order_uid, uid from orders.order_line_item",
        )
        .await;
    let before = fixture.versions().await;
    let mut client = fixture.server.client();
    let uid = || "ord_0001".to_owned();
    let cancel = TransitionOrderRequest { uid: uid(), to_phase: "cancelled".to_owned(), ..Default::default() };
    let refused = client.transition_order(cancel).await.unwrap_err();
    assert_status(&refused, Code::InvalidArgument, "FIELD_INVALID");
    assert_eq!(violated(&refused), "status");
    let timer = SetProvisionTimerRequest { uid: uid(), provision_timer_ts: Some(timestamp(1)), ..Default::default() };
    assert_status(&client.set_provision_timer(timer).await.unwrap_err(), Code::InvalidArgument, "FIELD_INVALID");
    let delete = DeleteOrderRequest { uid: uid(), ..DeleteOrderRequest::default() };
    assert_status(&client.delete_order(delete).await.unwrap_err(), Code::FailedPrecondition, "RESOURCE_REFERENCED");
    // A line that is referenced is not replaced either.
    let update = UpdateOrderRequest {
        order: Some(Order { line_items: vec![line("other", 1, "1")], ..Order { uid: uid(), ..Order::default() } }),
        update_mask: Some(crate::writes::stream::mask(&["line_items"])),
        reference_check: ReferenceCheck::Accept.into(),
        ..UpdateOrderRequest::default()
    };
    assert_status(&client.update_order(update).await.unwrap_err(), Code::FailedPrecondition, "RESOURCE_REFERENCED");
    assert_eq!(fixture.versions().await, before);
}

#[tokio::test]
async fn an_order_that_cannot_be_claimed_holds_up_nobody() {
    let fixture = Fixture::new().await;
    fixture
        .run(
            "insert into orders.order_header (uid, currency_code, customer_id, status, provision_timer_ts) \
             select 'ord_' || lpad(n::text, 3, '0'), 'GBP', \
                    case when n in (0, 1, 40, 99) then 'held' end, '{\"phase\": \"confirmed\"}', \
                    timestamptz '2026-01-01' + n * interval '1 second' from generate_series(0, 99) as n; \
             alter table orders.order_header add check (customer_id is null or status ->> 'phase' = 'confirmed')",
        )
        .await;
    let mut client = fixture.server.client();
    let mut claimed = Vec::new();
    loop {
        let lease = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let claim = ClaimDueOrdersRequest { lease, limit: 30, ..ClaimDueOrdersRequest::default() };
        let orders = client.claim_due_orders(claim).await.unwrap().into_inner().orders;
        if orders.is_empty() {
            break;
        }
        claimed.extend(orders);
    }
    assert_eq!(claimed.len(), 96);
    assert!(claimed.iter().all(|order| order.customer_id.is_empty() && order.revision == 2));
    assert_eq!(fixture.count("orders.order_header where revision = 1").await, 4);
    // More of them than are skipped: the client learns which one.
    fixture
        .run(
            "insert into orders.order_header (uid, currency_code, customer_id, status, provision_timer_ts) \
             select 'ord_x' || n, 'GBP', 'held', '{\"phase\": \"confirmed\"}', '2026-01-01' \
               from generate_series(0, 40) as n",
        )
        .await;
    let lease = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let refused = client.claim_due_orders(ClaimDueOrdersRequest { lease, ..Default::default() }).await.unwrap_err();
    assert_status(&refused, Code::InvalidArgument, "FIELD_INVALID");
    assert!(refused.message().contains("ord_"), "{refused:?}");
}

/// All valid values fit into the existing indexes, even if they are incompressible and grow when they are case-folded
/// for the indexes that ignore case.
#[tokio::test]
async fn no_value_of_the_contract_is_too_large_for_an_index() {
    let fixture = Fixture::new().await;
    // Musical notes of 4 bytes each become three characters of 4 bytes each when they are composed.
    let growing: String = (0..64).filter_map(|at| char::from_u32(0x1_d160 + at % 5)).collect();
    let longest = |prefix: &str| format!("{prefix}{}", "Zz.-_09aB".repeat(14).split_at(124).0);
    let mut order = Order { uid: longest("ord_"), customer_id: growing.clone(), ..good(1) };
    order.line_items[0].sku = growing;
    order.line_items[0].product_uid = longest("prd_");
    order.line_items[0].uid = longest("oli_");
    fixture.write(&[order]).await.expect_counts([1, 0, 0, 0, 0]);
    let folded = "octet_length(lower(normalize(customer_id, nfc))) from orders.order_header";
    assert!(fixture.text(&format!("select {folded}")).await.parse::<usize>().unwrap() > 700);
}
