//! The bound on the calls of a process. A call beyond it is turned away before anything was done for it: work that is begun is
//! work that is finished in time, and the caller learns at once that it should come back later.
//!
//! Unary calls and streams have bounds of their own, because a slow reader may hold a stream for hours.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use orrery_proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::call::INFRASTRUCTURE;
use super::normalise::details;
use crate::config::ServiceConfig;
use crate::metrics::{CallCounts, MethodMetrics, Metrics};

/// The shortest time after which a caller is asked to come back.
const SOONEST: Duration = Duration::from_millis(200);
/// How many different times callers are given, so that those who were turned away together do not come back together.
const DELAYS: u32 = 32;
/// From one of these times to the next.
const STEP: Duration = Duration::from_millis(30);
/// Coprime to [`DELAYS`]: one caller after the other gets a time far from the last.
const STRIDE: u64 = 13;

/// Decides whether a call is begun. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    unary: Arc<CallCounts>,
    streams: Arc<CallCounts>,
    /// Ready to send, one for each delay.
    refusals: Arc<[HeaderMap]>,
}

/// Leave to run, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<CallCounts>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Admission {
    pub(super) fn new(config: &ServiceConfig, metrics: &Metrics) -> Self {
        let (unary, streams) = (Arc::clone(&metrics.admission.unary), Arc::clone(&metrics.admission.streams));
        unary.set_bound(config.overload.calls(config.database.database_pool_max));
        streams.set_bound(config.overload.max_open_streams);
        let refusals = (0..DELAYS).map(|step| refusal(SOONEST + STEP * step).into_http::<()>().into_parts().0.headers);
        Self { unary, streams, refusals: refusals.collect() }
    }

    /// A permit for a call of `method`, or the headers to answer with in its place. Health and reflection need none: who asks whether the process is well
    /// has to be told.
    pub(super) fn admit(&self, method: &MethodMetrics, path: &str) -> Result<Option<Permit>, HeaderMap> {
        if path.starts_with(INFRASTRUCTURE) {
            return Ok(None);
        }
        let counts = if method.is_stream() { &self.streams } else { &self.unary };
        if counts.enter() {
            return Ok(Some(Permit(Arc::clone(counts))));
        }
        method.refuse(Code::ResourceExhausted);
        let turn = counts.shed().wrapping_mul(STRIDE) % u64::from(DELAYS);
        Err(self.refusals.get(turn as usize).cloned().unwrap_or_default())
    }
}

fn refusal(delay: Duration) -> Status {
    let mut details = details(ErrorReason::Overloaded);
    details.set_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, "this process does as much as it can; come back later", details)
}
