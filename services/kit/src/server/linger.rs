//! Lingering close of connections.
//!
//! If a server closes a connection while its peer still writes, the peer gets a reset and may lose what it has not read
//! yet: the last page of a stream and its status, behind a proxy that reads as slowly as its client. So the sending
//! half is closed first. What arrives is read and dropped until the peer has closed too, or for [`LINGER`] at most.
//! nginx calls this a lingering close.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::connections::Place;

/// How long a peer may take to close its half.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// A connection that lingers when it is dropped.
#[derive(Debug)]
pub(super) struct Lingering {
    /// `None` after it was dropped.
    stream: Option<TcpStream>,
    /// Kept until the connection is closed; `None` in a test.
    place: Option<Place>,
    closing: TaskTracker,
    /// Whether to close at once: nothing is left that the peer would miss.
    at_once: bool,
}

impl Lingering {
    /// `closing` tracks the connections that are closing.
    pub(super) fn new(stream: TcpStream, place: Option<Place>, closing: TaskTracker) -> Self {
        Self { stream: Some(stream), place, closing, at_once: false }
    }

    /// Closes the connection at once when it is dropped: its peer broke a rule, or has no call.
    pub(super) fn abort(&mut self) {
        self.at_once = true;
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take()
            && !self.at_once
            && let Ok(runtime) = Handle::try_current()
        {
            self.closing.spawn_on(close(stream, self.place.take()), &runtime);
        }
    }
}

async fn close(mut stream: TcpStream, _place: Option<Place>) {
    let closed = async {
        stream.shutdown().await?;
        let mut late = [0; 4096];
        while stream.read(&mut late).await? > 0 {}
        io::Result::Ok(())
    };
    // If the peer has gone or takes too long, the connection is closed anyway.
    let _closed = tokio::time::timeout(LINGER, closed).await;
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Lingering, TcpStream, TaskTracker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let closing = TaskTracker::new();
        (Lingering::new(listener.accept().await.unwrap().0, None, closing.clone()), peer, closing)
    }

    #[tokio::test]
    async fn who_still_writes_reads_to_the_end() {
        let (mut ours, mut peer, closing) = pair().await;
        ours.write_all(&vec![7; 100_000]).await.unwrap();
        drop(ours);
        // Bytes that arrive at a closed connection are answered by a reset, and the next write after that fails.
        for _ in 0..20 {
            peer.write_all(b"late").await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), 100_000);
        drop(peer);
        closing.close();
        tokio::time::timeout(Duration::from_secs(5), closing.wait()).await.expect("it closes when its peer has");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_close_is_left() {
        let (ours, _peer, closing) = pair().await;
        drop(ours);
        closing.close();
        tokio::time::timeout(LINGER * 5, closing.wait()).await.expect("it does not wait for ever");
    }
}
