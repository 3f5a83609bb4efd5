//! The end of a process, step by step: it begins, running calls finish, what still runs is cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Request;

/// How long what a stream waits for may keep a drain waiting.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells a call that the process wants to end. The server's outermost layer puts one into the extensions of every request; a
/// handler whose stream can be long takes it with [`Draining::of`] and ends the stream with UNAVAILABLE, reason DRAINING and a
/// token or offset to go on from. What does not listen is cut off when the drain's bound is reached.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<Signals>);

impl Draining {
    /// That of a request; one that never begins where the request came through no server, as in a test.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Resolves when it begins.
    pub async fn begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// What `work` brings; `None` when the drain has begun and half a second later there is nothing yet. The work goes on then.
    pub async fn or_done<F: Future + Unpin>(&self, work: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = &mut *work => return Some(done),
            () = self.begun() => {}
        }
        tokio::time::timeout(PATIENCE, work).await.ok()
    }
}

/// Both signals of a drain. They are shared and not cloned: every call holds them, and a token is cloned under a lock.
#[derive(Debug, Default)]
struct Signals {
    begun: CancellationToken,
    cut: CancellationToken,
}

/// A drain in the hands of the server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain(Arc<Signals>);

impl Drain {
    /// What the calls are given.
    pub(crate) fn draining(&self) -> Draining {
        Draining(Arc::clone(&self.0))
    }

    /// New calls are refused from here on, running ones go on.
    pub(crate) fn begin(&self) {
        self.0.begun.cancel();
    }

    /// Every call that still runs ends now.
    pub(crate) fn cut(&self) {
        self.0.cut.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Resolves when [`begin`](Self::begin) was called.
    pub(crate) async fn until_begun(self) {
        self.0.begun.cancelled().await;
    }

    /// Resolves when [`cut`](Self::cut) was called.
    pub(crate) async fn until_cut(self) {
        self.0.cut.cancelled().await;
    }
}
