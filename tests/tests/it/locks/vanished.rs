//! A row that is deleted between the read and the write of a chunk is created again, and not counted as unchanged.

use orrery_proto::orders::v1::{LineItem, Order};
use orrery_proto::r#type::v1::WriteStart;

use super::{begin, commit, text};
use crate::harness::{Role, line, until_waiting};
use crate::orders::fixture::{Fixture as Orders, bare};
use crate::writes::Fixture as Catalog;
use crate::writes::stream::{METRICS, ORDERS, PRODUCTS, WriteStream, metric, product, write};

#[tokio::test]
async fn a_product_that_vanishes_between_the_look_and_the_write_is_created() {
    let fixture = Catalog::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    for stored in ["the same", "another"] {
        let (_, end) = write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &[product("a", stored)]).await;
        end.unwrap();
        // The chunk waits for this between its read of both keys and its write of the first.
        let holding = begin(&fixture.pool, "insert into catalog.product (uid) values ('prd_new')").await;
        let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
        stream.send(0, &[product("a", "the same"), product("new", "new")]).await;
        until_waiting(&mut watcher, Role::Catalog, 1).await;
        commit(&fixture.pool, "delete from catalog.product where uid = 'prd_a'").await;
        holding.rollback().await.unwrap();
        let (totals, end) = stream.finish().await;
        end.unwrap();
        assert_eq!(totals.counts(), [2, 0, 0, 0, 0], "{stored}");
        assert_eq!(fixture.product("a", "name").await.as_deref(), Some("the same"), "{stored}");
        commit(&fixture.pool, "delete from catalog.product").await;
    }
}

#[tokio::test]
async fn a_metric_that_vanishes_between_the_look_and_the_write_is_created() {
    let fixture = Catalog::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    let channel = || fixture.server.channel();
    // An equal value and an older one: neither would be written.
    let mut older = metric("a", "sales", "2");
    older.as_of_ts = Some(crate::harness::timestamp(1_000));
    for sent in [metric("a", "sales", "1"), older] {
        let (_, end) = write(channel(), METRICS, WriteStart::default(), &[metric("a", "sales", "1")]).await;
        end.unwrap();
        let new = "insert into catalog.product_metric (product_uid, name, value) values ('prd_a', 'views', 1)";
        let holding = begin(&fixture.pool, new).await;
        let stream = WriteStream::open(channel(), METRICS, WriteStart::default()).await.unwrap();
        stream.send(0, &[sent.clone(), metric("a", "views", "1")]).await;
        until_waiting(&mut watcher, Role::Catalog, 1).await;
        commit(&fixture.pool, "delete from catalog.product_metric").await;
        holding.rollback().await.unwrap();
        let (totals, end) = stream.finish().await;
        end.unwrap();
        assert_eq!(totals.counts(), [2, 0, 0, 0, 0]);
        let stored = text(&fixture.pool, "select value from catalog.product_metric where name = 'sales'").await;
        assert_eq!(stored, Some(sent.value));
        commit(&fixture.pool, "delete from catalog.product_metric").await;
    }
}

/// Lines are not locked separately, and other programs need not lock their order.
#[tokio::test]
async fn a_line_that_vanishes_under_its_order_s_write_is_written_again() {
    let fixture = Orders::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    let own = |uid: &str| LineItem { uid: format!("oli_{uid}"), ..line(uid, 2, "1.25") };
    let order = |uids: &[&str]| Order { line_items: uids.iter().map(|uid| own(uid)).collect(), ..bare("a") };
    fixture.write(&[order(&["kept", "gone"])]).await.expect_counts([1, 0, 0, 0, 0]);
    let new = "insert into orders.order_line_item (order_uid, uid, line_number) values ('ord_a', 'oli_new', 9)";
    let holding = begin(&fixture.pool, new).await;
    let stream = WriteStream::open(fixture.server.channel(), ORDERS, WriteStart::default()).await.unwrap();
    stream.send(0, &[order(&["kept", "gone", "new"])]).await;
    until_waiting(&mut watcher, Role::Orders, 1).await;
    commit(&fixture.pool, "delete from orders.order_line_item where uid = 'oli_gone'").await;
    holding.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 1, 0, 0, 0]);
    let lines: Vec<String> = fixture.get("a").await.line_items.into_iter().map(|line| line.uid).collect();
    assert_eq!(lines, ["oli_kept", "oli_gone", "oli_new"]);
    fixture.assert_sums().await;
}
