//! How long a connection keeps the same server session: for its whole life, or, behind a transaction pooler, for one
//! transaction. Everything that differs between the two is here: settings at connect time, the beginning of a
//! transaction, prepared statements, and single statements.

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

/// How often the server checks whether its client is still connected: a statement ends at most this long after its
/// client left.
const CONNECTION_CHECK: Duration = Duration::from_millis(500);
/// The pause after a pooler first closed a connection. It doubles up to 16 times this.
const POOLER_PAUSE: Duration = Duration::from_millis(5);
/// How many statements a connection keeps prepared. It is always set: with 0, which a URL can ask for, sqlx 0.9
/// prepares every statement again and never closes one.
const STATEMENT_CACHE: usize = 100;

/// Statements with array parameters keep a generic plan for arrays of every length: for a long array, the planner would
/// otherwise scan the whole table. A sharded database refuses generic plans.
const PLAN_CACHE_MODE: &str = "plan_cache_mode";
const FORCE_GENERIC_PLAN: &str = "force_generic_plan";

/// How long a connection keeps the same server session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionScope {
    /// For the life of the connection.
    Connection,
    /// For one transaction. The next one may run in another server process, which other clients have used.
    Transaction,
}

impl SessionScope {
    pub(super) fn new(pooler: DatabasePooler) -> Self {
        match pooler {
            DatabasePooler::None => Self::Connection,
            DatabasePooler::Transaction => Self::Transaction,
        }
    }

    /// Adds the settings that are made when connecting.
    pub(super) fn connect_options(
        self,
        options: PgConnectOptions,
        limits: &Limits,
        tuning: Tuning,
    ) -> PgConnectOptions {
        let options = options.application_name("orrery").statement_cache_capacity(STATEMENT_CACHE);
        match self {
            // The limit of every statement for which no other one is set.
            Self::Connection => options
                .options([
                    ("statement_timeout", limits.statement_timeout.as_millis().to_string()),
                    // This also applies in a failed transaction, whose own settings ended with the failure.
                    ("idle_in_transaction_session_timeout", limits.transaction_timeout.as_millis().to_string()),
                    ("client_connection_check_interval", CONNECTION_CHECK.as_millis().to_string()),
                    (PLAN_CACHE_MODE, FORCE_GENERIC_PLAN.to_owned()),
                ])
                // The server detects a lost service just as the service detects a lost server.
                .options(tuning.of_server()),
            // PgBouncer refuses clients that send settings which it cannot track.
            Self::Transaction => options.extra_float_digits(None),
        }
    }

    /// Until when a transaction must begin, and the error if it does not. Behind a pooler, the first statement of a
    /// transaction waits for a server session. That is the wait for a connection, so the acquire timeout applies.
    pub(super) fn begin_deadline(self, deadline: Deadline, acquire_timeout: Duration) -> (Deadline, Error) {
        match self {
            Self::Transaction if deadline.remaining().is_none_or(|left| left > acquire_timeout) => {
                (Deadline::after(acquire_timeout), Error::DatabaseUnavailable(sqlx::Error::PoolTimedOut))
            }
            Self::Connection | Self::Transaction => (deadline, Error::DeadlineExceeded),
        }
    }

    /// The pause before the given attempt at a connection, after one was lost; `None` for no pause. A server that is
    /// gone refuses connections, and the pool itself retries. A pooler accepts a connection and closes it at once,
    /// until it tries the server again.
    pub(super) fn retry_pause(self, attempt: u32) -> Option<Duration> {
        match self {
            Self::Connection => None,
            Self::Transaction => Some(POOLER_PAUSE * 2_u32.pow(attempt.saturating_sub(2).min(4))),
        }
    }

