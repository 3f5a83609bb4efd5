//! Any input to the orders service: as in [`crate::arbitrary_input`], with a catalog beside it.

use tonic::Code;

use super::fixture::Fixture;
use crate::arbitrary_input::generator::Vocabulary;
use crate::arbitrary_input::{Target, assert_both_ways_out, nesting_statuses};
use crate::harness::contract::field;
use crate::harness::raw::call;
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, refusal, seed};

const CONTENTS: &str = "select md5(concat( \
    (select string_agg(t::text, '|' order by uid) from orders.order_header t), \
    (select string_agg(t::text, '|' order by order_uid, uid) from orders.order_line_item t), \
    (select string_agg(t::text, '|' order by order_uid, kind) from orders.order_address t), \
    (select string_agg(t::text, '|' order by order_uid) from orders.order_summary t)))";

const ORDERS: &[&str] = &["ord_0000001", "ord_0000002", "ord_0000003", "ord_new"];
const AMOUNTS: &[&str] = &["1.50", "0", "-0.0001", "12345678.9999"];

const VOCABULARY: Vocabulary = Vocabulary {
    fitting: |message, field| match (message, field) {
        ("LineItem", "uid") => &["", "oli_1", "oli_2", "oli_3", "oli_4"],
        // Within an order it is left out.
        ("LineItem" | "Address" | "Summary", "order_uid") => &[],
        ("Order", "uid") => &["", "ord_0000001", "ord_0000002", "ord_new"],
        (_, "uid" | "uids" | "order_uid" | "order_uids") => ORDERS,
        (_, "product_uid" | "product_uids") => &["prd_0000001", "prd_0000002"],
        (_, "uid_prefix") => &["ord_0"],
        (_, "currency_code") => &["GBP", "EUR"],
        (_, "country_code") => &["GB", ""],
        (_, "unit_price" | "discount" | "tax" | "shipping") => AMOUNTS,
        (_, "phase" | "phases") => &["draft"],
        (_, "to_phase") => &["confirmed", "cancelled", "provisioning", "fulfilled"],
        (_, "day_from" | "day_to") => &["2026-01-01"],
        (_, "time_zone") => &["Europe/London", ""],
        (_, "paths") => &["labels.season", "status.details.k", "line_items", "summary.shipping", "customer_id"],
        (_, "order_by") => &["create_ts desc", "uid", "provision_timer_ts, uid"],
        (_, "label_selector") => &["season=summer", "!a"],
        (_, "key") => &["season", "k", "example.com/key"],
        (_, "customer_id" | "sku" | "skus" | "text" | "value") => &["17850", "85123A"],
        // Valid tokens and etags come from earlier responses.
        _ => &[],
    },
    nasty: &[
        "ord_0000001",
        "ord_0000002",
        "ord_",
        "ord_\0",
        "oli_1",
        "prd_0000001",
        "prd_none",
        "gbp",
        "GB",
        "ÄBC",
        "draft",
        "shipped",
        "closed",
        "billing",
        "1000000000000000",
        "0.00001",
        "999999999999999.9999",
        "+1",
        "1.",
        "NaN",
        "line_items",
        "line_items.sku",
        "summary.total",
        "summary.shipping",
        "revision",
        "2026-01-01",
        "2026-02-30",
        "Europe/London",
        "Europe/Nowhere",
        "k=v",
    ],
};

const ROWS: &str = "insert into orders.order_header (uid, currency_code, customer_id, status, provision_timer_ts) \
    select 'ord_000000' || n, 'GBP', '17850', \
           jsonb_build_object('phase', case when n % 2 = 0 then 'confirmed' else 'draft' end), '2026-01-01' \
      from generate_series(1, 6) n \
    on conflict (uid) do update set status = excluded.status, provision_timer_ts = excluded.provision_timer_ts; \
    insert into orders.order_line_item (order_uid, uid, line_number, sku, product_uid, quantity, unit_price) \
    select h.uid, 'oli_' || n, n, '85123A', 'prd_0000001', 2, 1.50 from orders.order_header h, generate_series(1, 3) n \
    on conflict do nothing";

/// Runs `test` with the orders service and a catalog.
async fn with_orders<T>(test: impl AsyncFnOnce(Target<'_>) -> T) -> T {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 5).await;
    let catalog = CatalogServer::start(&database).await;
    let at = catalog.address().to_string().parse().unwrap();
    let server = OrdersServer::start_with(&database, |config| config.catalog.address = at).await;
    test(Target {
        service: orrery_orders::SERVICE_NAMES[0],
        channel: server.channel(),
        vocabulary: VOCABULARY,
        database: &database,
        rows: ROWS,
        contents: CONTENTS,
    })
    .await
}

#[tokio::test]
async fn messages_of_the_right_shape_with_wrong_values() {
    assert_both_ways_out(with_orders(async |target| target.bombard_with_values().await).await);
}

#[tokio::test]
async fn messages_with_broken_bytes() {
    with_orders(async |target| target.bombard_with_broken_bytes().await).await;
}

#[tokio::test]
async fn any_bytes_at_all() {
    with_orders(async |target| target.bombard_with_any_bytes().await).await;
}

#[tokio::test]
async fn values_that_nest_without_end() {
    let fixture = Fixture::new().await;
    let channel = fixture.server.channel();
    let path = |method: &str| format!("/orrery.orders.v1.OrdersService/{method}");
    for (levels, status) in nesting_statuses() {
        // An order's status is field 5, its lines are field 12, and their status is field 11.
        for part in [field(5, &status), field(12, &field(11, &status))] {
            let order = [field(1, b"ord_a"), field(3, b"GBP"), part].concat();
            let refused = call(&channel, &path("CreateOrder"), vec![field(1, &order).into()]).await.unwrap_err();
            assert_eq!(refusal(&refused).code, Code::InvalidArgument, "{levels}: {refused:?}");
            let write = vec![field(1, b"").into(), field(2, &field(2, &order)).into()];
            let refused = call(&channel, &path("WriteOrders"), write).await.unwrap_err();
            assert_eq!(refusal(&refused).reason, "ROW_REJECTED", "{levels}: {refused:?}");
        }
    }
    assert_eq!(fixture.count("orders.order_header").await, 0);
}
