//! The drain of a process: it begins, running calls finish, and calls that still run at its end are aborted.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Request;

use crate::error::Error;

/// How long a drain waits for work that a stream is waiting for.
const GRACE_PERIOD: Duration = Duration::from_millis(500);

/// Tells a call that the process is shutting down. The outermost layer of the server puts it into the extensions of
/// every request. A handler of a long stream takes it with [`Draining::of`] and ends the stream with UNAVAILABLE,
/// reason DRAINING, and a token or offset to continue from. Calls that ignore it are aborted at the drain timeout.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<Signals>);

impl Draining {
    /// The drain signal of a request. It never fires for a request that came through no server, as in a test.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Resolves when the drain begins.
    pub async fn begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// Waits for `work`. Returns `None` if the drain has begun and `work` is not done half a second later; `work`
    /// itself is not cancelled.
    pub async fn unless_draining<F: Future + Unpin>(&self, work: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = &mut *work => return Some(done),
            () = self.begun() => {}
        }
        tokio::time::timeout(GRACE_PERIOD, work).await.ok()
    }

    /// What a step of a stream returns, or gives it up as [`unless_draining`](Self::unless_draining) says. For steps
    /// that may be dropped at any point.
    ///
    /// # Errors
    /// [`Error::Draining`] if it was given up; its own errors.
    pub async fn step<T>(&self, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.unless_draining(&mut pin!(step)).await.unwrap_or(Err(Error::Draining))
    }
}

/// The two signals of a drain. They are shared, not cloned: every call holds them, and cloning a token takes a lock.
#[derive(Debug, Default)]
struct Signals {
    begun: CancellationToken,
    aborted: CancellationToken,
}

/// The server's side of a drain. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain(Arc<Signals>);

impl Drain {
    /// The signal for calls.
    pub(crate) fn draining(&self) -> Draining {
        Draining(Arc::clone(&self.0))
    }

    /// Begins the drain: new calls are refused, running ones continue.
    pub(crate) fn begin(&self) {
        self.0.begun.cancel();
    }

    /// Aborts every call that is still running.
    pub(crate) fn abort(&self) {
        self.0.aborted.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Resolves when [`begin`](Self::begin) was called.
    pub(crate) async fn until_begun(self) {
        self.0.begun.cancelled().await;
    }

    /// Resolves when [`abort`](Self::abort) was called.
    pub(crate) async fn until_aborted(self) {
        self.0.aborted.cancelled().await;
    }
}
