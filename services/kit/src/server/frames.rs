//! Finds where frames of HTTP/2 begin and end in what a client sends (RFC 9113, 3.4 and 4.1). The transport handles
//! complete frames, and has no time limit for a frame that never ends.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames of one direction, without looking at their content.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// How many bytes of the preface have arrived.
    preface: usize,
    head: [u8; HEAD],
    head_bytes: usize,
    /// How many bytes of the payload are still missing.
    missing: usize,
    /// The number of complete frames; the first one is SETTINGS.
    whole: u64,
    /// The number of frames before the present block of headers, if its last frame has not arrived.
    block: Option<u64>,
    /// The bytes of those headers so far, including announced ones.
    headers: usize,
}

impl Frames {
    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        let preface = bytes.len().min(PREFACE.len() - self.preface);
        self.preface += preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.head_bytes < HEAD {
                let take = bytes.len().min(HEAD - self.head_bytes);
                let (came, rest) = bytes.split_at(take);
                self.head[self.head_bytes..][..take].copy_from_slice(came);
                self.head_bytes += take;
                bytes = rest;
                if self.head_bytes < HEAD {
                    return;
                }
                let [high, middle, low, ..] = self.head;
                self.missing = u32::from_be_bytes([0, high, middle, low]) as usize;
                if self.is_headers() {
                    self.block = self.block.or(Some(self.whole));
                    self.headers += self.missing;
                }
            }
            let take = bytes.len().min(self.missing);
            self.missing -= take;
            bytes = &bytes[take..];
            if self.missing == 0 {
                self.whole += 1;
                self.head_bytes = 0;
                if self.is_headers() && self.head[4] & END_HEADERS != 0 {
                    (self.block, self.headers) = (None, 0);
                }
            }
        }
    }

    fn is_headers(&self) -> bool {
        matches!(self.head[3], HEADERS | CONTINUATION)
    }

    /// Whether the client speaks HTTP/2: its preface and first frame were complete.
    pub(super) fn has_begun(&self) -> bool {
        self.whole > 0
    }

    /// The frame, or block of headers, that has begun and is not complete; named by the number of frames before it.
    pub(super) fn under_way(&self) -> Option<u64> {
        self.block.or_else(|| (self.head_bytes > 0).then_some(self.whole))
    }

    /// The bytes of headers that have not ended, including announced ones.
    pub(super) fn headers(&self) -> usize {
        self.headers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [_, length @ ..] = (payload as u32).to_be_bytes();
        let mut frame = length.to_vec();
        frame.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        frame.resize(HEAD + payload, 7);
        frame
    }

    #[test]
    fn headers_are_under_way_until_their_last_frame() {
        let mut frames = Frames::default();
        frames.follow(PREFACE);
        frames.follow(&frame(4, 0, 12));
        assert_eq!((frames.has_begun(), frames.under_way()), (true, None));
        frames.follow(&frame(HEADERS, 0, 0));
        assert_eq!((frames.under_way(), frames.headers()), (Some(1), 0), "headers without a byte");
        frames.follow(&frame(CONTINUATION, 0, 20));
        frames.follow(&frame(CONTINUATION, 0, 10));
        assert_eq!((frames.under_way(), frames.headers()), (Some(1), 30));
        frames.follow(&frame(CONTINUATION, END_HEADERS, 5));
        assert_eq!((frames.under_way(), frames.headers()), (None, 0));
        frames.follow(&frame(HEADERS, END_HEADERS | 1, 10));
        assert_eq!(frames.under_way(), None);
        frames.follow(&frame(0, 0, 10)[..HEAD + 9]);
        assert_eq!(frames.under_way(), Some(6));
        frames.follow(&[7]);
        assert_eq!(frames.under_way(), None);
    }

    proptest! {
        /// However the bytes are cut, the same frames are found.
        #[test]
        fn frames_are_found_however_they_come(
            sent in proptest::collection::vec((0..10_u8, 0..8_u8, 0..100_usize), 1..10),
            cut_off in 0..150_usize,
            step in 1..50_usize,
        ) {
            let mut bytes = PREFACE.to_vec();
            for (kind, flags, payload) in sent {
                bytes.extend(frame(kind, flags, payload));
            }
            bytes.truncate(bytes.len() - cut_off.min(bytes.len()));
            let (mut pieces, mut at_once) = (Frames::default(), Frames::default());
            at_once.follow(&bytes);
            for piece in bytes.chunks(step) {
                pieces.follow(piece);
            }
            prop_assert_eq!(format!("{pieces:?}"), format!("{at_once:?}"));
        }
    }
}
