//! Metrics of the connections of callers.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::exposition::{Exposition, count};

/// Why the service closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It did not speak HTTP/2.
    Silent,
    /// A new connection needed its place, and it was idle.
    Idle,
    /// A frame or headers did not arrive in time.
    Slow,
    /// Its headers exceeded its share of memory.
    Large,
    /// Its client did not take answers.
    Stuck,
}

impl Closed {
    const ALL: [Self; 5] = [Self::Silent, Self::Idle, Self::Slow, Self::Large, Self::Stuck];

    /// The value of the metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Large => "large",
            Self::Stuck => "stuck",
        }
    }
}

/// Metrics of the connections of a server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionMetrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: AtomicI64,
    bound: AtomicI64,
    refused: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

impl ConnectionMetrics {
    pub(crate) fn set_open(&self, open: usize) {
        self.0.open.store(i64::try_from(open).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn set_bound(&self, bound: usize) {
        self.0.bound.store(i64::try_from(bound).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Counts a connection that was closed at once.
    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that the service closed later.
    pub(crate) fn close(&self, why: Closed) {
        self.0.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Collector for ConnectionMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        exposition.gauge("orrery_connections_open", "Connections of callers.", |metric| {
            metric.encode_gauge(&self.0.open.load(Ordering::Relaxed))
        })?;
        exposition.gauge("orrery_connections_max", "The bound on them.", |metric| {
            metric.encode_gauge(&self.0.bound.load(Ordering::Relaxed))
        })?;
        let help = "Connections that were closed at once because the bound was reached.";
        exposition.counter("orrery_connections_refused", help, |metric| {
            count(metric, self.0.refused.load(Ordering::Relaxed))
        })?;
        let help = "Connections that the service closed, by the reason.";
        exposition.counter("orrery_connections_closed", help, |metric| {
            Closed::ALL.iter().zip(&self.0.closed).try_for_each(|(why, closed)| {
                count(&mut metric.encode_family(&[("why", why.name())])?, closed.load(Ordering::Relaxed))
            })
        })
    }
}
