//! One call from its arrival to its end: the span, the log sentence, and what ends it from outside.

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

/// Where a caller may put an id of its own, which then stands in the logs.
const REQUEST_ID: &str = "x-request-id";
/// A longer id is left out of the logs, which are not the caller's to fill.
const MAX_REQUEST_ID_BYTES: usize = 128;
const HEALTH: &str = "/grpc.health.v1.Health/";
/// Health and reflection, whose streams hold nothing that a client could lose.
pub(super) const INFRASTRUCTURE: &str = "/grpc.";

/// Where the permit of a stream is put once it has one. Cheap to clone.
pub(super) type PermitSlot = Arc<OnceLock<Permit>>;

/// Exists as long as its call. Dropped before [`finish`](Self::finish), the caller went away.
#[derive(Debug)]
pub(super) struct Call {
    span: Span,
    uri: Uri,
    started: Instant,
    rows: RpcRows,
    provenance: Provenance,
    drain: Drain,
    metrics: Arc<MethodMetrics>,
    /// Leave to run, given back when the call is dropped: after its last byte, or when its caller went away.
    _permit: PermitSlot,
    /// Its place among the calls of its connection.
    _open: OpenCall,
    finished: bool,
}

impl Call {
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

    /// What the call has learnt about the databases that it uses.
    pub(super) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// `/package.Service/Method`.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether it came too late to be begun. Health is answered to the end: its answer is that the process is going.
    pub(super) fn refused(&self) -> bool {
        self.drain.has_begun() && !self.path().starts_with(HEALTH)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Writes the sentence and counts; once per call.
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
            // A drain is wanted, and what it ends is told to come again.
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

impl Drop for Call {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

/// What ends a call from outside: its deadline, or the drain.
pub(super) struct Ending {
    deadline: Deadline,
    drain: Drain,
    infrastructure: bool,
    /// Waits for either, from the first moment on that the call itself has to wait. Many calls never do.
    wait: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl Ending {
    pub(super) fn new(deadline: Deadline, call: &Call) -> Self {
        let infrastructure = call.path().starts_with(INFRASTRUCTURE);
        Self { deadline, drain: call.drain.clone(), infrastructure, wait: None }
    }

    /// Ready with the status to end with. tonic has a timer of its own outside of this layer, which answers CANCELLED; the
    /// clock is asked as well, so that this is never later than that, whichever timer fires first.
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
