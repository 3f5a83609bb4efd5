//! Compression: messages are decompressed as they arrive and compressed as they are sent. All layers inside, the cache
//! too, see them uncompressed.
//!
//! A message is a byte that says whether it is compressed, its length in four bytes, and its bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;

use super::framing::PREFIX;
use super::normalise::{cut_short, encoding_unknown, oversized, undecodable, unfinished};
use crate::budget::HeldMemory;
use crate::compression::{DecompressError, Encoding, Encodings};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const IDENTITY: &str = "identity";
/// Smaller messages are decompressed on the thread of the call, larger ones on a thread for blocking work.
const INLINE: usize = 1 << 10;
/// Most messages that are decompressed on such threads at one time: how large each becomes is only known afterwards.
static DECOMPRESSING: Semaphore = Semaphore::const_new(2);

/// Removes the encoding from the request's headers and returns it; `None` if the request is not compressed.
///
/// # Errors
/// The status for an unknown encoding.
pub(super) fn encoding_of(headers: &mut HeaderMap) -> Result<Option<Encoding>, Status> {
    let Some(named) = headers.remove(GRPC_ENCODING) else { return Ok(None) };
    let named = named.to_str().unwrap_or_default();
    match Encoding::from_name(named) {
        Some(encoding) => Ok(Some(encoding)),
        None if named == IDENTITY => Ok(None),
        None => {
            let accepted: Vec<&str> = [IDENTITY].into_iter().chain(Encoding::ALL.map(Encoding::name)).collect();
            Err(encoding_unknown(named, GRPC_ACCEPT_ENCODING, &accepted))
        }
    }
}

/// The encoding of the answer: one that this process may use and the caller accepts, or none.
pub(super) fn encoding_for(headers: &HeaderMap, offered: Encodings) -> Option<Encoding> {
    headers.get(GRPC_ACCEPT_ENCODING)?.to_str().ok().and_then(|accepted| offered.first_accepted(accepted))
}

/// A request's body, its messages decompressed.
pub(super) struct Decompressed {
    inner: Body,
    encoding: Encoding,
    /// Most bytes of a message, compressed or not.
    most: usize,
    received: BytesMut,
    /// How many bytes of an uncompressed message are still to be passed on.
    passing: usize,
    /// A message that is being decompressed.
    work: Option<BoxFuture<'static, Result<Bytes, Status>>>,
    /// Counts the message that was passed on last.
    held: HeldMemory,
    ended: bool,
}

/// The next step for the bytes that have arrived.
enum Next {
    /// Pass these bytes on.
    Bytes(Bytes),
    /// Decompress this message first.
    Compressed(Bytes),
    /// Wait for more bytes.
    More,
}

/// A message without its prefix, decompressed, and with a new prefix.
async fn unpacked(compressed: Bytes, encoding: Encoding, most: usize) -> Result<Bytes, Status> {
    if compressed.len() <= INLINE {
        return unpacked_now(&compressed, encoding, most);
    }
    // A caller that has gone is not waited for.
    let _turn = DECOMPRESSING.acquire().await.map_err(|_| unfinished())?;
    let work = tokio::task::spawn_blocking(move || unpacked_now(&compressed, encoding, most));
    work.await.unwrap_or_else(|failed| Err(super::normalise::failed(&failed)))
}

fn unpacked_now(compressed: &[u8], encoding: Encoding, most: usize) -> Result<Bytes, Status> {
    let message = encoding.decompress(compressed, most).map_err(|why| match why {
        DecompressError::TooLarge => oversized(most),
        DecompressError::Malformed => undecodable(encoding.name()),
    })?;
    let mut whole = BytesMut::with_capacity(PREFIX + message.len());
    put_prefix(&mut whole, false, message.len())?;
    whole.extend_from_slice(&message);
    Ok(whole.freeze())
}

/// One complete message with its prefix, decompressed.
///
/// # Errors
/// The status for a message that cannot be decompressed or becomes larger than `most`.
pub(super) async fn decompressed(message: Bytes, encoding: Encoding, most: usize) -> Result<Bytes, Status> {
    match message.split_first_chunk::<PREFIX>() {
        Some(([1, ..], _)) => unpacked(message.slice(PREFIX..), encoding, most).await,
        _ => Ok(message),
    }
}

