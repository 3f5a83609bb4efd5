//! The body of a response, frame by frame.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::call::{Interrupt, RpcCall};
use super::compressed::Compressor;
use super::normalise::{normalise_at, normalise_headers, panicked, unfinished};
use super::unsent::UnsentBody;

/// The body of a response.
pub(crate) enum RpcBody {
    /// No messages: the status is in the response's headers.
    Empty,
    /// One message.
    One(UnsentBody),
    /// Messages that are produced while they are sent.
    Stream(Box<Outgoing>),
}

/// A stream of messages. It always ends with a status: only a complete stream looks like a complete one.
pub(crate) struct Outgoing {
    /// `None` once the status has been sent.
    inner: Option<Body>,
    interrupt: Option<Interrupt>,
    call: RpcCall,
    /// `None` if messages are not compressed.
    compressor: Option<Compressor>,
}

impl RpcBody {
    pub(super) fn stream(inner: Body, call: RpcCall, interrupt: Interrupt, compressor: Option<Compressor>) -> Self {
        Self::Stream(Box::new(Outgoing { inner: Some(inner), interrupt: Some(interrupt), call, compressor }))
    }
}

impl http_body::Body for RpcBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::One(answer) => Pin::new(answer).poll_frame(context),
            Self::Stream(outgoing) => Pin::new(&mut **outgoing).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::One(answer) => answer.is_end_stream(),
            Self::Stream(outgoing) => outgoing.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The trailers of a call that ends with `status`.
pub(super) fn trailers(call: &mut RpcCall, status: &Status) -> HeaderMap {
    call.finish(status.code());
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // The status cannot be written as headers: the code alone can.
        trailers = HeaderMap::new();
        let _holds = Status::new(status.code(), "").add_header(&mut trailers);
    }
    call.provenance().add_to(&mut trailers);
    trailers
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let call = &mut this.call;
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
                this.interrupt = None;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Ok(Poll::Ready(Some(Err(status)))) => normalise_at(status, call.path()),
            Ok(Poll::Ready(None)) if call.is_finished() => return Poll::Ready(None),
            Ok(Poll::Ready(None)) => unfinished(),
            Ok(Poll::Pending) => match this.interrupt.as_mut().map(|interrupt| interrupt.poll(context)) {
                Some(Poll::Ready(status)) => status,
                _ => return Poll::Pending,
            },
            Err(payload) => panicked(payload.as_ref()),
        };
        let trailers = trailers(call, &status);
        this.inner = None;
        this.interrupt = None;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| self.call.is_finished() && inner.is_end_stream())
    }
}
