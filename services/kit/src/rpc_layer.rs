//! The layer around every call, whichever service handles it. It makes a span, and one log line and the metrics when
//! the call ends. It enforces the deadline over the whole stream, bounds calls and what they send, compresses, refuses
//! and ends calls during a drain, and gives every error the form that the contract promises, also when a handler
//! panics.
//!
//! The steps of a call: Is it gRPC ([`protocol`])? Is there a place for it ([`admission`])? Is its metadata small
//! enough ([`metadata`])? Then its message is received, within limits of time and memory ([`inbound`]), and
//! decompressed ([`compressed`]). Only then does the call take its place, and the handler runs. An answer of one
//! message waits on a list until the caller takes it ([`unsent`]); a stream of messages is produced while it is sent
//! ([`body`]).

mod activity;
pub(crate) mod admission;
mod body;
mod call;
mod compressed;
pub(crate) mod connection;
mod framing;
mod inbound;
mod metadata;
mod normalise;
mod protocol;
#[cfg(test)]
mod tests;
mod unsent;

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::Either;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument as _;

use self::admission::{Admission, kind_of};
use self::body::RpcBody;
use self::call::{Interrupt, PermitSlot, RpcCall};
use self::compressed::{Compressor, Decompressed, decompressed, encoding_for, encoding_of};
use self::connection::Connection;
pub use self::inbound::Pause;
use self::inbound::{Allowance, InboundBody};
pub use self::normalise::normalise;
pub(crate) use self::normalise::{deadline_passed, panicked};
use self::normalise::{draining, normalise_headers, unfinished};
use crate::answer::AnswerBound;
use crate::compression::{Encoding, Encodings};
use crate::config::ServiceConfig;
use crate::consistency::Provenance;
use crate::deadline::Deadline;
use crate::drain::Drain;
use crate::metrics::{CallKind, MethodMetrics, Metrics, RpcMetrics};

/// The largest request message of health and reflection: it holds a name.
const INFRASTRUCTURE_MESSAGE: usize = 8 << 10;

/// Counts the rows that a call reads or writes, for its log line. In the extensions of every request; a handler adds
/// the rows that it sends or commits.
#[derive(Clone, Debug, Default)]
pub struct RpcRows(Arc<AtomicU64>);

impl RpcRows {
    /// The counter of a request. Where the request did not come through a server, as in a test, a new one that nobody
    /// reads.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// Counts `rows` more.
    pub fn add(&self, rows: u64) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    /// The rows counted so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The limits on a call, and how its answer is compressed.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    metadata_bytes: usize,
    message_bytes: usize,
    /// How long one message may take to arrive, or to be taken by the caller.
    transfer_time: Duration,
    /// The encodings that answers may be compressed with.
    compression: Encodings,
}

/// Puts an [`RpcService`] around a server's routes. It has to be the outermost layer.
#[derive(Clone, Debug)]
pub(crate) struct RpcLayer {
    drain: Drain,
    admission: Admission,
    metrics: RpcMetrics,
    bounds: Bounds,
    answers: AnswerBound,
}

impl RpcLayer {
    pub(crate) fn new(drain: Drain, admission: Admission, config: &ServiceConfig, metrics: &Metrics) -> Self {
        let bounds = Bounds {
            metadata_bytes: config.server.max_metadata_bytes,
            message_bytes: config.stream.max_message_bytes,
            transfer_time: config.server.transfer_timeout,
            compression: config.server.compress_responses,
        };
        let answers = AnswerBound(config.stream.max_answer_bytes);
        Self { drain, admission, metrics: metrics.rpc.clone(), bounds, answers }
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService {
            inner,
            drain: self.drain.clone(),
            admission: self.admission.clone(),
            metrics: self.metrics.clone(),
            bounds: self.bounds,
            answers: self.answers,
        }
    }
}

/// The routes of a server with this layer around them.
#[derive(Clone, Debug)]
pub(crate) struct RpcService<S> {
    inner: S,
    drain: Drain,
    admission: Admission,
    metrics: RpcMetrics,
    bounds: Bounds,
    answers: AnswerBound,
}

