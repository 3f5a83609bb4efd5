//! A connection under watch: it has a time to begin, and so has everything that it begins.
//!
//! The transport takes frames in as they become whole, and a client that never ends one costs it nothing but the
//! connection. That is what is bounded here. What is read has to be HTTP/2 as it stands: behind TLS, this belongs
//! inside of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
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

/// A connection of a caller.
#[derive(Debug)]
pub(super) struct Watched {
    io: Lingering,
    info: Connection,
    connections: Connections,
    frames: Frames,
    /// Headers that have not ended.
    headers: HeldMemory,
    transfer_time: Duration,
    /// What of them is under way.
    under_way: Option<u64>,
    /// When that has to be whole; before the first frame, when that one has to be.
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
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
            has_to_go: Box::pin(info.has_to_go().clone().cancelled_owned()),
            connections: place.connections().clone(),
            io: Lingering::new(stream, Some(place), closing),
            info,
        }
    }

    /// Takes note of what came.
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
                return Err(self.close(Closed::Large, "there is no room for its headers"));
            }
        }
        let under_way = self.frames.under_way();
        if under_way != self.under_way {
            self.under_way = under_way;
            self.until = under_way.and_then(|_| Instant::now().checked_add(self.transfer_time));
        }
        Ok(())
    }

    /// An error if what is under way has taken too long, or the connection has to go; the task is woken when that is
    /// so.
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
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
