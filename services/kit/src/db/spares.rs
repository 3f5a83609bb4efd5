//! Connections that pass from one statement to the next without going through the pool.
//!
//! The pool takes a connection back only after the server has answered once more: a round trip and a task for each
//! statement, as much as a short statement itself costs. So a connection that is idle again is kept here for whoever
//! needs one next. The pool gets it back when somebody waits for a connection, and in any case [`KEPT`] after it was
//! taken from the pool, or at most twice that if nobody needed it: what the pool does about connections that are too
//! old, too many or dead is done then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor as _, Postgres};

use super::session::set_timeout;
use crate::metrics::PoolWaits;

/// How long a connection may stay away from the pool.
const KEPT: Duration = Duration::from_secs(1);

/// The connections of one pool that are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Spares {
    state: Arc<Mutex<State>>,
    waits: PoolWaits,
}

#[derive(Debug, Default)]
struct State {
    spares: Vec<Spare>,
    /// Whether a task returns those that nobody needs.
    is_swept: bool,
    is_closed: bool,
}

/// A connection outside of the pool: in use, or idle and kept.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) connection: PoolConnection<Postgres>,
    /// When the pool gave it away.
    pub(super) since: Instant,
    /// When the server has answered last.
    pub(super) answered: Instant,
    /// The session's time limit of a statement, if it is not that of every new session.
    pub(super) timeout: Option<Duration>,
}

impl Spare {
    /// One that the pool gives away now.
    pub(super) fn new(connection: PoolConnection<Postgres>) -> Self {
        let now = Instant::now();
        Self { connection, since: now, answered: now, timeout: None }
    }

    /// Gives it back to the pool, as the pool gave it away.
    fn give_back(mut self) {
        if self.timeout.is_none() {
            return;
        }
        tokio::spawn(async move {
            let reset = self.connection.execute(AssertSqlSafe(set_timeout(None)));
            // The next user would get a time limit of another call. A server that does not answer must not keep the
            // pool's place for the connection.
            if !matches!(tokio::time::timeout(KEPT, reset).await, Ok(Ok(_))) {
                drop(self.connection.detach());
            }
        });
    }
}

impl Spares {
    /// None yet.
    pub(super) fn new(waits: PoolWaits) -> Self {
        Self { state: Arc::default(), waits }
    }

    /// The one that was used last, of those whose time limit suits if there are any.
    pub(super) fn take(&self, suits: impl Fn(Option<Duration>) -> bool) -> Option<Spare> {
        let mut state = locked(&self.state);
        let spare = match state.spares.iter().rposition(|spare| suits(spare.timeout)) {
            Some(at) => Some(state.spares.remove(at)),
            None => state.spares.pop(),
        };
        self.waits.set_kept(state.spares.len());
        spare
    }

    /// Keeps a connection that is idle and outside a transaction, or gives it back to the pool.
    pub(super) fn put(&self, spare: Spare) {
        if spare.since.elapsed() < KEPT && self.waits.waiting() == 0 {
            self.keep(spare);
        } else {
            spare.give_back();
        }
        // Whoever began to wait before the connection was kept is seen here; whoever begins later looks for it first.
        if self.waits.waiting() > 0
            && let Some(spare) = self.take(|_| true)
        {
            spare.give_back();
        }
    }

    fn keep(&self, spare: Spare) {
        let mut state = locked(&self.state);
        if state.is_closed {
            return spare.give_back();
        }
        state.spares.push(spare);
        self.waits.set_kept(state.spares.len());
        if !std::mem::replace(&mut state.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.state), self.waits.clone()));
        }
    }

    /// Gives all back, and keeps none from now on.
    pub(super) fn close(&self) {
        let mut state = locked(&self.state);
        state.is_closed = true;
        state.spares.drain(..).for_each(Spare::give_back);
        self.waits.set_kept(0);
    }
}

/// Gives back what nobody has needed for too long, until there is nothing left.
async fn sweep(state: Weak<Mutex<State>>, waits: PoolWaits) {
    loop {
        tokio::time::sleep(KEPT).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = locked(&state);
        state.spares.extract_if(.., |spare| spare.since.elapsed() >= KEPT).for_each(Spare::give_back);
        waits.set_kept(state.spares.len());
        if state.spares.is_empty() {
            state.is_swept = false;
            return;
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
