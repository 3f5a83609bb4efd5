//! The provisioning timer of one order.

use orrery_proto::orders::v1::{ListOrdersRequest, Order, OrderFilter, SetProvisionTimerRequest, UpdateOrderRequest};
use orrery_proto::r#type::v1::TimeRange;
use prost_types::{FieldMask, Timestamp};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{OrdersServer, Role, TestDatabase, assert_invalid, order_uid, refusal, run, timestamp};

const PHASES: [&str; 7] = ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"];

fn set(uid: &str, time: Option<Timestamp>, revision: i32) -> SetProvisionTimerRequest {
    SetProvisionTimerRequest {
        uid: uid.to_owned(),
        provision_timer_ts: time,
        revision,
        ..SetProvisionTimerRequest::default()
    }
}

/// A server with one order in each phase, each with a timer at second 1,000,000,000; the number of an order is the
/// index of its phase.
async fn server() -> (TestDatabase, OrdersServer) {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    for (at, phase) in PHASES.iter().enumerate() {
        let uid = order_uid(at);
        run(
            &mut connection,
            &format!(
                "insert into orders.order_header (uid, currency_code, status, provision_timer_ts, update_ts) \
                 values ('{uid}', 'GBP', '{{\"phase\": \"{phase}\"}}', to_timestamp(1000000000), to_timestamp(0))"
            ),
        )
        .await;
    }
    let server = OrdersServer::start(&database).await;
    (database, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_set_while_the_order_is_not_done_and_cleared_always() {
    let (_database, server) = server().await;
    let mut client = server.client();
    for (at, phase) in PHASES.iter().enumerate() {
        let uid = order_uid(at);
        let later = Timestamp { seconds: 2_000_000_000, nanos: 123_456_789 };
        let answer = client.set_provision_timer(set(&uid, Some(later), 1)).await;
        let mut revision = 1;
        if at < 3 {
            let order = answer.unwrap().into_inner();
            revision += 1;
            // Microseconds.
            let stored = Timestamp { seconds: 2_000_000_000, nanos: 123_456_000 };
            assert_eq!((order.provision_timer_ts, order.revision), (Some(stored), revision), "{phase}");
            // Digits that were cut off are not a change.
            for same in [later, stored] {
                let again = client.set_provision_timer(set(&uid, Some(same), revision)).await.unwrap().into_inner();
                assert_eq!((again.provision_timer_ts, again.revision), (Some(stored), revision), "{phase}");
            }
            assert!(order.update_ts.unwrap().seconds > 0, "{phase}");
        } else {
            let refused = answer.unwrap_err();
            let told = refusal(&refused);
            assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "PHASE_FORBIDS"), "{phase}");
            let violations = refused.get_details_precondition_failure().unwrap().violations;
            assert_eq!((violations[0].r#type.as_str(), violations[0].subject.as_str()), ("PHASE", uid.as_str()));
            assert!(violations[0].description.contains(phase), "{violations:?}");
        }
        let order = client.set_provision_timer(set(&uid, None, revision)).await.unwrap().into_inner();
        assert_eq!((order.provision_timer_ts, order.revision), (None, revision + 1), "{phase}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_timer_again_changes_nothing() {
    let (_database, server) = server().await;
    let mut client = server.client();
    for time in [Some(timestamp(1_000_000_000)), None, None] {
        let first = client.set_provision_timer(set(&order_uid(1), time, 0)).await.unwrap().into_inner();
        let again = client.set_provision_timer(set(&order_uid(1), time, first.revision)).await.unwrap().into_inner();
        assert_eq!(first, again);
    }
    let unchanged = client.set_provision_timer(set(&order_uid(2), Some(timestamp(1_000_000_000)), 0)).await.unwrap();
    let unchanged = unchanged.into_inner();
    assert_eq!((unchanged.revision, unchanged.update_ts), (1, Some(timestamp(0))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_revision_and_wrong_arguments_set_nothing() {
    let (_database, server) = server().await;
    let mut client = server.client();
    let time = Some(timestamp(5));
    let stale = client.set_provision_timer(set(&order_uid(1), time, 2)).await.unwrap_err();
    assert_eq!((refusal(&stale).code, refusal(&stale).reason.as_str()), (Code::Aborted, "REVISION_MISMATCH"));
    let missing = client.set_provision_timer(set("ord_none", time, 0)).await.unwrap_err();
    assert_eq!(refusal(&missing).code, Code::NotFound);
    assert_invalid(client.set_provision_timer(set("", time, 0)).await, "FIELD_INVALID", "uid");
    assert_invalid(client.set_provision_timer(set(&order_uid(1), time, -1)).await, "FIELD_INVALID", "revision");
    for wrong in [Timestamp { seconds: 0, nanos: -1 }, Timestamp { seconds: i64::MAX, nanos: 0 }] {
        let answer = client.set_provision_timer(set(&order_uid(1), Some(wrong), 0)).await;
        assert_invalid(answer, "FIELD_INVALID", "provision_timer_ts");
    }
    let kept = client.set_provision_timer(set(&order_uid(1), Some(timestamp(1_000_000_000)), 1)).await.unwrap();
    assert_eq!(kept.into_inner().revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_and_a_filter_know_it_too() {
    let (_database, server) = server().await;
    let mut client = server.client();
    let update = |time| UpdateOrderRequest {
        order: Some(Order { uid: order_uid(1), provision_timer_ts: time, ..Order::default() }),
        update_mask: Some(FieldMask { paths: vec!["provision_timer_ts".to_owned()] }),
        ..UpdateOrderRequest::default()
    };
    client.update_order(update(Some(timestamp(7)))).await.unwrap();
    let mut found = async |start: i64, end: i64| {
        let provision_timer = Some(TimeRange { start: Some(timestamp(start)), end: Some(timestamp(end)) });
        let filter = Some(OrderFilter { provision_timer, ..OrderFilter::default() });
        let request = ListOrdersRequest { filter, ..ListOrdersRequest::default() };
        let orders = client.list_orders(request).await.unwrap().into_inner().orders;
        orders.into_iter().map(|order| order.uid).collect::<Vec<_>>()
    };
    assert_eq!(found(7, 8).await, [order_uid(1)]);
    assert_eq!(found(8, 1_000_000_000).await, Vec::<String>::new());
    assert_eq!(found(1_000_000_000, 1_000_000_001).await.len(), 6);
    let cleared = server.client().update_order(update(None)).await.unwrap().into_inner();
    assert_eq!((cleared.provision_timer_ts, cleared.revision), (None, 3));
}
