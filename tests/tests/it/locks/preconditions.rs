//! After an etag or a revision was compared, nobody can change the row until the write.

use std::pin::Pin;

use orrery_proto::catalog::v1::{DeleteProductRequest, GetProductRequest, Product, UpdateProductRequest};
use orrery_proto::orders::v1::{
    DeleteOrderRequest, LineItem, Order, SetProvisionTimerRequest, TransitionOrderRequest, UpdateOrderRequest,
};
use orrery_proto::r#type::v1::{ErrorReason, RowErrorPolicy, WriteMode, WriteStart};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{begin, text};
use crate::harness::{OrdersServer, Role, line, refusal, timestamp, until_waiting, until_waiting_or};
use crate::orders::fixture::{Fixture as Orders, bare};
use crate::writes::Fixture as Catalog;
use crate::writes::stream::{ORDERS, PRODUCTS, Totals, WriteStream, mask, product, write};

/// A call that succeeds, or fails with a reason.
type Call = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

fn reason(status: &Status) -> String {
    let refused = refusal(status);
    assert_eq!(refused.code, Code::Aborted, "{status:?}");
    refused.reason
}

fn unary<T>(answer: impl Future<Output = Result<T, Status>> + Send + 'static) -> Call {
    Box::pin(async move { answer.await.map(drop).map_err(|status| reason(&status)) })
}

/// A chunk of one row, which is rejected as a row.
fn chunk(channel: Channel, method: &'static str, mode: WriteMode, row: impl Message + 'static) -> Call {
    Box::pin(async move {
        let start =
            WriteStart { mode: mode.into(), on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
        let (Totals { errors, .. }, end) = write(channel, method, start, &[row]).await;
        end.unwrap();
        errors.first().map_or(Ok(()), |error| {
            assert_eq!(error.code, Code::Aborted as i32, "{error:?}");
            Err(ErrorReason::try_from(error.reason).unwrap().as_str_name().replace("ERROR_REASON_", ""))
        })
    })
}

async fn etag(fixture: &Catalog, uid: &str) -> String {
    let request = GetProductRequest { uid: format!("prd_{uid}"), read_mask: None };
    fixture.server.client().get_product(request).await.unwrap().into_inner().etag
}

/// All writes of a product with an etag.
fn writes_of_a_product(fixture: &Catalog, etag: &str) -> Vec<(&'static str, Call)> {
    let row = || Product { etag: etag.to_owned(), ..product("a", "ours") };
    let channel = || fixture.server.channel();
    let (mut updating, mut creating, mut deleting) =
        (fixture.server.client(), fixture.server.client(), fixture.server.client());
    let update = UpdateProductRequest { product: Some(row()), ..UpdateProductRequest::default() };
    let upsert = UpdateProductRequest { allow_missing: true, ..update.clone() };
    let delete = DeleteProductRequest { uid: "prd_a".to_owned(), etag: etag.to_owned(), ..Default::default() };
    vec![
        ("UpdateProduct", unary(async move { updating.update_product(update).await })),
        ("UpdateProduct, allow_missing", unary(async move { creating.update_product(upsert).await })),
        ("DeleteProduct", unary(async move { deleting.delete_product(delete).await })),
        ("WriteProducts, UPSERT", chunk(channel(), PRODUCTS, WriteMode::Upsert, row())),
        ("WriteProducts, UPDATE", chunk(channel(), PRODUCTS, WriteMode::Update, row())),
    ]
}

/// Another program has changed the row and not committed when the write compares: the write waits and is refused.
#[tokio::test]
async fn a_product_that_another_program_is_changing_is_not_written_over() {
    let fixture = Catalog::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    let (_, end) = write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &[product("a", "before")]).await;
    end.unwrap();
    let calls = writes_of_a_product(&fixture, &etag(&fixture, "a").await).len();
    for at in 0..calls {
        let (name, call) = writes_of_a_product(&fixture, &etag(&fixture, "a").await).remove(at);
        let theirs = format!("update catalog.product set name = 'theirs {at}' where uid = 'prd_a'");
        let changing = begin(&fixture.pool, &theirs).await;
        let call = tokio::spawn(call);
        until_waiting(&mut watcher, Role::Catalog, 1).await;
        changing.commit().await.unwrap();
        assert_eq!(call.await.unwrap(), Err("ETAG_MISMATCH".to_owned()), "{name}");
        assert_eq!(fixture.product("a", "name").await, Some(format!("theirs {at}")), "{name}");
    }
}

