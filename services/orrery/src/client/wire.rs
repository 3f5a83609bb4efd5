//! The message of a paged read, in the form that all resources share: `repeated Resource` is `repeated bytes` on the
//! wire. The messages of chunked writes are in `orrery_proto::wire`, because services use them too.

use bytes::Bytes;
use orrery_peers::Page;

/// A page.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReceivedPage {
    /// The encoded rows.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) rows: Vec<Bytes>,
    #[prost(string, tag = "2")]
    pub(crate) resume_token: String,
}

impl Page for ReceivedPage {
    fn resume_token(&self) -> &str {
        &self.resume_token
    }
}
