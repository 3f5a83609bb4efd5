//! Transitions of orders.

use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{
    CreateOrderRequest, GetOrderRequest, Order, OrderView, SetProvisionTimerRequest, TransitionOrderRequest,
    UpdateOrderRequest,
};
use prost_types::value::Kind;
use prost_types::{FieldMask, ListValue, Value};
use serde_json::json;
use sqlx::PgConnection;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{
    OrdersServer, Role, TestDatabase, assert_invalid, order, order_uid, refusal, run, status, timestamp,
};

const PHASES: [&str; 7] = ["draft", "confirmed", "provisioning", "fulfilled", "closed", "cancelled", "returned"];

/// The transitions of the contract, repeated here.
const MOVES: [(&str, &str); 9] = [
    ("draft", "confirmed"),
    ("confirmed", "provisioning"),
    ("provisioning", "fulfilled"),
    ("fulfilled", "closed"),
    ("draft", "cancelled"),
    ("confirmed", "cancelled"),
    ("provisioning", "cancelled"),
    ("fulfilled", "returned"),
    ("closed", "returned"),
];

async fn server() -> (TestDatabase, OrdersServer, PgConnection) {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let connection = database.connect(Role::Operator).await;
    (database, server, connection)
}

/// Inserts an order with this status, without the service.
async fn put(connection: &mut PgConnection, uid: &str, status: &serde_json::Value) {
    sqlx::query("insert into orders.order_header (uid, currency_code, status) values ($1, 'GBP', $2::jsonb)")
        .bind(uid)
        .bind(status.to_string())
        .execute(connection)
        .await
        .unwrap();
}

