//! One call from its arrival to its end: its span, its log line, and what ends it from outside.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use http::Uri;
use http::request::Parts;
use tonic::{Code, Status};
use tracing::Span;

use super::activity::OpenCall;
use super::admission::Permit;
use super::normalise::{deadline_passed, draining};
use super::{RpcRows, code_name};
use crate::consistency::Provenance;
use crate::deadline::Deadline;
use crate::drain::Drain;
use crate::error::beginning;
use crate::metrics::MethodMetrics;

/// Request metadata: an id that the caller chooses, for the logs.
const REQUEST_ID: &str = "x-request-id";
/// Longer ids are not logged: a caller must not fill the logs.
const MAX_REQUEST_ID_BYTES: usize = 128;
const HEALTH: &str = "/grpc.health.v1.Health/";
/// Health and reflection. A drain ends their streams at once: a client loses nothing.
pub(super) const INFRASTRUCTURE: &str = "/grpc.";

/// Holds the permit of a stream once it has one. Cheap to clone.
pub(super) type PermitSlot = Arc<OnceLock<Permit>>;

/// Lives as long as its call. If it is dropped before [`finish`](Self::finish), the caller has cancelled the call.
#[derive(Debug)]
pub(super) struct RpcCall {
    span: Span,
    uri: Uri,
    started: Instant,
    rows: RpcRows,
    provenance: Provenance,
    drain: Drain,
    metrics: Arc<MethodMetrics>,
    /// Given back when the call is dropped: after its last byte, or when it is cancelled.
    _permit: PermitSlot,
    /// Counts as an open call of the connection.
    _open: OpenCall,
    finished: bool,
}

impl RpcCall {
    pub(super) fn begin(
        request: &Parts,
        (rows, provenance): (RpcRows, Provenance),
        drain: Drain,
        metrics: Arc<MethodMetrics>,
        (permit, open): (PermitSlot, OpenCall),
    ) -> Self {
        metrics.start();
        let request_id = request.headers.get(REQUEST_ID).filter(|id| id.len() <= MAX_REQUEST_ID_BYTES);
        let request_id = request_id.and_then(|id| id.to_str().ok());
        let span = tracing::info_span!(
            target: "orrery::rpc",
            "rpc",
            method = beginning(request.uri.path()),
            request_id,
        );
        let (uri, started) = (request.uri.clone(), Instant::now());
        Self { span, uri, started, rows, provenance, drain, metrics, _permit: permit, _open: open, finished: false }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// What is known about the databases that served the call.
    pub(super) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// `/package.Service/Method`.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether the call came after the drain began and is refused. Health is answered until the end: it tells clients
    /// that the process drains.
    pub(super) fn refused(&self) -> bool {
        self.drain.has_begun() && !self.path().starts_with(HEALTH)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Writes the log line and counts the call, once.
    pub(super) fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let took = self.started.elapsed();
        self.metrics.finish(code, took);
        let latency_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let rows = self.rows.count();
        let name = code_name(code);
        self.span.in_scope(|| match code {
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::error!(target: "orrery::rpc", code = name, latency_ms, rows, "call failed");
            }
            // A drain is intended, and its calls are told to come again: no reason for a warning.
            Code::Unavailable if self.drain.has_begun() => {
                tracing::info!(target: "orrery::rpc", code = name, latency_ms, rows, "call ended by the drain");
            }
            Code::Unavailable | Code::DeadlineExceeded => {
                tracing::warn!(target: "orrery::rpc", code = name, latency_ms, rows, "call not served");
            }
            Code::Cancelled => {
                tracing::debug!(target: "orrery::rpc", code = name, latency_ms, rows, "call cancelled");
            }
            Code::Ok => tracing::debug!(target: "orrery::rpc", code = name, latency_ms, rows, "call served"),
            _ => tracing::debug!(target: "orrery::rpc", code = name, latency_ms, rows, "call refused"),
        });
    }
}

impl Drop for RpcCall {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

/// Ends a call from outside: at its deadline, or in a drain.
pub(super) struct Interrupt {
    deadline: Deadline,
    drain: Drain,
    infrastructure: bool,
    /// Waits for either. Made when the call itself has to wait for the first time: many calls never do.
    wait: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl Interrupt {
    pub(super) fn new(deadline: Deadline, call: &RpcCall) -> Self {
        let infrastructure = call.path().starts_with(INFRASTRUCTURE);
        Self { deadline, drain: call.drain.clone(), infrastructure, wait: None }
    }

    /// Ready with the status that ends the call. tonic has a timer of its own outside of this layer, which answers
    /// CANCELLED. The clock is read here too, so that this status always comes first, whichever timer fires first.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.deadline.expired() {
            return Poll::Ready(deadline_passed());
        }
        let (deadline, drain, infrastructure) = (self.deadline, &self.drain, self.infrastructure);
        let wait = self.wait.get_or_insert_with(|| Box::pin(ended(deadline, drain.clone(), infrastructure)));
        wait.as_mut().poll(context)
    }
}

async fn ended(deadline: Deadline, drain: Drain, infrastructure: bool) -> Status {
    let drained = async {
        if infrastructure {
            drain.until_begun().await;
        } else {
            drain.until_aborted().await;
        }
    };
    tokio::select! {
        () = drained => draining(),
        () = deadline.passed() => deadline_passed(),
    }
}
