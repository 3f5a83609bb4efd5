//! Totals with too many digits: the order is refused with the path of the total, also if the lines or the price of
//! shipping are stored ones.

use orrery_proto::orders::v1::{CreateOrderRequest, LineItem, Order, Summary, UpdateOrderRequest};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};

use super::whole;
use crate::harness::{assert_invalid, line};
use crate::orders::fixture::{Fixture, bare};
use crate::writes::stream::{ORDERS, mask, write};

const MOST: &str = "999999999999999.9999";

fn shipped(shipping: &str, order: Order) -> Order {
    Order { summary: Some(Summary { shipping: shipping.to_owned(), ..Summary::default() }), ..order }
}

fn of(line_items: Vec<LineItem>) -> Order {
    Order { line_items, ..bare("a") }
}

/// Orders with a total that is too large, and which one.
fn too_large() -> Vec<(Order, &'static str)> {
    let discount = |discount: &str| LineItem { discount: discount.to_owned(), ..line("a", 0, "0") };
    let tax = |tax: &str| LineItem { tax: tax.to_owned(), ..line("a", 0, "0") };
    vec![
        (of(vec![line("a", 2, MOST)]), "subtotal"),
        (of(vec![line("a", i32::MIN, MOST)]), "subtotal"),
        (of(vec![line("a", 1, MOST), line("b", 1, "0.0001")]), "subtotal"),
        (of(vec![line("a", -1, MOST), line("b", 1, "-0.0001")]), "subtotal"),
        (of(vec![discount(MOST), discount("0.0001")]), "discount"),
        (of(vec![discount("-999999999999999.9999"), discount("-0.0001")]), "discount"),
        (of(vec![tax(MOST), tax(MOST)]), "tax"),
        (of(vec![tax(MOST), line("a", 1, "0.0001")]), "total"),
        (of(vec![discount(MOST), line("a", -1, "0.0001")]), "total"),
        (shipped(MOST, of(vec![line("a", 1, "0.0001")])), "total"),
    ]
}

#[tokio::test]
async fn a_sum_that_cannot_be_kept_is_refused_by_its_path() {
    let fixture = Fixture::new().await;
    for (order, sum) in too_large() {
        let field = format!("order.summary.{sum}");
        let create = CreateOrderRequest { order: Some(order.clone()), ..CreateOrderRequest::default() };
        assert_invalid(fixture.server.client().create_order(create).await, "FIELD_INVALID", &field);
        let (_, end) = write(fixture.server.channel(), ORDERS, WriteStart::default(), &[bare("b"), order]).await;
        assert_invalid(end, "ROW_REJECTED", &format!("chunk.orders[1].summary.{sum}"));
    }
    assert_eq!(fixture.count("orders.order_header").await, 0);
    // Large amounts that cancel out are valid.
    let even = shipped("-999999999999999.9999", of(vec![line("a", 1, MOST)]));
    fixture.write(&[even]).await;
    assert_eq!(fixture.get("a").await.summary.unwrap().total, "0.0000");
}

#[tokio::test]
async fn a_sum_with_what_is_stored_is_refused_by_its_path_too() {
    let fixture = Fixture::new().await;
    fixture.write(&[shipped(MOST, bare("a"))]).await;
    let before = fixture.versions().await;
    let lines = of(vec![line("a", 1, "0.0001")]);
    for update_mask in [None, Some(mask(&["line_items"]))] {
        let update = UpdateOrderRequest { order: Some(lines.clone()), update_mask, ..UpdateOrderRequest::default() };
        assert_invalid(fixture.server.client().update_order(update).await, "FIELD_INVALID", "order.summary.total");
    }
    let rows = [bare("b"), lines.clone(), bare("c")];
    let (totals, end) = write(fixture.server.channel(), ORDERS, WriteStart::default(), &rows).await;
    assert_invalid(end, "ROW_REJECTED", "chunk.orders[1].summary.total");
    assert_eq!((totals.errors[0].offset, totals.errors[0].field.as_str()), (1, "summary.total"));
    assert_eq!(fixture.versions().await, before, "nothing of the chunk was written");

    // With SKIP only this row is rejected.
    let skip = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
    let written = fixture.write_with(skip, &rows).await;
    written.expect_counts([2, 0, 0, 1, 0]);
    assert_eq!((written.totals.errors[0].offset, written.totals.errors[0].field.as_str()), (1, "summary.total"));
    assert_eq!(fixture.get("a").await.line_items, []);

    // The other way round: the lines are stored, and the price of shipping is too large.
    fixture.write(&[Order { line_items: vec![line("a", 1, MOST)], ..bare("d") }]).await;
    let dear = shipped("0.0001", bare("d"));
    for update_mask in [None, Some(mask(&["summary.shipping"]))] {
        let update = UpdateOrderRequest { order: Some(dear.clone()), update_mask, ..UpdateOrderRequest::default() };
        assert_invalid(fixture.server.client().update_order(update).await, "FIELD_INVALID", "order.summary.total");
    }
    let (_, end) = write(fixture.server.channel(), ORDERS, WriteStart::default(), &[dear]).await;
    assert_invalid(end, "ROW_REJECTED", "chunk.orders[0].summary.total");
    fixture.assert_sums().await;
}

#[tokio::test]
async fn sums_have_the_digits_of_their_summands() {
    let fixture = Fixture::new().await;
    fixture.write(&[whole("a")]).await;
    let summary = fixture.get("a").await.summary.unwrap();
    // 1.50 + 0.002 + 7.50 + 40
    assert_eq!((summary.subtotal.as_str(), summary.total.as_str()), ("49.002", "53.992"));
    assert_eq!((summary.line_count, summary.quantity), (4, 4));
    fixture.assert_sums().await;
}
