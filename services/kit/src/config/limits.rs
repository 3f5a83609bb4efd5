//! The limits of every statement.

use std::time::Duration;

use clap::Args;

use super::ConfigError;
use super::checks::{at_least, timeout};
use super::units::{parse_bytes, parse_duration};

/// The limits of every statement, whichever RPC or procedure runs it. The defaults are those of a managed Postgres;
/// lower them if yours allows less.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Maximum number of rows that one query returns.
    ///
    /// Larger reads are split into pages. Lower it if the database server refuses results of that many rows.
    #[arg(long, value_name = "ROWS", env = "ORRERY_MAX_QUERY_ROWS", default_value_t = 100_000)]
    pub max_query_rows: usize,

    /// Maximum number of rows that one statement writes, in all tables together.
    ///
    /// Larger writes are split into several statements. Lower it if the database server refuses statements of that many
    /// rows.
    #[arg(long, value_name = "ROWS", env = "ORRERY_MAX_STATEMENT_ROWS", default_value_t = 100_000)]
    pub max_statement_rows: usize,

    /// Maximum size of the result of one query.
    ///
    /// A larger page is halved and read again; a single row that does not fit fails with RESOURCE_EXHAUSTED.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_MAX_RESULT_BYTES",
        default_value = "64MiB",
        value_parser = parse_bytes
    )]
    pub max_result_bytes: usize,

    /// Maximum duration of a transaction.
    ///
    /// A single statement that writes counts as a transaction. The database enforces the limit too, even if this
    /// process does not.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_TRANSACTION_TIMEOUT",
        default_value = "20s",
        value_parser = parse_duration
    )]
    pub transaction_timeout: Duration,

    /// Maximum duration of a read outside a transaction.
    ///
    /// A shorter deadline of the caller takes precedence. Lower it to protect the database from slow filters.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_STATEMENT_TIMEOUT",
        default_value = "900s",
        value_parser = parse_duration
    )]
    pub statement_timeout: Duration,
}

impl Limits {
    /// Refuses limits that are too low to work with.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("max-query-rows", self.max_query_rows, 2)?;
        // Write sessions and the deletion of a row's children touch that many rows at once.
        at_least("max-statement-rows", self.max_statement_rows, 1_000)?;
        at_least("max-result-bytes", self.max_result_bytes, 1024)?;
        timeout("transaction-timeout", self.transaction_timeout)?;
        timeout("statement-timeout", self.statement_timeout)
    }
}
