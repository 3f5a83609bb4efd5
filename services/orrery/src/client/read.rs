//! Reads a stream to its end. Reconnects when the connection breaks.

use std::time::Duration;

use bytes::Bytes;
use orrery_kit::answer::MAX_ANSWER_BYTES;
use prost_reflect::{DynamicMessage, Value};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::backoff::Backoff;
use super::wire::ReceivedPage;
use super::{MESSAGE_LIMIT, ServiceAddress, connect, fault};

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

/// The pages of a query. If the stream breaks, it is requested again with the last token.
pub(crate) struct PageReader {
    query: PageQuery,
    stream: Option<Streaming<ReceivedPage>>,
    token: String,
    backoff: Backoff,
}

impl PageReader {
    /// Starts after the page that gave this token, or at the beginning if it is empty.
    pub(crate) fn new(query: PageQuery, token: String) -> Self {
        let backoff = Backoff::new(query.give_up_after);
        Self { query, stream: None, token, backoff }
    }

    /// The token of the last page: a new stream continues after it.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The encoded rows of the next page; none at the end.
    pub(crate) async fn next(
        &mut self,
        on_retry: &mut (dyn FnMut(&Status, Duration) + Send),
    ) -> Result<Option<Vec<Bytes>>, Status> {
        loop {
            let status = match self.page().await {
                Ok(Some(page)) => {
                    self.backoff.reset();
                    self.token = page.resume_token;
                    return Ok(Some(page.rows));
                }
                Ok(None) => return Ok(None),
                Err(status) => status,
            };
            self.stream = None;
            let wait = fault::retry_after(&status).and_then(|asked| self.backoff.next_wait(asked));
            let Some(wait) = wait else { return Err(status) };
            on_retry(&status, wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn page(&mut self) -> Result<Option<ReceivedPage>, Status> {
        if let Some(stream) = &mut self.stream {
            return stream.message().await;
        }
        let mut service = connect(&self.query.address).await?;
        service.ready().await.map_err(|error| fault::unreachable(&self.query.address, &error))?;
        let mut request = self.query.request.clone();
        request.set_field_by_name("resume_token", Value::String(self.token.clone()));
        let codec = ProstCodec::<DynamicMessage, ReceivedPage>::default();
        let path = PathAndQuery::from_static(self.query.method);
        let mut request = Request::new(request);
        request.metadata_mut().insert(MAX_ANSWER_BYTES, MESSAGE_LIMIT.into());
        let stream = service.server_streaming(request, path, codec).await?.into_inner();
        self.stream.insert(stream).message().await
    }
}
