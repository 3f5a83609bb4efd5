//! Orders, for the common tests.

use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, CreateOrderRequest, DeleteOrderRequest, GetOrderRequest,
    ListOrdersRequest, Order, StreamOrdersRequest, UpdateOrderRequest,
};
use tonic::Status;
use tonic::transport::Channel;

use super::subject::{Complete, Subject, pages};
use crate::harness::{OrdersServer, Role, TestDatabase, order, order_uid};
use crate::writes::stream::{ORDERS, mask};

pub(crate) struct Orders {
    server: OrdersServer,
    database: TestDatabase,
}

fn uid_of(number: i32) -> String {
    order_uid((number + 1_000_000) as usize)
}

fn number_of(uid: &str) -> i32 {
    uid[4..].parse::<i32>().unwrap() - 1_000_000
}

impl Subject for Orders {
    type Row = Order;
    const WRITE: &'static str = ORDERS;
    const TEXT: &'static str = "customer_id";

    async fn new() -> Self {
        let database = TestDatabase::create().await;
        Self { server: OrdersServer::start(&database).await, database }
    }

    fn channel(&self) -> Channel {
        self.server.channel()
    }

    fn row(number: i32) -> Order {
        order(&uid_of(number))
    }

    fn number(row: &Order) -> i32 {
        number_of(&row.uid)
    }

    fn with_text(row: Order, text: &str) -> Order {
        Order { customer_id: text.to_owned(), ..row }
    }

    fn text(row: &Order) -> &str {
        &row.customer_id
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<Order>, String)> {
        let request = StreamOrdersRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.server.client().stream_orders(request).await.unwrap().into_inner();
        pages(stream, |page| (page.orders, page.resume_token)).await
    }

    async fn add_dependent(&self, _: i32) {}

    async fn belonging(&self) -> i64 {
        let mut operator = self.database.connect(Role::Operator).await;
        let count =
            "select (select count(*) from orders.order_line_item) + (select count(*) from orders.order_summary)";
        sqlx::query_scalar(count).fetch_one(&mut operator).await.unwrap()
    }
}

impl Complete for Orders {
    const MESSAGE: &'static str = "orrery.orders.v1.Order";
    const KEYS: [&'static str; 2] = ["uids", "uids[0]"];

    fn etag(row: &Order) -> &str {
        &row.etag
    }

    fn with_etag(row: Order, etag: &str) -> Order {
        Order { etag: etag.to_owned(), ..row }
    }

    fn revision(row: &Order) -> i32 {
        row.revision
    }

    fn name(number: i32) -> String {
        uid_of(number)
    }

    async fn get(&self, number: i32) -> Result<Order, Status> {
        let request = GetOrderRequest { uid: uid_of(number), ..Default::default() };
        Ok(self.server.client().get_order(request).await?.into_inner())
    }

    async fn batch_get(&self, numbers: &[i32]) -> Result<(Vec<Order>, Vec<i32>), Status> {
        let uids = numbers.iter().map(|&number| uid_of(number)).collect();
        let request = BatchGetOrdersRequest { uids, ..Default::default() };
        let found = self.server.client().batch_get_orders(request).await?.into_inner();
        Ok((found.orders, found.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }

    async fn create(&self, row: Order, request_id: &str) -> Result<Order, Status> {
        let request = CreateOrderRequest {
            order: Some(row),
            request_id: request_id.to_owned(),
            view: orrery_proto::orders::v1::OrderView::Full.into(),
            ..Default::default()
        };
        Ok(self.server.client().create_order(request).await?.into_inner())
    }

    async fn update(&self, row: Order, paths: &[&str], allow_missing: bool) -> Result<Order, Status> {
        let request = UpdateOrderRequest {
            order: Some(row),
            update_mask: Some(mask(paths)),
            allow_missing,
            view: orrery_proto::orders::v1::OrderView::Full.into(),
            ..Default::default()
        };
        Ok(self.server.client().update_order(request).await?.into_inner())
    }

    async fn delete(&self, number: i32, etag: &str, allow_missing: bool) -> Result<(), Status> {
        let (uid, etag) = (uid_of(number), etag.to_owned());
        let request = DeleteOrderRequest { uid, etag, allow_missing, ..Default::default() };
        self.server.client().delete_order(request).await.map(|_| ())
    }

    async fn list(&self, page_size: i32, order_by: &str, token: &str) -> Result<(Vec<Order>, String), Status> {
        let (order_by, page_token) = (order_by.to_owned(), token.to_owned());
        let request = ListOrdersRequest { page_size, order_by, page_token, ..Default::default() };
        let page = self.server.client().list_orders(request).await?.into_inner();
        Ok((page.orders, page.next_page_token))
    }

    async fn check(&self, numbers: &[i32]) -> Result<(i64, Vec<i32>), Status> {
        let request = CheckOrdersRequest { uids: numbers.iter().map(|&number| uid_of(number)).collect() };
        let mut answers = self.server.client().check_orders(tokio_stream::iter([request])).await?.into_inner();
        let answer = answers.message().await?.unwrap();
        Ok((answer.checked, answer.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }
}
