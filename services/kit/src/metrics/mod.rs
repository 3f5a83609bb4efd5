//! The metrics of a process, in the text format of OpenMetrics 1.0, which Prometheus reads.
//!
//! A [`Metrics`] belongs to one service; a process with several services has several. Counting during a call is an
//! update of an atomic that was looked up before; labels are only made when the metrics are scraped.

mod admission;
mod cache;
mod connections;
mod database;
mod exposition;
mod histogram;
mod process;
mod rpc;
#[cfg(test)]
mod tests;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

pub(crate) use self::admission::{AdmissionMetrics, CallCounts, CallKind};
pub use self::cache::{CacheMetrics, CacheResult};
pub(crate) use self::connections::{Closed, ConnectionMetrics};
pub(crate) use self::database::PoolWaits;
pub use self::database::{DatabaseMetrics, StatementKind};
use self::exposition::Exposition;
pub(crate) use self::process::resident_bytes;
pub(crate) use self::rpc::{MethodMetrics, RpcMetrics};
pub use self::writes::{WriteCounters, WriteMetrics};
use crate::build_info::{COMPILER, PASSES, VERSION};

/// The metrics of one service. Cheap to clone; all clones share the same counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Calls, by method and code.
    pub(crate) rpc: RpcMetrics,
    /// Open calls, and the bounds on them.
    pub(crate) admission: AdmissionMetrics,
    /// Connections of callers.
    pub(crate) connections: ConnectionMetrics,
    /// Statements and connection pools.
    pub database: DatabaseMetrics,
    /// Acknowledged chunks and rows of chunked writes.
    pub writes: WriteMetrics,
    /// The query cache.
    pub cache: CacheMetrics,
    state: State,
    registry: Arc<Registry>,
}

impl Default for Metrics {
    /// The metrics of a service without methods, for code outside of a server.
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Metrics {
    /// All zero, for a process that serves `service_names` (in full: `orrery.catalog.v1.CatalogService`), health and
    /// reflection. Calls of other methods are counted as `unknown`.
    pub fn new(service_names: &[&str]) -> Self {
        let (rpc, database, writes) = (RpcMetrics::new(service_names), DatabaseMetrics::new(), WriteMetrics::default());
        let (admission, cache, state) = (AdmissionMetrics::new(), CacheMetrics::default(), State::default());
        let connections = ConnectionMetrics::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(state.clone()));
        registry.register_collector(Box::new(rpc.clone()));
        registry.register_collector(Box::new(admission.clone()));
        registry.register_collector(Box::new(connections.clone()));
        registry.register_collector(Box::new(database.clone()));
        registry.register_collector(Box::new(writes.clone()));
        registry.register_collector(Box::new(cache.clone()));
        registry.register_collector(Box::new(process::ProcessCollector));
        Self { rpc, admission, connections, database, writes, cache, state, registry: Arc::new(registry) }
    }

    /// Notes that the process drains.
    pub(crate) fn set_draining(&self) {
        self.state.draining.store(true, Ordering::Relaxed);
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Writing to a string does not fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The version and the state of the process.
#[derive(Clone, Debug, Default)]
struct State {
    draining: Arc<AtomicBool>,
}

impl Collector for State {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut exposition = Exposition(encoder);
        // A gauge with the value 1, not an info: parsers of the older text format do not know that type.
        exposition.gauge("orrery_build_info", "The version that runs and its compiler; the value is 1.", |metric| {
            let labels = [("version", VERSION), ("compiler", COMPILER), ("passes", PASSES)];
            metric.encode_family(&labels)?.encode_gauge(&1i64)
        })?;
        let draining = i64::from(self.draining.load(Ordering::Relaxed));
        exposition
            .gauge("orrery_draining", "1 while the process drains, else 0.", |metric| metric.encode_gauge(&draining))
    }
}
