//! `orrery.orders.v1.OrdersService`. Each method is in the file of its group and in the order validate, work, answer; what it
//! needs beyond that is kit's.

mod claims;
mod lifecycle;
mod line_items;
mod lookup;
mod orders;
mod product_sales;

use std::pin::Pin;

use futures::Stream;
use orrery_kit::context::Context;
use orrery_kit::error::Error;
use orrery_kit::read::loader::Loader;
use orrery_kit::read::view::View;
use orrery_proto::orders::v1::server::OrdersService;
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, CheckOrdersResponse, ClaimDueOrdersRequest, DeleteOrderRequest,
    GetOrderRequest, ListOrdersRequest, LookupOrdersRequest, OrderView, SetProvisionTimerRequest,
    StreamLineItemsRequest, StreamOrdersRequest, StreamProductSalesRequest, TransitionOrderRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use self::claims::Sizes;
use crate::store::order::ORDER;

/// The service.
#[derive(Debug)]
pub struct Orders {
    context: Context,
    loader: Loader,
    sizes: Sizes,
}

impl Orders {
    /// The service on a database, which its context may ask about products.
    pub fn new(context: Context) -> Self {
        let loader = Loader::new(&context, &ORDER);
        Self { context, loader, sizes: Sizes::default() }
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How much of an order a request asks for, where its read_mask does not say it.
fn view(view: i32, default: View) -> Result<View, Error> {
    match OrderView::try_from(view) {
        Ok(OrderView::Unspecified) => Ok(default),
        Ok(OrderView::Basic) => Ok(View::Basic),
        Ok(OrderView::Full) => Ok(View::Full),
        Err(_) => Err(Error::invalid("view", "must be ORDER_VIEW_BASIC or ORDER_VIEW_FULL")),
    }
}

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn get_order(&self, request: Request<GetOrderRequest>) -> Answer<Encoded> {
        Ok(orders::get(&self.context, &self.loader, request).await?)
    }

    async fn batch_get_orders(&self, request: Request<BatchGetOrdersRequest>) -> Answer<Encoded> {
        Ok(orders::batch_get(&self.context, request).await?)
    }

    async fn create_order(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        Ok(orders::create(&self.context, request).await?)
    }

    async fn update_order(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        Ok(orders::update(&self.context, request).await?)
    }

    async fn delete_order(&self, request: Request<DeleteOrderRequest>) -> Answer<()> {
        Ok(orders::delete(&self.context, request).await?)
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<Encoded> {
        Ok(orders::list(&self.context, request).await?)
    }

    type StreamOrdersStream = Answers<Encoded>;

    async fn stream_orders(&self, request: Request<StreamOrdersRequest>) -> Answer<Answers<Encoded>> {
        Ok(orders::stream(&self.context, request).await?)
    }

    type WriteOrdersStream = Answers<WriteResponse>;

    async fn write_orders(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Answers<WriteResponse>> {
        Ok(orders::write(&self.context, request)?)
    }

    type CheckOrdersStream = Answers<CheckOrdersResponse>;

    async fn check_orders(
        &self,
        request: Request<Streaming<CheckOrdersRequest>>,
    ) -> Answer<Answers<CheckOrdersResponse>> {
        Ok(orders::check(&self.context, request)?)
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
        Ok(lookup::lookup(&self.context, request).await?)
    }

    type StreamLineItemsStream = Answers<Encoded>;

    async fn stream_line_items(&self, request: Request<StreamLineItemsRequest>) -> Answer<Answers<Encoded>> {
        Ok(line_items::stream(&self.context, request).await?)
    }

    type StreamProductSalesStream = Answers<Encoded>;

    async fn stream_product_sales(&self, request: Request<StreamProductSalesRequest>) -> Answer<Answers<Encoded>> {
        Ok(product_sales::stream(&self.context, request).await?)
    }
}
