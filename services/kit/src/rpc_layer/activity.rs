//! The activity of a connection: when it was opened, whether it has spoken HTTP/2, how many calls are open, and when
//! the last one ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The activity of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Whether it has spoken HTTP/2.
    has_begun: AtomicBool,
    /// Open calls.
    calls: AtomicUsize,
    /// When the last call ended, in milliseconds since the connection was opened.
    last_call: AtomicU64,
}

/// An open call of a connection. Dropped when the call ends.
#[derive(Debug)]
pub(crate) struct OpenCall(Arc<Activity>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.note();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Activity {
    /// The activity of a connection that is opened now.
    pub(super) fn new() -> Self {
        let (calls, last_call) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { opened: Instant::now(), has_begun: AtomicBool::new(false), calls, last_call }
    }

    /// Counts a call.
    pub(crate) fn open_call(self: &Arc<Self>) -> OpenCall {
        self.calls.fetch_add(1, Ordering::AcqRel);
        OpenCall(Arc::clone(self))
    }

    /// Notes that the client has spoken HTTP/2.
    pub(crate) fn begin(&self) {
        self.note();
        self.has_begun.store(true, Ordering::Release);
    }

    /// Whether the client has spoken HTTP/2.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// The time since the connection was opened.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The time since the last call ended; `None` while a call is open.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let last = Duration::from_millis(self.last_call.load(Ordering::Relaxed));
        (self.calls.load(Ordering::Acquire) == 0).then(|| self.age().saturating_sub(last))
    }

    fn note(&self) {
        let now = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.last_call.store(now, Ordering::Relaxed);
    }
}
