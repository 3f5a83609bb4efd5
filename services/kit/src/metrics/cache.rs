//! Metrics of the query cache.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::exposition::{Exposition, count};

/// What the cache did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// Answered from the cache.
    Hit,
    /// Asked the database, and cached the answer.
    Miss,
    /// Answered from the cache although the answer is old, while a new one is fetched.
    Stale,
    /// Passed to the handler.
    Bypass,
}

const RESULTS: [&str; 4] = ["hit", "miss", "stale", "bypass"];

/// Metrics of the query cache. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CacheMetrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: [AtomicU64; RESULTS.len()],
    bytes: AtomicU64,
    entries: AtomicU64,
    not_refreshed: AtomicU64,
}

impl CacheMetrics {
    /// Counts a request.
    pub fn request(&self, result: CacheResult) {
        let [hit, miss, stale, bypass] = &self.0.requests;
        let requests = match result {
            CacheResult::Hit => hit,
            CacheResult::Miss => miss,
            CacheResult::Stale => stale,
            CacheResult::Bypass => bypass,
        };
        requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an old answer that was returned without a refresh, since there was no place for one.
    pub(crate) fn not_refreshed(&self) {
        self.0.not_refreshed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the present size of the cache.
    pub fn set_size(&self, entries: u64, bytes: u64) {
        self.0.entries.store(entries, Ordering::Relaxed);
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Collector for CacheMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        exposition.counter("orrery_cache_requests", "Requests, by what the query cache did for them.", |metric| {
            RESULTS.iter().zip(&self.0.requests).try_for_each(|(result, requests)| {
                count(&mut metric.encode_family(&[("result", *result)])?, requests.load(Ordering::Relaxed))
            })
        })?;
        let help = "Old answers given without fetching a new one, since there was no place for that among the calls.";
        exposition.counter("orrery_cache_refreshes_skipped", help, |metric| {
            count(metric, self.0.not_refreshed.load(Ordering::Relaxed))
        })?;
        exposition.gauge("orrery_cache_entries", "Answers that the query cache holds.", |metric| {
            metric.encode_gauge(&self.0.entries.load(Ordering::Relaxed).cast_signed())
        })?;
        exposition.gauge("orrery_cache_bytes", "Bytes that they take.", |metric| {
            metric.encode_gauge(&self.0.bytes.load(Ordering::Relaxed).cast_signed())
        })
    }
}
