//! Orrery's streams from the caller's side, once for every resource: rows are bytes here, a resource is the path of a method.

mod fault;
mod patience;
mod read;
#[cfg(test)]
mod tests;
mod window;
mod wire;
mod write;

pub(crate) use fault::describe;
pub(crate) use orrery_kit::config::ServiceAddress;
pub(crate) use read::{Pages, Query};
pub(crate) use window::Chunk;
pub(crate) use write::{Event, Tally, WriteFault, WriteOptions, write};

use std::time::Duration;

use tonic::client::Grpc;
use tonic::transport::Channel;

/// The largest message that is taken from a service.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Connects to a service.
async fn connect(address: &ServiceAddress) -> Result<Grpc<Channel>, tonic::Status> {
    const WINDOW: u32 = 4 * 1024 * 1024;
    let channel = address
        .endpoint()
        .connect_timeout(Duration::from_secs(5))
        // A peer that vanished without a word is noticed within half a minute.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(15))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .connect()
        .await
        .map_err(|error| fault::unreachable(address, &error))?;
    Ok(Grpc::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}
