//! What stands around every call, whatever serves it: a span, one log sentence and its metrics at the call's end, its
//! deadline over the whole stream, the bounds on calls and on their metadata, compression, the refusals and the end of
//! a drain, and errors in the form that the contract promises, for a panic too.

mod admission;
mod body;
mod call;
mod compressed;
mod metadata;
mod normalise;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument as _;

use self::admission::Admission;
use self::body::{InboundBody, RpcBody};
use self::call::{Call, Ending};
use self::compressed::{Compressor, Decompressed, encoding_for, encoding_of};
pub use self::normalise::normalise;
pub(crate) use self::normalise::panicked;
use self::normalise::{draining, normalise_headers};
use crate::answer::AnswerBound;
use crate::compression::{Encoding, Encodings};
use crate::config::ServiceConfig;
use crate::consistency::Provenance;
use crate::deadline::Deadline;
use crate::drain::Drain;
use crate::metrics::{Metrics, RpcMetrics};

/// Counts the rows that a call moves, for its log sentence. In the extensions of every request; a handler adds what it sends or
/// commits.
#[derive(Clone, Debug, Default)]
pub struct RpcRows(Arc<AtomicU64>);

impl RpcRows {
    /// That of a request; one that nobody reads where the request came through no server, as in a test.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// Counts `rows` more.
    pub fn add(&self, rows: u64) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a call may be, and how it is answered.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    metadata_bytes: usize,
    message_bytes: usize,
    /// How answers may be compressed.
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
    pub(crate) fn new(drain: Drain, config: &ServiceConfig, metrics: &Metrics) -> Self {
        let bounds = Bounds {
            metadata_bytes: config.server.max_metadata_bytes,
            message_bytes: config.stream.max_message_bytes,
            compression: config.server.compress_responses,
        };
        let answers = AnswerBound(config.stream.max_answer_bytes);
        Self { drain, admission: Admission::new(config, metrics), metrics: metrics.rpc.clone(), bounds, answers }
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

/// The routes of a server with everything around them that all calls have in common.
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
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
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
        // A process that goes away says so, however busy it is.
        let permit =
            if self.drain.has_begun() { Ok(None) } else { self.admission.admit(&method, request.uri().path()) };
        let permit = match permit {
            Ok(permit) => permit,
            Err(headers) => {
                let mut refusal = Response::new(RpcBody::refused());
                *refusal.headers_mut() = headers;
                return Box::pin(std::future::ready(Ok(refusal)));
            }
        };
        let (mut parts, body) = request.into_parts();
        let rows = RpcRows::default();
        parts.extensions.insert(rows.clone());
        parts.extensions.insert(self.answers);
        let provenance = Provenance::default();
        parts.extensions.insert(provenance.clone());
        parts.extensions.insert(self.drain.draining());
        let deadline = Deadline::on_arrival(&parts.headers, &mut parts.extensions);
        let call = Call::begin(&parts, (rows, provenance), self.drain.clone(), method, permit);
        if call.refused() {
            return Box::pin(async { Ok(ended(call, draining())) });
        }
        let encoding =
            metadata::check(&parts, self.bounds.metadata_bytes).and_then(|()| encoding_of(&mut parts.headers));
        let body = match encoding {
            Ok(None) => Body::new(InboundBody::new(body)),
            Ok(Some(encoding)) => {
                let body = Body::new(InboundBody::new(body));
                Body::new(Decompressed::new(body, encoding, self.bounds.message_bytes))
            }
            Err(status) => return Box::pin(async { Ok(ended(call, status)) }),
        };
        let compress = encoding_for(&parts.headers, self.bounds.compression);
        let ending = Ending::new(deadline, &call);
        let span = call.span().clone();
        let request = Request::from_parts(parts, body);
        let inner = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| self.inner.call(request))));
        Box::pin(answer(inner, call, ending, compress).instrument(span))
    }
}

/// Waits for the response's headers, or for what ends the call before they are there.
async fn answer<F>(
    inner: std::thread::Result<F>,
    mut call: Call,
    mut ending: Ending,
    compress: Option<Encoding>,
) -> Result<Response<RpcBody>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let inner = match inner {
        Ok(inner) => inner,
        Err(payload) => return Ok(ended(call, panicked(payload.as_ref()))),
    };
    let mut inner = pin!(AssertUnwindSafe(inner).catch_unwind());
    // The handler first: what it has to say at the last moment is better than what can be said here.
    let answered = poll_fn(|context| match inner.as_mut().poll(context) {
        Poll::Ready(Ok(Ok(response))) => Poll::Ready(Ok(response)),
        Poll::Ready(Ok(Err(never))) => match never {},
        Poll::Ready(Err(payload)) => Poll::Ready(Err(panicked(payload.as_ref()))),
        Poll::Pending => ending.poll(context).map(Err),
    })
    .await;
    Ok(match answered {
        Err(status) => ended(call, status),
        Ok(mut response) => {
            // Of a call that answers with one message everything is known by now; of a stream its trailers say it.
            call.provenance().add_to(response.headers_mut());
            // An answer without messages has its status there, and nothing to compress.
            let compressor = match normalise_headers(response.headers_mut(), call.path()) {
                Some(code) => {
                    call.finish(code);
                    None
                }
                None => compress.map(|encoding| Compressor::announced(encoding, response.headers_mut())),
            };
            response.map(|body| RpcBody::new(body, call, ending, compressor))
        }
    })
}

/// The response of a call that ends with `status` before it has begun to answer.
fn ended(mut call: Call, status: Status) -> Response<RpcBody> {
    call.finish(status.code());
    let mut response = status.into_http::<Body>();
    call.provenance().add_to(response.headers_mut());
    response.map(|_| RpcBody::finished(call))
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
