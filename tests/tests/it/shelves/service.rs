//! `orrery.test.v1.ShelvesService`, written like the service of a slice.

use orrery_kit::collection::{Collection, Messages};
use orrery_kit::context::Context;
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use tonic::{Request, Response, Status, Streaming};

use super::contract::server::ShelvesService;
use super::contract::{
    BatchGetShelvesRequest, CheckShelvesRequest, CheckShelvesResponse, DeleteShelfRequest, GetShelfRequest,
    GetStocktakeRequest, ListShelvesRequest, StreamShelvesRequest, StreamStocktakesRequest,
};
use super::descriptions::{SHELF, STOCKTAKE, all, filter};

#[derive(Debug)]
pub(crate) struct Service {
    shelves: Collection,
    stocktakes: Collection,
}

impl Service {
    pub(crate) fn new(context: &Context) -> Self {
        Self { shelves: Collection::new(context, &SHELF), stocktakes: Collection::new(context, &STOCKTAKE) }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ShelvesService for Service {
    async fn get_shelf(&self, request: Request<GetShelfRequest>) -> Answer<Encoded> {
        self.shelves.get(request).await
    }

    async fn batch_get_shelves(&self, request: Request<BatchGetShelvesRequest>) -> Answer<Encoded> {
        self.shelves.batch_get(request).await
    }

    async fn create_shelf(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.shelves.create(request).await
    }

    async fn update_shelf(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.shelves.update(request).await
    }

    async fn delete_shelf(&self, request: Request<DeleteShelfRequest>) -> Answer<()> {
        self.shelves.delete(request).await
    }

    async fn list_shelves(&self, request: Request<ListShelvesRequest>) -> Answer<Encoded> {
        self.shelves.list(request, filter).await
    }

    type StreamShelvesStream = Messages<Encoded>;

    async fn stream_shelves(&self, request: Request<StreamShelvesRequest>) -> Answer<Messages<Encoded>> {
        self.shelves.stream(request, filter).await
    }

    type WriteShelvesStream = Messages<WriteResponse>;

    async fn write_shelves(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.shelves.write(request)
    }

    type CheckShelvesStream = Messages<CheckShelvesResponse>;

    async fn check_shelves(
        &self,
        request: Request<Streaming<CheckShelvesRequest>>,
    ) -> Answer<Messages<CheckShelvesResponse>> {
        self.shelves.check(request)
    }

    async fn get_stocktake(&self, request: Request<GetStocktakeRequest>) -> Answer<Encoded> {
        self.stocktakes.get(request).await
    }

    async fn create_stocktake(&self, request: Request<ReceivedCreate>) -> Answer<Encoded> {
        self.stocktakes.create(request).await
    }

    async fn update_stocktake(&self, request: Request<ReceivedUpdate>) -> Answer<Encoded> {
        self.stocktakes.update(request).await
    }

    type StreamStocktakesStream = Messages<Encoded>;

    async fn stream_stocktakes(&self, request: Request<StreamStocktakesRequest>) -> Answer<Messages<Encoded>> {
        self.stocktakes.stream(request, all).await
    }

    type WriteStocktakesStream = Messages<WriteResponse>;

    async fn write_stocktakes(&self, request: Request<Streaming<ReceivedWrite>>) -> Answer<Messages<WriteResponse>> {
        self.stocktakes.write(request)
    }
}
