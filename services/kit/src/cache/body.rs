//! The request's message, read before anybody knows whether it is needed.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;

/// A request's body, as far as it was read.
pub(super) enum Gathered {
    /// All of it.
    Whole(Bytes),
    /// It is larger than was wanted; this is the same body, read from its beginning.
    More(Body),
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// What the caller's side of the call ended with.
pub(super) async fn gather(mut body: Body, most: usize) -> Result<Gathered, Status> {
    let mut first = Bytes::new();
    while let Some(frame) = body.frame().await {
        // What else there may be, trailers, means nothing in a request.
        let Ok(data) = frame?.into_data() else { continue };
        first = if first.is_empty() { data } else { joined(&first, &data) };
        if first.len() > most {
            return Ok(Gathered::More(Body::new(Rejoined { first: Some(first), rest: body })));
        }
    }
    Ok(Gathered::Whole(first))
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}

/// What was read, and what was not.
struct Rejoined {
    first: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Rejoined {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}