/// All writes of an order with a revision.
fn writes_of_an_order(server: &OrdersServer, revision: i32) -> Vec<(&'static str, Call)> {
    let row = || Order { revision, customer_id: "ours".to_owned(), ..bare("a") };
    let uid = || "ord_a".to_owned();
    let update = UpdateOrderRequest {
        order: Some(row()),
        update_mask: Some(mask(&["customer_id"])),
        ..UpdateOrderRequest::default()
    };
    let delete = DeleteOrderRequest { uid: uid(), revision, ..DeleteOrderRequest::default() };
    let confirm = TransitionOrderRequest {
        uid: uid(),
        to_phase: "confirmed".to_owned(),
        reason: String::new(),
        revision,
        ..TransitionOrderRequest::default()
    };
    let timer = SetProvisionTimerRequest {
        uid: uid(),
        provision_timer_ts: Some(timestamp(9)),
        revision,
        ..SetProvisionTimerRequest::default()
    };
    let client = || server.client();
    let (mut updating, mut deleting, mut moving, mut timing) = (client(), client(), client(), client());
    vec![
        ("UpdateOrder", unary(async move { updating.update_order(update).await })),
        ("DeleteOrder", unary(async move { deleting.delete_order(delete).await })),
        ("TransitionOrder", unary(async move { moving.transition_order(confirm).await })),
        ("SetProvisionTimer", unary(async move { timing.set_provision_timer(timer).await })),
        ("WriteOrders, UPSERT", chunk(server.channel(), ORDERS, WriteMode::Upsert, row())),
        ("WriteOrders, UPDATE", chunk(server.channel(), ORDERS, WriteMode::Update, row())),
    ]
}

#[tokio::test]
async fn an_order_that_another_program_is_changing_is_not_written_over() {
    let fixture = Orders::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    fixture.write(&[bare("a")]).await.expect_counts([1, 0, 0, 0, 0]);
    for at in 0..writes_of_an_order(&fixture.server, 1).len() {
        let revision = 1 + i32::try_from(at).unwrap();
        let (name, call) = writes_of_an_order(&fixture.server, revision).remove(at);
        let theirs = "update orders.order_header set revision = revision + 1, customer_id = 'theirs'";
        let changing = begin(&fixture.pool, theirs).await;
        let call = tokio::spawn(call);
        until_waiting(&mut watcher, Role::Orders, 1).await;
        changing.commit().await.unwrap();
        assert_eq!(call.await.unwrap(), Err("REVISION_MISMATCH".to_owned()), "{name}");
        let stored =
            text(&fixture.pool, "select row(customer_id, revision, status ->> 'phase') from orders.order_header").await;
        assert_eq!(stored, Some(format!("(theirs,{},draft)", revision + 1)), "{name}");
    }
}

/// The other way round: a chunk has compared and waits for something else, and a write with the same etag waits for the
/// chunk.
#[tokio::test]
async fn of_a_chunk_and_an_update_with_the_same_etag_one_comes_through() {
    let fixture = Catalog::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    let (_, end) = write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &[product("a", "before")]).await;
    end.unwrap();
    let etag = etag(&fixture, "a").await;
    // The chunk creates this row, and must wait until it knows whether somebody else does.
    let holding = begin(&fixture.pool, "insert into catalog.product (uid) values ('prd_new')").await;
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(0, &[Product { etag: etag.clone(), ..product("a", "chunk") }, product("new", "chunk")]).await;
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    let mut client = fixture.server.client();
    let update = UpdateProductRequest {
        product: Some(Product { etag, ..product("a", "update") }),
        ..UpdateProductRequest::default()
    };
    let update = tokio::spawn(async move { client.update_product(update).await });
    until_waiting_or(&mut watcher, Role::Catalog, 2, || update.is_finished()).await;
    holding.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 1, 0, 0, 0]);
    let refused = update.await.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "ETAG_MISMATCH");
    assert_eq!(fixture.product("a", "name").await.unwrap(), "chunk", "the chunk's change is not lost");
}

