//! The methods on products.

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::check;
use orrery_kit::read::list::{self, ListRequest};
use orrery_kit::read::loader::Loader;
use orrery_kit::read::order::Order;
use orrery_kit::read::point;
use orrery_kit::read::stream::{self, StreamRequest};
use orrery_kit::read::view::{View, mask};
use orrery_kit::resource::decode::Precondition;
use orrery_kit::resource::select::Selection;
use orrery_kit::write::delete::{self, DeleteRequest};
use orrery_kit::write::single::{self, CreateRequest, UpdateRequest};
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CheckProductsResponse, DeleteProductRequest, GetProductRequest,
    ListProductsRequest, ProductFilter, StreamProductsRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use prost::Message as _;
use tonic::{Request, Response, Streaming};

use super::Answers;
use crate::store::product::{DEPENDENTS, ORDER_COLUMNS, PRODUCT, filter};

fn encoded(filter: Option<&ProductFilter>) -> Vec<u8> {
    filter.map(ProductFilter::encode_to_vec).unwrap_or_default()
}

pub(super) async fn get(
    context: &Context,
    products: &Loader,
    request: Request<GetProductRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let product = if request.read_mask.is_none() {
        products.get(context, &request.uid, call.deadline).await?
    } else {
        let selection = Selection::new(&PRODUCT, &mask(&PRODUCT, request.read_mask.as_ref(), View::Full)?);
        point::get(&context.database, &PRODUCT, &selection, &request.uid, call.deadline).await?
    };
    call.answer_row(&PRODUCT, &request.uid, product)
}

pub(super) async fn batch_get(
    context: &Context,
    request: Request<BatchGetProductsRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let mask = mask(&PRODUCT, request.read_mask.as_ref(), View::Full)?;
    let (answers, deadline) = (call.answers, call.deadline);
    call.answer(point::batch_get(context, &PRODUCT, &mask, &request.uids, answers, deadline).await?)
}

pub(super) async fn create(context: &Context, request: Request<ReceivedCreate>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let create = CreateRequest {
        message: request.resource,
        field: "product",
        request_id: &request.request_id,
        references: 0,
        deadline: call.deadline,
        answers: call.answers,
        returned: mask(&PRODUCT, request.read_mask.as_ref(), View::Full)?,
    };
    call.answer_written(single::create(&context.for_writes(&call), &PRODUCT, create).await?)
}

pub(super) async fn update(context: &Context, request: Request<ReceivedUpdate>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let update = UpdateRequest {
        message: request.resource,
        field: "product",
        mask: request.update_mask.as_ref(),
        allow_missing: request.allow_missing,
        references: 0,
        deadline: call.deadline,
        answers: call.answers,
        returned: mask(&PRODUCT, request.read_mask.as_ref(), View::Full)?,
    };
    call.answer_written(single::update(&context.for_writes(&call), &PRODUCT, update).await?)
}

pub(super) async fn delete(context: &Context, request: Request<DeleteProductRequest>) -> Result<Response<()>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let delete = DeleteRequest {
        uid: request.uid,
        precondition: Precondition { etag: request.etag, revision: 0 },
        allow_missing: request.allow_missing,
        deadline: call.deadline,
    };
    delete::delete(&context.for_writes(&call), &PRODUCT, delete, DEPENDENTS).await?;
    Ok(Response::new(()))
}

pub(super) async fn list(context: &Context, request: Request<ListProductsRequest>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let order = Order::parse(&PRODUCT, ORDER_COLUMNS, &request.order_by)
        .map_err(|violation| Error::Invalid(vec![violation]))?;
    let list = ListRequest {
        method: "ListProducts",
        mask: mask(&PRODUCT, request.read_mask.as_ref(), View::Full)?,
        filter: filter(request.filter.as_ref())?,
        encoded_filter: encoded(request.filter.as_ref()),
        order,
        page_token: request.page_token,
        page_size: request.page_size,
        deadline: call.deadline,
        answers: call.answers,
    };
    call.answer(list::list(context, &PRODUCT, list).await?)
}

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamProductsRequest>,
) -> Result<Response<Answers<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let stream = StreamRequest {
        method: "StreamProducts",
        mask: mask(&PRODUCT, request.read_mask.as_ref(), View::Full)?,
        filter: filter(request.filter.as_ref())?,
        encoded_filter: encoded(request.filter.as_ref()),
        resume_token: request.resume_token,
        page_size: request.page_size,
        call,
    };
    Ok(Response::new(stream::stream(context, &PRODUCT, stream).await?))
}

pub(super) fn write(
    context: &Context,
    request: Request<Streaming<ReceivedWrite>>,
) -> Result<Response<Answers<WriteResponse>>, Error> {
    let call = Call::of(&request)?;
    let rows = request.into_inner();
    Ok(Response::new(orrery_kit::write::stream::write(context.for_writes(&call), &PRODUCT, rows, call)))
}

pub(super) fn check(
    context: &Context,
    request: Request<Streaming<CheckProductsRequest>>,
) -> Result<Response<Answers<CheckProductsResponse>>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let answer = |checked, missing_uids| CheckProductsResponse { checked, missing_uids };
    let requests = request.into_inner();
    let answers = check::check(context, &PRODUCT, call, requests, |request| request.uids, answer);
    Ok(Response::new(Box::pin(answers)))
}
