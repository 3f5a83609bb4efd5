//! How long a connection means the same session of the server: for as long as it lives, or, behind a transaction pooler, for one
//! transaction. All that differs between the two stands here: what is said at connecting, what a transaction begins with, how a
//! statement is prepared and how one runs alone.

use std::time::Duration;

use futures::FutureExt as _;
use sqlx::postgres::{PgArguments, PgConnectOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor as _, Postgres};

use super::socket::Tuning;
use super::{Lease, Statement};
use crate::config::{DatabasePooler, Limits};
use crate::deadline::Deadline;
use crate::error::Error;

/// How often the server looks whether the connection that it works for is still there: a statement ends that long after its caller
/// left.
const CONNECTION_CHECK: Duration = Duration::from_millis(500);
/// The wait after a pooler first closed a connection; it doubles up to 16 times that.
const POOLER_PAUSE: Duration = Duration::from_millis(5);
/// How many statements a connection keeps prepared. Set in any case: with 0, which a URL can ask for, sqlx 0.9 prepares every statement
/// anew and closes none.
const STATEMENT_CACHE: usize = 100;

/// How long a connection means the same session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// As long as it lives.
    Connection,
    /// For one transaction; the next one may meet another server process, which other clients have used.
    Transaction,
}

impl Session {
    pub(super) fn new(pooler: DatabasePooler) -> Self {
        match pooler {
            DatabasePooler::None => Self::Connection,
            DatabasePooler::Transaction => Self::Transaction,
        }
    }

    /// `options` with all that is said at connecting.
    pub(super) fn connect_options(
        self,
        options: PgConnectOptions,
        limits: &Limits,
        tuning: Tuning,
    ) -> PgConnectOptions {
        let options = options.application_name("orrery").statement_cache_capacity(STATEMENT_CACHE);
        match self {
            // The session's own limit stands for every statement that sets no tighter one.
            Self::Connection => options
                .options([
                    ("statement_timeout", limits.statement_timeout.as_millis().to_string()),
                    // Also in a transaction that has failed: what it had set for itself ended with its failure.
                    ("idle_in_transaction_session_timeout", limits.transaction_timeout.as_millis().to_string()),
                    ("client_connection_check_interval", CONNECTION_CHECK.as_millis().to_string()),
                ])
                // The server gives up a service that vanished as the service gives up the server.
                .options(tuning.of_server()),
            // PgBouncer refuses clients that send what it cannot set for each of them.
            Self::Transaction => options.extra_float_digits(None),
        }
    }

    /// Until when a transaction has to begin, and what its caller is told if it does not. A pooler lets a transaction that begins wait for
    /// one of its sessions: that is where a call waits for a connection, for as long as one may.
    pub(super) fn begins_until(self, deadline: Deadline, acquire_timeout: Duration) -> (Deadline, Error) {
        match self {
            Self::Transaction if deadline.remaining().is_none_or(|left| left > acquire_timeout) => {
                (Deadline::after(acquire_timeout), Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut))
            }
            Self::Connection | Self::Transaction => (deadline, Error::DeadlineExceeded),
        }
    }

    /// How long to wait before the `attempt`th connection is tried, after one was lost; `None` if there is no reason to. A server that is
    /// gone refuses a new connection, which the pool asks for again and again. A pooler accepts it and then closes it at once, for as long
    /// as it takes itself to try the server again.
    pub(super) fn pause_before(self, attempt: u32) -> Option<Duration> {
        match self {
            Self::Connection => None,
            Self::Transaction => Some(POOLER_PAUSE * 2_u32.pow(attempt.saturating_sub(2).min(4))),
        }
    }

    /// How long a reading statement that runs alone may take.
    pub(super) fn longest_reading(self, limits: &Limits) -> Duration {
        match self {
            Self::Connection => limits.statement_timeout,
            Self::Transaction => limits.statement_timeout.min(limits.transaction_timeout),
        }
    }

    /// `begin` with the settings of the transaction, to be sent in one round trip. Statements with array parameters keep one plan, however
    /// long the arrays: for a long one the planner would rather read a whole table.
    pub(super) fn begin(self, begin: &str, bound: Duration) -> String {
        let milliseconds = bound.as_millis().max(1);
        let check = match self {
            Self::Connection => String::new(),
            Self::Transaction => {
                format!("; set local client_connection_check_interval = {}", CONNECTION_CHECK.as_millis())
            }
        };
        format!(
            "{begin}; set local statement_timeout = {milliseconds}; \
             set local idle_in_transaction_session_timeout = {milliseconds}; \
             set local plan_cache_mode = force_generic_plan{check}"
        )
    }

    /// What runs a statement. A name that one transaction gave to a prepared statement is unknown, or another client's, where the next one
    /// runs; there the server forgets each statement at the next.
    pub(super) fn query(self, statement: Statement) -> Query<'static, Postgres, PgArguments> {
        let keep_prepared = statement.keep_prepared && self == Self::Connection;
        sqlx::query_with(AssertSqlSafe(statement.sql), statement.arguments).persistent(keep_prepared)
    }
}

impl Lease {
    /// Gives back what `Route::lease_for_reading` lent. The end of a transaction that only read is sent and not waited for: the pool
    /// reads the answer before anybody else gets the connection.
    pub(super) fn leave_after_reading(mut self) {
        let ended = match (self.session, self.connection()) {
            (Session::Connection, _) => true,
            (Session::Transaction, Ok(connection)) => {
                !matches!(connection.execute("commit").now_or_never(), Some(Err(_)))
            }
            (Session::Transaction, Err(_)) => false,
        };
        if ended {
            self.settle();
        }
    }
}
