//! Decodes text to UTF-8 while it is read.

use std::io::{self, BufRead, Read};

use encoding_rs::{DecoderResult, Encoding};

/// Replaces bytes that are invalid in the file's encoding. This byte never occurs in UTF-8, so the cell or line is
/// refused as not being UTF-8, and nothing is replaced silently.
const MALFORMED: u8 = 0xff;

/// Reads text in any encoding as UTF-8.
pub(crate) struct Utf8Text<R> {
    source: R,
    decoder: encoding_rs::Decoder,
    /// Decoded text that was not read yet.
    text: Box<[u8]>,
    begin: usize,
    end: usize,
    ended: bool,
}

impl<R: BufRead> Utf8Text<R> {
    /// Reads `source` as text in an encoding. A byte order mark must have been removed.
    pub(crate) fn new(source: R, encoding: &'static Encoding) -> Self {
        const BUFFER: usize = 128 * 1024;
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { source, decoder, text: vec![0; BUFFER].into(), begin: 0, end: 0, ended: false }
    }
}

impl<R: BufRead> BufRead for Utf8Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.begin == self.end && !self.ended {
            let bytes = self.source.fill_buf()?;
            let last = bytes.is_empty();
            // One byte is reserved for the mark of invalid bytes.
            let room = self.text.len() - 1;
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.text[..room], last);
            self.source.consume(read);
            (self.begin, self.end) = (0, written);
            match result {
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    self.text[written] = MALFORMED;
                    self.end += 1;
                }
            }
        }
        Ok(&self.text[self.begin..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.begin = self.end.min(self.begin + amount);
    }
}

impl<R: BufRead> Read for Utf8Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Decodes bytes that arrive in pieces of this size.
    fn decoded(encoding: &'static Encoding, bytes: &[u8], pieces: usize) -> Vec<u8> {
        let mut text = Vec::new();
        Utf8Text::new(io::BufReader::with_capacity(pieces, bytes), encoding).read_to_end(&mut text).unwrap();
        text
    }

    proptest! {
        #[test]
        fn text_is_read_whatever_the_pieces(text in any::<String>(), pieces in 1..9_usize) {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            prop_assert_eq!(decoded(encoding_rs::UTF_16LE, &little, pieces), text.as_bytes());
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            prop_assert_eq!(decoded(encoding_rs::UTF_16BE, &big, pieces), text.as_bytes());
            let (gb18030, _, _) = encoding_rs::GB18030.encode(&text);
            let (expected, _) = encoding_rs::GB18030.decode_without_bom_handling(&gb18030);
            prop_assert_eq!(decoded(encoding_rs::GB18030, &gb18030, pieces), expected.as_bytes());
        }

        /// Invalid bytes are marked where the library's decoder would insert U+FFFD.
        #[test]
        fn what_is_malformed_is_marked(bytes in prop::collection::vec(any::<u8>(), 0..200), pieces in 1..9_usize) {
            use encoding_rs::{EUC_KR, SHIFT_JIS, UTF_16LE, WINDOWS_1253};
            for encoding in [UTF_16LE, SHIFT_JIS, EUC_KR, WINDOWS_1253] {
                let (expected, malformed) = encoding.decode_without_bom_handling(&bytes);
                let text = decoded(encoding, &bytes, pieces);
                prop_assert_eq!(text.contains(&MALFORMED), malformed, "{}", encoding.name());
                prop_assert_eq!(String::from_utf8_lossy(&text), expected, "{}", encoding.name());
            }
        }
    }

    #[test]
    fn more_text_than_the_buffer_holds_is_read() {
        let text = "é€😀\n".repeat(100_000);
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(decoded(encoding_rs::UTF_16LE, &bytes, 8 * 1024) == text.as_bytes());
    }
}
