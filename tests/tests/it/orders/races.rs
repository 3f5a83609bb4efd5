//! Concurrent writers of one order: no change is lost or partially written.

use orrery_proto::orders::v1::{GetOrderRequest, LineItem, Order, UpdateOrderRequest};
use tonic::Code;

use super::fixture::{Fixture, bare};
use crate::harness::line;
use crate::writes::stream::mask;

/// Reads an order, adds one to the quantity of its first line and writes it back, unless another writer was faster.
async fn increment(fixture: &Fixture) -> Result<(), Code> {
    let mut client = fixture.server.client();
    let request = GetOrderRequest { uid: "ord_1".to_owned(), ..GetOrderRequest::default() };
    let mut read = client.get_order(request).await.map_err(|status| status.code())?.into_inner();
    read.line_items[0].quantity += 1;
    read.etag.clear();
    let update_mask = Some(mask(&["line_items"]));
    let request = UpdateOrderRequest { order: Some(read), update_mask, ..UpdateOrderRequest::default() };
    client.update_order(request).await.map(|_| ()).map_err(|status| status.code())
}

#[tokio::test]
async fn of_increments_that_race_each_counts_once_or_is_aborted() {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let fixture = Fixture::new().await;
    fixture
        .write(&[Order { line_items: vec![line("a", 1, "1.25")], ..bare("1") }])
        .await
        .expect_counts([1, 0, 0, 0, 0]);
    let outcomes = futures::future::join_all((0..WRITERS).map(|_| async {
        let mut successes = 0;
        for _ in 0..EACH {
            match increment(&fixture).await {
                Ok(()) => successes += 1,
                Err(code) => assert_eq!(code, Code::Aborted),
            }
        }
        successes
    }))
    .await;
    let successes: i32 = outcomes.iter().sum();
    assert!(successes >= i32::try_from(EACH).unwrap(), "somebody always comes through");
    let read = fixture.get("1").await;
    assert_eq!((read.revision, read.line_items[0].quantity), (successes + 1, successes + 1));
    fixture.assert_sums().await;
}

#[tokio::test]
async fn writers_without_a_revision_leave_one_whole_order_and_count_every_change() {
    const WRITERS: usize = 6;
    const EACH: usize = 15;
    let fixture = Fixture::new().await;
    let updates = futures::future::join_all((0..WRITERS).map(|writer| {
        let fixture = &fixture;
        async move {
            let mut updated = 0;
            for round in 0..EACH {
                // As many lines as the writer's number says, all of one sku, each with a uid that no other line has:
                // only the order's lock keeps the writers apart.
                let sku = format!("w{writer}r{round}");
                let own = |nth| LineItem { uid: format!("oli_{sku}n{nth}"), ..line(&sku, 1, "1") };
                let line_items = (0..=writer).map(own).collect();
                let written = fixture.write(&[Order { line_items, ..bare("1") }]).await;
                updated += written.totals.updated;
                assert_eq!(written.totals.created + written.totals.updated, 1);
            }
            updated
        }
    }))
    .await;
    let read = fixture.get("1").await;
    assert_eq!(i64::from(read.revision), updates.iter().sum::<i64>() + 1);
    let skus: std::collections::HashSet<&str> = read.line_items.iter().map(|line| line.sku.as_str()).collect();
    assert_eq!(skus.len(), 1, "the lines of one writer: {skus:?}");
    let writer: usize = skus.iter().next().unwrap()[1..].split('r').next().unwrap().parse().unwrap();
    assert_eq!(read.line_items.len(), writer + 1);
    fixture.assert_sums().await;
}
