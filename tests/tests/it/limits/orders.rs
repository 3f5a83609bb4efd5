//! An order with many lines.

use orrery_proto::orders::v1::{
    CreateOrderRequest, DeleteOrderRequest, GetOrderRequest, OrderView, StreamOrdersRequest, UpdateOrderRequest,
};
use tonic::Code;

use super::managed;
use crate::harness::{OrdersServer, Role, TestDatabase, line, order};

const LINES: usize = 30_000;

#[tokio::test]
async fn an_order_of_thirty_thousand_lines_is_created_read_changed_streamed_and_deleted() {
    let database = TestDatabase::limited(managed()).await;
    let mut operator = database.connect(Role::Operator).await;
    let server = OrdersServer::start(&database).await;
    let mut client = server.client();
    let mut written = order("ord_large");
    written.line_items = (0..LINES).map(|number| line(&format!("sku-{number}"), 1, "2.50")).collect();
    client.create_order(CreateOrderRequest { order: Some(written), ..Default::default() }).await.unwrap();
    let get = GetOrderRequest { uid: "ord_large".to_owned(), view: OrderView::Full.into(), read_mask: None };
    let mut stored = client.get_order(get.clone()).await.unwrap().into_inner();
    assert_eq!(stored.line_items.len(), LINES);
    assert_eq!(stored.summary.as_ref().unwrap().subtotal, "75000.00");

    for line in &mut stored.line_items {
        line.quantity = 3;
    }
    let update = UpdateOrderRequest {
        order: Some(stored),
        update_mask: Some(prost_types::FieldMask { paths: vec!["line_items".to_owned()] }),
        ..Default::default()
    };
    client.update_order(update).await.unwrap();

    let request = StreamOrdersRequest { view: OrderView::Full.into(), ..Default::default() };
    let mut stream = client.stream_orders(request).await.unwrap().into_inner();
    let mut orders = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        orders.extend(page.orders);
    }
    let [streamed] = orders.as_slice() else { panic!("{} orders", orders.len()) };
    assert_eq!(streamed.line_items.len(), LINES);
    assert!(streamed.line_items.iter().all(|line| line.quantity == 3));
    assert_eq!(streamed.summary.as_ref().unwrap().subtotal, "225000.00");

    client.delete_order(DeleteOrderRequest { uid: "ord_large".to_owned(), ..Default::default() }).await.unwrap();
    assert_eq!(client.get_order(get).await.unwrap_err().code(), Code::NotFound);
    let left: i64 =
        sqlx::query_scalar("select count(*) from orders.order_line_item").fetch_one(&mut operator).await.unwrap();
    assert_eq!(left, 0);
}
