//! What no statement may exceed, and what one looks like that did.

use std::fmt;
use std::time::Duration;

/// What is still allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireLimits {
    /// Rows of one result.
    pub(crate) query_rows: u64,
    /// Rows that one statement writes.
    pub(crate) statement_rows: u64,
    /// Bytes of the rows of one result, as they are sent.
    pub(crate) result_bytes: u64,
    /// Age of a transaction, from its first statement on.
    pub(crate) transaction: Duration,
    /// Age of a statement outside a transaction.
    pub(crate) statement: Duration,
    /// Whether the connection is broken without a word, as some servers do.
    pub(crate) silent: bool,
}

impl Default for WireLimits {
    /// Those of a managed Postgres: the budgets that the services promise to keep unless told otherwise.
    fn default() -> Self {
        Self {
            query_rows: 100_000,
            statement_rows: 100_000,
            result_bytes: 64 << 20,
            transaction: Duration::from_secs(20),
            statement: Duration::from_secs(900),
            silent: false,
        }
    }
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    QueryRows,
    StatementRows,
    /// Of a statement that would write rows, and nobody would learn how many.
    UntoldRows,
    ResultBytes,
    TransactionAge,
    StatementAge,
}

impl Limit {
    /// What the server says when it is passed (manual, appendix A): program_limit_exceeded, transaction_timeout, query_canceled.
    pub(super) const fn sqlstate(self) -> &'static str {
        match self {
            Self::QueryRows | Self::StatementRows | Self::UntoldRows | Self::ResultBytes => "54000",
            Self::TransactionAge => "25P04",
            Self::StatementAge => "57014",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::QueryRows => "rows in a result",
            Self::StatementRows => "rows written by a statement",
            Self::UntoldRows => "statement that does not tell how many rows it writes",
            Self::ResultBytes => "bytes in a result",
            Self::TransactionAge => "ms in a transaction",
            Self::StatementAge => "ms in a statement",
        }
    }
}

/// A limit that was passed.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) limit: Limit,
    /// What would still have been allowed: rows, bytes or milliseconds.
    pub(crate) allowed: u64,
    /// What was seen when the connection was broken.
    pub(crate) seen: u64,
    /// The statement, or its beginning.
    pub(crate) statement: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, allowed, seen, statement } = self;
        write!(formatter, "{seen} {} where {allowed} are allowed: {statement}", limit.unit())
    }
}
