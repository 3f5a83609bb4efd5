//! Reads a stream to its end. Reconnects when the connection breaks.

use std::time::Duration;

use orrery_kit::answer::MAX_ANSWER_BYTES;
use orrery_peers::ResumingStream;
use prost_reflect::{DynamicMessage, Value};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::wire::ReceivedPage;
use super::{MESSAGE_LIMIT, ServiceAddress, backoff, connect, fault};

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct PageQuery {
    /// The service.
    pub(crate) address: ServiceAddress,
    /// The path of the method.
    pub(crate) method: &'static str,
    /// The request, without its resume token.
    pub(crate) request: DynamicMessage,
    /// How long to keep trying without progress.
    pub(crate) give_up_after: Duration,
}

/// The pages of a query: those after the page that gave this token, or all if it is empty.
pub(crate) fn read_pages(query: PageQuery, token: String) -> ResumingStream<ReceivedPage> {
    ResumingStream::new(token, backoff(query.give_up_after), move |token| open(query.clone(), token))
}

async fn open(query: PageQuery, token: String) -> Result<Streaming<ReceivedPage>, Status> {
    let PageQuery { address, method, mut request, .. } = query;
    let mut service = connect(&address).await?;
    service.ready().await.map_err(|error| fault::unreachable(&address, &error))?;
    request.set_field_by_name("resume_token", Value::String(token));
    let codec = ProstCodec::<DynamicMessage, ReceivedPage>::default();
    let mut request = Request::new(request);
    request.metadata_mut().insert(MAX_ANSWER_BYTES, MESSAGE_LIMIT.into());
    Ok(service.server_streaming(request, PathAndQuery::from_static(method), codec).await?.into_inner())
}
