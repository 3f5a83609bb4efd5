//! Retries on another connection, when one was lost before anything had happened on it.

use super::{CountGuard, Database, Lease};
use crate::deadline::Deadline;
use crate::error::Error;

/// Attempts at work that needs a live connection. After a restart of the server every idle connection is dead; behind a
/// pooler, each one may have to wait for the server. All attempts after the first may together take as long as the
/// acquire timeout.
pub(super) struct Attempts<'d> {
    database: &'d Database,
    /// The number of attempts, the current one included.
    made: u32,
    /// Until when the current attempt may wait for its connection.
    pub(super) until: Deadline,
    /// Until when the attempts after the first may wait. Slightly before the caller's deadline, so that the caller
    /// still gets the reason.
    together: Deadline,
    /// Whether the current attempt failed without a connection.
    had_no_connection: bool,
    /// Counts this caller as waiting, from the loss of a connection until it has another one.
    without: Option<CountGuard<'d>>,
}

impl Database {
    /// Starts the first attempt at work that must be done by `deadline`.
    pub(super) fn attempts(&self, deadline: Deadline) -> Attempts<'_> {
        let together = Deadline::after(self.pool.options().get_acquire_timeout()).min(deadline.with_margin());
        Attempts { database: self, made: 1, until: deadline, together, had_no_connection: false, without: None }
    }
}

impl Attempts<'_> {
    /// Takes a connection for the current attempt, with `taken`.
    ///
    /// # Errors
    /// Those of `taken`. If no time is left after a loss, [`Error::DatabaseUnavailable`]: there is no connection.
    pub(super) async fn lease(&mut self, taken: impl Future<Output = Result<Lease, Error>>) -> Result<Lease, Error> {
        let lease = taken.await;
        self.had_no_connection = lease.is_err();
        match lease {
            Ok(lease) => {
                self.without = None;
                Ok(lease)
            }
            Err(Error::DeadlineExceeded) if self.made > 1 => Err(no_connection()),
            Err(error) => Err(error),
        }
    }

    /// Waits until the next attempt, after one that failed with `error`.
    ///
    /// # Errors
    /// Without a further attempt: `error`, or, if the attempt was lost before it had a connection to send a statement
    /// on, [`Error::DatabaseUnavailable`]. So nobody takes that for the result of the statement.
    pub(super) async fn retry_after(&mut self, error: Error) -> Result<(), Error> {
        // A connection with an outdated plan is of no use either, and was closed.
        if !error.is_connection_loss() && !matches!(error, Error::PlanOutdated(_)) {
            return Err(error);
        }
        if !self.may_retry().await {
            if !self.had_no_connection {
                return Err(error);
            }
            tracing::debug!(cause = std::error::Error::source(&error), "no live connection");
            return Err(no_connection());
        }
        Ok(())
    }

    async fn may_retry(&mut self) -> bool {
        if self.together.expired() {
            return false;
        }
        self.made += 1;
        self.until = self.together;
        self.without.get_or_insert_with(|| CountGuard::new(&self.database.lost));
        // One attempt for each connection that may have been idle, and one for a new one. A pooler may refuse any
        // number of connections before a statement was sent, but none after it took the statement.
        let pause = self.database.session.retry_pause(self.made);
        if (pause.is_none() || !self.had_no_connection)
            && self.made > self.database.pool.options().get_max_connections() + 1
        {
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
