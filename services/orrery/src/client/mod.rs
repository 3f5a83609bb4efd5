//! A client for Orrery's streams that works for every resource: rows are encoded bytes, and the resource is chosen by
//! the path of the method.

mod fault;
mod read;
mod retrying;
mod tags;
#[cfg(test)]
mod tests;
mod window;
mod wire;
mod write;

pub(crate) use fault::{describe, ended_early};
pub(crate) use orrery_kit::config::ServiceAddress;
pub(crate) use read::{PageQuery, read_pages};
pub(crate) use retrying::{RetryingClient, Waiting};
pub(crate) use tags::{MAX_TAGS, TagsClient};
pub(crate) use window::SentChunk;
pub(crate) use write::{WriteCounts, WriteEvent, WriteFault, WriteOptions, write};

use std::time::Duration;

use orrery_peers::Backoff;
use tonic::client::Grpc;
use tonic::transport::Channel;

/// The largest message that the client accepts.
pub(crate) const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// How long to try to reach a service that was never reached: its address is probably wrong.
const FIRST_LIMIT: Duration = Duration::from_secs(5);

/// How to try again until `limit` has passed without progress.
pub(crate) fn backoff(limit: Duration) -> Backoff {
    Backoff::new(limit).with_first_limit(FIRST_LIMIT)
}

/// Connects to a service for calls of any method.
async fn connect(address: &ServiceAddress) -> Result<Grpc<Channel>, tonic::Status> {
    Ok(Grpc::new(channel(address).await?).max_decoding_message_size(MESSAGE_LIMIT))
}

/// A connection to a service.
pub(crate) async fn channel(address: &ServiceAddress) -> Result<Channel, tonic::Status> {
    const WINDOW: u32 = 4 * 1024 * 1024;
    address
        .endpoint()
        .connect_timeout(Duration::from_secs(5))
        // Notices within 30 seconds that the service is unreachable, even if the connection was not closed.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(15))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .connect()
        .await
        .map_err(|error| fault::unreachable(address, &error))
}
