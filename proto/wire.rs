//! The forms in which a server handles rows: as bytes of the wire.
//!
//! Every paged read answers with `{repeated Resource = 1; string token = 2}` and every chunked write takes
//! `{start = 1 | chunk = 2 {offset = 1, repeated Resource = 2}}`. A `repeated Resource` and a `repeated bytes` are the
//! same on the wire, so one Rust type serves every resource and no row becomes a struct on its way through. Creates and
//! updates answer with the resource; a create whose rules can find an existing one with `{Resource = 1; bool
//! deduplicated = 2}`. `build.rs` puts these types into the generated servers and refuses a contract whose messages do
//! not have these shapes.

use bytes::Bytes;

pub use crate::received::{ReceivedCreate, ReceivedUpdate, ReceivedWrite};
pub use crate::r#type::v1::WriteResponse;
use crate::r#type::v1::WriteStart;

/// A response that is encoded already: the bytes of a message of whatever type the method returns.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The first part of the message, as a rule its rows.
    pub body: Bytes,
    /// The rest of the message, as a rule its token. Kept apart so that a large body is not moved to append it.
    pub tail: Bytes,
    /// How many rows the message holds; for logs and metrics.
    pub rows: u64,
}

impl Encoded {
    /// How many bytes the message has.
    pub fn len(&self) -> usize {
        self.body.len() + self.tail.len()
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One message to a chunked write.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// `start` or `chunk`.
    #[prost(oneof = "WritePayload", tags = "1, 2")]
    pub payload: Option<WritePayload>,
}

/// What a message to a chunked write holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WritePayload {
    /// What holds for the whole stream; the first message.
    #[prost(message, tag = "1")]
    Start(WriteStart),
    /// Rows.
    #[prost(message, tag = "2")]
    Chunk(WriteChunk),
}

/// Rows to write in one commit.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteChunk {
    /// The offset of the first row.
    #[prost(int64, tag = "1")]
    pub offset: i64,
    /// The rows, each an encoded resource.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub rows: Vec<Bytes>,
}
