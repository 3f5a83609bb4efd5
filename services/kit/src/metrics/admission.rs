//! Open calls, refused calls, and the memory that callers make the process hold.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::exposition::{Exposition, count};
use crate::budget::MemoryBudget;

/// The kinds of calls, each with a bound of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// One request message and one response message.
    Unary,
    /// Either side sends a stream.
    Stream,
    /// Health checks.
    Infrastructure,
    /// Health watchers, and reflection.
    InfrastructureStream,
}

impl CallKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::Unary, Self::Stream, Self::Infrastructure, Self::InfrastructureStream];

    fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream",
            Self::Infrastructure => "infrastructure",
            Self::InfrastructureStream => "infrastructure_stream",
        }
    }
}

/// The bounded calls of a process, by kind. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionMetrics {
    calls: [Arc<CallCounts>; CallKind::ALL.len()],
    /// The memory that callers make the process hold.
    pub(crate) budget: MemoryBudget,
}

/// The calls of one kind.
#[derive(Debug)]
pub(crate) struct CallCounts {
    bound: AtomicUsize,
    in_flight: AtomicUsize,
    shed: AtomicU64,
}

impl CallCounts {
    fn new() -> Arc<Self> {
        Arc::new(Self { bound: AtomicUsize::new(usize::MAX), in_flight: AtomicUsize::new(0), shed: AtomicU64::new(0) })
    }

    /// Sets the bound, before the first call.
    pub(crate) fn set_bound(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// The bound.
    pub(crate) fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }

    /// Whether the bound is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) >= self.bound()
    }

    /// Counts one more open call, unless the bound is reached.
    pub(crate) fn enter(&self) -> bool {
        let bound = self.bound();
        let more = |in_flight| (in_flight < bound).then_some(in_flight + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Counts one open call less.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts a refused call and returns how many were refused before.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.fetch_add(1, Ordering::Relaxed)
    }
}

impl AdmissionMetrics {
    pub(super) fn new() -> Self {
        Self { calls: std::array::from_fn(|_| CallCounts::new()), budget: MemoryBudget::default() }
    }

    /// The calls of one kind.
    pub(crate) fn of(&self, kind: CallKind) -> &Arc<CallCounts> {
        &self.calls[kind as usize]
    }
}

impl Collector for AdmissionMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        let all = || CallKind::ALL.iter().map(|kind| [("kind", kind.name())]).zip(&self.calls);
        let as_gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        exposition.gauge("orrery_calls_in_flight", "Open calls that count towards the bound.", |metric| {
            all().try_for_each(|(labels, counts)| {
                metric.encode_family(&labels)?.encode_gauge(&as_gauge(counts.in_flight.load(Ordering::Relaxed)))
            })
        })?;
        exposition.gauge("orrery_calls_max", "The bound.", |metric| {
            all()
                .try_for_each(|(labels, counts)| metric.encode_family(&labels)?.encode_gauge(&as_gauge(counts.bound())))
        })?;
        exposition.counter("orrery_calls_shed", "Calls that were refused because of it.", |metric| {
            all().try_for_each(|(labels, counts)| {
                count(&mut metric.encode_family(&labels)?, counts.shed.load(Ordering::Relaxed))
            })
        })?;
        let help = "Requests and answers that callers make the process hold.";
        exposition.gauge("orrery_held_bytes", help, |metric| metric.encode_gauge(&as_gauge(self.budget.used())))?;
        exposition.gauge("orrery_held_bytes_max", "The bound on them.", |metric| {
            metric.encode_gauge(&as_gauge(self.budget.bound()))
        })?;
        exposition.counter("orrery_calls_without_room", "Calls that were ended because of it.", |metric| {
            count(metric, self.budget.refused())
        })
    }
}
