//! The messages of the paged read in the form that all resources share. A `repeated Resource` is a `repeated bytes` on the wire; those
//! of the chunked write stand in `orrery_proto::wire`, since the servers use them too.

use bytes::Bytes;
use prost_types::FieldMask;

/// A request of a paged read.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PageRequest {
    /// The resource's filter, encoded.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) filter: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub(crate) read_mask: Option<FieldMask>,
    #[prost(string, tag = "3")]
    pub(crate) resume_token: String,
}

/// A page of a paged read.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Page {
    /// The rows, each an encoded resource.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) rows: Vec<Bytes>,
    #[prost(string, tag = "2")]
    pub(crate) resume_token: String,
}
