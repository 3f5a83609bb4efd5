//! The methods on whole orders.

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::list::{self, ListRequest};
use orrery_kit::read::loader::Loader;
use orrery_kit::read::order::Order;
use orrery_kit::read::stream::{self, StreamRequest};
use orrery_kit::read::view::{View, mask};
use orrery_kit::read::{check, point};
use orrery_kit::resource::decode::Precondition;
use orrery_kit::resource::select::Selection;
use orrery_kit::write::delete::{self, DeleteRequest};
use orrery_kit::write::single::{self, CreateRequest, UpdateRequest};
use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, CheckOrdersRequest, CheckOrdersResponse, DeleteOrderRequest, GetOrderRequest,
    ListOrdersRequest, OrderFilter, StreamOrdersRequest,
};
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use prost::Message as _;
use tonic::{Request, Response, Streaming};

use super::{Answers, view};
use crate::store::order::{ORDER, ORDER_COLUMNS, filter};

fn encoded(filter: Option<&OrderFilter>) -> Vec<u8> {
    filter.map(OrderFilter::encode_to_vec).unwrap_or_default()
}

pub(super) async fn get(
    context: &Context,
    orders: &Loader,
    request: Request<GetOrderRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let view = view(request.view, View::Full)?;
    let order = if request.read_mask.is_none() && view == View::Full {
        orders.get(context, &request.uid, call.deadline).await?
    } else {
        let selection = Selection::new(&ORDER, &mask(&ORDER, request.read_mask.as_ref(), view)?);
        point::get(&context.database, &ORDER, &selection, &request.uid, call.deadline).await?
    };
    call.answer_row(&ORDER, &request.uid, order)
}

pub(super) async fn batch_get(
    context: &Context,
    request: Request<BatchGetOrdersRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let mask = mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Full)?)?;
    let (answers, deadline) = (call.answers, call.deadline);
    call.answer(point::batch_get(context, &ORDER, &mask, &request.uids, answers, deadline).await?)
}

pub(super) async fn create(context: &Context, request: Request<ReceivedCreate>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let create = CreateRequest {
        message: request.resource,
        field: "order",
        request_id: &request.request_id,
        references: request.reference_check,
        deadline: call.deadline,
        answers: call.answers,
        returned: mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?,
    };
    call.answer_written(single::create(&context.for_writes(&call), &ORDER, create).await?)
}

pub(super) async fn update(context: &Context, request: Request<ReceivedUpdate>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let update = UpdateRequest {
        message: request.resource,
        field: "order",
        mask: request.update_mask.as_ref(),
        allow_missing: request.allow_missing,
        references: request.reference_check,
        deadline: call.deadline,
        answers: call.answers,
        returned: mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?,
    };
    call.answer_written(single::update(&context.for_writes(&call), &ORDER, update).await?)
}

pub(super) async fn delete(context: &Context, request: Request<DeleteOrderRequest>) -> Result<Response<()>, Error> {
    let call = Call::of(&request)?;
    let request = request.into_inner();
    let delete = DeleteRequest {
        uid: request.uid,
        precondition: Precondition { etag: request.etag, revision: request.revision },
        allow_missing: request.allow_missing,
        deadline: call.deadline,
    };
    delete::delete(&context.for_writes(&call), &ORDER, delete, &[]).await?;
    Ok(Response::new(()))
}

pub(super) async fn list(context: &Context, request: Request<ListOrdersRequest>) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let order =
        Order::parse(&ORDER, ORDER_COLUMNS, &request.order_by).map_err(|violation| Error::Invalid(vec![violation]))?;
    let list = ListRequest {
        method: "ListOrders",
        mask: mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?,
        filter: filter(request.filter.as_ref())?,
        encoded_filter: encoded(request.filter.as_ref()),
        order,
        page_token: request.page_token,
        page_size: request.page_size,
        deadline: call.deadline,
        answers: call.answers,
    };
    call.answer(list::list(context, &ORDER, list).await?)
}

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamOrdersRequest>,
) -> Result<Response<Answers<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let stream = StreamRequest {
        method: "StreamOrders",
        mask: mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?,
        filter: filter(request.filter.as_ref())?,
        encoded_filter: encoded(request.filter.as_ref()),
        resume_token: request.resume_token,
        page_size: request.page_size,
        call,
    };
    Ok(Response::new(stream::stream(context, &ORDER, stream).await?))
}

pub(super) fn write(
    context: &Context,
    request: Request<Streaming<ReceivedWrite>>,
) -> Result<Response<Answers<WriteResponse>>, Error> {
    let call = Call::of(&request)?;
    let rows = request.into_inner();
    Ok(Response::new(orrery_kit::write::stream::write(context.for_writes(&call), &ORDER, rows, call)))
}

pub(super) fn check(
    context: &Context,
    request: Request<Streaming<CheckOrdersRequest>>,
) -> Result<Response<Answers<CheckOrdersResponse>>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let answer = |checked, missing_uids| CheckOrdersResponse { checked, missing_uids };
    let requests = request.into_inner();
    let answers = check::check(context, &ORDER, call, requests, |request| request.uids, answer);
    Ok(Response::new(Box::pin(answers)))
}
