//! Changes of orders that name themselves: a lost answer can be asked for again.

use std::time::Duration;

use orrery_proto::orders::v1::{
    ClaimDueOrdersRequest, Order, OrderView, SetProvisionTimerRequest, TransitionOrderRequest,
};
use tonic::{Code, Response, Status};

use super::fixture::{Fixture, bare};
use super::retries::until_waiting;
use crate::harness::{Role, order_uid, refusal, run, timestamp};
use crate::writes::stream::{assert_status, violated};

const HOUR: Duration = Duration::from_secs(3_600);

fn moving(to_phase: &str, request_id: &str) -> TransitionOrderRequest {
    TransitionOrderRequest {
        uid: "ord_1".to_owned(),
        to_phase: to_phase.to_owned(),
        reason: "paid".to_owned(),
        request_id: request_id.to_owned(),
        ..TransitionOrderRequest::default()
    }
}

async fn transition(fixture: &Fixture, request: TransitionOrderRequest) -> Result<Order, Status> {
    fixture.server.client().transition_order(request).await.map(Response::into_inner)
}

async fn time(fixture: &Fixture, request: SetProvisionTimerRequest) -> Result<Order, Status> {
    fixture.server.client().set_provision_timer(request).await.map(Response::into_inner)
}

async fn claim(fixture: &Fixture, limit: i32, request_id: &str) -> Result<Vec<Order>, Status> {
    let lease = Some(HOUR.try_into().unwrap());
    let request =
        ClaimDueOrdersRequest { limit, lease, request_id: request_id.to_owned(), ..ClaimDueOrdersRequest::default() };
    fixture.server.client().claim_due_orders(request).await.map(|answer| answer.into_inner().orders)
}

