//! Another connection for one that was lost before anything had happened on it.

use super::{Database, Lease, Waiting};
use crate::deadline::Deadline;
use crate::error::Error;

/// Attempts at something that needs a connection which lives. After a restart of the server every idle one is dead; behind a pooler every
/// one may have to wait for the server. All attempts after the first may together take as long as the wait for a connection may.
pub(super) struct Attempts<'d> {
    database: &'d Database,
    /// How many there were, the present one included.
    made: u32,
    /// Until when the present one may wait for its connection.
    pub(super) until: Deadline,
    /// Until when those after the first may: a moment before the caller's deadline, so that it is told why.
    together: Deadline,
    /// Whether the present one has ended without a connection.
    had_none: bool,
    /// From a loss until there is another connection.
    without: Option<Waiting<'d>>,
}

impl Database {
    /// Attempts at work that has to be done by `deadline`. The first one begins.
    pub(super) fn attempts(&self, deadline: Deadline) -> Attempts<'_> {
        let together = Deadline::after(self.pool.options().get_acquire_timeout()).min(deadline.shortly_before());
        Attempts { database: self, made: 1, until: deadline, together, had_none: false, without: None }
    }
}

impl Attempts<'_> {
    /// What `taken` takes for the present attempt.
    ///
    /// # Errors
    /// Those of `taken`. Where it has no time left after a loss, that there is no connection.
    pub(super) async fn lease(&mut self, taken: impl Future<Output = Result<Lease, Error>>) -> Result<Lease, Error> {
        let lease = taken.await;
        self.had_none = lease.is_err();
        match lease {
            Ok(lease) => {
                self.without = None;
                Ok(lease)
            }
            Err(Error::DeadlineExceeded) if self.made > 1 => Err(no_connection()),
            Err(error) => Err(error),
        }
    }

    /// Resolves when another attempt is to begin after one that ended by `error`.
    ///
    /// # Errors
    /// What the caller is told if none follows: `error`; or, if it was lost before there was a connection that a statement could be sent
    /// on, that there is none. Nobody must take that for what the statement did.
    pub(super) async fn go_on(&mut self, error: Error) -> Result<(), Error> {
        // With an outdated plan the connection is of no use either, and was closed.
        if !error.is_connection_loss() && !matches!(error, Error::PlanOutdated(_)) {
            return Err(error);
        }
        if !self.may_go_on().await {
            if !self.had_none {
                return Err(error);
            }
            tracing::debug!(cause = std::error::Error::source(&error), "no connection lives");
            return Err(no_connection());
        }
        Ok(())
    }

    async fn may_go_on(&mut self) -> bool {
        if self.together.expired() {
            return false;
        }
        self.made += 1;
        self.until = self.together;
        self.without.get_or_insert_with(|| Waiting::new(&self.database.lost));
        // As many as were idle, and a new one. A pooler may refuse any number of them; one that took the statement has not.
        let pause = self.database.session.pause_before(self.made);
        if (pause.is_none() || !self.had_none) && self.made > self.database.pool.options().get_max_connections() + 1 {
            return false;
        }
        let Some(pause) = pause else { return true };
        if self.together.remaining().is_some_and(|left| left <= pause) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

fn no_connection() -> Error {
    Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut)
}
