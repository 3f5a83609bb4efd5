//! What a connection has to do: since when it is there, whether it has spoken HTTP/2, how many calls are under way, and
//! when the last one was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// That of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Whether it has spoken HTTP/2.
    has_begun: AtomicBool,
    /// Calls under way.
    calls: AtomicUsize,
    /// When it had its last call, in milliseconds since it was opened.
    last_call: AtomicU64,
}

/// A call of a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenCall(Arc<Activity>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.note();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Activity {
    /// That of a connection which was opened now.
    pub(super) fn new() -> Self {
        let (calls, last_call) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { opened: Instant::now(), has_begun: AtomicBool::new(false), calls, last_call }
    }

    /// Counts a call.
    pub(crate) fn open_call(self: &Arc<Self>) -> OpenCall {
        self.calls.fetch_add(1, Ordering::AcqRel);
        OpenCall(Arc::clone(self))
    }

    /// It has spoken HTTP/2.
    pub(crate) fn begin(&self) {
        self.note();
        self.has_begun.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// For how long it has been there.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// For how long it has had no call, if it has none.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let last = Duration::from_millis(self.last_call.load(Ordering::Relaxed));
        (self.calls.load(Ordering::Acquire) == 0).then(|| self.age().saturating_sub(last))
    }

    fn note(&self) {
        let now = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.last_call.store(now, Ordering::Relaxed);
    }
}
