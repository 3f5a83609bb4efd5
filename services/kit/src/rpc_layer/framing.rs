//! Finds where messages begin and end in what a caller sends. Each has a prefix: a byte that says whether the message
//! is compressed, and its length in four bytes.

/// Bytes of the prefix.
pub(super) const PREFIX: usize = 5;

/// Follows the messages of one direction, without looking at their content.
#[derive(Debug, Default)]
pub(super) struct Framing {
    prefix: [u8; PREFIX],
    /// How many bytes of the prefix have arrived; all of them while the message arrives.
    prefix_bytes: usize,
    /// How many bytes of the message are still missing.
    missing: usize,
    /// Bytes since the end of the last complete message.
    partial: usize,
    /// The number of complete messages.
    whole: u64,
}

/// A prefix announces a message that is larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Framing {
    /// Follows the next bytes.
    ///
    /// # Errors
    /// [`TooLarge`] if a prefix announces more than `most` bytes. Nothing after that can be followed.
    pub(super) fn follow(&mut self, mut bytes: &[u8], most: usize) -> Result<(), TooLarge> {
        while !bytes.is_empty() {
            if self.prefix_bytes < PREFIX {
                let take = bytes.len().min(PREFIX - self.prefix_bytes);
                let (came, rest) = bytes.split_at(take);
                self.prefix[self.prefix_bytes..][..take].copy_from_slice(came);
                self.prefix_bytes += take;
                self.partial += take;
                bytes = rest;
                if self.prefix_bytes < PREFIX {
                    return Ok(());
                }
                let [_compressed, length @ ..] = self.prefix;
                self.missing = u32::from_be_bytes(length) as usize;
                if self.missing > most {
                    return Err(TooLarge);
                }
            }
            let take = bytes.len().min(self.missing);
            self.missing -= take;
            self.partial += take;
            bytes = &bytes[take..];
            if self.missing == 0 {
                self.whole += 1;
                (self.prefix_bytes, self.partial) = (0, 0);
            }
        }
        Ok(())
    }

    /// The number of complete messages.
    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// Bytes of an incomplete message; 0 between two messages.
    pub(super) fn partial(&self) -> usize {
        self.partial
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_too_large_is_known_by_its_announcement() {
        let mut framing = Framing::default();
        framing.follow(&[0, 0, 0, 4], 1024).unwrap();
        assert_eq!(framing.follow(&[1], 1024), Err(TooLarge));
        let mut framing = Framing::default();
        framing.follow(&[0, 0, 0, 4, 0], 1024).unwrap();
        assert_eq!((framing.whole(), framing.partial()), (0, 5));
    }

    proptest! {
        /// However the bytes are cut, the same messages are complete, and the rest is partial.
        #[test]
        fn messages_are_counted_however_they_come(
            lengths in proptest::collection::vec(0..300_usize, 0..8),
            cut_off in 0..300_usize,
            step in 1..50_usize,
        ) {
            let mut sent = Vec::new();
            let mut ends = Vec::new();
            for length in lengths {
                sent.push(0);
                sent.extend_from_slice(&(length as u32).to_be_bytes());
                sent.resize(sent.len() + length, 7);
                ends.push(sent.len());
            }
            sent.truncate(sent.len().saturating_sub(cut_off));
            let mut framing = Framing::default();
            for piece in sent.chunks(step) {
                framing.follow(piece, 300).unwrap();
            }
            let whole: Vec<usize> = ends.into_iter().filter(|end| *end <= sent.len()).collect();
            prop_assert_eq!(framing.whole(), whole.len() as u64);
            prop_assert_eq!(framing.partial(), sent.len() - whole.last().unwrap_or(&0));
        }
    }
}
