//! The bounds on the calls of a process. A call beyond them is turned away before anything was done for it: work that
//! is begun is work that is finished in time, and the caller learns at once that it should come back later.
//!
//! A call counts from the moment at which its message is whole: what a caller has not sent yet keeps nobody else out.
//! Unary calls and streams have bounds of their own, because a slow reader may hold a stream for hours, and so have
//! health and reflection, which are to be answered however busy the process is. Of each bound, one connection holds no
//! more than a share. A unary call beyond it waits until another one of its connection is over; a stream is turned
//! away, since that may take hours.

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
/// How many different times callers are given, so that those who were turned away together do not come back together.
const DELAYS: u32 = 32;
/// From one of these times to the next.
const STEP: Duration = Duration::from_millis(30);
/// Coprime to [`DELAYS`]: one caller after the other gets a time far from the last.
const STRIDE: u64 = 13;
/// Most questions of health at one time, and most who watch it. Each takes microseconds, or nothing.
const INFRASTRUCTURE_CALLS: usize = 256;

/// Decides whether a call is begun. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    metrics: Metrics,
    /// What one connection may hold of each bound, in percent.
    share: u8,
    /// Ready to send, one for each delay.
    refusals: Arc<[HeaderMap]>,
}

/// What one connection may hold. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionShare {
    calls: Arc<[CallShare; CallKind::ALL.len()]>,
    bytes: MemoryShare,
}

/// Of one kind of calls.
#[derive(Debug)]
struct CallShare {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Most that may wait.
    most_waiting: usize,
}

/// Leave to run, until it is dropped.
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

/// Which bound holds for a method.
pub(super) fn kind_of(method: &MethodMetrics) -> CallKind {
    match (method.is_infrastructure(), method.is_stream()) {
        (false, false) => CallKind::Unary,
        (false, true) => CallKind::Stream,
        (true, false) => CallKind::Infrastructure,
        (true, true) => CallKind::InfrastructureStream,
    }
}

impl ConnectionShare {
    /// What its calls make the process hold.
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

    /// The same; waits for one, unless so many wait that it is too late for another.
    async fn next_place(&self) -> Option<OwnedSemaphorePermit> {
        struct Waiting<'w>(&'w AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        if let Some(place) = self.place() {
            return Some(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
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

    /// What a new connection may hold.
    pub(crate) fn connection(&self) -> ConnectionShare {
        let calls = CallKind::ALL.map(|kind| CallShare::new(self.counts(kind).bound(), self.share));
        let bytes = self.budget().bound() / 100 * usize::from(self.share);
        ConnectionShare { calls: Arc::new(calls), bytes: self.budget().share(bytes) }
    }

    /// What callers make the process hold.
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.metrics.admission.budget
    }

    /// The headers to answer a call of `method` with at once, if there is no place for it: then there is no need to
    /// take in what it sends.
    pub(super) fn refusal(&self, method: &MethodMetrics) -> Option<HeaderMap> {
        let counts = self.counts(kind_of(method));
        if !counts.is_full() {
            return None;
        }
        method.refuse(Code::ResourceExhausted);
        self.refusals.get(delay(counts) as usize).cloned()
    }

    /// A permit for a call whose message is whole. A unary one may wait for other calls of its connection.
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

    /// The same for one that does not wait.
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

/// Which of the delays a call gets that is turned away now; counts it.
fn delay(counts: &CallCounts) -> u32 {
    (counts.shed().wrapping_mul(STRIDE) % u64::from(DELAYS)) as u32
}

fn overloaded(step: u32) -> Status {
    let mut details = details(ErrorReason::Overloaded);
    details.set_retry_info(Some(SOONEST + STEP * step));
    Status::with_error_details(Code::ResourceExhausted, "this process does as much as it can; come back later", details)
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
        // One at a time, and three that wait.
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
        // Who leaves makes room for another one that waits.
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