type CallFuture = Pin<Box<dyn Future<Output = Result<Response<RpcBody>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for RpcService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<RpcBody>;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> CallFuture {
        let method = Arc::clone(self.metrics.of(request.uri().path()));
        if let Some(refusal) = protocol::refusal(&request) {
            method.refuse(Code::Unknown);
            return Box::pin(std::future::ready(Ok(refusal.map(|()| RpcBody::Empty))));
        }
        // A process that drains says so even if it is busy.
        if !self.drain.has_begun()
            && let Some(headers) = self.admission.refusal(&method)
        {
            let mut refusal = Response::new(RpcBody::Empty);
            *refusal.headers_mut() = headers;
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let (mut parts, body) = request.into_parts();
        let connection = parts.extensions.get::<Connection>().cloned();
        let connection = connection.unwrap_or_else(|| Connection::new(&self.admission, None));
        let rows = RpcRows::default();
        parts.extensions.insert(rows.clone());
        parts.extensions.insert(self.answers);
        let provenance = Provenance::default();
        parts.extensions.insert(provenance.clone());
        parts.extensions.insert(self.drain.draining());
        let deadline = Deadline::on_arrival(&parts.headers, &mut parts.extensions);
        let permit = PermitSlot::default();
        let call = RpcCall::begin(
            &parts,
            (rows, provenance),
            self.drain.clone(),
            Arc::clone(&method),
            (Arc::clone(&permit), connection.open_call()),
        );
        if call.refused() {
            return Box::pin(async { Ok(ended(call, draining())) });
        }
        let checked = metadata::check(&parts, self.bounds.metadata_bytes)
            .and_then(|metadata| Ok((metadata, encoding_of(&mut parts.headers)?)));
        let (metadata, encoding) = match checked {
            Ok(checked) => checked,
            Err(status) => return Box::pin(async { Ok(ended(call, status)) }),
        };
        let compress = encoding_for(&parts.headers, self.bounds.compression);
        let interrupt = Interrupt::new(deadline, &call);
        let span = call.span().clone();
        let most = if method.is_infrastructure() { INFRASTRUCTURE_MESSAGE } else { self.bounds.message_bytes };
        let share = connection.share().bytes().clone();
        let allowance = Allowance { share, most, time: self.bounds.transfer_time };
        let body = InboundBody::new(body, allowance, metadata);
        // The clone that was polled for readiness does the work.
        let next = self.inner.clone();
        let handling = Handling {
            inner: std::mem::replace(&mut self.inner, next),
            admission: self.admission.clone(),
            connection: connection.clone(),
            method,
            permit,
            encoding,
            most,
        };
        Box::pin(answer(handling.run(parts, body), call, interrupt, compress, connection).instrument(span))
    }
}

/// All that is needed to run the handler of a call.
struct Handling<S> {
    inner: S,
    admission: Admission,
    connection: Connection,
    method: Arc<MethodMetrics>,
    permit: PermitSlot,
    encoding: Option<Encoding>,
    most: usize,
}

/// What a handler answers.
enum Answered {
    /// One message, and the trailers behind it.
    One(Bytes, HeaderMap),
    /// Messages, or none.
    Stream(Body),
}

impl<S> Handling<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    /// The larger and rarer kind is boxed, so that the other one stays small.
    fn run(self, parts: Parts, body: InboundBody) -> impl Future<Output = Result<Response<Answered>, Status>> {
        if self.method.takes_one_message() {
            Either::Left(self.one_message(parts, body))
        } else {
            Either::Right(Box::pin(self.messages(parts, body)))
        }
    }

    /// Receives the message, and then waits for a place. An answer of one message is complete when the place is given
    /// back; a stream keeps its place.
    async fn one_message(mut self, parts: Parts, mut body: InboundBody) -> Result<Response<Answered>, Status> {
        let mut message = body.gather().await?;
        let permit = self.admission.enter(kind_of(&self.method), self.connection.share()).await?;
        if let Some(encoding) = self.encoding {
            message = Box::pin(decompressed(message, encoding, self.most)).await?;
            body.held().add(message.len());
        }
        let request = Request::from_parts(parts, Body::new(Full::new(message)));
        let Ok(response) = self.inner.call(request).await;
        if self.method.is_stream() {
            let _first = self.permit.set(permit);
            return Ok(response.map(Answered::Stream));
        }
        whole(response).await
    }

    /// Passes messages on as they arrive. The call takes its place when the first message is complete. An unknown
    /// method is answered without one.
    async fn messages(mut self, mut parts: Parts, body: InboundBody) -> Result<Response<Answered>, Status> {
        let kind = kind_of(&self.method);
        let body = if self.method.is_known() {
            let (admission, connection) = (self.admission.clone(), self.connection.clone());
            let slot = Arc::clone(&self.permit);
            let (body, pause) = body.gated(Box::new(move || {
                let _first = slot.set(admission.enter_now(kind, connection.share())?);
                Ok(())
            }));
            parts.extensions.insert(pause);
            body
        } else {
            let _first = self.permit.set(self.admission.enter(CallKind::Unary, self.connection.share()).await?);
            body
        };
        let body = Body::new(body);
        let body = match self.encoding {
            Some(encoding) => {
                let held = self.connection.share().bytes().hold(0);
                Body::new(Decompressed::new(body, encoding, self.most, held))
            }
            None => body,
        };
        let Ok(response) = self.inner.call(Request::from_parts(parts, body)).await;
        Ok(response.map(Answered::Stream))
    }
}

