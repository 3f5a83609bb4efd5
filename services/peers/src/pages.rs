//! The streams of other services, page by page.

use std::fmt;
use std::time::Duration;

use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_proto::catalog::v1::{
    StreamProductMetricsRequest, StreamProductMetricsResponse, StreamProductsRequest, StreamProductsResponse,
};
use orrery_proto::orders::v1::{StreamProductSalesRequest, StreamProductSalesResponse};
use orrery_proto::records::v1::ExportComboReportsResponse;
use tonic::{Request, Response, Status, Streaming};

use crate::backoff::Backoff;
use crate::fault::{Fault, refuses_token};
use crate::peer::{Peer, request};
use crate::resume::{Page, ResumingStream};

/// A request of a paged stream.
pub(crate) trait PageRequest: Clone + Send + 'static {
    type Page: Page;

    fn resume_token(&mut self) -> &mut String;
}

macro_rules! paged {
    ($($request:ty => $page:ty;)*) => {
        $(
            impl PageRequest for $request {
                type Page = $page;

                fn resume_token(&mut self) -> &mut String {
                    &mut self.resume_token
                }
            }

            impl Page for $page {
                fn resume_token(&self) -> &str {
                    &self.resume_token
                }
            }
        )*
    };
}

paged! {
    StreamProductsRequest => StreamProductsResponse;
    StreamProductMetricsRequest => StreamProductMetricsResponse;
    StreamProductSalesRequest => StreamProductSalesResponse;
}

impl Page for ExportComboReportsResponse {
    fn resume_token(&self) -> &str {
        &self.resume_token
    }
}

/// A stream of another service, page by page. When the service is lost, the stream is requested again with the last
/// token, so that no row is missing and none comes twice. Dropping it ends the stream.
///
/// A page is at most 4 MiB large: no row that the contract allows is larger. A larger row, which another program may
/// have stored, is [`Error::Internal`]; a read_mask avoids it.
pub struct Pages<P> {
    peer: Peer,
    method: &'static str,
    deadline: Deadline,
    stream: ResumingStream<P>,
    refused_token: bool,
}

impl<P: Page> Pages<P> {
    /// The pages that answer `message`; `open` sends it. The stream as a whole is bounded by `deadline` alone.
    pub(crate) fn new<R, F>(
        peer: Peer,
        method: &'static str,
        deadline: Deadline,
        mut message: R,
        mut open: impl FnMut(Request<R>) -> F + Send + 'static,
    ) -> Self
    where
        R: PageRequest<Page = P>,
        F: Future<Output = Result<Response<Streaming<P>>, Status>> + Send + 'static,
    {
        let token = std::mem::take(message.resume_token());
        let stream = ResumingStream::new(token, Backoff::new(peer.timeout()), move |token| {
            let mut message = message.clone();
            *message.resume_token() = token;
            let opening = open(request(message, deadline.remaining()));
            async { opening.await.map(Response::into_inner) }
        });
        Self { peer, method, deadline, stream, refused_token: false }
    }

    /// The token of the last page: a request with it continues after that page, also in another process.
    pub fn token(&self) -> &str {
        self.stream.token()
    }

    /// Whether the last error was that the other service does not go on after the token: its keys have changed, or what
    /// the token belongs to. Then only a stream from the beginning can help.
    pub fn refused_token(&self) -> bool {
        self.refused_token
    }

    /// The next page, which may have no rows; none at the end. It may take as long as the timeout of the peer, during
    /// which the stream is requested again if it breaks. After an error, a further call continues after the last page.
    ///
    /// # Errors
    /// [`Error::DependencyUnavailable`] if the other service cannot be reached or does not answer in time;
    /// [`Error::DeadlineExceeded`] if the caller's own deadline passes first; [`Error::Internal`] if the other service
    /// refuses the request, or its answer cannot be right.
    pub async fn next(&mut self) -> Result<Option<P>, Error> {
        let patience = self.peer.patience(self.deadline);
        let (service, method) = (self.peer.name(), self.method);
        let mut last = None;
        let mut on_retry = |status: &Status, wait: Duration| {
            tracing::info!(service, method, error = %status, ?wait, "a stream of another service broke and continues");
            last = Some(status.clone());
        };
        match tokio::time::timeout(patience.timeout, self.stream.next(&mut on_retry)).await {
            Ok(page) => page.map_err(|status| {
                self.refused_token = refuses_token(&status);
                patience.failed(method, Fault::Status(status))
            }),
            Err(_) => Err(patience.too_late(last)),
        }
    }
}

impl<P> fmt::Debug for Pages<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, deadline, stream, .. } = self;
        let mut debug = formatter.debug_struct("Pages");
        debug.field("method", method).field("deadline", deadline).field("stream", stream).finish_non_exhaustive()
    }
}