    /// The time limit that a session needs for a single statement that may run for `bound`; `None` for that of every
    /// new session. It is up to an eighth longer: calls with the same deadline have slightly different times left, and
    /// need not set it again.
    pub(super) fn timeout(bound: Duration, limits: &Limits) -> Option<Duration> {
        let milliseconds = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 40);
        let step = (milliseconds.next_power_of_two() / 16).max(1);
        let timeout = Duration::from_millis(milliseconds.div_ceil(step) * step);
        (timeout < limits.statement_timeout).then_some(timeout)
    }

    /// The limit of a single reading statement.
    pub(super) fn read_timeout(self, limits: &Limits) -> Duration {
        match self {
            Self::Connection => limits.statement_timeout,
            Self::Transaction => limits.statement_timeout.min(limits.transaction_timeout),
        }
    }

    /// `begin` with the settings of the transaction, for one round trip: those that differ from the session's.
    pub(super) fn begin(self, begin: &str, bound: Duration, limits: &Limits, sharded: bool) -> String {
        let milliseconds = bound.as_millis().max(1);
        let begin = format!("{begin}; set local statement_timeout = {milliseconds}");
        let idle = format!("; set local idle_in_transaction_session_timeout = {milliseconds}");
        match self {
            Self::Connection if bound >= limits.transaction_timeout => begin,
            Self::Connection => begin + &idle,
            Self::Transaction => {
                let check = CONNECTION_CHECK.as_millis();
                let begin = format!("{begin}{idle}; set local client_connection_check_interval = {check}");
                if sharded { begin } else { format!("{begin}; set local {PLAN_CACHE_MODE} = {FORCE_GENERIC_PLAN}") }
            }
        }
    }

    /// The query that runs a statement. Behind a pooler the next transaction may run in another session, where the name
    /// of a prepared statement is unknown or belongs to another client. So none is kept there.
    pub(super) fn query(self, statement: Statement) -> Query<'static, Postgres, PgArguments> {
        let keep_prepared = statement.keep_prepared && self == Self::Connection;
        sqlx::query_with(AssertSqlSafe(statement.sql), statement.arguments).persistent(keep_prepared)
    }
}

/// Sets the time limit of a session, or that of every new session again.
pub(super) fn set_timeout(timeout: Option<Duration>) -> String {
    match timeout {
        Some(timeout) => format!("set statement_timeout = {}", timeout.as_millis()),
        None => "reset statement_timeout".to_owned(),
    }
}

impl Lease {
    /// Gives back the connection from `Route::lease_for_read`. The end of a read-only transaction is sent without
    /// waiting for the answer: the pool reads it before anybody else gets the connection.
    pub(super) fn release_after_read(mut self) {
        let ended = match (self.session, self.connection()) {
            (SessionScope::Connection, _) => true,
            (SessionScope::Transaction, Ok(connection)) => {
                !matches!(connection.execute("commit").now_or_never(), Some(Err(_)))
            }
            (SessionScope::Transaction, Err(_)) => false,
        };
        if ended {
            self.mark_clean();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_s_time_limit_is_the_bound_or_up_to_an_eighth_more() {
        let most = Duration::from_secs(30);
        let limits = Limits {
            max_query_rows: 1,
            max_statement_rows: 1,
            max_result_bytes: 1,
            transaction_timeout: most,
            statement_timeout: most,
        };
        for milliseconds in (0..200).chain((200..40_000).step_by(7)) {
            let bound = Duration::from_millis(milliseconds);
            match SessionScope::timeout(bound, &limits) {
                Some(timeout) => {
                    assert!(timeout >= bound && timeout < most, "{bound:?}: {timeout:?}");
                    assert!(timeout <= bound.max(Duration::from_millis(1)) * 9 / 8, "{bound:?}: {timeout:?}");
                }
                None => assert!(bound * 9 / 8 >= most, "{bound:?}"),
            }
        }
        // Calls with a deadline of 5 seconds have the same limit.
        let timeouts = [4_990, 4_995, 5_000].map(|bound| SessionScope::timeout(Duration::from_millis(bound), &limits));
        assert_eq!(timeouts, [Some(Duration::from_millis(5_120)); 3]);
        assert_eq!(SessionScope::timeout(Duration::MAX, &limits), None);
    }
}
