//! The methods on metrics.

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::read::order::Order;
use orrery_kit::read::scan::Scan;
use orrery_kit::read::stream::{self, StreamRequest};
use orrery_kit::read::view::{View, mask};
use orrery_kit::uid::check_key;
use orrery_proto::catalog::v1::{GetProductMetricsRequest, ProductMetricFilter, StreamProductMetricsRequest};
use orrery_proto::wire::{Encoded, ReceivedWrite, WriteResponse};
use prost::Message as _;
use tonic::{Request, Response, Streaming};

use super::Answers;
use crate::store::product_metric::{PRODUCT_METRIC, filter};

/// Most metrics of one product that are returned at once.
const MAX_METRICS: usize = 10_000;

pub(super) async fn get(
    context: &Context,
    request: Request<GetProductMetricsRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.reads(&call);
    let request = request.into_inner();
    check_key(&request.product_uid).map_err(|why| Error::invalid("product_uid", why))?;
    let mask = mask(&PRODUCT_METRIC, request.read_mask.as_ref(), View::Full)?;
    let filter = Filter::default().uids("product_uid", "product_uid", &[request.product_uid]);
    let scan = Scan::new(context, &PRODUCT_METRIC, &mask, filter.checked()?, Order::NATURAL, call.answers);
    let all = scan.whole(MAX_METRICS, call.answers, call.deadline).await?;
    call.answer(Encoded { rows: all.rows as u64, body: all.body.into(), ..Encoded::default() })
}

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamProductMetricsRequest>,
) -> Result<Response<Answers<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let context = &context.reads(&call);
    let request = request.into_inner();
    let stream = StreamRequest {
        method: "StreamProductMetrics",
        mask: mask(&PRODUCT_METRIC, request.read_mask.as_ref(), View::Full)?,
        filter: filter(request.filter.as_ref())?,
        encoded_filter: request.filter.as_ref().map(ProductMetricFilter::encode_to_vec).unwrap_or_default(),
        resume_token: request.resume_token,
        page_size: request.page_size,
        call,
    };
    Ok(Response::new(stream::stream(context, &PRODUCT_METRIC, stream).await?))
}

pub(super) fn write(
    context: &Context,
    request: Request<Streaming<ReceivedWrite>>,
) -> Result<Response<Answers<WriteResponse>>, Error> {
    let call = Call::of(&request)?;
    let rows = request.into_inner();
    Ok(Response::new(orrery_kit::write::stream::write(context.writes(&call), &PRODUCT_METRIC, rows, call)))
}