#[tokio::test]
async fn of_a_chunk_and_a_move_with_the_same_revision_one_comes_through() {
    let fixture = Orders::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    fixture.write(&[bare("a")]).await.expect_counts([1, 0, 0, 0, 0]);
    let holding =
        begin(&fixture.pool, "insert into orders.order_header (uid, currency_code) values ('ord_new', 'GBP')").await;
    let stream = WriteStream::open(fixture.server.channel(), ORDERS, WriteStart::default()).await.unwrap();
    let changed = Order { revision: 1, line_items: vec![line("a", 1, "1.25")], ..bare("a") };
    stream.send(0, &[changed, bare("new")]).await;
    until_waiting(&mut watcher, Role::Orders, 1).await;
    let (_, call) = writes_of_an_order(&fixture.server, 1).remove(2);
    let call = tokio::spawn(call);
    until_waiting_or(&mut watcher, Role::Orders, 2, || call.is_finished()).await;
    holding.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 1, 0, 0, 0]);
    assert_eq!(call.await.unwrap(), Err("REVISION_MISMATCH".to_owned()));
    let read = fixture.get("a").await;
    assert_eq!((read.revision, read.line_items.len(), read.status.unwrap().phase.as_str()), (2, 1, "draft"));
    fixture.assert_sums().await;
}

/// Two writes of an order's lines without preconditions: the second starts after the first, and its lines remain.
#[tokio::test]
async fn of_two_writes_of_an_order_that_meet_the_second_waits() {
    let fixture = Orders::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    fixture.write(&[bare("a")]).await.expect_counts([1, 0, 0, 0, 0]);
    // The first has read the existing lines and waits for this one.
    let theirs = "insert into orders.order_line_item (order_uid, uid, line_number) values ('ord_a', 'oli_first', 9)";
    let holding = begin(&fixture.pool, theirs).await;
    let order = |sku: &str| Order {
        line_items: vec![LineItem { uid: format!("oli_{sku}"), ..line(sku, 2, "1.25") }],
        ..bare("a")
    };
    let stream = WriteStream::open(fixture.server.channel(), ORDERS, WriteStart::default()).await.unwrap();
    stream.send(0, &[order("first")]).await;
    until_waiting(&mut watcher, Role::Orders, 1).await;
    let mut client = fixture.server.client();
    let update_mask = Some(mask(&["line_items"]));
    let update = UpdateOrderRequest { order: Some(order("second")), update_mask, ..UpdateOrderRequest::default() };
    let update = tokio::spawn(async move { client.update_order(update).await });
    until_waiting_or(&mut watcher, Role::Orders, 2, || update.is_finished()).await;
    holding.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 1, 0, 0, 0]);
    update.await.unwrap().unwrap();
    let read = fixture.get("a").await;
    let skus: Vec<&str> = read.line_items.iter().map(|line| line.sku.as_str()).collect();
    assert_eq!((skus, read.revision), (vec!["second"], 3));
    fixture.assert_sums().await;
}

/// Chunks that share a commit lock their rows in key order, not in the order of arrival. Whoever holds the first row
/// blocks the whole commit, and no deadlock is possible.
#[tokio::test]
async fn chunks_that_share_a_commit_lock_their_rows_in_the_order_of_the_keys() {
    let fixture = Catalog::new().await;
    let mut watcher = fixture.database.connect(Role::Operator).await;
    let rows = ["a", "b", "c"].map(|uid| product(uid, "before"));
    let (_, end) = write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &rows).await;
    end.unwrap();
    let of_c = begin(&fixture.pool, "update catalog.product set labels = '{}' where uid = 'prd_c'").await;
    let of_a = begin(&fixture.pool, "update catalog.product set labels = '{}' where uid = 'prd_a'").await;
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    // The first commit waits, and the other two chunks wait for it.
    stream.send(0, &[product("c", "after")]).await;
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    stream.send(1, &[product("b", "after")]).await;
    stream.send(2, &[product("a", "after")]).await;
    of_c.rollback().await.unwrap();
    let waits = "select count(*) from pg_locks as l join pg_stat_activity as s using (pid) \
                 where not l.granted and s.datname = current_database() and s.usename = 'catalog_service' \
                   and l.transactionid = (select transactionid from pg_locks where pid = $1 and locktype = \
                   'transactionid' and granted)";
    let mut of_a = of_a;
    let holder: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *of_a).await.unwrap();
    let until_it_waits = async {
        while sqlx::query_scalar::<_, i64>(waits).bind(holder).fetch_one(&mut watcher).await.unwrap() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), until_it_waits).await.expect("it waits for the first row");
    let free = begin(&fixture.pool, "select from catalog.product where uid = 'prd_b' for update nowait").await;
    free.rollback().await.unwrap();
    of_a.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 3, 0, 0, 0]);
}
