//! A histogram of atomics: an observation takes no lock.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds of durations, in nanoseconds: 250 us to 60 s, about three to a decade.
pub(super) const DURATIONS: &[u64] = &[
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    60_000_000_000,
];
/// Upper bounds of rows.
pub(super) const ROWS: &[u64] = &[0, 1, 10, 100, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000];
/// Upper bounds of bytes: 256 B to 64 MiB.
pub(super) const BYTES: &[u64] =
    &[256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20];

/// Counts integers by upper bounds.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for larger values.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Counts a duration in nanoseconds; the bounds must be [`DURATIONS`].
    pub(super) fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Writes the histogram, every value divided by `unit`.
    pub(super) fn encode(&self, metric: &mut MetricEncoder<'_>, unit: f64) -> Result<(), Error> {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::MAX]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // The count is the sum of the buckets, so that a scrape during an observation is consistent.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum.load(Ordering::Relaxed) as f64 / unit;
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// Nanoseconds in a second, the unit in which durations are exposed.
pub(super) const SECONDS: f64 = 1e9;
/// The unit of values that are exposed as they are.
pub(super) const ONES: f64 = 1.0;
