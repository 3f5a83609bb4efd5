//! Metrics of statements and of connection pools.

use std::fmt::{self, Error};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use sqlx::PgPool;

use super::exposition::Exposition;
use super::histogram::{BYTES, DURATIONS, Histogram, ONES, ROWS, SECONDS};

/// The kind of a statement, for its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// A `select` whose whole result is read.
    Read,
    /// `copy (select ...) to stdout`.
    CopyOut,
    /// An `insert`, `update` or `delete`.
    Write,
    /// `copy ... from stdin`.
    CopyIn,
}

const KINDS: [(StatementKind, &str); 4] = [
    (StatementKind::Read, "read"),
    (StatementKind::CopyOut, "copy_out"),
    (StatementKind::Write, "write"),
    (StatementKind::CopyIn, "copy_in"),
];

/// Metrics of statements and of connection pools. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    statements: [StatementMetrics; KINDS.len()],
    pools: Mutex<Vec<ObservedPool>>,
}

#[derive(Debug)]
struct StatementMetrics {
    rows: Histogram,
    bytes: Histogram,
    time: Histogram,
}

/// A pool whose state is read at each scrape.
struct ObservedPool {
    name: &'static str,
    pool: PgPool,
    waits: PoolWaits,
}

impl fmt::Debug for ObservedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Counts the callers that wait for a connection of one pool. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PoolWaits(Arc<Waits>);

#[derive(Debug)]
struct Waits {
    waiting: AtomicI64,
    /// Idle connections that are not in the pool.
    kept: AtomicUsize,
    time: Histogram,
}

/// One waiting caller, until it is dropped.
pub(crate) struct PoolWait<'w> {
    waits: &'w Waits,
    since: Instant,
}

impl PoolWaits {
    /// Counts a caller that waits from now on.
    pub(crate) fn begin(&self) -> PoolWait<'_> {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        PoolWait { waits: &self.0, since: Instant::now() }
    }

    /// The number of callers that wait.
    pub(crate) fn waiting(&self) -> i64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Sets the number of idle connections outside of the pool.
    pub(crate) fn set_kept(&self, connections: usize) {
        self.0.kept.store(connections, Ordering::Relaxed);
    }
}

impl Drop for PoolWait<'_> {
    fn drop(&mut self) {
        self.waits.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waits.time.observe_duration(self.since.elapsed());
    }
}

impl DatabaseMetrics {
    pub(super) fn new() -> Self {
        let statements = std::array::from_fn(|_| StatementMetrics {
            rows: Histogram::new(ROWS),
            bytes: Histogram::new(BYTES),
            time: Histogram::new(DURATIONS),
        });
        Self(Arc::new(Inner { statements, pools: Mutex::default() }))
    }

    /// Counts a statement that succeeded, and the rows and bytes that it moved.
    pub(crate) fn statement(&self, kind: StatementKind, rows: u64, bytes: u64, took: Duration) {
        let [read, copy_out, write, copy_in] = &self.0.statements;
        let statement = match kind {
            StatementKind::Read => read,
            StatementKind::CopyOut => copy_out,
            StatementKind::Write => write,
            StatementKind::CopyIn => copy_in,
        };
        statement.rows.observe(rows);
        statement.bytes.observe(bytes);
        statement.time.observe_duration(took);
    }

    /// Exposes the state of `pool` under the label `name` from now on: `primary`, `replica`.
    pub(crate) fn pool(&self, name: &'static str, pool: &PgPool) -> PoolWaits {
        let (waiting, kept) = (AtomicI64::new(0), AtomicUsize::new(0));
        let waits = PoolWaits(Arc::new(Waits { waiting, kept, time: Histogram::new(DURATIONS) }));
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(ObservedPool { name, pool: pool.clone(), waits: waits.clone() });
        waits
    }
}

impl Collector for DatabaseMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut exposition = Exposition(encoder);
        let statements = || KINDS.iter().map(|(_, name)| [("kind", *name)]).zip(&self.0.statements);
        exposition.histogram("orrery_db_statement_rows", "Rows that a statement read or wrote.", |metric| {
            statements()
                .try_for_each(|(labels, statement)| statement.rows.encode(&mut metric.encode_family(&labels)?, ONES))
        })?;
        exposition.histogram("orrery_db_statement_bytes", "Bytes of those rows.", |metric| {
            statements()
                .try_for_each(|(labels, statement)| statement.bytes.encode(&mut metric.encode_family(&labels)?, ONES))
        })?;
        exposition.histogram("orrery_db_statement_seconds", "Time of a statement, its result included.", |metric| {
            statements()
                .try_for_each(|(labels, statement)| statement.time.encode(&mut metric.encode_family(&labels)?, SECONDS))
        })?;
        let pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        exposition.gauge("orrery_db_pool_connections", "Connections of a pool, by what they do.", |metric| {
            for ObservedPool { name, pool, waits } in &*pools {
                let idle = (pool.num_idle() + waits.0.kept.load(Ordering::Relaxed)) as i64;
                // The numbers are not read at the same moment.
                let in_use = (i64::from(pool.size()) - idle).max(0);
                for (state, connections) in [("in_use", in_use), ("idle", idle)] {
                    metric.encode_family(&[("pool", *name), ("state", state)])?.encode_gauge(&connections)?;
                }
            }
            Ok(())
        })?;
        exposition.gauge("orrery_db_pool_max", "Most connections that a pool opens.", |metric| {
            pools.iter().try_for_each(|pool| {
                let most = i64::from(pool.pool.options().get_max_connections());
                metric.encode_family(&[("pool", pool.name)])?.encode_gauge(&most)
            })
        })?;
        exposition.gauge("orrery_db_pool_waiting", "Callers that wait for a connection.", |metric| {
            pools
                .iter()
                .try_for_each(|pool| metric.encode_family(&[("pool", pool.name)])?.encode_gauge(&pool.waits.waiting()))
        })?;
        exposition.histogram("orrery_db_pool_wait_seconds", "Time that callers waited for one.", |metric| {
            pools.iter().try_for_each(|pool| {
                pool.waits.0.time.encode(&mut metric.encode_family(&[("pool", pool.name)])?, SECONDS)
            })
        })
    }
}
