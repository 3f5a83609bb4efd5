//! `orrery.catalog.v1.CatalogService`. The methods that every resource has are in kit's `Collection`; every other
//! method has a file of its own.

mod product_metrics;
mod resolve;

use orrery_kit::collection::{Collection, Messages};
use orrery_kit::context::Context;
use orrery_proto::catalog::v1::server::CatalogService;
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CheckProductsResponse, CountProductsRequest, CountProductsResponse,
    DeleteProductRequest, GetProductMetricsRequest, GetProductRequest, ListProductsRequest, ResolveProductsRequest,
    ResolveProductsResponse, StreamProductMetricsRequest, StreamProductsRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use crate::store::product::{self, PRODUCT};
use crate::store::product_metric::{self, PRODUCT_METRIC};

/// The service.
#[derive(Debug)]
pub struct Catalog {
    context: Context,
    products: Collection,
    metrics: Collection,
}

impl Catalog {
    /// The service on a database.
    pub fn new(context: Context) -> Self {
        let products = Collection::new(&context, &PRODUCT);
        let metrics = Collection::new(&context, &PRODUCT_METRIC);
        Self { context, products, metrics }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn get_product(&self, request: Request<GetProductRequest>) -> Answer<Encoded> {
        self.products.get(request).await
    }

    async fn batch_get_products(&self, request: Request<BatchGetProductsRequest>) -> Answer<Encoded> {
        self.products.batch_get(request).await
    }

    async fn create_product(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.products.create(request).await
    }

    async fn update_product(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.products.update(request).await
    }

    async fn delete_product(&self, request: Request<DeleteProductRequest>) -> Answer<()> {
        self.products.delete(request).await
    }

    async fn list_products(&self, request: Request<ListProductsRequest>) -> Answer<Encoded> {
        self.products.list(request, product::filter).await
    }

    type StreamProductsStream = Messages<Encoded>;

    async fn stream_products(&self, request: Request<StreamProductsRequest>) -> Answer<Messages<Encoded>> {
        self.products.stream(request, product::filter).await
    }

    type WriteProductsStream = Messages<WriteResponse>;

    async fn write_products(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.products.write(request)
    }

    async fn count_products(&self, request: Request<CountProductsRequest>) -> Answer<CountProductsResponse> {
        let filter = product::filter(request.get_ref().filter.as_ref());
        Ok(self.products.count(&request, filter).await?.map(|count| CountProductsResponse { count }))
    }

    type CheckProductsStream = Messages<CheckProductsResponse>;

    async fn check_products(
        &self,
        request: Request<Streaming<CheckProductsRequest>>,
    ) -> Answer<Messages<CheckProductsResponse>> {
        self.products.check(request)
    }

    async fn resolve_products(&self, request: Request<ResolveProductsRequest>) -> Answer<ResolveProductsResponse> {
        Ok(resolve::resolve(&self.context, request).await?)
    }

    async fn get_product_metrics(&self, request: Request<GetProductMetricsRequest>) -> Answer<Encoded> {
        Ok(product_metrics::get(&self.context, request).await?)
    }

    type StreamProductMetricsStream = Messages<Encoded>;

    async fn stream_product_metrics(&self, request: Request<StreamProductMetricsRequest>) -> Answer<Messages<Encoded>> {
        self.metrics.stream(request, product_metric::filter).await
    }

    type WriteProductMetricsStream = Messages<WriteResponse>;

    async fn write_product_metrics(
        &self,
        request: Request<Streaming<ReceivedWrite>>,
    ) -> Answer<Messages<WriteResponse>> {
        self.metrics.write(request)
    }
}
