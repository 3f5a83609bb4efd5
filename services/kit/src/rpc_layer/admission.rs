//! The bounds on the calls of a process. A call beyond them is refused before any work is done for it: calls that begin
//! also finish in time, and a refused caller learns at once that it should come back later.
//!
//! A call counts as soon as its message is complete: a message that is still on its way takes no place. Unary calls and
//! streams have separate bounds, because a slow reader may hold a stream for hours. So have health and reflection,
//! which must be answered even when the process is busy. One connection may take only a share of each bound. A unary
//! call beyond the share waits until another call of its connection ends; a stream beyond it is refused, since the wait
//! could take hours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderMap;
use orrery_proto::r#type::v1::ErrorReason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::normalise::details;
use crate::budget::{MemoryBudget, MemoryShare};
use crate::config::ServiceConfig;
use crate::metrics::{CallCounts, CallKind, MethodMetrics, Metrics};

/// The shortest time after which a caller is asked to come back.
const SOONEST: Duration = Duration::from_millis(200);
/// The number of different delays. Callers that are refused together do not come back together.
const DELAYS: u32 = 32;
/// The difference between two delays.
const STEP: Duration = Duration::from_millis(30);
/// Coprime to [`DELAYS`]: successive callers get delays that are far apart.
const STRIDE: u64 = 13;
/// Most health checks at one time, and most health watchers. Each takes microseconds, or nothing.
const INFRASTRUCTURE_CALLS: usize = 256;

/// Decides whether a call may begin. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    metrics: Metrics,
    /// The share of each bound that one connection may take, in percent.
    share: u8,
    /// Headers of refusals, ready to send, one for each delay.
    refusals: Arc<[HeaderMap]>,
}

/// The share of one connection. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionShare {
    calls: Arc<[CallShare; CallKind::ALL.len()]>,
    bytes: MemoryShare,
}

/// The share of one connection in the calls of one kind.
#[derive(Debug)]
struct CallShare {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Most calls that may wait for a place.
    most_waiting: usize,
}

/// The place of a running call. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Arc<CallCounts>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.leave();
    }
}

/// The kind of a method's calls: each kind has its own bound.
pub(super) fn kind_of(method: &MethodMetrics) -> CallKind {
    match (method.is_infrastructure(), method.is_stream()) {
        (false, false) => CallKind::Unary,
        (false, true) => CallKind::Stream,
        (true, false) => CallKind::Infrastructure,
        (true, true) => CallKind::InfrastructureStream,
    }
}

impl ConnectionShare {
    /// The share of the memory that callers may make the process hold.
    pub(crate) fn bytes(&self) -> &MemoryShare {
        &self.bytes
    }
}

