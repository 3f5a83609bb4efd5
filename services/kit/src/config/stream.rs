//! The sizes of pages, statements and messages.

use std::time::Duration;

use clap::Args;

use super::checks::{at_least, at_most, not_zero};
use super::units::{ByteSize, parse_bytes, parse_duration};
use super::{ConfigError, Limits};

/// The smallest limit that a caller or a service may set: every answer that cannot be made smaller fits.
pub const MIN_ANSWER_BYTES: usize = 64 * 1024;

/// The sizes of pages, statements and messages.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Streams")]
pub struct StreamConfig {
    /// Target size of one page of a streamed read, encoded.
    ///
    /// Larger pages cost memory per reader and gain little. No message is larger than its caller accepts: 4 MiB unless
    /// the caller says otherwise (see --max-answer-bytes).
    #[arg(long, value_name = "BYTES", env = "ORRERY_PAGE_BYTES", default_value = "1MiB", value_parser = parse_bytes)]
    pub page_bytes: usize,

    /// Maximum number of rows in one statement of a chunked write.
    ///
    /// More saves round trips to a database that is far away; fewer holds row locks for a shorter time.
    #[arg(long, value_name = "ROWS", env = "ORRERY_WRITE_BATCH_ROWS", default_value_t = 8192)]
    pub write_batch_rows: usize,

    /// Maximum size of the rows in one statement of a chunked write.
    ///
    /// Bounds the memory of a writer with large rows: up to this size of decoded chunks waits while as much is
    /// committed, plus one message. A single larger row is still written, alone.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_WRITE_BATCH_BYTES",
        default_value = "4MiB",
        value_parser = parse_bytes
    )]
    pub write_batch_bytes: usize,

    /// Maximum time without a message on a streamed read whose filter matches few rows.
    ///
    /// After it, an empty page with a new resume token is sent, so that a broken stream continues near where it was.
    #[arg(
        long,
        value_name = "DURATION",
        env = "ORRERY_PROGRESS_INTERVAL",
        default_value = "2s",
        value_parser = parse_duration
    )]
    pub progress_interval: Duration,

    /// Maximum size of a request message.
    ///
    /// Larger messages fail with INVALID_ARGUMENT. Raise it for clients that send chunks of many thousand rows; each
    /// open write may hold this much memory. Requests without rows may have at most 512 KiB, or 2 MiB if they ask
    /// whether rows exist or which rows have some names.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_MAX_MESSAGE_BYTES",
        default_value = "16MiB",
        value_parser = parse_bytes
    )]
    pub max_message_bytes: usize,

    /// Maximum size of a response message, for callers that ask for more than 4 MiB.
    ///
    /// A caller says in the request metadata `x-max-answer-bytes` how large a message its client accepts. A caller that
    /// does not gets no message over 4 MiB, the default limit of gRPC clients. Lower it to bound the memory of one
    /// call.
    #[arg(
        long,
        value_name = "BYTES",
        env = "ORRERY_MAX_ANSWER_BYTES",
        default_value = "64MiB",
        value_parser = parse_bytes
    )]
    pub max_answer_bytes: usize,
}

impl StreamConfig {
    /// Refuses values that do not work, alone or with `limits`.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self, limits: &Limits) -> Result<(), ConfigError> {
        at_least("page-bytes", self.page_bytes, 1024)?;
        if self.page_bytes > limits.max_result_bytes {
            let (page, limit) = (ByteSize(self.page_bytes), ByteSize(limits.max_result_bytes));
            return Err(ConfigError::new("page-bytes", format!("{page} is more than --max-result-bytes, {limit}")));
        }
        at_least("write-batch-rows", self.write_batch_rows, 1)?;
        if self.write_batch_rows > limits.max_statement_rows {
            let (rows, limit) = (self.write_batch_rows, limits.max_statement_rows);
            let problem = format!("{rows} is more than --max-statement-rows, {limit}");
            return Err(ConfigError::new("write-batch-rows", problem));
        }
        at_least("write-batch-bytes", self.write_batch_bytes, 1024)?;
        not_zero("progress-interval", self.progress_interval)?;
        at_least("max-message-bytes", self.max_message_bytes, 1024)?;
        at_most("max-message-bytes", self.max_message_bytes, i32::MAX as usize)?;
        at_least("max-answer-bytes", self.max_answer_bytes, MIN_ANSWER_BYTES)?;
        at_most("max-answer-bytes", self.max_answer_bytes, i32::MAX as usize)
    }
}