async fn stored_status(connection: &mut PgConnection, uid: &str) -> serde_json::Value {
    let text: String = sqlx::query_scalar("select status::text from orders.order_header where uid = $1")
        .bind(uid)
        .fetch_one(connection)
        .await
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn transition(uid: &str, to_phase: &str, revision: i32) -> TransitionOrderRequest {
    TransitionOrderRequest {
        uid: uid.to_owned(),
        to_phase: to_phase.to_owned(),
        reason: "because".to_owned(),
        revision,
        view: OrderView::Full.into(),
        ..TransitionOrderRequest::default()
    }
}

async fn moved(client: &mut OrdersServiceClient<Channel>, uid: &str, to: &str) -> Result<Order, Status> {
    client.transition_order(transition(uid, to, 0)).await.map(tonic::Response::into_inner)
}

async fn get(client: &mut OrdersServiceClient<Channel>, uid: &str) -> Order {
    let request = GetOrderRequest { uid: uid.to_owned(), ..GetOrderRequest::default() };
    client.get_order(request).await.unwrap().into_inner()
}

/// The precondition of a refused transition: type, subject and description.
fn precondition(status: &Status) -> (String, String, String) {
    let violations = status.get_details_precondition_failure().unwrap().violations;
    let [violation] = violations.as_slice() else { unreachable!("{violations:?}") };
    (violation.r#type.clone(), violation.subject.clone(), violation.description.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_move_of_the_table_is_made_and_no_other() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    for (at, from) in PHASES.iter().enumerate() {
        for (beside, to) in PHASES.iter().enumerate() {
            let uid = order_uid(at * 10 + beside);
            put(&mut connection, &uid, &json!({"phase": from})).await;
            let answer = moved(&mut client, &uid, to).await;
            if MOVES.contains(&(from, to)) {
                let order = answer.unwrap();
                assert_eq!(order.status.unwrap().phase, *to);
                assert_eq!(order.revision, 2);
                continue;
            }
            let refused = answer.unwrap_err();
            let told = refusal(&refused);
            assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "PHASE_FORBIDS"), "{from} {to}");
            let (kind, subject, description) = precondition(&refused);
            assert_eq!((kind.as_str(), subject.as_str()), ("PHASE", uid.as_str()));
            assert!(description.contains(from) && description.contains(to), "{description}");
            assert_eq!(stored_status(&mut connection, &uid).await, json!({"phase": from}));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_returns_the_whole_order_and_enters_itself() {
    let (_database, server, _connection) = server().await;
    let mut client = server.client();
    let uid = order_uid(1);
    let view = OrderView::Full.into();
    let request = CreateOrderRequest { order: Some(order(&uid)), view, ..CreateOrderRequest::default() };
    let created = client.create_order(request).await.unwrap().into_inner();
    assert_eq!((created.status.as_ref().unwrap().phase.as_str(), created.revision), ("draft", 1));

    let confirmed = moved(&mut client, &uid, "confirmed").await.unwrap();
    assert_eq!(confirmed, get(&mut client, &uid).await);
    assert_eq!(confirmed.line_items, created.line_items);
    assert_eq!(confirmed.summary, created.summary);
    assert_eq!(confirmed.revision, 2);
    assert_ne!(confirmed.etag, created.etag);
    let changed = confirmed.update_ts.unwrap();
    assert!((changed.seconds, changed.nanos) > (created.update_ts.unwrap().seconds, created.update_ts.unwrap().nanos));

    let cancelled = moved(&mut client, &uid, "cancelled").await.unwrap();
    let entries = transitions(&cancelled);
    let moves: Vec<_> = entries.iter().map(|entry| (entry["from"].as_str(), entry["to"].as_str())).collect();
    assert_eq!(moves, [("draft", "confirmed"), ("confirmed", "cancelled")]);
    for (entry, order) in entries.iter().zip([&confirmed, &cancelled]) {
        assert_eq!(entry["reason"], "because");
        // Exactly the order's own time.
        let at = chrono::DateTime::parse_from_rfc3339(&entry["at"]).unwrap();
        let time = order.update_ts.unwrap();
        assert_eq!((at.timestamp(), at.timestamp_subsec_nanos() as i32), (time.seconds, time.nanos));
    }
}

/// The entries of `status.details.transitions`.
fn transitions(order: &Order) -> Vec<std::collections::BTreeMap<String, String>> {
    let details = order.status.as_ref().unwrap().details.as_ref().unwrap();
    let Some(Value { kind: Some(Kind::ListValue(ListValue { values })) }) = details.fields.get("transitions") else {
        unreachable!("{details:?}")
    };
    let text = |value: &Value| match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        other => unreachable!("{other:?}"),
    };
    values
        .iter()
        .map(|entry| match &entry.kind {
            Some(Kind::StructValue(entry)) => {
                entry.fields.iter().map(|(key, value)| (key.clone(), text(value))).collect()
            }
            other => unreachable!("{other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_bounded_and_what_others_keep_beside_it_stays() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    let uid = order_uid(1);
    let before: Vec<serde_json::Value> =
        (0..40).map(|at| serde_json::from_str(&format!(r#"{{"at": {at}, "theirs": 1.50}}"#)).unwrap()).collect();
    put(&mut connection, &uid, &json!({"phase": "draft", "transitions": before, "note": serde_json::from_str::<serde_json::Value>(r#"{"a": [1, 2.00]}"#).unwrap()})).await;
    let order = moved(&mut client, &uid, "confirmed").await.unwrap();
    assert_eq!(order.status.unwrap().phase, "confirmed");
    let stored = stored_status(&mut connection, &uid).await;
    assert_eq!(stored["note"].to_string(), r#"{"a":[1,2.00]}"#);
    let kept = stored["transitions"].as_array().unwrap();
    assert_eq!(kept.len(), 32);
    assert_eq!(kept[0].to_string(), r#"{"at":9,"theirs":1.50}"#);
    assert_eq!(kept[30]["at"], json!(39));
    assert_eq!((&kept[31]["from"], &kept[31]["to"]), (&json!("draft"), &json!("confirmed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_other_programs_loses_nothing() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    let theirs = [
        (json!({"phase": "draft", "transitions": "never"}), Some(json!("never"))),
        (json!({"phase": "draft", "transitions": {"a": 1}}), Some(json!({"a": 1}))),
        (json!({"phase": "draft", "transitions": null}), None),
        (json!({"phase": "draft"}), None),
    ];
    for (at, (status, first)) in theirs.into_iter().enumerate() {
        let uid = order_uid(at);
        put(&mut connection, &uid, &status).await;
        moved(&mut client, &uid, "confirmed").await.unwrap();
        let stored = stored_status(&mut connection, &uid).await;
        let kept = stored["transitions"].as_array().unwrap();
        assert_eq!(kept.first().filter(|_| kept.len() == 2), first.as_ref(), "{status}");
        assert_eq!(kept.last().unwrap()["to"], json!("confirmed"), "{status}");
    }
    // A value that is not a phase is kept as text.
    for (at, (status, from)) in [
        (json!({}), ""),
        (json!("draft"), ""),
        (json!(null), ""),
        (json!(["draft"]), ""),
        (json!({"phase": 5}), "5"),
        (json!({"phase": "shipped"}), "shipped"),
        (json!({"phase": "é".repeat(1_000)}), &"é".repeat(31)),
    ]
    .into_iter()
    .enumerate()
    {
        let uid = order_uid(100 + at);
        put(&mut connection, &uid, &status).await;
        moved(&mut client, &uid, "confirmed").await.unwrap();
        let stored = stored_status(&mut connection, &uid).await;
        assert_eq!(stored["phase"], json!("confirmed"), "{status}");
        let [transition] = &stored["transitions"].as_array().unwrap()[..] else { unreachable!("{stored}") };
        assert_eq!((&transition["from"], &transition["to"]), (&json!(from), &json!("confirmed")), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_revision_moves_nothing() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    let uid = order_uid(1);
    put(&mut connection, &uid, &json!({"phase": "draft"})).await;
    client.transition_order(transition(&uid, "confirmed", 1)).await.unwrap();
    for revision in [1, 3, i32::MAX] {
        let refused = client.transition_order(transition(&uid, "provisioning", revision)).await.unwrap_err();
        let told = refusal(&refused);
        assert_eq!((told.code, told.reason.as_str()), (Code::Aborted, "REVISION_MISMATCH"));
        assert_eq!(refused.get_details_resource_info().unwrap().resource_name, uid);
    }
    // The revision is checked before the phase: a late client learns that it is late, not what happened to the order.
    let refused = client.transition_order(transition(&uid, "draft", 1)).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "REVISION_MISMATCH");
    let order = client.transition_order(transition(&uid, "provisioning", 2)).await.unwrap().into_inner();
    assert_eq!(order.revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_named() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    let uid = order_uid(1);
    put(&mut connection, &uid, &json!({"phase": "draft"})).await;
    let good = transition(&uid, "confirmed", 0);
    for (request, field) in [
        (TransitionOrderRequest { uid: "ord_\0".to_owned(), ..good.clone() }, "uid"),
        (TransitionOrderRequest { uid: String::new(), ..good.clone() }, "uid"),
        (TransitionOrderRequest { to_phase: "lost".to_owned(), ..good.clone() }, "to_phase"),
        (TransitionOrderRequest { to_phase: String::new(), ..good.clone() }, "to_phase"),
        (TransitionOrderRequest { reason: "x".repeat(1_025), ..good.clone() }, "reason"),
        (TransitionOrderRequest { reason: "a\0".to_owned(), ..good.clone() }, "reason"),
        (TransitionOrderRequest { revision: -1, ..good.clone() }, "revision"),
    ] {
        assert_invalid(client.transition_order(request).await, "FIELD_INVALID", field);
    }
    let missing = client.transition_order(transition(&order_uid(2), "confirmed", 0)).await.unwrap_err();
    assert_eq!((refusal(&missing).code, refusal(&missing).reason.as_str()), (Code::NotFound, "RESOURCE_NOT_FOUND"));
    assert_eq!(missing.get_details_resource_info().unwrap().resource_type, "orrery.orders.v1.Order");
    let longest = TransitionOrderRequest { reason: "\u{1F4E6}".repeat(256), ..good };
    assert_eq!(client.transition_order(longest).await.unwrap().into_inner().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_done_has_no_timer() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    for (at, (from, to)) in MOVES.into_iter().enumerate() {
        let uid = order_uid(at);
        put(&mut connection, &uid, &json!({"phase": from})).await;
        run(&mut connection, &format!("update orders.order_header set provision_timer_ts = now() where uid = '{uid}'"))
            .await;
        let order = moved(&mut client, &uid, to).await.unwrap();
        let done = ["fulfilled", "closed", "cancelled", "returned"].contains(&to);
        assert_eq!(order.provision_timer_ts.is_none(), done, "{from} {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_writes_leave_the_phase() {
    let (_database, server, _connection) = server().await;
    let mut client = server.client();
    let create = |uid: &str, phase: &str| CreateOrderRequest {
        order: Some(Order { status: Some(status(phase)), ..order(uid) }),
        ..CreateOrderRequest::default()
    };
    for phase in &PHASES[1..] {
        let refused = client.create_order(create(&order_uid(1), phase)).await.unwrap_err();
        let told = refusal(&refused);
        assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "PHASE_FORBIDS"), "{phase}");
        assert!(precondition(&refused).2.contains(phase), "{refused:?}");
    }
    assert_invalid(client.create_order(create(&order_uid(1), "lost")).await, "FIELD_INVALID", "order.status.phase");
    let created = client.create_order(create(&order_uid(1), "draft")).await.unwrap().into_inner();

    let update = |phase: &str, mask: &[&str]| UpdateOrderRequest {
        order: Some(Order { uid: order_uid(1), status: Some(status(phase)), ..Order::default() }),
        update_mask: (!mask.is_empty())
            .then(|| FieldMask { paths: mask.iter().map(|&path| path.to_owned()).collect() }),
        ..UpdateOrderRequest::default()
    };
    for mask in [&[][..], &["status"], &["status.phase"]] {
        let refused = client.update_order(update("confirmed", mask)).await.unwrap_err();
        assert_eq!(refusal(&refused).reason, "PHASE_FORBIDS", "{mask:?}");
        let description = precondition(&refused).2;
        assert!(description.contains("draft") && description.contains("confirmed"), "{description}");
        // The current phase may be sent.
        assert_eq!(client.update_order(update("draft", mask)).await.unwrap().into_inner(), created, "{mask:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_the_history() {
    let (_database, server, _connection) = server().await;
    let mut client = server.client();
    let uid = order_uid(1);
    let request = CreateOrderRequest { order: Some(order(&uid)), ..CreateOrderRequest::default() };
    client.create_order(request).await.unwrap();
    let mut confirmed = moved(&mut client, &uid, "confirmed").await.unwrap();
    confirmed.customer_id = "other".to_owned();
    let request = UpdateOrderRequest { order: Some(confirmed), ..UpdateOrderRequest::default() };
    let updated = client.update_order(request).await.unwrap().into_inner();
    assert_eq!((transitions(&updated).len(), updated.revision), (1, 3));
    let timer = SetProvisionTimerRequest {
        uid,
        provision_timer_ts: Some(timestamp(2_000_000_000)),
        revision: 3,
        ..SetProvisionTimerRequest::default()
    };
    assert_eq!(transitions(&client.set_provision_timer(timer).await.unwrap().into_inner()).len(), 1);
}
