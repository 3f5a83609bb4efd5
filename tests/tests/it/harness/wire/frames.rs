//! Where messages begin and end. After the startup every message, either way, is a tag, a length that counts itself, and a body.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A message that is larger is looked at and passed on in pieces.
const BUFFER: usize = 64 * 1024;
const HEADER: usize = 5;

/// What is looked at before it is passed on.
pub(super) enum Piece<'b> {
    /// A message. Of one larger than the buffer the body is only its beginning.
    Message { tag: u8, length: usize, body: &'b [u8] },
    /// More of the body of a large message.
    More { tag: u8, bytes: &'b [u8] },
}

/// Bytes of one direction that were read and not passed on yet. What is passed on ends where a message ends, unless one is larger than
/// the buffer: an error can be put between messages and nowhere else.
pub(super) struct Frames {
    buffer: Box<[u8]>,
    filled: usize,
    /// Of a large message, whose beginning was passed on: its tag, and how much is to come.
    tag: u8,
    rest: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into(), filled: 0, tag: 0, rest: 0 }
    }

    /// Whether what was passed on so far ends in the middle of a message.
    pub(super) fn within_message(&self) -> bool {
        self.rest > 0
    }

    /// Reads what is there; false at the end.
    pub(super) async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        let read = from.read(&mut self.buffer[self.filled..]).await?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Shows what was read to `look` and says how much of it can be passed on: up to the first message that is not whole yet, or that
    /// `look` refuses.
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
            // A message larger than the buffer is looked at when the buffer is full of it.
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

    /// What was read first.
    pub(super) fn first(&self, bytes: usize) -> &[u8] {
        &self.buffer[..bytes]
    }

    /// All that was read and not passed on.
    pub(super) fn all(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Forgets what was passed on.
    pub(super) fn passed_on(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }
}
