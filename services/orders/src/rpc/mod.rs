//! `orrery.orders.v1.OrdersService`. The methods that every resource has are in kit's `Collection`; every other method
//! has a file of its own.

mod claims;
mod lifecycle;
mod product_sales;

use orrery_kit::collection::{Collection, Messages};
use orrery_kit::context::Context;
use orrery_proto::orders::v1::server::OrdersService;
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, CheckOrdersResponse, ClaimDueOrdersRequest, DeleteOrderRequest,
    GetOrderRequest, ListOrdersRequest, LookupOrdersRequest, SetProvisionTimerRequest, StreamLineItemsRequest,
    StreamOrdersRequest, StreamProductSalesRequest, TransitionOrderRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use self::claims::Sizes;
use crate::store::line_item::{self, LINE_ITEM};
use crate::store::lookup;
use crate::store::order::{self, ORDER};

/// The service.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "a collection is called by what it holds, and so is the service")]
pub struct Orders {
    context: Context,
    orders: Collection,
    line_items: Collection,
    sizes: Sizes,
}

impl Orders {
    /// The service on a database. Its context may check products.
    pub fn new(context: Context) -> Self {
        let orders = Collection::new(&context, &ORDER);
        let line_items = Collection::new(&context, &LINE_ITEM);
        Self { context, orders, line_items, sizes: Sizes::default() }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn get_order(&self, request: Request<GetOrderRequest>) -> Answer<Encoded> {
        self.orders.get(request).await
    }

    async fn batch_get_orders(&self, request: Request<BatchGetOrdersRequest>) -> Answer<Encoded> {
        self.orders.batch_get(request).await
    }

    async fn create_order(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.orders.create(request).await
    }

    async fn update_order(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.orders.update(request).await
    }

    async fn delete_order(&self, request: Request<DeleteOrderRequest>) -> Answer<()> {
        self.orders.delete(request).await
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<Encoded> {
        self.orders.list(request, order::filter).await
    }

    type StreamOrdersStream = Messages<Encoded>;

    async fn stream_orders(&self, request: Request<StreamOrdersRequest>) -> Answer<Messages<Encoded>> {
        self.orders.stream(request, order::filter).await
    }

    type WriteOrdersStream = Messages<WriteResponse>;

    async fn write_orders(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.orders.write(request)
    }

    type CheckOrdersStream = Messages<CheckOrdersResponse>;

    async fn check_orders(
        &self,
        request: Request<Streaming<CheckOrdersRequest>>,
    ) -> Answer<Messages<CheckOrdersResponse>> {
        self.orders.check(request)
    }

    async fn transition_order(&self, request: Request<TransitionOrderRequest>) -> Answer<Encoded> {
        Ok(lifecycle::transition(&self.context, request).await?)
    }

    async fn set_provision_timer(&self, request: Request<SetProvisionTimerRequest>) -> Answer<Encoded> {
        Ok(lifecycle::set_timer(&self.context, request).await?)
    }

    async fn claim_due_orders(&self, request: Request<ClaimDueOrdersRequest>) -> Answer<Encoded> {
        Ok(claims::claim(&self.context, &self.sizes, request).await?)
    }

    async fn lookup_orders(&self, request: Request<LookupOrdersRequest>) -> Answer<Encoded> {
        self.orders.list(request, lookup::filter).await
    }

    type StreamLineItemsStream = Messages<Encoded>;

    async fn stream_line_items(&self, request: Request<StreamLineItemsRequest>) -> Answer<Messages<Encoded>> {
        self.line_items.stream(request, line_item::filter).await
    }

    type StreamProductSalesStream = Messages<Encoded>;

    async fn stream_product_sales(&self, request: Request<StreamProductSalesRequest>) -> Answer<Messages<Encoded>> {
        Ok(product_sales::stream(&self.context, request).await?)
    }
}
