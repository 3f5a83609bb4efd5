//! The compression of messages, and the work itself. It is bounded: the size of a decompressed message is known only
//! after the work.
//!
//! tonic's own compression is not used. It would have to be set at each service, health and reflection too; it would
//! put compressed answers into the cache; and it needs libzstd, whose C code builds for 18 s on two cores, where ruzstd
//! takes 4 s.

use std::fmt;
use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Smaller messages are sent uncompressed: compression would hardly make them smaller.
const MIN_COMPRESSED_BYTES: usize = 1024;
/// The window size that every zstd decoder should support (RFC 8878, 3.1.1.1.2).
const ZSTD_WINDOW: usize = 8 << 20;

/// A message compression, other than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950: what HTTP and gRPC call deflate has a header and a checksum.
    Deflate,
    /// RFC 8878.
    Zstd,
}

/// Why a message was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecompressError {
    /// It is larger than allowed, or asks for more memory than allowed.
    TooLarge,
    /// It is not in the encoding it claims, is truncated, or has a wrong checksum.
    Malformed,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Deflate, Self::Zstd];

    /// The name in `grpc-encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// The encoding with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// Decompresses a message of at most `most` bytes. Memory use is bounded by about twice that, whatever `compressed`
    /// holds.
    pub(crate) fn decompress(self, compressed: &[u8], most: usize) -> Result<Vec<u8>, DecompressError> {
        match self {
            Self::Gzip => {
                let mut decoder = MultiGzDecoder::new(compressed);
                read(&mut decoder, most, |decoder| decoder.get_ref().is_empty())
            }
            Self::Deflate => {
                let mut decoder = ZlibDecoder::new(compressed);
                read(&mut decoder, most, |decoder| decoder.get_ref().is_empty())
            }
            Self::Zstd => {
                let window = most.max(ZSTD_WINDOW) as u64;
                let decoder = StreamingDecoder::new_with_max_window_size(compressed, window);
                let mut decoder = decoder.map_err(|error| match error {
                    FrameDecoderError::WindowSizeTooBig { .. } => DecompressError::TooLarge,
                    _ => DecompressError::Malformed,
                })?;
                read(&mut decoder, most, |decoder| {
                    let (sent, is) =
                        (decoder.decoder.get_checksum_from_data(), decoder.decoder.get_calculated_checksum());
                    decoder.get_ref().is_empty() && (sent.is_none() || sent == is)
                })
            }
        }
    }

    /// Compresses a message, optimised for speed. `None` if that does not make it smaller.
    pub(crate) fn compress(self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() < MIN_COMPRESSED_BYTES {
            return None;
        }
        let out = Vec::with_capacity(message.len() / 4);
        let compressed = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(message).and_then(|()| encoder.finish()).ok()?
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(message).and_then(|()| encoder.finish()).ok()?
            }
            Self::Zstd => compress_to_vec(message, CompressionLevel::Fastest),
        };
        (compressed.len() < message.len()).then_some(compressed)
    }
}

/// Reads to the end, or until more than `most` bytes came. `whole` says whether the input ends where the message does.
fn read<R: Read>(decoder: &mut R, most: usize, whole: impl FnOnce(&R) -> bool) -> Result<Vec<u8>, DecompressError> {
    let mut message = Vec::new();
    let read = decoder.by_ref().take(most as u64 + 1).read_to_end(&mut message);
    if message.len() > most {
        return Err(DecompressError::TooLarge);
    }
    if read.is_err() || !whole(decoder) {
        return Err(DecompressError::Malformed);
    }
    Ok(message)
}

/// A list of encodings, the preferred one first. Displays in the form that [`parse`](Self::parse) reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encodings([Option<Encoding>; Encoding::ALL.len()]);

impl Encodings {
    /// Parses `gzip,zstd`, or `none`.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut encodings = Self::default();
        if text.trim() == "none" {
            return Ok(encodings);
        }
        for name in text.split(',').map(str::trim) {
            let encoding = Encoding::from_name(name).ok_or_else(|| {
                format!("{name:?} is not an encoding; use \"none\", or a list of gzip, deflate and zstd")
            })?;
            if encodings.0.contains(&Some(encoding)) {
                return Err(format!("names {name} twice"));
            }
            if let Some(free) = encodings.0.iter_mut().find(|place| place.is_none()) {
                *free = Some(encoding);
            }
        }
        Ok(encodings)
    }

    /// The first encoding that is in a `grpc-accept-encoding` list.
    pub(crate) fn first_accepted(self, accepted: &str) -> Option<Encoding> {
        let is_accepted = |encoding: &Encoding| accepted.split(',').any(|name| name.trim() == encoding.name());
        self.0.into_iter().flatten().find(is_accepted)
    }
}

