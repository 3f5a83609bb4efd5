//! Orders written without the service, and the expected responses.

use orrery_proto::orders::v1::{Address, AddressKind, Order};
use sqlx::PgConnection;

use crate::harness::{order_uid, run};

/// The number of lines of order `number` of [`seed`]: 0 to 36.
pub(super) fn lines_of(number: usize) -> usize {
    number * 7_919 % 37
}

/// Inserts orders 1 to `count` without the service. Order n has [`lines_of`] n lines, whose numbers are in the opposite
/// order of their uids; a billing address if n is even and a shipping address if 3 divides it; and was created (n *
/// 7919 modulo 1000) seconds after 2026-01-01.
pub(crate) async fn seed(connection: &mut PgConnection, count: usize) {
    run(
        connection,
        &format!(
            "insert into orders.order_header (uid, customer_id, currency_code, create_ts, update_ts) \
             select 'ord_' || lpad(n::text, 7, '0'), 'customer ' || n, 'GBP', at, at \
             from generate_series(1, {count}) n, \
                  lateral (select timestamptz '2026-01-01 00:00:00+00' + n * 7919 % 1000 * interval '1 second') as t \
                  (at); \
             insert into orders.order_address (order_uid, kind, city, lines) \
             select 'ord_' || lpad(n::text, 7, '0'), 'shipping', 'City ' || n, '[\"House 1\", \"Street 2\"]' \
             from generate_series(3, {count}, 3) n; \
             insert into orders.order_address (order_uid, kind, city) \
             select 'ord_' || lpad(n::text, 7, '0'), 'billing', 'City ' || n from generate_series(2, {count}, 2) n"
        ),
    )
    .await;
    lines(connection, 1, count, "n * 7919 % 37").await;
}

/// Inserts one order with this many lines without the service.
pub(crate) async fn large_order(connection: &mut PgConnection, number: usize, count: usize) {
    let header = "insert into orders.order_header (uid, currency_code)";
    run(connection, &format!("{header} values ('{}', 'GBP')", order_uid(number))).await;
    lines(connection, number, number, &count.to_string()).await;
}

/// Inserts the lines and summaries of orders `first` to `last`; `count` is an expression of their number n.
async fn lines(connection: &mut PgConnection, first: usize, last: usize, count: &str) {
    run(
        connection,
        &format!(
            "insert into orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, \
             unit_price) \
             select 'ord_' || lpad(n::text, 7, '0'), 'oli_' || lpad(l::text, 6, '0'), {count} + 1 - l, 'prd_' || l, \
                    'sku-' || n || '-' || l, 'What line ' || l || ' of order ' || n || ' sells', l, 1.50 \
             from generate_series({first}, {last}) n, generate_series(1, {count}) l; \
             insert into orders.order_summary (order_uid, line_count, quantity, subtotal, total) \
             select h.uid, count(i.uid), coalesce(sum(i.quantity), 0), coalesce(sum(i.quantity * i.unit_price), 0), \
                    coalesce(sum(i.quantity * i.unit_price), 0) \
             from generate_series({first}, {last}) n \
             join orders.order_header h on h.uid = 'ord_' || lpad(n::text, 7, '0') \
             left join orders.order_line_item i on i.order_uid = h.uid group by h.uid"
        ),
    )
    .await;
}

/// Checks that a whole order is the one that [`seed`] or [`large_order`] wrote, with this many lines.
#[track_caller]
pub(super) fn assert_whole(order: &Order, number: usize, lines: usize) {
    assert_eq!(order.uid, order_uid(number));
    assert_eq!(order.line_items.len(), lines, "lines of {}", order.uid);
    for (at, line) in order.line_items.iter().enumerate() {
        let l = lines - at;
        assert_eq!((line.order_uid.as_str(), line.line_number), ("", at as i32 + 1));
        assert_eq!((&line.uid, &line.sku), (&format!("oli_{l:06}"), &format!("sku-{number}-{l}")));
        assert_eq!((line.quantity, line.unit_price.as_str()), (l as i32, "1.50"));
        assert!(line.create_ts.is_some() && line.update_ts.is_some() && line.status.is_some());
    }
    assert_summary(order, lines);
}

/// Checks an order's summary.
#[track_caller]
pub(super) fn assert_summary(order: &Order, lines: usize) {
    let summary = order.summary.as_ref().expect("a summary");
    assert_eq!((summary.order_uid.as_str(), summary.line_count), ("", lines as i32), "of {}", order.uid);
    assert_eq!(summary.quantity, (lines * (lines + 1) / 2) as i64, "of {}", order.uid);
}

/// Checks the addresses of an order of [`seed`].
#[track_caller]
pub(super) fn assert_addresses(order: &Order, number: usize) {
    let kinds: Vec<AddressKind> = order.addresses.iter().map(Address::kind).collect();
    let expected: &[AddressKind] = match (number % 2, number % 3) {
        (0, 0) => &[AddressKind::Billing, AddressKind::Shipping],
        (0, _) => &[AddressKind::Billing],
        (_, 0) => &[AddressKind::Shipping],
        _ => &[],
    };
    assert_eq!(kinds, expected, "addresses of {}", order.uid);
    for address in &order.addresses {
        assert_eq!((address.order_uid.as_str(), &address.city), ("", &format!("City {number}")));
        assert_eq!(address.lines.len(), if address.kind() == AddressKind::Shipping { 2 } else { 0 });
    }
}
