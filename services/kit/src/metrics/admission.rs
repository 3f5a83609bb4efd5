//! Calls under way, and those that were turned away.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::exposition::{Exposition, count};

const KINDS: [&str; 2] = ["unary", "stream"];

/// The calls of a process that a bound holds for: unary ones, and streams. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionMetrics {
    /// Unary calls.
    pub(crate) unary: Arc<CallCounts>,
    /// Calls in which either side sends a stream.
    pub(crate) streams: Arc<CallCounts>,
}

/// Those of one kind.
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

    /// Counts one more call under way, unless there are as many as may be.
    pub(crate) fn enter(&self) -> bool {
        let bound = self.bound.load(Ordering::Relaxed);
        let more = |in_flight| (in_flight < bound).then_some(in_flight + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// One less.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts a call that was turned away and says how many were before it.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.fetch_add(1, Ordering::Relaxed)
    }
}

impl AdmissionMetrics {
    pub(super) fn new() -> Self {
        Self { unary: CallCounts::new(), streams: CallCounts::new() }
    }
}

impl Collector for AdmissionMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        let all = || KINDS.iter().map(|kind| [("kind", *kind)]).zip([&self.unary, &self.streams]);
        let help = "Calls under way that count towards the bound: all but health and reflection.";
        exposition.gauge("orrery_calls_in_flight", help, |metric| {
            all().try_for_each(|(labels, counts)| {
                metric.encode_family(&labels)?.encode_gauge(&(counts.in_flight.load(Ordering::Relaxed) as i64))
            })
        })?;
        exposition.gauge("orrery_calls_max", "The bound.", |metric| {
            all().try_for_each(|(labels, counts)| {
                let bound = i64::try_from(counts.bound.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
                metric.encode_family(&labels)?.encode_gauge(&bound)
            })
        })?;
        exposition.counter("orrery_calls_shed", "Calls that were turned away because of it.", |metric| {
            all().try_for_each(|(labels, counts)| {
                count(&mut metric.encode_family(&labels)?, counts.shed.load(Ordering::Relaxed))
            })
        })
    }
}