impl Decompressed {
    /// `held` counts the bytes that were passed on and not processed yet.
    pub(super) fn new(inner: Body, encoding: Encoding, most: usize, held: HeldMemory) -> Self {
        let (received, work) = (BytesMut::new(), None);
        Self { inner, encoding, most, received, passing: 0, work, held, ended: false }
    }

    /// The part of the received bytes that can be passed on.
    fn next(&mut self) -> Result<Next, Status> {
        if self.passing > 0 && !self.received.is_empty() {
            let piece = self.received.split_to(self.passing.min(self.received.len()));
            self.passing -= piece.len();
            return Ok(Next::Bytes(piece.freeze()));
        }
        let Some((prefix, rest)) = self.received.split_first_chunk::<PREFIX>() else { return Ok(Next::More) };
        let [flag, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if flag != 1 {
            // Passed on unchanged: a message, or bytes that the decoder refuses.
            self.passing = PREFIX + length;
            return self.next();
        }
        if length > self.most {
            return Err(oversized(self.most));
        }
        if rest.len() < length {
            return Ok(Next::More);
        }
        self.received.advance(PREFIX);
        Ok(Next::Compressed(self.received.split_to(length).freeze()))
    }

    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for Decompressed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(work) = &mut this.work {
                let message = ready!(work.as_mut().poll(context));
                this.work = None;
                return match message {
                    Ok(message) => {
                        this.held.set(message.len());
                        Poll::Ready(Some(Ok(Frame::data(message))))
                    }
                    Err(status) => this.end(status),
                };
            }
            // The reader asks for more: it has processed what it got.
            this.held.set(0);
            match this.next() {
                Ok(Next::Bytes(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Next::Compressed(message)) => {
                    this.work = Some(Box::pin(unpacked(message, this.encoding, this.most)));
                    continue;
                }
                Ok(Next::More) => {}
                Err(status) => return this.end(status),
            }
            let received = match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => {
                    this.ended = true;
                    return Poll::Ready(match end {
                        None if !this.received.is_empty() => Some(Err(cut_short())),
                        end => end,
                    });
                }
            };
            match received.into_data() {
                Ok(data) if this.received.is_empty() => this.received = data.into(),
                Ok(data) => this.received.extend_from_slice(&data),
                // Trailers. An incomplete message before them is found at the end.
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }
}

/// Compresses the messages of an answer.
#[derive(Debug)]
pub(super) struct Compressor {
    encoding: Encoding,
    /// `None` after a frame that ended in the middle of a message, which our encoders never produce: what follows is
    /// sent unchanged.
    whole: bool,
}

impl Compressor {
    /// Announces the encoding in the answer's headers.
    pub(super) fn announced(encoding: Encoding, headers: &mut HeaderMap) -> Self {
        headers.insert(GRPC_ENCODING, HeaderValue::from_static(encoding.name()));
        Self { encoding, whole: true }
    }