impl fmt::Display for Encodings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().flatten().map(|encoding| encoding.name()).collect();
        formatter.write_str(if names.is_empty() { "none" } else { "" })?;
        formatter.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    const FOREIGN_GZIP: &str = "1f8b0800000000000203edc4a10d00000803b06bd14be6f89e3330ad68dae9c6b66ddbb66ddbb66d\
        dbb66ddbb66ddbb6edd70f92a40ae0e02e0000";
    const FOREIGN_DEFLATE: &str =
        "789cedc4a10d00000803b06bd14be6f89e3330ad68dae9c6b66ddbb66ddbb66ddbb66ddbb66ddbb6edd70f683e9a9d";
    const FOREIGN_ZSTD: &str = "28b52ffd0458750000306f72726572790100d72e7c290263f9f8d9";

    /// "orrery" 2,000 times, compressed by gzip, Python's zlib and zstd: test data that this code did not make.
    fn foreign(encoding: Encoding) -> Vec<u8> {
        let hex = match encoding {
            Encoding::Gzip => FOREIGN_GZIP,
            Encoding::Deflate => FOREIGN_DEFLATE,
            Encoding::Zstd => FOREIGN_ZSTD,
        };
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn what_other_programs_compressed_is_read() {
        for encoding in Encoding::ALL {
            let read = encoding.decompress(&foreign(encoding), 12_000).unwrap();
            assert_eq!(read, "orrery".repeat(2_000).as_bytes(), "{encoding:?}");
        }
    }

    #[test]
    fn what_is_cut_short_altered_or_followed_by_more_is_refused() {
        for encoding in Encoding::ALL {
            let whole = foreign(encoding);
            for length in 0..whole.len() {
                assert!(encoding.decompress(&whole[..length], 1 << 20).is_err(), "{encoding:?} {length}");
            }
            let longer = [&whole[..], b"x"].concat();
            assert_eq!(encoding.decompress(&longer, 1 << 20), Err(DecompressError::Malformed), "{encoding:?}");
            // The checksum is at the end in all three; in gzip it comes before the length.
            let mut altered = whole.clone();
            let at = whole.len() - if encoding == Encoding::Gzip { 8 } else { 1 };
            altered[at] ^= 1;
            assert_eq!(encoding.decompress(&altered, 1 << 20), Err(DecompressError::Malformed), "{encoding:?}");
            for other in Encoding::ALL.into_iter().filter(|other| *other != encoding) {
                assert_eq!(other.decompress(&whole, 1 << 20), Err(DecompressError::Malformed), "{encoding:?}");
            }
        }
    }

    #[test]
    fn no_more_than_the_bound_is_made() {
        for encoding in Encoding::ALL {
            let compressed = encoding.compress(&vec![0; 64 << 20]).unwrap();
            assert!(compressed.len() < 1 << 20, "{encoding:?} {}", compressed.len());
            assert_eq!(encoding.decompress(&compressed, 1 << 20), Err(DecompressError::TooLarge), "{encoding:?}");
            let compressed = encoding.compress(&vec![0; 1 << 20]).unwrap();
            assert!(encoding.decompress(&compressed, 1 << 20).is_ok(), "{encoding:?}");
            assert_eq!(encoding.decompress(&compressed, (1 << 20) - 1), Err(DecompressError::TooLarge));
        }
        // A zstd frame without content that asks for a window of 128 MiB.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        assert_eq!(Encoding::Zstd.decompress(&window, 16 << 20), Err(DecompressError::TooLarge));
    }

    #[test]
    fn settings_are_read_and_printed() {
        for text in ["none", "gzip", "zstd,gzip", "gzip,deflate,zstd"] {
            assert_eq!(Encodings::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Encodings::parse(" zstd , gzip ").unwrap().to_string(), "zstd,gzip");
        for text in ["", "br", "gzip,", "gzip,gzip", "none,gzip", "GZIP", "identity"] {
            assert!(Encodings::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_encoding_that_the_caller_accepts_is_taken() {
        let first = |ours: &str, accepted: &str| Encodings::parse(ours).unwrap().first_accepted(accepted);
        assert_eq!(first("zstd,gzip", "identity, deflate, gzip"), Some(Encoding::Gzip));
        assert_eq!(first("zstd,gzip", "gzip,zstd"), Some(Encoding::Zstd));
        for (ours, accepted) in [("none", "gzip"), ("gzip", ""), ("gzip", "identity"), ("gzip", "xgzip,gzipx")] {
            assert_eq!(first(ours, accepted), None, "{ours} {accepted}");
        }
    }

    proptest! {
        #[test]
        fn messages_come_back(words in proptest::collection::vec(0u16..300, 0..3_000), which in 0..3usize) {
            let message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let encoding = Encoding::ALL[which];
            if let Some(compressed) = encoding.compress(&message) {
                prop_assert_eq!(encoding.decompress(&compressed, message.len()), Ok(message));
            }
        }

        #[test]
        fn no_bytes_break_it(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0..60usize,
            which in 0..3usize,
        ) {
            let encoding = Encoding::ALL[which];
            let _any = encoding.decompress(&bytes, 1 << 16);
            let mut altered = foreign(encoding);
            let at = at % altered.len();
            altered.splice(at..(at + bytes.len() % 3).min(foreign(encoding).len()), bytes);
            let _any = encoding.decompress(&altered, 1 << 16);
        }
    }
}
