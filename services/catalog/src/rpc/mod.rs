//! `orrery.catalog.v1.CatalogService`. Each method is in the file of its group and in the order validate, work, answer; what it
//! needs beyond that is kit's.

mod metrics;
mod products;

use std::pin::Pin;

use futures::Stream;
use orrery_kit::context::Context;
use orrery_kit::read::loader::Loader;
use orrery_proto::catalog::v1::server::CatalogService;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CheckProductsResponse, DeleteProductRequest,
    GetProductMetricsRequest, GetProductRequest, ListProductsRequest, StreamProductMetricsRequest,
    StreamProductsRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use crate::store::product::PRODUCT;

/// The service.
#[derive(Debug)]
pub struct Catalog {
    context: Context,
    products: Loader,
}

impl Catalog {
    /// The service on a database.
    pub fn new(context: Context) -> Self {
        let products = Loader::new(&context, &PRODUCT);
        Self { context, products }
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn get_product(&self, request: Request<GetProductRequest>) -> Answer<Encoded> {
        Ok(products::get(&self.context, &self.products, request).await?)
    }

    async fn batch_get_products(&self, request: Request<BatchGetProductsRequest>) -> Answer<Encoded> {
        Ok(products::batch_get(&self.context, request).await?)
    }

    async fn create_product(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        Ok(products::create(&self.context, request).await?)
    }

    async fn update_product(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        Ok(products::update(&self.context, request).await?)
    }

    async fn delete_product(&self, request: Request<DeleteProductRequest>) -> Answer<()> {
        Ok(products::delete(&self.context, request).await?)
    }

    async fn list_products(&self, request: Request<ListProductsRequest>) -> Answer<Encoded> {
        Ok(products::list(&self.context, request).await?)
    }

    type StreamProductsStream = Answers<Encoded>;

    async fn stream_products(&self, request: Request<StreamProductsRequest>) -> Answer<Answers<Encoded>> {
        Ok(products::stream(&self.context, request).await?)
    }

    type WriteProductsStream = Answers<WriteResponse>;

    async fn write_products(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Answers<WriteResponse>> {
        Ok(products::write(&self.context, request)?)
    }

    type CheckProductsStream = Answers<CheckProductsResponse>;

    async fn check_products(
        &self,
        request: Request<Streaming<CheckProductsRequest>>,
    ) -> Answer<Answers<CheckProductsResponse>> {
        Ok(products::check(&self.context, request)?)
    }

    async fn get_product_metrics(&self, request: Request<GetProductMetricsRequest>) -> Answer<Encoded> {
        Ok(metrics::get(&self.context, request).await?)
    }

    type StreamProductMetricsStream = Answers<Encoded>;

    async fn stream_product_metrics(&self, request: Request<StreamProductMetricsRequest>) -> Answer<Answers<Encoded>> {
        Ok(metrics::stream(&self.context, request).await?)
    }

    type WriteProductMetricsStream = Answers<WriteResponse>;

    async fn write_product_metrics(
        &self,
        request: Request<Streaming<ReceivedWrite>>,
    ) -> Answer<Answers<WriteResponse>> {
        Ok(metrics::write(&self.context, request)?)
    }
}