impl CallShare {
    fn new(bound: usize, percent: u8) -> Self {
        let most = (bound.min(Semaphore::MAX_PERMITS) / 100 * usize::from(percent)
            + bound % 100 * usize::from(percent) / 100)
            .clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            waiting: AtomicUsize::new(0),
            most_waiting: bound.saturating_sub(most),
        }
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// As [`place`](Self::place), but waits for a place, unless too many calls wait already.
    async fn next_place(&self) -> Option<OwnedSemaphorePermit> {
        struct Queued<'w>(&'w AtomicUsize);
        impl Drop for Queued<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        if let Some(place) = self.place() {
            return Some(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _queued = Queued(&self.waiting);
        if before >= self.most_waiting {
            return None;
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Admission {
    pub(crate) fn new(config: &ServiceConfig, metrics: &Metrics) -> Self {
        let admission = &metrics.admission;
        admission.of(CallKind::Unary).set_bound(config.overload.calls(config.database.database_pool_max));
        admission.of(CallKind::Stream).set_bound(config.overload.max_open_streams);
        admission.of(CallKind::Infrastructure).set_bound(INFRASTRUCTURE_CALLS);
        admission.of(CallKind::InfrastructureStream).set_bound(INFRASTRUCTURE_CALLS);
        admission.budget.set_bound(config.overload.max_held_bytes);
        let refusals = (0..DELAYS).map(|step| overloaded(step).into_http::<()>().into_parts().0.headers);
        let share = config.overload.connection_share;
        Self { metrics: metrics.clone(), share, refusals: refusals.collect() }
    }

    /// The share of a new connection.
    pub(crate) fn connection(&self) -> ConnectionShare {
        let calls = CallKind::ALL.map(|kind| CallShare::new(self.counts(kind).bound(), self.share));
        let bytes = self.budget().bound() / 100 * usize::from(self.share);
        ConnectionShare { calls: Arc::new(calls), bytes: self.budget().share(bytes) }
    }

    /// The memory that callers make the process hold.
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.metrics.admission.budget
    }

    /// The headers that refuse a call of `method` at once, if there is no place for it. Its message need not be
    /// received then.
    pub(super) fn refusal(&self, method: &MethodMetrics) -> Option<HeaderMap> {
        let counts = self.counts(kind_of(method));
        if !counts.is_full() {
            return None;
        }
        method.refuse(Code::ResourceExhausted);
        self.refusals.get(delay(counts) as usize).cloned()
    }

    /// A permit for a call whose message is complete. A unary call may wait for other calls of its connection.
    ///
    /// # Errors
    /// The status for a call beyond the bounds.
    pub(super) async fn enter(&self, kind: CallKind, connection: &ConnectionShare) -> Result<Permit, Status> {
        let share = &connection.calls[kind as usize];
        match kind {
            CallKind::Unary | CallKind::Infrastructure => self.take(kind, share.next_place().await),
            CallKind::Stream | CallKind::InfrastructureStream => self.enter_now(kind, connection),
        }
    }

    /// As [`enter`](Self::enter), without waiting.
    ///
    /// # Errors
    /// The status for a call beyond the bounds.
    pub(crate) fn enter_now(&self, kind: CallKind, connection: &ConnectionShare) -> Result<Permit, Status> {
        self.take(kind, connection.calls[kind as usize].place())
    }

    fn take(&self, kind: CallKind, place: Option<OwnedSemaphorePermit>) -> Result<Permit, Status> {
        let counts = self.counts(kind);
        if place.is_none() || !counts.enter() {
            return Err(overloaded(delay(counts)));
        }
        Ok(Permit { counts: Arc::clone(counts), _place: place })
    }

    fn counts(&self, kind: CallKind) -> &Arc<CallCounts> {
        self.metrics.admission.of(kind)
    }
}

/// The number of the delay for a call that is refused now; counts the refusal.
fn delay(counts: &CallCounts) -> u32 {
    (counts.shed().wrapping_mul(STRIDE) % u64::from(DELAYS)) as u32
}

fn overloaded(step: u32) -> Status {
    let mut details = details(ErrorReason::Overloaded);
    details.set_retry_info(Some(SOONEST + STEP * step));
    Status::with_error_details(Code::ResourceExhausted, "the service is overloaded; try again later", details)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_bound_and_at_least_one() {
        for (bound, percent, most) in
            [(64, 25, 16), (256, 25, 64), (4, 25, 1), (1, 25, 1), (10, 100, 10), (250, 50, 125)]
        {
            let share = CallShare::new(bound, percent);
            assert_eq!((share.places.available_permits(), share.most_waiting), (most, bound - most), "{bound}");
        }
        assert!(CallShare::new(usize::MAX, 100).place().is_some());
    }

    #[tokio::test]
    async fn who_has_its_share_waits_for_itself_and_not_for_ever() {
        // One call at a time, and three may wait.
        let share = Arc::new(CallShare::new(4, 25));
        let first = share.place().unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let share = Arc::clone(&share);
                tokio::spawn(async move { share.next_place().await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(share.next_place().await.is_none(), "a fifth is too many");
        waiting[0].abort();
        tokio::task::yield_now().await;
        // A caller that stops waiting makes room for another one.
        let another = tokio::spawn({
            let share = Arc::clone(&share);
            async move { share.next_place().await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        let [_, second, third] = waiting.try_into().unwrap();
        assert!(second.await.unwrap() && third.await.unwrap() && another.await.unwrap());
        assert_eq!(share.waiting.load(Ordering::Acquire), 0);
    }
}
