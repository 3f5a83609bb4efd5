//! What no statement may exceed.

use std::time::Duration;

use clap::Args;

use super::ConfigError;
use super::checks::{at_least, timeout};
use super::units::{parse_bytes, parse_duration};

/// What no statement may exceed, whichever RPC or procedure issues it. The defaults are those of a managed Postgres; lower them
/// where yours allows less.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Most rows that one query returns.
    ///
    /// Larger reads are cut into pages. Lower it if the database server refuses results of that many rows.
    #[arg(long, value_name = "ROWS", env = "ORRERY_MAX_QUERY_ROWS", default_value_t = 100_000)]
    pub max_query_rows: usize,

    /// Most rows that one statement writes, over all tables that it touches.
    ///
    /// Larger writes are cut into statements. Lower it if the database server refuses statements of that many rows.
    #[arg(long, value_name = "ROWS", env = "ORRERY_MAX_STATEMENT_ROWS", default_value_t = 100_000)]
    pub max_statement_rows: usize,

    /// Most bytes that one query returns.
    ///
    /// A page that would be larger is halved; a single row that does not fit is RESOURCE_EXHAUSTED.
    #[arg(long, value_name = "BYTES", env = "ORRERY_MAX_RESULT_BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub max_result_bytes: usize,

    /// Longest duration of a transaction.
    ///
    /// It is set inside each transaction, so the database keeps it even when this process does not.
    #[arg(long, value_name = "DURATION", env = "ORRERY_TRANSACTION_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub transaction_timeout: Duration,

    /// Longest duration of a statement outside a transaction.
    ///
    /// A caller's deadline shortens it. Lower it to protect the database from slow filters.
    #[arg(long, value_name = "DURATION", env = "ORRERY_STATEMENT_TIMEOUT", default_value = "900s", value_parser = parse_duration)]
    pub statement_timeout: Duration,
}

impl Limits {
    /// Refuses limits under which nothing could be done.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least("max-query-rows", self.max_query_rows, 2)?;
        // The ledger of writes and the deletion of what belongs to a row touch that many at once.
        at_least("max-statement-rows", self.max_statement_rows, 1_000)?;
        at_least("max-result-bytes", self.max_result_bytes, 1024)?;
        timeout("transaction-timeout", self.transaction_timeout)?;
        timeout("statement-timeout", self.statement_timeout)
    }
}
