//! The connections of a process: how many there may be, what each may hold, and which one is closed when there are too
//! many.
//!
//! A connection takes memory and a file descriptor, and the database needs descriptors as well. So there is a bound on
//! all connections, and one on those from one address. Beyond a bound, a new connection replaces one that has not
//! spoken HTTP/2 yet, or else the one that has been idle for the longest. If all connections have calls, the new one is
//! closed. A gRPC client connects again when it needs to.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::memory;
use crate::config::ServerConfig;
use crate::metrics::{Closed, ConnectionMetrics};
use crate::rpc_layer::admission::Admission;
use crate::rpc_layer::connection::Connection;

/// How often to look for answers that are not taken, and for memory to give back.
const LOOK: Duration = Duration::from_millis(500);
/// A connection counts as in use for this long after its last call.
const LEAST_IDLE: Duration = Duration::from_secs(1);
/// A client that still has not taken this many dropped answers takes none, and its connection is closed.
const MOST_STUCK: usize = 64;

/// All connections of a server.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    open: Mutex<FxHashMap<u64, Connection>>,
    next: AtomicU64,
    most: usize,
    most_of_address: usize,
    least_idle: Duration,
    transfer_time: Duration,
    admission: Admission,
    metrics: ConnectionMetrics,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    id: u64,
    /// The connection.
    pub(super) info: Connection,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(&self.id);
        self.connections.0.metrics.set_open(open.len());
    }
}

impl Connections {
    /// No connections yet, and at most
    pub(super) fn new(config: &ServerConfig, most: usize, admission: Admission, metrics: ConnectionMetrics) -> Self {
        let most_of_address = config.max_connections_per_address.unwrap_or(most.div_ceil(2)).min(most);
        metrics.set_bound(most);
        Self(Arc::new(Shared {
            open: Mutex::default(),
            next: AtomicU64::new(0),
            most,
            most_of_address,
            least_idle: LEAST_IDLE,
            transfer_time: config.transfer_timeout,
            admission,
            metrics,
        }))
    }

    /// A place for a new connection; `None` if it must be closed because all others have calls.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let address = owner(address);
        let mut open = self.open();
        let of_address = |info: &Connection| info.owner() == Some(address);
        let too_many_of_address = open.len() >= self.0.most_of_address
            && open.values().filter(|info| of_address(info)).count() >= self.0.most_of_address;
        if too_many_of_address || open.len() >= self.0.most {
            let candidates = open.iter().filter(|(_, info)| !too_many_of_address || of_address(info));
            let Some(id) = most_dispensable(candidates, self.0.least_idle) else {
                self.0.metrics.refuse();
                tracing::warn!(
                    %address,
                    open = open.len(),
                    "a connection was closed at once: the bound is reached, and all others have calls",
                );
                return None;
            };
            if let Some(evicted) = open.remove(&id) {
                let why = if evicted.activity().has_begun() { Closed::Idle } else { Closed::Silent };
                self.closed(why, "to make room for a new one");
                evicted.has_to_go().cancel();
            }
        }
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let info = Connection::new(&self.0.admission, Some(address));
        open.insert(id, info.clone());
        self.0.metrics.set_open(open.len());
        Some(Place { connections: self.clone(), id, info })
    }

    /// Counts a connection that the service closes.
    pub(super) fn closed(&self, why: Closed, reason: &'static str) {
        self.0.metrics.close(why);
        tracing::warn!(why = why.name(), reason, "a connection was closed");
    }

    /// Drops answers that their callers do not take, closes connections that take none, and gives memory back. Runs
    /// until it is dropped.
    pub(super) async fn look_after(&self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let open: Vec<Connection> = self.open().values().cloned().collect();
            for info in open {
                let patience = info.share().bytes().transfer_timeout(self.0.transfer_time);
                if info.unsent().drop_older_than(patience) >= MOST_STUCK && !info.has_to_go().is_cancelled() {
                    self.closed(Closed::Stuck, "its client does not take answers");
                    info.has_to_go().cancel();
                }
            }
            // It may wait for locks of the allocator.
            let _looked = tokio::task::spawn_blocking(memory::look).await;
        }
    }

    fn open(&self) -> MutexGuard<'_, FxHashMap<u64, Connection>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// All connections of the server.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }
}

