//! A connection with time limits: for its first frame, and for everything that it begins to send.
//!
//! The transport handles complete frames; a client that never ends one would keep the connection for free. So this
//! layer bounds the time of each frame. It has to read plain HTTP/2: with TLS it belongs inside of TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use super::connections::{Connections, Place};
use super::frames::Frames;
use super::linger::Lingering;
use crate::budget::HeldMemory;
use crate::config::ServerConfig;
use crate::metrics::Closed;
use crate::rpc_layer::connection::Connection;

/// A smaller write waits for its turn: some answers of unary calls, but not a page of a stream.
const SMALL_WRITE: usize = 8 << 10;

/// A connection of a caller.
#[derive(Debug)]
pub(super) struct Watched {
    io: Lingering,
    info: Connection,
    connections: Connections,
    frames: Frames,
    /// Counts headers that have not ended.
    headers: HeldMemory,
    transfer_time: Duration,
    /// The frame that has begun, by its number.
    under_way: Option<u64>,
    /// When that frame must be complete; before the first frame, when that one must be.
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether a small write has waited for its turn.
    has_waited: bool,
    has_to_go: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, place: Place, closing: TaskTracker, config: &ServerConfig) -> Self {
        let info = place.info.clone();
        Self {
            frames: Frames::default(),
            headers: info.share().bytes().hold(0),
            transfer_time: config.transfer_timeout,
            under_way: None,
            until: Instant::now().checked_add(config.handshake_timeout),
            timer: None,
            has_waited: false,
            has_to_go: Box::pin(info.has_to_go().clone().cancelled_owned()),
            connections: place.connections().clone(),
            io: Lingering::new(stream, Some(place), closing),
            info,
        }
    }

    /// Follows the bytes that have arrived.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<()> {
        let had_begun = self.frames.has_begun();
        self.frames.follow(bytes);
        if !self.frames.has_begun() {
            return Ok(());
        }
        if !had_begun {
            self.info.activity().begin();
            self.until = None;
        }
        if self.frames.headers() != self.headers.bytes() {
            self.headers.set(self.frames.headers());
            if self.frames.headers() > 0 && !self.info.share().bytes().has_room() {
                return Err(self.close(Closed::Large, "there is no memory for its headers"));
            }
        }
        let under_way = self.frames.under_way();
        if under_way != self.under_way {
            self.under_way = under_way;
            self.until = under_way.and_then(|_| Instant::now().checked_add(self.transfer_time));
        }
        Ok(())
    }

    /// An error if a frame has taken too long, or the connection must be closed. The task is woken when that happens.
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.has_to_go.as_mut().poll(context).is_ready() {
            self.io.abort();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let Some(until) = self.until else { return Ok(()) };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        Err(if self.frames.has_begun() {
            self.close(Closed::Slow, "a frame or headers did not arrive in time")
        } else {
            self.close(Closed::Silent, "it did not speak HTTP/2 in time")
        })
    }

    /// Pending once before each small write: the connection's task goes to the end of the runtime's queue. The answers
    /// of calls that finish meanwhile are sent by the same write. A write costs more than everything else that is done
    /// for a small answer.
    fn poll_turn(&mut self, context: &Context<'_>, bytes: usize) -> Poll<()> {
        self.has_waited = bytes < SMALL_WRITE && !self.has_waited;
        if !self.has_waited {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn close(&mut self, why: Closed, reason: &'static str) -> io::Error {
        self.io.abort();
        self.connections.closed(why, reason);
        io::ErrorKind::TimedOut.into()
    }
}

impl Connected for Watched {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.info.clone()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.follow(&buffer.filled()[before..])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match this.poll_end(context) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context, bytes.len()));
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context, pieces.iter().map(|piece| piece.len()).sum()));
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::poll_fn;

    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{Configuration as _, ServiceConfig};
    use crate::metrics::Metrics;
    use crate::rpc_layer::admission::Admission;

    #[tokio::test]
    async fn a_small_write_waits_for_one_turn_and_a_large_one_for_none() {
        let config = ServiceConfig::for_database("postgres://nobody@localhost/nothing").unwrap();
        let metrics = Metrics::default();
        let admission = Admission::new(&config, &metrics);
        let connections = Connections::new(&config.server, 1, admission, metrics.connections);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let place = connections.admit(address.ip()).unwrap();
        let mut watched = Watched::new(stream, place, TaskTracker::new(), &config.server);
        let polls = async |watched: &mut Watched, bytes: usize| {
            let bytes = vec![7; bytes];
            let mut polls = 0;
            let written = poll_fn(|context| {
                polls += 1;
                Pin::new(&mut *watched).poll_write(context, &bytes)
            });
            (written.await.unwrap(), polls)
        };
        assert_eq!(polls(&mut watched, SMALL_WRITE - 1).await, (SMALL_WRITE - 1, 2));
        assert_eq!(polls(&mut watched, SMALL_WRITE).await, (SMALL_WRITE, 1));
        assert_eq!(polls(&mut watched, 1).await, (1, 2), "the next one waits again");
    }
}