/// Reads the complete answer of a unary call.
async fn whole(response: Response<Body>) -> Result<Response<Answered>, Status> {
    let (parts, mut body) = response.into_parts();
    if parts.headers.contains_key(Status::GRPC_STATUS) {
        return Ok(Response::from_parts(parts, Answered::Stream(Body::empty())));
    }
    let mut message = Bytes::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_trailers() {
            Ok(trailers) => return Ok(Response::from_parts(parts, Answered::One(message, trailers))),
            Err(frame) => match frame.into_data() {
                Ok(data) if message.is_empty() => message = data,
                Ok(data) => message = [message, data].concat().into(),
                Err(_) => {}
            },
        }
    }
    Err(unfinished())
}

/// Waits for the response's headers, or for the deadline or the drain.
async fn answer<F>(
    handled: F,
    mut call: RpcCall,
    mut interrupt: Interrupt,
    compress: Option<Encoding>,
    connection: Connection,
) -> Result<Response<RpcBody>, Infallible>
where
    F: Future<Output = Result<Response<Answered>, Status>>,
{
    let mut handled = pin!(AssertUnwindSafe(handled).catch_unwind());
    // The handler is polled first: its answer, even at the last moment, is better than a status made here.
    let answered = poll_fn(|context| match handled.as_mut().poll(context) {
        Poll::Ready(Ok(answered)) => Poll::Ready(answered),
        Poll::Ready(Err(payload)) => Poll::Ready(Err(panicked(payload.as_ref()))),
        Poll::Pending => interrupt.poll(context).map(Err),
    })
    .await;
    let mut response = match answered {
        Err(status) => return Ok(ended(call, normalise::normalise_at(status, ""))),
        Ok(response) => response,
    };
    // For an answer of one message all is known by now; a stream tells it in its trailers.
    call.provenance().add_to(response.headers_mut());
    // An answer without messages has its status in the headers, and nothing to compress.
    if let Some(code) = normalise_headers(response.headers_mut(), call.path()) {
        call.finish(code);
        return Ok(response.map(|answered| match answered {
            Answered::One(..) => RpcBody::Empty,
            Answered::Stream(body) => RpcBody::stream(body, call, interrupt, None),
        }));
    }
    let mut compressor = compress.map(|encoding| Compressor::announced(encoding, response.headers_mut()));
    Ok(response.map(|answered| match answered {
        Answered::One(message, mut trailers) => {
            let code = normalise_headers(&mut trailers, call.path()).unwrap_or(Code::Unknown);
            call.provenance().add_to(&mut trailers);
            let message = compressor.as_mut().map_or(message.clone(), |compressor| compressor.compress(message));
            let held = connection.share().bytes().hold(message.len());
            RpcBody::One(connection.unsent().add(message, (trailers, code), call, held))
        }
        Answered::Stream(body) => RpcBody::stream(body, call, interrupt, compressor),
    }))
}

/// The response of a call that ends with `status` before it has begun to answer.
fn ended(mut call: RpcCall, status: Status) -> Response<RpcBody> {
    call.finish(status.code());
    let mut response = status.into_http::<()>();
    call.provenance().add_to(response.headers_mut());
    response.map(|()| RpcBody::Empty)
}

/// The code's name in the protocol: `DEADLINE_EXCEEDED`.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
