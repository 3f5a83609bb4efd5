//! The connections of the admin port: how many may be open, and how long one may stay idle.
//!
//! A client can open any number of connections and then send nothing, send half a request, or not read the answer. None
//! of that may block a probe, which has about a second, or use up the file descriptors that the service needs for its
//! callers.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// Maximum number of open connections. A scraper and a scheduler need only a few. Beyond it the oldest connection is
/// closed, so that a new one is always accepted.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may be idle: since it was opened, or since the client last read a part of an answer. Scrapers
/// with an interval of 15 seconds or more reconnect each time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener that limits its connections.
pub(super) struct BoundedListener {
    listener: TcpListener,
    /// One token per connection, the oldest first. The connection cancels it when it closes; this listener cancels it
    /// to evict the connection.
    open: VecDeque<CancellationToken>,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, open: VecDeque::new() }
    }
}

impl Listener for BoundedListener {
    type Io = AdminConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (AdminConnection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        self.open.retain(|connection| !connection.is_cancelled());
        if self.open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.cancel();
        }
        let token = CancellationToken::new();
        self.open.push_back(token.clone());
        let evicted = Box::pin(token.clone().cancelled_owned());
        let idle = Box::pin(sleep(IDLE_TIMEOUT));
        (AdminConnection { stream, evicted, idle, _closed: token.drop_guard() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails with an error when it is idle for too long or is evicted.
pub(super) struct AdminConnection {
    stream: TcpStream,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Restarts whenever the client reads a part of an answer.
    idle: Pin<Box<Sleep>>,
    _closed: DropGuard,
}

impl AdminConnection {
    /// An error if the connection must be closed; otherwise the task is woken when it must.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let ends = self.evicted.as_mut().poll(context).is_ready() || self.idle.as_mut().poll(context).is_ready();
        if ends { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncRead for AdminConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_closed(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for AdminConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_closed(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            self.idle.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
