//! The limits of statements, and violations of them.

use std::fmt;
use std::time::Duration;

/// The limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireLimits {
    /// Rows of a result.
    pub(crate) query_rows: u64,
    /// Rows that a statement writes.
    pub(crate) statement_rows: u64,
    /// Bytes of a result's rows on the wire.
    pub(crate) result_bytes: u64,
    /// The age of a transaction since its first statement.
    pub(crate) transaction: Duration,
    /// The age of a statement outside of a transaction.
    pub(crate) statement: Duration,
    /// Whether the connection is closed without an error message, as some servers do.
    pub(crate) silent: bool,
}

impl Default for WireLimits {
    /// The limits of a managed Postgres, which services promise to respect by default.
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

/// The kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    QueryRows,
    StatementRows,
    /// The statement would write an unknown number of rows.
    UnreportedRows,
    ResultBytes,
    TransactionAge,
    StatementAge,
}

impl Limit {
    /// The SQLSTATE for each limit (manual, appendix A): program_limit_exceeded, transaction_timeout, query_canceled.
    pub(super) const fn sqlstate(self) -> &'static str {
        match self {
            Self::QueryRows | Self::StatementRows | Self::UnreportedRows | Self::ResultBytes => "54000",
            Self::TransactionAge => "25P04",
            Self::StatementAge => "57014",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::QueryRows => "rows in a result",
            Self::StatementRows => "rows written by a statement",
            Self::UnreportedRows => "statement that does not tell how many rows it writes",
            Self::ResultBytes => "bytes in a result",
            Self::TransactionAge => "ms in a transaction",
            Self::StatementAge => "ms in a statement",
        }
    }
}

/// An exceeded limit.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) limit: Limit,
    /// The limit in rows, bytes or milliseconds.
    pub(crate) allowed: u64,
    /// The value when the connection was closed.
    pub(crate) seen: u64,
    /// The beginning of the statement.
    pub(crate) statement: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, allowed, seen, statement } = self;
        write!(formatter, "{seen} {} where {allowed} are allowed: {statement}", limit.unit())
    }
}
