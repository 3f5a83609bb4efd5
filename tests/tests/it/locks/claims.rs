//! Claimers skip orders that another one holds instead of waiting for them.

use std::collections::HashSet;
use std::time::Duration;

use orrery_proto::orders::v1::ClaimDueOrdersRequest;

use super::{begin, commit};
use crate::harness::{Role, order_uid, waiting};
use crate::orders::fixture::Fixture;

/// Longer than any claim takes that does not wait.
const TIMEOUT: Duration = Duration::from_secs(20);

fn claim(limit: i32) -> ClaimDueOrdersRequest {
    let lease = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
    ClaimDueOrdersRequest { limit, lease, ..ClaimDueOrdersRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn claimers_wait_for_nobody_who_holds_what_is_due() {
    const CLAIMERS: i32 = 8;
    const EACH: i32 = 5;
    const HELD: i32 = 10;
    let fixture = Fixture::new().await;
    let all = HELD + CLAIMERS * EACH;
    commit(
        &fixture.pool,
        &format!(
            "insert into orders.order_header (uid, currency_code, status, provision_timer_ts) \
             select 'ord_' || lpad(n::text, 7, '0'), 'GBP', '{{\"phase\": \"confirmed\"}}', \
                    timestamptz '2020-01-01 00:00:00+00' + n * interval '1 second' \
               from generate_series(1, {all}) n; \
             analyze orders.order_header"
        ),
    )
    .await;
    // Like a claimer that has not committed yet: holds the orders that are due first.
    let first = format!("select from orders.order_header order by provision_timer_ts limit {HELD} for update");
    let holding = begin(&fixture.pool, &first).await;
    let claimers: Vec<_> = (0..CLAIMERS)
        .map(|_| {
            let mut client = fixture.server.separate_client();
            tokio::spawn(async move { client.claim_due_orders(claim(EACH)).await.unwrap().into_inner().orders })
        })
        .collect();
    let mut claimed = HashSet::new();
    for claimer in claimers {
        let orders = tokio::time::timeout(TIMEOUT, claimer).await.expect("nobody stands behind the holder").unwrap();
        for order in orders {
            assert!(claimed.insert(order.uid.clone()), "{} was handed out twice", order.uid);
        }
    }
    let mut watcher = fixture.database.connect(Role::Operator).await;
    assert_eq!(waiting(&mut watcher, Role::Orders).await, 0);
    let held: HashSet<String> = (1..=HELD).map(|number| order_uid(number as usize)).collect();
    assert!(claimed.is_disjoint(&held));
    // Concurrent claimers may have skipped each other's orders. A single one gets all that are free, and finally the
    // held ones.
    let rest = async |limit| {
        let claimed = tokio::time::timeout(TIMEOUT, fixture.server.client().claim_due_orders(claim(limit))).await;
        claimed.expect("nobody stands behind the holder").unwrap().into_inner().orders
    };
    claimed.extend(rest(1_000).await.into_iter().map(|order| order.uid));
    assert_eq!(claimed.len(), (all - HELD) as usize);
    holding.rollback().await.unwrap();
    let last: HashSet<String> = rest(1_000).await.into_iter().map(|order| order.uid).collect();
    assert_eq!(last, held);
}
