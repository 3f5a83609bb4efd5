//! What a caller is sent, frame by frame.

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
use super::unsent::UnsentBody;

/// What the caller is sent.
pub(crate) enum RpcBody {
    /// No messages: what there is to say stands in the response's headers.
    Empty,
    /// One message.
    One(UnsentBody),
    /// Messages that are made while they are sent.
    Stream(Box<Outgoing>),
}

/// A stream of messages. Ends with a status whatever happens inside: a stream that stopped looks like one that was
/// complete only if it was.
pub(crate) struct Outgoing {
    /// `None` once the call's status was sent.
    inner: Option<Body>,
    ending: Option<Ending>,
    call: Call,
    /// `None` if messages are sent as they are.
    compressor: Option<Compressor>,
}

impl RpcBody {
    pub(super) fn stream(inner: Body, call: Call, ending: Ending, compressor: Option<Compressor>) -> Self {
        Self::Stream(Box::new(Outgoing { inner: Some(inner), ending: Some(ending), call, compressor }))
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
pub(super) fn trailers(call: &mut Call, status: &Status) -> HeaderMap {
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
        self.inner.as_ref().is_none_or(|inner| self.call.is_finished() && inner.is_end_stream())
    }
}
