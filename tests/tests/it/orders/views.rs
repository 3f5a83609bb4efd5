//! How much of an order the answer to a change returns: what view and read_mask say, by default its own fields and its
//! summary, so that the change of an order with many lines is told to a client with the usual limit.

use orrery_proto::orders::v1::{
    Address, AddressKind, CreateOrderRequest, Order, OrderView, SetProvisionTimerRequest, TransitionOrderRequest,
    UpdateOrderRequest,
};
use tonic::{Response, Status};

use super::fixture::{Fixture, bare};
use crate::harness::{line, timestamp};
use crate::writes::stream::{mask, violated};

type View<'a> = (i32, Option<&'a [&'a str]>);

fn order() -> Order {
    let addresses = vec![Address { kind: AddressKind::Billing.into(), name: "Ada".to_owned(), ..Address::default() }];
    Order { line_items: vec![line("a", 1, "1")], addresses, ..bare("1") }
}

/// The answer of every method that changes one order.
async fn answers(fixture: &Fixture, (view, paths): View<'_>) -> Vec<Result<Order, Status>> {
    let mut client = fixture.server.client();
    let read_mask = || paths.map(mask);
    let uid = || "ord_1".to_owned();
    let create = CreateOrderRequest { order: Some(order()), view, read_mask: read_mask(), ..Default::default() };
    let change = Order { customer_id: "c".to_owned(), ..order() };
    let update = UpdateOrderRequest { order: Some(change), view, read_mask: read_mask(), ..Default::default() };
    let provision_timer_ts = Some(timestamp(1_000));
    let timer =
        SetProvisionTimerRequest { uid: uid(), provision_timer_ts, view, read_mask: read_mask(), ..Default::default() };
    let to_phase = "cancelled".to_owned();
    let cancel = TransitionOrderRequest { uid: uid(), to_phase, view, read_mask: read_mask(), ..Default::default() };
    vec![
        client.create_order(create).await.map(Response::into_inner),
        client.update_order(update).await.map(Response::into_inner),
        client.set_provision_timer(timer).await.map(Response::into_inner),
        client.transition_order(cancel).await.map(Response::into_inner),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_order_returns_what_its_caller_asks_for() {
    let fixture = Fixture::new().await;
    for view in [OrderView::Unspecified, OrderView::Basic, OrderView::Full] {
        for (at, answer) in answers(&fixture, (view.into(), None)).await.into_iter().enumerate() {
            let order = answer.unwrap();
            assert_eq!(order.revision, at as i32 + 1);
            assert_eq!(order.summary.as_ref().unwrap().line_count, 1);
            let many = usize::from(view == OrderView::Full);
            assert_eq!((order.line_items.len(), order.addresses.len()), (many, many), "{view:?} {at}");
        }
        fixture.delete("1").await;
    }
    // A mask goes before a view.
    for answer in answers(&fixture, (OrderView::Full.into(), Some(&["uid", "summary.total"]))).await {
        let order = answer.unwrap();
        let summary = order.summary.clone().unwrap();
        assert_eq!((order.uid.as_str(), summary.total.as_str(), summary.line_count), ("ord_1", "1", 0));
        assert_eq!((order.revision, order.line_items.len(), order.currency_code.as_str()), (0, 0, ""));
    }
    fixture.delete("1").await;
    // What cannot be returned is refused before anything is changed.
    for (view, field) in [((7, None), "view"), ((0, Some(&["lines"][..])), "read_mask")] {
        for answer in answers(&fixture, view).await {
            assert_eq!(violated(&answer.unwrap_err()), field);
        }
    }
    assert_eq!(fixture.count("orders.order_header").await, 0);
}
