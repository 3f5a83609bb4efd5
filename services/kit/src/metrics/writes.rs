//! Metrics of chunked writes: what was acknowledged, by resource.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::exposition::{Exposition, count};

/// Metrics of chunked writes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct WriteMetrics(Arc<Mutex<BTreeMap<&'static str, Arc<WriteCounters>>>>);

/// The counters of one resource.
#[derive(Debug, Default)]
pub struct WriteCounters {
    chunks: AtomicU64,
    rows: AtomicU64,
}

impl WriteCounters {
    /// Counts committed chunks and rows that are acknowledged now.
    pub fn acknowledge(&self, chunks: usize, rows: u64) {
        self.chunks.fetch_add(chunks as u64, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

impl WriteMetrics {
    /// The counters of a resource, `orrery.catalog.v1.Product`.
    pub fn of(&self, resource: &'static str) -> Arc<WriteCounters> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(resource).or_default())
    }
}

impl Collector for WriteMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        let resources = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (name, help) = ("orrery_write_chunks_acknowledged", "Chunks that were committed and acknowledged.");
        exposition.counter(name, help, |metric| {
            resources.iter().try_for_each(|(resource, counters)| {
                let chunks = counters.chunks.load(Ordering::Relaxed);
                count(&mut metric.encode_family(&[("resource", *resource)])?, chunks)
            })
        })?;
        let (name, help) = ("orrery_write_rows_acknowledged", "Rows of chunks that were committed and acknowledged.");
        exposition.counter(name, help, |metric| {
            resources.iter().try_for_each(|(resource, counters)| {
                let rows = counters.rows.load(Ordering::Relaxed);
                count(&mut metric.encode_family(&[("resource", *resource)])?, rows)
            })
        })
    }
}
