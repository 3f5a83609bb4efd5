//! A connection to another service, and the errors of calls over it.

use std::time::Duration;

use orrery_kit::config::ServiceAddress;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use tonic::Request;
use tonic::transport::Channel;

use crate::fault::{Fault, Patience};

/// Timeout for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed while a call waits on it, and how long an answer may take, so that a lost peer is
/// noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How many bytes of a stream are received before it is read: about a page.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection. It is much larger than [`STREAM_WINDOW`], so that streams that are read
/// slowly do not hold up other calls.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Another service. It is connected to on first use, and again after a connection was lost. Clones share a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    name: &'static str,
    channel: Channel,
    timeout: Duration,
}

impl Peer {
    /// Nothing is sent yet. `name` is the service's name in errors, such as `catalog`; `timeout` is how long to wait
    /// for an answer.
    pub(crate) fn new(name: &'static str, address: &ServiceAddress, timeout: Duration) -> Self {
        let channel = address
            .endpoint()
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_lazy();
        Self { name, channel, timeout }
    }

    /// The same peer, waited for `times` as long: for calls that take long.
    pub(crate) fn patient(&self, times: u32) -> Self {
        Self { timeout: self.timeout.saturating_mul(times), ..self.clone() }
    }

    /// The connection, for a generated client.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The service's name in errors.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long to wait for an answer to a caller with this deadline: the shorter of the two applies, and it decides
    /// the error.
    pub(crate) fn patience(&self, deadline: Deadline) -> Patience {
        Patience {
            service: self.name,
            timeout: deadline.bound(self.timeout),
            caller_is_first: deadline.remaining().is_some_and(|left| left <= self.timeout),
        }
    }

    /// Makes one call of `method`. `call` sends its request, whose deadline is the given duration from now, and waits
    /// for the whole answer. A failure is not tried again.
    ///
    /// # Errors
    /// [`Error::DependencyUnavailable`] if the other service cannot be reached or does not answer in time;
    /// [`Error::DeadlineExceeded`] if the caller's own `deadline` passes first; [`Error::Internal`] if the answer
    /// cannot be right.
    pub(crate) async fn call<T, F>(
        &self,
        method: &str,
        deadline: Deadline,
        call: impl FnOnce(Duration) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let patience = self.patience(deadline);
        match tokio::time::timeout(patience.timeout, call(patience.timeout)).await {
            Ok(answer) => answer.map_err(|fault| patience.failed(method, fault)),
            Err(_) => Err(patience.too_late(None)),
        }
    }
}

/// A request that must be answered within `timeout`, if there is one.
pub(crate) fn request<T>(message: T, timeout: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    request
}
