//! The error for an answer that is larger than its caller accepts.

use crate::config::ByteSize;

/// Request metadata: the largest message, in bytes, that the caller accepts.
pub const MAX_ANSWER_BYTES: &str = "x-max-answer-bytes";

/// An answer that is too large for its caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the answer has at least {bytes} bytes, but the caller accepts {}: \
     ask for less, or set the metadata {MAX_ANSWER_BYTES} (this service allows up to {})",
    ByteSize(*accepted),
    ByteSize(*bound)
)]
pub struct AnswerTooLarge {
    /// Its size in bytes, as far as it was read.
    pub bytes: usize,
    /// How many bytes the caller accepts.
    pub accepted: usize,
    /// How many bytes the service sends at most, to callers that accept them.
    pub bound: usize,
    /// The row that is too large by itself, if it is one row: its message type and key.
    pub row: Option<(&'static str, String)>,
}
