//! Streams whose rows the client counts and does not decode: the throughput of the service itself.

use std::time::{Duration, Instant};

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

/// A page of any stream, whose rows stay encoded: they are field 1 of all pages.
#[derive(Clone, PartialEq, prost::Message)]
struct Page {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    rows: Vec<bytes::Bytes>,
}

/// Streams all rows of a method. Returns how many there are, and how long it took.
pub(crate) async fn stream_undecoded<R>(
    channel: Channel,
    method: &'static str,
    request: R,
) -> anyhow::Result<(usize, Duration)>
where
    R: prost::Message + Send + Sync + 'static,
{
    let started = Instant::now();
    let mut client = Grpc::new(channel).max_decoding_message_size(64 << 20);
    client.ready().await?;
    let codec = ProstCodec::<R, Page>::default();
    let path = PathAndQuery::from_static(method);
    let mut stream = client.server_streaming(tonic::Request::new(request), path, codec).await?.into_inner();
    let mut count = 0;
    while let Some(page) = stream.message().await? {
        count += page.rows.len();
    }
    Ok((count, started.elapsed()))
}