/// The connection to close: the oldest one that has not spoken HTTP/2, or else the one that has been idle for the
/// longest and for at least `least_idle`. `None` if all are in use.
fn most_dispensable<'c>(
    candidates: impl Iterator<Item = (&'c u64, &'c Connection)>,
    least_idle: Duration,
) -> Option<u64> {
    let rank = |info: &Connection| {
        if info.activity().has_begun() {
            let idle = info.activity().idle().filter(|idle| *idle >= least_idle);
            idle.map(|idle| (false, idle))
        } else {
            Some((true, info.activity().age()))
        }
    };
    candidates.filter_map(|(id, info)| Some((rank(info)?, std::cmp::Reverse(*id)))).max().map(|(_, id)| id.0)
}

/// The owner of an address. An IPv6 subscriber has a whole network of 64 bits (RFC 6177), which counts as one.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::{Configuration as _, ServiceConfig};
    use crate::metrics::Metrics;

    fn connections(most: usize, of_address: usize, least_idle: Duration) -> Connections {
        let mut config = ServiceConfig::for_database("postgres://nobody@localhost/nothing").unwrap();
        config.server.max_connections_per_address = Some(of_address);
        let metrics = Metrics::default();
        let admission = Admission::new(&config, &metrics);
        let mut connections = Connections::new(&config.server, most, admission, metrics.connections);
        Arc::get_mut(&mut connections.0).unwrap().least_idle = least_idle;
        connections
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn silent_ones_go_first_then_idle_ones_and_never_those_with_calls() {
        let connections = connections(3, 3, Duration::ZERO);
        let silent = connections.admit(address(1)).unwrap();
        let idle = connections.admit(address(2)).unwrap();
        idle.info.activity().begin();
        let busy = connections.admit(address(3)).unwrap();
        busy.info.activity().begin();
        let call = busy.info.activity().open_call();
        let fourth = connections.admit(address(4)).unwrap();
        assert!(silent.info.has_to_go().is_cancelled());
        fourth.info.activity().begin();
        let _call = fourth.info.activity().open_call();
        let fifth = connections.admit(address(5)).unwrap();
        assert!(idle.info.has_to_go().is_cancelled());
        fifth.info.activity().begin();
        let _another = fifth.info.activity().open_call();
        assert!(connections.admit(address(6)).is_none());
        drop(call);
        assert!(connections.admit(address(6)).is_some());
        assert!(busy.info.has_to_go().is_cancelled());
        assert!(!fourth.info.has_to_go().is_cancelled() && !fifth.info.has_to_go().is_cancelled());
        drop((silent, idle, busy, fourth, fifth));
        assert_eq!(connections.open().len(), 0);
    }

    #[test]
    fn who_has_just_had_a_call_is_in_use() {
        let connections = connections(1, 1, LEAST_IDLE);
        let one = connections.admit(address(1)).unwrap();
        one.info.activity().begin();
        drop(one.info.activity().open_call());
        assert!(connections.admit(address(2)).is_none() && !one.info.has_to_go().is_cancelled());
    }

    #[test]
    fn one_address_makes_room_for_itself_only() {
        let connections = connections(10, 2, Duration::ZERO);
        let other = connections.admit(address(9)).unwrap();
        let first = connections.admit(address(1)).unwrap();
        let second = connections.admit(address(1)).unwrap();
        let third = connections.admit(address(1)).unwrap();
        assert!(first.info.has_to_go().is_cancelled());
        assert!(![&other, &second, &third].iter().any(|place| place.info.has_to_go().is_cancelled()));
    }

    #[test]
    fn a_subscribers_addresses_are_one() {
        let parse = |text: &str| owner(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3::4"), parse("2001:db8:1:2:ffff::1"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), address(1));
        assert_ne!(parse("10.0.0.1"), parse("10.0.0.2"));
    }
}
