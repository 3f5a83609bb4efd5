//! Every write returns a position in the write-ahead log at which it can be read.

use orrery_kit::lsn::Lsn;
use orrery_proto::catalog::v1::{
    CreateProductRequest, DeleteProductRequest, GetProductRequest, UpdateProductRequest, WriteProductMetricsRequest,
    WriteProductsRequest, write_product_metrics_request, write_products_request,
};
use orrery_proto::orders::v1::{
    ClaimDueOrdersRequest, CreateOrderRequest, DeleteOrderRequest, GetOrderRequest, SetProvisionTimerRequest,
    TransitionOrderRequest, UpdateOrderRequest, WriteOrdersRequest, write_orders_request,
};
use orrery_proto::records::v1::{
    CreateTagRequest, DeleteTagRequest, MergeTagsRequest, RenameTagRequest, ResolveTagsRequest,
    UpsertTagClassificationRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use prost::Message;
use sqlx::{PgConnection, query_scalar};
use tonic::Code;
use tonic::transport::Channel;

use super::{CATALOG, Method, ORDERS, ReadAnswer, TAGS, method};
use crate::harness::raw::call_with;
use crate::harness::{
    CatalogServer, OrdersServer, RecordsServer, Role, TestDatabase, line, metric, order, product, run, tag, tag_uid,
    timestamp,
};

async fn wal(connection: &mut PgConnection, position: &str) -> Lsn {
    let text: String =
        query_scalar(sqlx::AssertSqlSafe(format!("select {position}()::text"))).fetch_one(connection).await.unwrap();
    text.parse().unwrap()
}

/// Calls writes one after the other. If a write changes something, its position must be after everything that was in
/// the log before it, and never after the end of the log.
pub(super) struct Writes {
    channel: Channel,
    operator: PgConnection,
}

impl Writes {
    pub(super) async fn new(database: &TestDatabase, channel: Channel) -> Self {
        Self { channel, operator: database.connect(Role::Operator).await }
    }

    pub(super) async fn one(&mut self, changes: bool, method: &Method) {
        self.several(changes, method, vec![method.message.clone()], Code::Ok).await;
    }

    pub(super) async fn several(&mut self, changes: bool, method: &Method, messages: Vec<bytes::Bytes>, code: Code) {
        let before = wal(&mut self.operator, "pg_current_wal_insert_lsn").await;
        let answer: ReadAnswer = call_with(&self.channel, &method.path, &[], None, messages).await.into();
        assert_eq!(answer.code(), code, "{}: {answer:?}", method.path);
        assert_eq!(answer.served_by, None, "{}", method.path);
        let after = wal(&mut self.operator, "pg_current_wal_insert_lsn").await;
        let Some(lsn) = answer.min_lsn else { unreachable!("{} says no position: {answer:?}", method.path) };
        assert!(lsn <= after, "{}: {lsn} is behind {after}", method.path);
        if changes {
            assert!(lsn > before, "{}: {lsn} was there before: {before}", method.path);
        }
    }
}

pub(super) fn encoded(messages: &[impl Message]) -> Vec<bytes::Bytes> {
    messages.iter().map(|message| message.encode_to_vec().into()).collect()
}

#[tokio::test]
async fn every_write_of_the_catalog_says_where_it_can_be_read() {
    catalog_writes(&TestDatabase::create().await).await;
}

/// Checks the position of each write of the catalog.
pub(super) async fn catalog_writes(database: &TestDatabase) {
    let server = CatalogServer::start(database).await;
    let mut writes = Writes::new(database, server.channel()).await;
    let create = |request_id: &str| {
        let request_id = request_id.to_owned();
        method(
            CATALOG,
            "CreateProduct",
            &CreateProductRequest { product: Some(product("prd_a")), request_id, ..CreateProductRequest::default() },
        )
    };
    writes.one(true, &create("once")).await;
    // Again: nothing is written, and earlier writes have a position too.
    writes.one(false, &create("once")).await;

    let mut changed = product("prd_a");
    "Another name".clone_into(&mut changed.name);
    let update = UpdateProductRequest { product: Some(changed), ..UpdateProductRequest::default() };
    let update = method(CATALOG, "UpdateProduct", &update);
    writes.one(true, &update).await;
    writes.one(false, &update).await;

    let start = WriteStart { write_id: "w".to_owned(), ..WriteStart::default() };
    let start = WriteProductsRequest { payload: Some(write_products_request::Payload::Start(start)) };
    let chunk = |offset, uid: &str| {
        let chunk = write_products_request::Chunk { offset, products: vec![product(uid)] };
        WriteProductsRequest { payload: Some(write_products_request::Payload::Chunk(chunk)) }
    };
    let write = method(CATALOG, "WriteProducts", &start);
    let good = encoded(&[start.clone(), chunk(0, "prd_b"), chunk(1, "prd_c")]);
    writes.several(true, &write, good.clone(), Code::Ok).await;
    writes.several(true, &write, good, Code::Ok).await;
    // Rows committed before the error can be read.
    let bad = encoded(&[start, chunk(2, "prd_d"), chunk(9, "prd_e")]);
    writes.several(true, &write, bad, Code::OutOfRange).await;

    let start = write_product_metrics_request::Payload::Start(WriteStart::default());
    let chunk = write_product_metrics_request::Chunk { offset: 0, product_metrics: vec![metric("prd_b", "m", "1", 1)] };
    let chunk = write_product_metrics_request::Payload::Chunk(chunk);
    let messages = [start, chunk].map(|message| WriteProductMetricsRequest { payload: Some(message) });
    let metrics = method(CATALOG, "WriteProductMetrics", &messages[0]);
    writes.several(true, &metrics, encoded(&messages), Code::Ok).await;

    let delete = DeleteProductRequest { uid: "prd_a".to_owned(), allow_missing: true, ..Default::default() };
    let delete = method(CATALOG, "DeleteProduct", &delete);
    writes.one(true, &delete).await;
    writes.one(false, &delete).await;

    let get = method(CATALOG, "GetProduct", &GetProductRequest { uid: "prd_b".to_owned(), read_mask: None });
    assert_eq!(get.call(&server.channel(), &[]).await.min_lsn, None, "a read writes nothing");
    let refused = method(CATALOG, "CreateProduct", &CreateProductRequest::default());
    assert_eq!(refused.call(&server.channel(), &[]).await.min_lsn, None, "what was refused has written nothing");
}

#[tokio::test]
async fn every_write_of_orders_says_where_it_can_be_read() {
    order_writes(&TestDatabase::create().await).await;
}

/// Checks the position of each write of orders.
pub(super) async fn order_writes(database: &TestDatabase) {
    let server = OrdersServer::start(database).await;
    let mut writes = Writes::new(database, server.channel()).await;
    let create = CreateOrderRequest { order: Some(order("ord_a")), ..CreateOrderRequest::default() };
    writes.one(true, &method(ORDERS, "CreateOrder", &create)).await;
    let mut changed = order("ord_a");
    changed.line_items.push(line("22423", 1, "12.75"));
    let update = UpdateOrderRequest { order: Some(changed), ..UpdateOrderRequest::default() };
    let update = method(ORDERS, "UpdateOrder", &update);
    writes.one(true, &update).await;
    writes.one(false, &update).await;
    let uid = || "ord_a".to_owned();
    let confirm = TransitionOrderRequest { uid: uid(), to_phase: "confirmed".to_owned(), ..Default::default() };
    writes.one(true, &method(ORDERS, "TransitionOrder", &confirm)).await;
    let timer = SetProvisionTimerRequest {
        uid: uid(),
        provision_timer_ts: Some(timestamp(1)),
        revision: 0,
        ..SetProvisionTimerRequest::default()
    };
    writes.one(true, &method(ORDERS, "SetProvisionTimer", &timer)).await;
    let lease = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let claim = method(ORDERS, "ClaimDueOrders", &ClaimDueOrdersRequest { lease, ..Default::default() });
    writes.one(true, &claim).await;
    // Nothing is due any more.
    writes.one(false, &claim).await;

    let start = write_orders_request::Payload::Start(WriteStart::default());
    let chunk = write_orders_request::Chunk { offset: 0, orders: vec![order("ord_b")] };
    let chunk = write_orders_request::Payload::Chunk(chunk);
    let messages = [start, chunk].map(|message| WriteOrdersRequest { payload: Some(message) });
    let write = method(ORDERS, "WriteOrders", &messages[0]);
    writes.several(true, &write, encoded(&messages), Code::Ok).await;

    let delete = DeleteOrderRequest { uid: uid(), allow_missing: true, ..DeleteOrderRequest::default() };
    let delete = method(ORDERS, "DeleteOrder", &delete);
    writes.one(true, &delete).await;
    writes.one(false, &delete).await;
    let get = method(ORDERS, "GetOrder", &GetOrderRequest { uid: "ord_b".to_owned(), ..GetOrderRequest::default() });
    assert_eq!(get.call(&server.channel(), &[]).await.min_lsn, None, "a read writes nothing");
}

#[tokio::test]
async fn every_write_of_tags_says_where_it_can_be_read() {
    let database = TestDatabase::create().await;
    let server = RecordsServer::start(&database).await;
    let mut writes = Writes::new(&database, server.channel()).await;
    let resolve = |create_missing| ResolveTagsRequest { names: vec!["new".to_owned()], create_missing };
    writes.one(true, &method(TAGS, "ResolveTags", &resolve(true))).await;
    writes.one(false, &method(TAGS, "ResolveTags", &resolve(true))).await;
    for number in [1, 2] {
        let create = CreateTagRequest { tag: Some(tag(number)), ..CreateTagRequest::default() };
        writes.one(true, &method(TAGS, "CreateTag", &create)).await;
    }
    let rename = RenameTagRequest { uid: tag_uid(1), new_name: "x".to_owned(), etag: String::new() };
    writes.one(true, &method(TAGS, "RenameTag", &rename)).await;
    writes.one(false, &method(TAGS, "RenameTag", &rename)).await;
    let classify = UpsertTagClassificationRequest {
        tag_uid: tag_uid(1),
        category_name: "color".to_owned(),
        ..UpsertTagClassificationRequest::default()
    };
    writes.one(true, &method(TAGS, "UpsertTagClassification", &classify)).await;
    writes.one(false, &method(TAGS, "UpsertTagClassification", &classify)).await;
    let (source_uids, target_uid) = (vec![tag_uid(1)], tag_uid(2));
    let merge = MergeTagsRequest { source_uids, target_uid, allow_missing: true };
    writes.one(true, &method(TAGS, "MergeTags", &merge)).await;
    writes.one(false, &method(TAGS, "MergeTags", &merge)).await;
    let delete = DeleteTagRequest { uid: tag_uid(2), allow_missing: true, ..DeleteTagRequest::default() };
    writes.one(true, &method(TAGS, "DeleteTag", &delete)).await;
    writes.one(false, &method(TAGS, "DeleteTag", &delete)).await;
    let found = method(TAGS, "ResolveTags", &resolve(false));
    assert_eq!(found.call(&server.channel(), &[]).await.min_lsn, None, "a read writes nothing");
}

/// The write is committed before its position is queried. If that is not allowed, it has still happened.
#[tokio::test]
async fn a_write_whose_position_cannot_be_told_has_happened() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, "revoke execute on function pg_current_wal_lsn(), pg_current_wal_insert_lsn() from public")
        .await;
    let create = CreateProductRequest { product: Some(product("prd_a")), ..CreateProductRequest::default() };
    let create = method(CATALOG, "CreateProduct", &create);
    let start = WriteStart { write_id: "w".to_owned(), ..WriteStart::default() };
    let start = write_products_request::Payload::Start(start);
    let chunk = |offset, uid: &str| {
        write_products_request::Payload::Chunk(write_products_request::Chunk { offset, products: vec![product(uid)] })
    };
    let messages = [start, chunk(0, "prd_b"), chunk(1, "prd_c")];
    let messages = encoded(&messages.map(|message| WriteProductsRequest { payload: Some(message) }));
    let write = method(CATALOG, "WriteProducts", &WriteProductsRequest::default());
    let delete =
        method(CATALOG, "DeleteProduct", &DeleteProductRequest { uid: "prd_b".to_owned(), ..Default::default() });
    for (method, messages) in
        [(&create, vec![create.message.clone()]), (&write, messages), (&delete, vec![delete.message.clone()])]
    {
        let answer: ReadAnswer = call_with(&server.channel(), &method.path, &[], None, messages).await.into();
        assert_eq!((answer.code(), answer.min_lsn), (Code::Ok, None), "{}: {answer:?}", method.path);
    }
    let stored: Vec<String> =
        query_scalar("select uid from catalog.product order by uid").fetch_all(&mut operator).await.unwrap();
    assert_eq!(stored, ["prd_a", "prd_c"]);
}
