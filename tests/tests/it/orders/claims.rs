//! Claims of due orders by workers.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{
    ClaimDueOrdersRequest, GetOrderRequest, Order, OrderView, SetProvisionTimerRequest, TransitionOrderRequest,
};
use prost_types::FieldMask;
use sqlx::PgConnection;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::{OrdersServer, Role, TestDatabase, assert_invalid, order_uid, refusal, run, timestamp};

/// Inserts orders with a phase, without the service: number n was due n seconds after 2020.
async fn put(connection: &mut PgConnection, numbers: std::ops::RangeInclusive<usize>, phase: &str, due: &str) {
    let (first, last) = numbers.into_inner();
    run(
        connection,
        &format!(
            "insert into orders.order_header (uid, currency_code, status, provision_timer_ts) \
             select 'ord_' || lpad(n::text, 7, '0'), 'GBP', jsonb_build_object('phase', '{phase}'), {due} \
               from generate_series({first}, {last}) n; \
             analyze orders.order_header"
        ),
    )
    .await;
}

const LONG_DUE: &str = "timestamptz '2020-01-01 00:00:00+00' + n * interval '1 second'";

async fn server() -> (TestDatabase, OrdersServer, PgConnection) {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let connection = database.connect(Role::Operator).await;
    (database, server, connection)
}

fn request(limit: i32, lease: Duration) -> ClaimDueOrdersRequest {
    let lease = Some(lease.try_into().unwrap());
    ClaimDueOrdersRequest { limit, lease, ..ClaimDueOrdersRequest::default() }
}

async fn claim(client: &mut OrdersServiceClient<Channel>, limit: i32, lease: Duration) -> Vec<Order> {
    client.claim_due_orders(request(limit, lease)).await.unwrap().into_inner().orders
}

