//! The search of a support person.

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::list::{self, ListRequest};
use orrery_kit::read::order::Order;
use orrery_kit::read::view::{View, mask};
use orrery_proto::orders::v1::LookupOrdersRequest;
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response};

use super::view;
use crate::store::lookup::filter;
use crate::store::order::ORDER;

pub(super) async fn lookup(
    context: &Context,
    request: Request<LookupOrdersRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let context = &context.for_reads(&call);
    let request = request.into_inner();
    let list = ListRequest {
        method: "LookupOrders",
        mask: mask(&ORDER, request.read_mask.as_ref(), view(request.view, View::Basic)?)?,
        filter: filter(request.criterion.as_ref())?,
        encoded_filter: LookupOrdersRequest { criterion: request.criterion, ..LookupOrdersRequest::default() }
            .encode_to_vec(),
        order: Order::NATURAL,
        page_token: request.page_token,
        page_size: request.page_size,
        deadline: call.deadline,
        answers: call.answers,
    };
    call.answer(list::list(context, &ORDER, list).await?)
}