fn assert_mismatch<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_status(&answer.unwrap_err(), Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transition_that_is_asked_for_again_happens_once() {
    let fixture = Fixture::new().await;
    fixture.write(&[bare("1")]).await;
    let first = transition(&fixture, moving("confirmed", "r-1")).await.unwrap();
    assert_eq!(first.revision, 2);
    assert_eq!(transition(&fixture, moving("confirmed", "r-1")).await.unwrap(), first);
    // How much is returned may differ.
    let wider = TransitionOrderRequest { view: OrderView::Full.into(), ..moving("confirmed", "r-1") };
    assert_eq!(transition(&fixture, wider).await.unwrap().revision, 2);
    for other in [
        moving("cancelled", "r-1"),
        TransitionOrderRequest { reason: "asked".to_owned(), ..moving("confirmed", "r-1") },
        TransitionOrderRequest { revision: 1, ..moving("confirmed", "r-1") },
        TransitionOrderRequest { uid: "ord_2".to_owned(), ..moving("confirmed", "r-1") },
    ] {
        assert_mismatch(transition(&fixture, other).await);
    }
    // Without the id it is another transition, and there is none from a phase to itself.
    assert_eq!(refusal(&transition(&fixture, moving("confirmed", "")).await.unwrap_err()).reason, "PHASE_FORBIDS");
    // What failed has not used its id up.
    let refused = transition(&fixture, moving("closed", "r-2")).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "PHASE_FORBIDS");
    assert_eq!(transition(&fixture, moving("cancelled", "r-2")).await.unwrap().revision, 3);
    // The answer is the order as it stands now.
    assert_eq!(transition(&fixture, moving("confirmed", "r-1")).await.unwrap().revision, 3);
    let invalid = transition(&fixture, moving("confirmed", "r 1")).await.unwrap_err();
    assert_eq!(violated(&invalid), "request_id");
    fixture.delete("1").await;
    let gone = transition(&fixture, moving("confirmed", "r-1")).await.unwrap_err();
    assert_status(&gone, Code::NotFound, "RESOURCE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_is_set_again_does_not_overwrite_a_later_one() {
    let fixture = Fixture::new().await;
    fixture.write(&[bare("1")]).await;
    let set = |seconds: i64, request_id: &str| SetProvisionTimerRequest {
        uid: "ord_1".to_owned(),
        provision_timer_ts: Some(timestamp(seconds)),
        request_id: request_id.to_owned(),
        ..SetProvisionTimerRequest::default()
    };
    let first = time(&fixture, set(1_000, "r-1")).await.unwrap();
    assert_eq!(time(&fixture, set(1_000, "r-1")).await.unwrap(), first);
    assert_mismatch(time(&fixture, set(2_000, "r-1")).await);
    // An id of another method is another id.
    assert_eq!(transition(&fixture, moving("confirmed", "r-1")).await.unwrap().revision, 3);
    let later = time(&fixture, set(2_000, "r-2")).await.unwrap();
    assert_eq!(time(&fixture, set(1_000, "r-1")).await.unwrap(), later);
    assert_eq!(violated(&time(&fixture, set(1, "é")).await.unwrap_err()), "request_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_comes_while_the_first_call_is_at_work_waits_for_it() {
    let fixture = Fixture::new().await;
    fixture.write(&[bare("1")]).await;
    fixture.run("update orders.order_header set provision_timer_ts = now() - interval '1 day'").await;
    let mut operator = fixture.database.connect(Role::Operator).await;
    let mut holder = fixture.database.connect(Role::Operator).await;
    for which in ["transition", "claim"] {
        run(&mut holder, "begin; lock table orders.order_header in exclusive mode").await;
        let call = async || match which {
            "transition" => vec![transition(&fixture, moving("confirmed", "r-1")).await.unwrap()],
            _ => claim(&fixture, 10, "r-1").await.unwrap(),
        };
        let second = async {
            // The first one has entered the ledger, and waits for the table.
            until_waiting(&mut operator, 1).await;
            let release = async {
                let mut operator = fixture.database.connect(Role::Operator).await;
                until_waiting(&mut operator, 2).await;
                run(&mut holder, "rollback").await;
            };
            tokio::join!(call(), release).0
        };
        let (first, second) = tokio::join!(call(), second);
        assert_eq!(first.len(), 1, "{which}");
        assert_eq!(first, second, "{which}");
    }
    let moves = "select jsonb_array_length(status -> 'transitions')::text from orders.order_header";
    assert_eq!(fixture.text(moves).await, "2");
}

async fn put_due(fixture: &Fixture, count: usize) {
    fixture
        .run(&format!(
            "insert into orders.order_header (uid, currency_code, status, provision_timer_ts) \
             select 'ord_' || lpad(n::text, 7, '0'), 'GBP', '{{\"phase\": \"confirmed\"}}', '2020-01-01Z' \
               from generate_series(1, {count}) n"
        ))
        .await;
}

fn uids(orders: &[Order]) -> Vec<&str> {
    orders.iter().map(|order| order.uid.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_asked_for_again_returns_what_is_still_held_by_it() {
    let fixture = Fixture::new().await;
    // Nothing is due yet; the id is not used up by that.
    assert_eq!(claim(&fixture, 3, "r-1").await.unwrap(), []);
    put_due(&fixture, 6).await;
    let first = claim(&fixture, 3, "r-1").await.unwrap();
    assert_eq!(uids(&first), [order_uid(1), order_uid(2), order_uid(3)]);
    assert_eq!(claim(&fixture, 3, "r-1").await.unwrap(), first);
    assert_mismatch(claim(&fixture, 4, "r-1").await);
    assert_eq!(violated(&claim(&fixture, 3, "r\n").await.unwrap_err()), "request_id");
    // Another claim gets the others.
    let second = claim(&fixture, 10, "r-2").await.unwrap();
    assert_eq!(uids(&second), [order_uid(4), order_uid(5), order_uid(6)]);
    // What moved on, what changed otherwise, and what has passed its lease is not held any more.
    let done = TransitionOrderRequest {
        uid: order_uid(1),
        to_phase: "fulfilled".to_owned(),
        revision: first[0].revision,
        ..TransitionOrderRequest::default()
    };
    transition(&fixture, done).await.unwrap();
    assert_eq!(claim(&fixture, 3, "r-1").await.unwrap(), first[1..]);
    let passed = "update orders.order_header set provision_timer_ts = now() - interval '1 second' where uid = ";
    fixture.run(&format!("{passed}'{}'", order_uid(2))).await;
    assert_eq!(claim(&fixture, 3, "r-1").await.unwrap(), first[2..]);
    // The next claim hands it out, and the first one does not get it back.
    let taken_over = claim(&fixture, 10, "r-3").await.unwrap();
    assert_eq!(uids(&taken_over), [order_uid(2)]);
    assert_eq!(claim(&fixture, 3, "r-1").await.unwrap(), first[2..]);
    fixture.run(&format!("{passed}'{}'", order_uid(3))).await;
    assert_eq!(claim(&fixture, 3, "r-1").await.unwrap(), []);
    assert_eq!(claim(&fixture, 10, "r-2").await.unwrap(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_that_was_claimed_comes_again_as_reduced_as_the_first_time() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1).await;
    fixture
        .run(
            "insert into orders.order_line_item (order_uid, uid, line_number, name, quantity, unit_price) \
             select 'ord_0000001', 'oli_' || l, l, 'A thing of some kind', 1, 1.50 from generate_series(1, 100000) l",
        )
        .await;
    let request = ClaimDueOrdersRequest {
        lease: Some(HOUR.try_into().unwrap()),
        view: OrderView::Full.into(),
        request_id: "r-1".to_owned(),
        ..ClaimDueOrdersRequest::default()
    };
    let mut client =
        orrery_proto::orders::v1::orders_service_client::OrdersServiceClient::new(fixture.server.channel());
    let first = client.claim_due_orders(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.orders.len(), first.reduced_uids.len()), (1, 1));
    assert_eq!(client.claim_due_orders(request).await.unwrap().into_inner(), first);
}
