//! The stream of lines, of whichever orders.

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::stream::{self, StreamRequest};
use orrery_kit::read::view::{View, mask};
use orrery_proto::orders::v1::{LineItemFilter, StreamLineItemsRequest};
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response};

use super::Answers;
use crate::store::line_item::{LINE_ITEM, filter};

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamLineItemsRequest>,
) -> Result<Response<Answers<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let context = &context.reads(&call);
    let request = request.into_inner();
    let stream = StreamRequest {
        method: "StreamLineItems",
        mask: mask(&LINE_ITEM, request.read_mask.as_ref(), View::Full)?,
        filter: filter(request.filter.as_ref())?,
        encoded_filter: request.filter.as_ref().map(LineItemFilter::encode_to_vec).unwrap_or_default(),
        resume_token: request.resume_token,
        page_size: request.page_size,
        call,
    };
    Ok(Response::new(stream::stream(context, &LINE_ITEM, stream).await?))
}
