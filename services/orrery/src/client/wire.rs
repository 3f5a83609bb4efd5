//! What a paged read answers in the form that all resources share. A `repeated Resource` is a `repeated bytes` on the wire; the
//! messages of the chunked write stand in `orrery_proto::wire`, since the servers use them too.

use bytes::Bytes;

/// A page of a paged read.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Page {
    /// The rows, each an encoded resource.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) rows: Vec<Bytes>,
    #[prost(string, tag = "2")]
    pub(crate) resume_token: String,
}
