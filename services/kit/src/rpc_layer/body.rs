//! Both directions of a call's messages, frame by frame.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::call::{Call, Ending};
use super::compressed::Compressor;
use super::normalise::{normalise_at, normalise_headers, panicked, unfinished};

/// What the caller sends. tonic takes a call that was broken off for one whose sender has finished; here it is an error that the
/// handler sees.
pub(super) struct InboundBody(Body);

impl InboundBody {
    pub(super) fn new(body: Body) -> Self {
        Self(body)
    }
}

impl http_body::Body for InboundBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(context).map_err(|error| {
            // Nobody is left to read this status; it has to be any but CANCELLED.
            Status::aborted(format!("the caller broke the call off: {}", error.message()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// What the caller is sent. Ends with a status whatever happens inside: a stream that stopped looks like one that was complete only
/// if it was.
pub(crate) struct RpcBody {
    /// `None` once the call's status was sent.
    inner: Option<Body>,
    ending: Option<Ending>,
    /// `None` for a call that was never begun.
    call: Option<Call>,
    /// `None` if messages are sent as they are.
    compressor: Option<Compressor>,
}

impl RpcBody {
    pub(super) fn new(inner: Body, call: Call, ending: Ending, compressor: Option<Compressor>) -> Self {
        Self { inner: Some(inner), ending: Some(ending), call: Some(call), compressor }
    }

    /// No messages; the status stands in the response's headers.
    pub(super) fn finished(call: Call) -> Self {
        Self { inner: None, ending: None, call: Some(call), compressor: None }
    }

    /// The same for a call that was never begun.
    pub(super) fn refused() -> Self {
        Self { inner: None, ending: None, call: None, compressor: None }
    }
}

/// The trailers of a call that ends with `status`.
fn trailers(call: &mut Call, status: &Status) -> HeaderMap {
    call.finish(status.code());
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // A status that no header can hold: the code has to do.
        trailers = HeaderMap::new();
        let _holds = Status::new(status.code(), "").add_header(&mut trailers);
    }
    call.provenance().add_to(&mut trailers);
    trailers
}

impl http_body::Body for RpcBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let (Some(inner), Some(call)) = (&mut this.inner, &mut this.call) else {
            return Poll::Ready(None);
        };
        let span = call.span().clone();
        let _in_span = span.enter();
        let status = match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(context))) {
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                let mut trailers = match frame.into_trailers() {
                    Ok(trailers) => trailers,
                    Err(frame) => {
                        return Poll::Ready(Some(Ok(match &mut this.compressor {
                            Some(compressor) => frame.map_data(|data| compressor.compress(data)),
                            None => frame,
                        })));
                    }
                };
                let code = normalise_headers(&mut trailers, call.path()).unwrap_or(Code::Unknown);
                call.provenance().add_to(&mut trailers);
                call.finish(code);
                this.inner = None;
                this.ending = None;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Ok(Poll::Ready(Some(Err(status)))) => normalise_at(status, call.path()),
            Ok(Poll::Ready(None)) if call.is_finished() => return Poll::Ready(None),
            Ok(Poll::Ready(None)) => unfinished(),
            Ok(Poll::Pending) => match this.ending.as_mut().map(|ending| ending.poll(context)) {
                Some(Poll::Ready(status)) => status,
                _ => return Poll::Pending,
            },
            Err(payload) => panicked(payload.as_ref()),
        };
        let trailers = trailers(call, &status);
        this.inner = None;
        this.ending = None;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        let finished = self.call.as_ref().is_none_or(Call::is_finished);
        self.inner.as_ref().is_none_or(|inner| finished && inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
