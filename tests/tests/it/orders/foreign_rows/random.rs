//! Random JSON in headers and lines is unchanged after it was read and written back.

use orrery_proto::orders::v1::{ListOrdersRequest, OrderView};
use orrery_proto::r#type::v1::WriteStart;
use proptest::test_runner::TestRunner;
use sqlx::query;

use super::stored;
use crate::foreign_rows::random::random_objects;
use crate::orders::fixture::Fixture;
use crate::writes::stream::mask;

#[tokio::test]
async fn any_json_survives_being_read_and_written_back() {
    const ORDERS: usize = 100;
    const LINES: usize = 3;
    let fixture = Fixture::new().await;
    let mut runner = TestRunner::default();
    let rows = ORDERS * (LINES + 1);
    // The phase of an order has its own rules.
    let statuses = random_objects(&mut runner, "[a-o ]{1,6}|[1-9]{17}", rows);
    let labels = random_objects(&mut runner, "[a-z]{1,6}", rows);
    let annotations = random_objects(&mut runner, "[a-z]{1,6}", rows);
    for row in 0..rows {
        let (order, line) = (row / (LINES + 1), row % (LINES + 1));
        let insert = if line == 0 {
            "insert into orders.order_header (uid, currency_code, status, labels, annotations) \
             values ('ord_' || $1, 'GBP', $3::text::jsonb || jsonb_build_object('phase', case $2 when 0 then 'draft' \
             end), \
                     $4::text::jsonb, $5::text::jsonb)"
        } else {
            "insert into orders.order_line_item (order_uid, uid, line_number, status, labels, annotations) \
             values ('ord_' || $1, 'oli_' || $2, $2, $3::text::jsonb || '{\"phase\": \"active\"}', $4::text::jsonb, \
             $5::text::jsonb)"
        };
        query(insert)
            .bind(order as i64)
            .bind(line as i32)
            .bind(&statuses[row])
            .bind(&labels[row])
            .bind(&annotations[row])
            .execute(&fixture.pool)
            .await
            .unwrap();
    }
    let before = stored(&fixture).await;
    let request = ListOrdersRequest { page_size: 1_000, view: OrderView::Full.into(), ..ListOrdersRequest::default() };
    let mut orders = fixture.server.client().list_orders(request).await.unwrap().into_inner().orders;
    for order in &mut orders {
        order.etag.clear();
        order.revision = 0;
    }
    // The totals are new.
    fixture.write(&orders).await.expect_counts([0, ORDERS as i64, 0, 0, 0]);
    assert_eq!(stored(&fixture).await, before);
    let versions = fixture.versions().await;
    for paths in [&[][..], &["line_items"], &["status", "labels", "annotations"]] {
        let update_mask = (!paths.is_empty()).then(|| mask(paths));
        let written = fixture.write_with(WriteStart { update_mask, ..WriteStart::default() }, &orders).await;
        assert_eq!(fixture.versions().await, versions, "{paths:?}");
        written.expect_counts([0, 0, ORDERS as i64, 0, 0]);
    }
}
