//! Create, update and delete of one order.

use orrery_proto::orders::v1::{CreateOrderRequest, DeleteOrderRequest, Order, OrderView, Summary, UpdateOrderRequest};
use orrery_proto::r#type::v1::ReferenceCheck;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::fixture::{Fixture, bare};
use crate::harness::{line, status};
use crate::writes::stream::{assert_status, mask, violated};

async fn create(fixture: &Fixture, order: Order, request_id: &str) -> Result<Order, Status> {
    let request = CreateOrderRequest {
        order: Some(order),
        request_id: request_id.to_owned(),
        view: OrderView::Full.into(),
        ..CreateOrderRequest::default()
    };
    fixture.server.client().create_order(request).await.map(tonic::Response::into_inner)
}

async fn update(fixture: &Fixture, order: Order, paths: &[&str]) -> Result<Order, Status> {
    let update_mask = (!paths.is_empty()).then(|| mask(paths));
    let view = OrderView::Full.into();
    let request = UpdateOrderRequest { order: Some(order), update_mask, view, ..UpdateOrderRequest::default() };
    fixture.server.client().update_order(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_created_order_comes_back_whole_and_a_retry_makes_no_second() {
    let fixture = Fixture::new().await;
    let new = || Order { uid: String::new(), line_items: vec![line("a", 2, "1.10"), line("b", 1, "3")], ..bare("") };
    let created = create(&fixture, new(), "r-1").await.unwrap();
    assert!(created.uid.starts_with("ord_") && created.uid.len() == 30, "{}", created.uid);
    assert_eq!((created.revision, created.status.as_ref().unwrap().phase.as_str()), (1, "draft"));
    assert_eq!(created.summary.as_ref().unwrap().total, "5.20");
    assert!(created.line_items.iter().all(|line| line.uid.starts_with("oli_") && line.order_uid.is_empty()));
    assert_eq!(create(&fixture, new(), "r-1").await.unwrap(), created);
    let other = Order { line_items: vec![line("a", 2, "1.10")], ..new() };
    assert_status(&create(&fixture, other, "r-1").await.unwrap_err(), Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
    assert_eq!(fixture.count("orders.order_header").await, 1);
    let again = Order { uid: created.uid, ..new() };
    assert_status(&create(&fixture, again, "").await.unwrap_err(), Code::AlreadyExists, "RESOURCE_EXISTS");
}

#[tokio::test]
async fn a_create_says_no_revision_and_no_phase_but_the_first() {
    let fixture = Fixture::new().await;
    let stale = create(&fixture, Order { revision: 1, ..bare("1") }, "").await.unwrap_err();
    assert_eq!(violated(&stale), "order.revision");
    let refused = create(&fixture, Order { status: Some(status("confirmed")), ..bare("1") }, "").await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "PHASE_FORBIDS");
    let failures = refused.get_details_precondition_failure().unwrap().violations;
    assert!(failures[0].description.contains("draft") && failures[0].description.contains("confirmed"), "{failures:?}");
    assert_eq!(fixture.count("orders.order_header").await, 0);
    create(&fixture, Order { status: Some(status("draft")), ..bare("1") }, "").await.unwrap();
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_counts_as_one_change() {
    let fixture = Fixture::new().await;
    let shipping = Some(Summary { shipping: "2".to_owned(), ..Summary::default() });
    let first =
        Order { line_items: vec![line("a", 1, "1")], summary: shipping, customer_id: "c".to_owned(), ..bare("1") };
    create(&fixture, first, "").await.unwrap();
    let more = Order { line_items: vec![line("a", 1, "1"), line("b", 2, "2")], ..bare("1") };
    let read = update(&fixture, more.clone(), &["line_items"]).await.unwrap();
    assert_eq!((read.revision, read.line_items.len(), read.customer_id.as_str()), (2, 2, "c"));
    assert_eq!(read.summary.as_ref().unwrap().total, "7");
    let same = update(&fixture, more, &["line_items"]).await.unwrap();
    assert_eq!((same.revision, same.update_ts), (2, read.update_ts), "what changes nothing is no change");
    // Without a currency: it is already stored.
    let partly = Order { uid: "ord_1".to_owned(), customer_id: "d".to_owned(), ..Order::default() };
    let read = update(&fixture, partly, &[]).await.unwrap();
    assert_eq!((read.revision, read.customer_id.as_str(), read.currency_code.as_str()), (3, "d", "GBP"));
    let read = update(&fixture, bare("1"), &["line_items", "customer_id"]).await.unwrap();
    assert_eq!((read.revision, read.line_items.len(), read.customer_id.as_str()), (4, 0, ""));
    assert_eq!(read.summary.unwrap().total, "2");
    let clearing = Order { currency_code: String::new(), ..bare("1") };
    assert_eq!(violated(&update(&fixture, clearing, &["currency_code"]).await.unwrap_err()), "order.currency_code");
    assert_status(&update(&fixture, bare("9"), &[]).await.unwrap_err(), Code::NotFound, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn an_update_leaves_the_phase() {
    let fixture = Fixture::new().await;
    create(&fixture, bare("1"), "").await.unwrap();
    fixture.run("update orders.order_header set status = '{\"phase\": \"confirmed\", \"note\": 1}'").await;
    let forbidden = |status: &Status, to: &str| {
        assert_status(status, Code::FailedPrecondition, "PHASE_FORBIDS");
        let failures = status.get_details_precondition_failure().unwrap().violations;
        let both = failures[0].description.contains("confirmed") && failures[0].description.contains(to);
        assert!(both, "{failures:?}");
    };
    for paths in [&[][..], &["status"], &["status.phase"], &["*"]] {
        let moved = Order { status: Some(status("provisioning")), ..bare("1") };
        forbidden(&update(&fixture, moved, paths).await.unwrap_err(), "provisioning");
    }
    // Clearing a phase means setting the first one.
    forbidden(&update(&fixture, bare("1"), &["status"]).await.unwrap_err(), "draft");
    let unknown = Order { status: Some(status("lost")), ..bare("1") };
    assert_eq!(violated(&update(&fixture, unknown, &[]).await.unwrap_err()), "order.status.phase");
    assert_eq!(fixture.get("1").await.revision, 1);
    // The current phase is not a transition, and a phase outside of the mask is ignored.
    let same = Order { status: Some(status("confirmed")), customer_id: "c".to_owned(), ..bare("1") };
    assert_eq!(update(&fixture, same, &["status.phase", "customer_id"]).await.unwrap().revision, 2);
    let unseen = Order { status: Some(status("closed")), customer_id: "d".to_owned(), ..bare("1") };
    let read = update(&fixture, unseen, &["customer_id"]).await.unwrap();
    assert_eq!((read.status.unwrap().phase.as_str(), read.customer_id.as_str()), ("confirmed", "d"));
}

#[tokio::test]
async fn a_stale_revision_aborts_updates_and_deletes() {
    let fixture = Fixture::new().await;
    create(&fixture, bare("1"), "").await.unwrap();
    let at = |revision| Order { revision, customer_id: format!("c-{revision}"), ..bare("1") };
    assert_status(&update(&fixture, at(2), &[]).await.unwrap_err(), Code::Aborted, "REVISION_MISMATCH");
    assert_eq!(update(&fixture, at(1), &[]).await.unwrap().revision, 2);
    assert_status(&update(&fixture, at(1), &[]).await.unwrap_err(), Code::Aborted, "REVISION_MISMATCH");
    let delete = |revision| DeleteOrderRequest { uid: "ord_1".to_owned(), revision, ..DeleteOrderRequest::default() };
    let status = fixture.server.client().delete_order(delete(1)).await.unwrap_err();
    assert_status(&status, Code::Aborted, "REVISION_MISMATCH");
    fixture.server.client().delete_order(delete(2)).await.unwrap();
    assert_eq!(fixture.count("orders.order_summary").await, 0);
}

#[tokio::test]
async fn an_update_may_create_a_draft() {
    let fixture = Fixture::new().await;
    let request =
        |order: Order| UpdateOrderRequest { order: Some(order), allow_missing: true, ..UpdateOrderRequest::default() };
    let mut client = fixture.server.client();
    let status = client.update_order(request(Order { status: Some(status("closed")), ..bare("1") })).await.unwrap_err();
    assert_status(&status, Code::FailedPrecondition, "PHASE_FORBIDS");
    let stale = client.update_order(request(Order { revision: 3, ..bare("1") })).await.unwrap_err();
    assert_status(&stale, Code::Aborted, "REVISION_MISMATCH");
    let new = Order { line_items: vec![line("a", 1, "9.99")], ..bare("1") };
    let created = client.update_order(request(new)).await.unwrap().into_inner();
    assert_eq!((created.revision, created.summary.unwrap().total.as_str()), (1, "9.99"));
}

#[tokio::test]
async fn single_writes_check_products_unless_told_otherwise() {
    let fixture = Fixture::new().await;
    let mut pointing = Order { line_items: vec![line("a", 1, "1")], ..bare("1") };
    pointing.line_items[0].product_uid = "prd_1".to_owned();
    // No catalog is running.
    let status = create(&fixture, pointing.clone(), "").await.unwrap_err();
    assert_status(&status, Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some());
    let request = CreateOrderRequest {
        order: Some(pointing),
        reference_check: ReferenceCheck::Accept.into(),
        ..CreateOrderRequest::default()
    };
    fixture.server.client().create_order(request).await.unwrap();
}