    /// The same messages. A message is compressed if that makes it smaller.
    pub(super) fn compress(&mut self, frame: Bytes) -> Bytes {
        if !self.whole {
            return frame;
        }
        let mut compressed = BytesMut::with_capacity(frame.len() / 4);
        let mut rest = &frame[..];
        while !rest.is_empty() {
            let message = rest
                .split_first_chunk::<PREFIX>()
                .and_then(|([_flag, length @ ..], after)| after.split_at_checked(u32::from_be_bytes(*length) as usize));
            let Some((message, after)) = message else {
                self.whole = false;
                return frame;
            };
            match self.encoding.compress(message) {
                Some(smaller) if put_prefix(&mut compressed, true, smaller.len()).is_ok() => {
                    compressed.extend_from_slice(&smaller);
                }
                _ => compressed.extend_from_slice(&rest[..PREFIX + message.len()]),
            }
            rest = after;
        }
        compressed.freeze()
    }
}

fn put_prefix(out: &mut BytesMut, compressed: bool, length: usize) -> Result<(), Status> {
    let length = u32::try_from(length).map_err(|_| oversized(u32::MAX as usize))?;
    out.put_u8(compressed.into());
    out.put_u32(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::budget::MemoryShare;

    fn message(compressed: bool, bytes: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_prefix(&mut out, compressed, bytes.len()).unwrap();
        out.extend_from_slice(bytes);
        out.to_vec()
    }

    /// What comes out of a body that arrives in these pieces.
    fn decompressed(pieces: Vec<Vec<u8>>, most: usize) -> Result<Vec<u8>, Status> {
        let frames = pieces.into_iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::from(piece))));
        let body = Body::new(StreamBody::new(tokio_stream::iter(frames)));
        let body = Decompressed::new(body, Encoding::Gzip, most, MemoryShare::default().hold(0));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let collected = runtime.block_on(body.collect());
        collected.map(|collected| collected.to_bytes().to_vec())
    }

    #[test]
    fn an_encoding_is_known_or_refused_with_those_that_are() {
        let headers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_ENCODING, value.parse().unwrap());
            headers
        };
        assert_eq!(encoding_of(&mut HeaderMap::new()).unwrap(), None);
        assert_eq!(encoding_of(&mut headers("identity")).unwrap(), None);
        for encoding in Encoding::ALL {
            let mut headers = headers(encoding.name());
            assert_eq!(encoding_of(&mut headers).unwrap(), Some(encoding));
            assert!(headers.is_empty(), "nothing further inside decompresses it again");
        }
        for unknown in ["br", "GZIP", "gzip, zstd", "", &"x".repeat(10_000), "\u{e9}"] {
            let status = encoding_of(&mut headers(unknown)).unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{unknown}");
            assert_eq!(status.get_details_error_info().unwrap().reason, "ENCODING_UNKNOWN");
            assert_eq!(status.metadata().get("grpc-accept-encoding").unwrap(), "identity,gzip,deflate,zstd");
            assert!(status.message().len() < 500, "{}", status.message().len());
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error_and_never_the_end() {
        let gzip = Encoding::Gzip.compress(&[7; 5_000]).unwrap();
        let whole = message(true, &gzip);
        for length in 1..whole.len() {
            let status = decompressed(vec![whole[..length].to_vec()], 1 << 20).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{length}");
        }
        assert_eq!(decompressed(vec![], 1 << 20).unwrap(), b"");
    }

    #[test]
    fn a_message_is_bounded_before_it_arrives_and_as_it_grows() {
        let bomb = Encoding::Gzip.compress(&vec![0; 10_000_000]).unwrap();
        // Its length says it, whatever follows.
        let promised = vec![message(true, &[])[..1].to_vec(), 10_001_u32.to_be_bytes().to_vec()];
        for pieces in [vec![message(true, &bomb)], promised] {
            let status = decompressed(pieces, 10_000).unwrap_err();
            let reason = status.get_details_error_info().unwrap().reason;
            assert_eq!((status.code(), reason.as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
            assert!(status.message().contains("larger than 10000B"), "{status:?}");
        }
    }

    #[test]
    fn what_is_not_of_its_encoding_is_the_callers_mistake() {
        let status = decompressed(vec![message(true, b"not gzip")], 1 << 20).unwrap_err();
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!((status.code(), reason.as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
        assert!(status.message().contains("gzip"), "{status:?}");
    }

    #[test]
    fn a_frame_that_does_not_end_with_a_message_stays_as_it_is() {
        let mut compressor = Compressor::announced(Encoding::Gzip, &mut HeaderMap::new());
        let large = Bytes::from(message(false, &[7; 10_000]));
        assert!(compressor.compress(large.clone()).len() < 1_000);
        for piece in [large.slice(..5_000), large.slice(5_000..), large.clone()] {
            assert_eq!(compressor.compress(piece.clone()), piece);
        }
    }

    proptest! {
        /// Compressed, cut anywhere, some messages left as they are: the same messages come out.
        #[test]
        fn messages_come_through(
            messages in proptest::collection::vec((any::<bool>(), any::<u8>(), 0..4_000usize), 0..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            let mut compressor = Compressor::announced(Encoding::Gzip, &mut HeaderMap::new());
            for (compressed, byte, length) in messages {
                let plain = message(false, &vec![byte; length]);
                expected.extend_from_slice(&plain);
                if compressed {
                    sent.extend_from_slice(&compressor.compress(plain.into()));
                } else {
                    sent.extend_from_slice(&plain);
                }
            }
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
            places.extend([0, sent.len()]);
            places.sort_unstable();
            let pieces = places.windows(2).map(|cut| sent[cut[0]..cut[1]].to_vec()).collect();
            prop_assert_eq!(decompressed(pieces, 4_000).unwrap(), expected);
        }
    }
}
