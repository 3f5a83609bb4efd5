//! Message boundaries. After the startup, each message in both directions is a tag, a length that includes itself, and
//! a body.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A larger message is inspected and forwarded in pieces.
const BUFFER: usize = 64 * 1024;
const HEADER: usize = 5;

/// A piece to inspect before it is forwarded.
pub(super) enum Piece<'b> {
    /// A message. If it is larger than the buffer, the body is only its beginning.
    Message { tag: u8, length: usize, body: &'b [u8] },
    /// A further piece of a large message's body.
    More { tag: u8, bytes: &'b [u8] },
}

/// Received bytes of one direction that were not forwarded yet. Forwarded bytes end at a message boundary, unless a
/// message is larger than the buffer, because an error can only be inserted between messages.
pub(super) struct Frames {
    buffer: Box<[u8]>,
    filled: usize,
    /// The tag of a large message whose beginning was forwarded, and the number of bytes left.
    tag: u8,
    rest: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into(), filled: 0, tag: 0, rest: 0 }
    }

    /// Whether the forwarded bytes end within a message.
    pub(super) fn within_message(&self) -> bool {
        self.rest > 0
    }

    /// Reads available bytes; false at the end.
    pub(super) async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        let read = from.read(&mut self.buffer[self.filled..]).await?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Passes received messages to `look` and returns how many bytes can be forwarded: up to the first message that is
    /// incomplete, or that `look` rejects.
    pub(super) fn look<E>(&mut self, mut look: impl FnMut(Piece<'_>) -> Result<(), E>) -> (usize, Result<(), E>) {
        let mut at = self.rest.min(self.filled);
        if at > 0 {
            self.rest -= at;
            let refused = look(Piece::More { tag: self.tag, bytes: &self.buffer[..at] });
            if refused.is_err() {
                self.rest += at;
                return (0, refused);
            }
        }
        while let Some(&[tag, a, b, c, d]) = self.buffer[at..self.filled].first_chunk::<HEADER>() {
            let length = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(HEADER - 1);
            let start = at + HEADER;
            let available = (self.filled - start).min(length);
            // A message larger than the buffer is inspected when the buffer is full.
            if available < length && (at > 0 || self.filled < self.buffer.len()) {
                break;
            }
            let refused = look(Piece::Message { tag, length, body: &self.buffer[start..start + available] });
            if refused.is_err() {
                return (at, refused);
            }
            (self.tag, self.rest) = (tag, length - available);
            at = start + available;
        }
        (at, Ok(()))
    }

    /// The first received bytes.
    pub(super) fn first(&self, bytes: usize) -> &[u8] {
        &self.buffer[..bytes]
    }

    /// All bytes that were not forwarded.
    pub(super) fn all(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Removes forwarded bytes.
    pub(super) fn passed_on(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }
}