fn uids(orders: &[Order]) -> Vec<&str> {
    orders.iter().map(|order| order.uid.as_str()).collect()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn only_due_orders_that_wait_are_claimed_those_first_that_have_waited_longest() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    put(&mut connection, 1..=3, "confirmed", LONG_DUE).await;
    put(&mut connection, 4..=4, "provisioning", LONG_DUE).await;
    put(&mut connection, 5..=5, "confirmed", "timestamptz '2019-01-01 00:00:00+00'").await;
    for (number, phase) in (10..).zip(["draft", "fulfilled", "closed", "cancelled", "returned", "theirs"]) {
        put(&mut connection, number..=number, phase, LONG_DUE).await;
    }
    put(&mut connection, 20..=20, "confirmed", "now() + interval '1 hour'").await;
    put(&mut connection, 21..=21, "confirmed", "null").await;

    let before = chrono::Utc::now().timestamp();
    let first = claim(&mut client, 2, HOUR).await;
    // The two that have been due for longest, sorted by uid.
    assert_eq!(uids(&first), [order_uid(1), order_uid(5)]);
    for order in &first {
        let status = order.status.as_ref().unwrap();
        assert_eq!((status.phase.as_str(), order.revision), ("provisioning", 2));
        let details = status.details.as_ref().unwrap();
        assert!(format!("{details:?}").contains("claimed"), "{details:?}");
        let end = order.provision_timer_ts.unwrap().seconds;
        assert!((before + 3_590..before + 3_700).contains(&end), "{end} {before}");
    }
    let rest = claim(&mut client, 0, HOUR).await;
    assert_eq!(uids(&rest), [order_uid(2), order_uid(3), order_uid(4)]);
    // One that was already provisioning did not change its phase.
    assert_eq!(rest[2].status.as_ref().unwrap().details, None);
    assert_eq!(rest[2].revision, 2);
    assert_eq!(claim(&mut client, 0, HOUR).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_claimers_never_get_an_order_twice() {
    const ORDERS: usize = 10_000;
    let (_database, server, mut connection) = server().await;
    put(&mut connection, 1..=ORDERS, "confirmed", LONG_DUE).await;
    let begun = Instant::now();
    let mut claimers = Vec::new();
    for number in 0..16 {
        let mut client = server.separate_client();
        claimers.push(tokio::spawn(async move {
            let mut claimed = Vec::new();
            let mut empty = 0;
            // Other claimers may hold everything for a moment.
            while empty < 20 {
                let orders = claim(&mut client, 20 + number * 7, HOUR).await;
                if orders.is_empty() {
                    empty += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                claimed.extend(orders.into_iter().map(|order| (order.uid, order.revision)));
            }
            claimed
        }));
    }
    let mut seen = HashMap::new();
    for claimer in claimers {
        let claimed = tokio::time::timeout(Duration::from_secs(120), claimer).await.expect("claimers come to an end");
        for (uid, revision) in claimed.unwrap() {
            assert_eq!(revision, 2, "{uid}");
            assert_eq!(seen.insert(uid.clone(), revision), None, "{uid} was handed out twice");
        }
    }
    assert_eq!(seen.len(), ORDERS);
    assert!(begun.elapsed() < HOUR, "no lease passed meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_lease_passed_is_handed_out_again_and_the_first_worker_is_told() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    put(&mut connection, 1..=2, "confirmed", LONG_DUE).await;
    let first = claim(&mut client, 1, Duration::from_secs(1)).await;
    assert_eq!(uids(&first), [order_uid(1)]);
    let other = claim(&mut client, 10, HOUR).await;
    assert_eq!(uids(&other), [order_uid(2)], "the lease of the first has not passed");

    let patience = Instant::now();
    let second = loop {
        let orders = claim(&mut client, 10, HOUR).await;
        if !orders.is_empty() {
            break orders;
        }
        assert!(patience.elapsed() < Duration::from_secs(30), "it is never handed out again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(uids(&second), [order_uid(1)]);
    assert_eq!(second[0].revision, 3);
    // It was provisioning all the time: no second entry.
    assert_eq!(second[0].status, first[0].status);

    let done = |revision| TransitionOrderRequest {
        uid: order_uid(1),
        to_phase: "fulfilled".to_owned(),
        reason: String::new(),
        revision,
        ..TransitionOrderRequest::default()
    };
    let late = client.transition_order(done(first[0].revision)).await.unwrap_err();
    assert_eq!((refusal(&late).code, refusal(&late).reason.as_str()), (Code::Aborted, "REVISION_MISMATCH"));
    let order = client.transition_order(done(second[0].revision)).await.unwrap().into_inner();
    assert_eq!((order.status.unwrap().phase.as_str(), order.provision_timer_ts), ("fulfilled", None));
    assert_eq!(claim(&mut client, 10, HOUR).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_ask_for_more_time() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    put(&mut connection, 1..=1, "confirmed", LONG_DUE).await;
    let claimed = claim(&mut client, 1, Duration::from_secs(1)).await;
    let later = SetProvisionTimerRequest {
        uid: order_uid(1),
        provision_timer_ts: Some(timestamp(4_000_000_000)),
        revision: claimed[0].revision,
        ..SetProvisionTimerRequest::default()
    };
    client.set_provision_timer(later).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(claim(&mut client, 1, HOUR).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_returned_is_what_the_view_or_the_mask_says() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    put(&mut connection, 1..=4, "confirmed", LONG_DUE).await;
    run(
        &mut connection,
        "insert into orders.order_line_item (order_uid, uid, line_number, sku, quantity, unit_price) \
         select uid, 'oli_' || n, n, 'S' || n, n, 1.50 from orders.order_header cross join generate_series(1, 3) n; \
         insert into orders.order_address (order_uid, kind, city) select uid, 'billing', 'Leeds' from \
         orders.order_header; \
         insert into orders.order_summary (order_uid, line_count, total) select uid, 3, 9.00 from orders.order_header",
    )
    .await;
    let mut claim_with = async |view: OrderView, paths: &[&str]| {
        let read_mask =
            (!paths.is_empty()).then(|| FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() });
        let request = ClaimDueOrdersRequest { view: view.into(), read_mask, ..request(1, HOUR) };
        client.claim_due_orders(request).await.unwrap().into_inner().orders.remove(0)
    };
    for (view, lines) in [(OrderView::Unspecified, 0), (OrderView::Basic, 0), (OrderView::Full, 3)] {
        let order = claim_with(view, &[]).await;
        assert_eq!((order.line_items.len(), order.addresses.len()), (lines, lines / 3), "{view:?}");
        assert_eq!(order.summary.as_ref().unwrap().total, "9.00");
        let get = GetOrderRequest { uid: order.uid.clone(), view: OrderView::Full.into(), read_mask: None };
        let mut whole = server.client().get_order(get).await.unwrap().into_inner();
        if lines == 0 {
            whole.line_items.clear();
            whole.addresses.clear();
        }
        // The returned orders are the stored ones, including the etag.
        assert_eq!(order, whole);
    }
    let masked = claim_with(OrderView::Full, &["line_items", "revision"]).await;
    assert_eq!((masked.line_items.len(), masked.revision), (3, 2));
    assert_eq!((masked.status, masked.summary, masked.etag.as_str()), (None, None, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_claim_nothing() {
    let (_database, server, mut connection) = server().await;
    let mut client = server.client();
    put(&mut connection, 1..=1, "confirmed", LONG_DUE).await;
    let good = request(1, HOUR);
    let lease = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    for (request, field) in [
        (ClaimDueOrdersRequest { limit: -1, ..good.clone() }, "limit"),
        (ClaimDueOrdersRequest { lease: None, ..good.clone() }, "lease"),
        (ClaimDueOrdersRequest { lease: lease(0, 999_999_999), ..good.clone() }, "lease"),
        (ClaimDueOrdersRequest { lease: lease(86_400, 1), ..good.clone() }, "lease"),
        (ClaimDueOrdersRequest { view: 9, ..good.clone() }, "view"),
        (
            ClaimDueOrdersRequest { read_mask: Some(FieldMask { paths: vec!["nothing".to_owned()] }), ..good.clone() },
            "read_mask",
        ),
    ] {
        assert_invalid(client.claim_due_orders(request).await, "FIELD_INVALID", field);
    }
    assert_eq!(claim(&mut client, i32::MAX, Duration::from_secs(86_400)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_goes_by_the_index_and_stops_at_what_is_not_due() {
    let (_database, server, mut connection) = server().await;
    // Many more orders that are not due than due ones.
    put(&mut connection, 1..=20_000, "confirmed", "now() + n * interval '1 hour'").await;
    put(&mut connection, 30_001..=30_010, "confirmed", LONG_DUE).await;
    // Many orders with a past timer in phases that do not wait.
    put(&mut connection, 40_001..=60_000, "draft", LONG_DUE).await;
    put(&mut connection, 60_001..=80_000, "fulfilled", LONG_DUE).await;
    let read = "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes \
                where schemaname = 'orders' and indexrelname = 'order_header_due_idx'";
    let scanned = "select seq_scan from pg_stat_user_tables where schemaname = 'orders' and relname = 'order_header'";
    run(&mut connection, "select pg_stat_force_next_flush()").await;
    let before: (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(format!("select ({read}), ({scanned})")))
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let mut client = server.client();
    let claimed = claim(&mut client, 1_000, HOUR).await;
    assert_eq!(claimed.len(), 10);
    assert_eq!(claimed.iter().map(|order| &order.uid).collect::<HashSet<_>>().len(), 10);
    // The session reports its statistics within a second or when it ends.
    server.stop().await.unwrap();
    let patience = Instant::now();
    loop {
        let after: (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(format!("select ({read}), ({scanned})")))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if after.0 > before.0 {
            assert!(after.0 - before.0 < 100, "{} entries of the index were read", after.0 - before.0);
            assert_eq!(after.1, before.1, "the table was read as a whole");
            return;
        }
        assert!(patience.elapsed() < Duration::from_secs(20), "the index was not used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
