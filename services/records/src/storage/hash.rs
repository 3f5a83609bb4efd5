//! SHA-256 of content that may arrive in several calls, on several replicas.

use std::fmt;
use std::str::FromStr;

use orrery_kit::error::Error;
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a document's content. Displays as 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::of_pieces([content])
    }

    /// The hash of content in pieces.
    #[must_use]
    pub fn of_pieces<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hasher = Hasher::default();
        pieces.into_iter().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }
}

impl FromStr for ContentHash {
    type Err = &'static str;

    /// The error says what is wrong.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "must be 64 of 0-9 and a-f";
        if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(PROBLEM);
        }
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return Err(PROBLEM);
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).ok_or(PROBLEM)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| PROBLEM)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// A hash that is not finished. Its state can be stored, so that another process continues it without reading the
/// content again.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    /// Continues from a stored state.
    ///
    /// # Errors
    /// [`Error::Internal`] if these bytes are not a state.
    pub(super) fn restore(state: &[u8]) -> Result<Self, Error> {
        let state = SerializedState::<Sha256>::try_from(state).map_err(Error::internal)?;
        let hasher = Sha256::deserialize(&state).map_err(|_| Error::internal("a stored hash state is invalid"))?;
        Ok(Self(hasher))
    }

    /// The state, for [`restore`](Self::restore).
    pub(super) fn state(&self) -> Vec<u8> {
        self.0.serialize().to_vec()
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> ContentHash {
        ContentHash(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    /// "abc" and its hash are an example of FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_hash_is_read_and_written_as_64_digits() {
        assert_eq!(ContentHash::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(ContentHash::of(b"abc")));
        for wrong in ["", "ba78", &ABC.to_uppercase(), &format!("{ABC}00"), &ABC.replace('f', "é"), &ABC[2..]] {
            assert_eq!(wrong.parse::<ContentHash>(), Err("must be 64 of 0-9 and a-f"), "{wrong}");
        }
    }

    /// Uploads continue after a new version is installed. If this fails, a library has changed the form of its states:
    /// then states of the old form must be found and their uploads begun again.
    #[test]
    fn stored_states_keep_their_form() {
        let mut hasher = Hasher::default();
        hasher.update(&[7; 100]);
        let state = hasher.state();
        let (words, rest) = state.split_at(32);
        let words = ContentHash(words.try_into().unwrap()).to_string();
        assert_eq!(words, "5fd7d9828641af4607ed7103a54f0c549b37e116abfe30e55fa25d6fb3140218");
        // The number of blocks, the length of the beginning of the next block, and that beginning.
        assert_eq!(rest, [&[1, 0, 0, 0, 0, 0, 0, 0, 36][..], &[7; 36], &[0; 27]].concat());
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for state in [vec![], vec![0; 8], vec![255; Hasher::default().state().len()]] {
            assert!(Hasher::restore(&state).is_err(), "{state:?}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_can_be_continued_anywhere(
            content in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(0usize..400, 0..4),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < content.len()).collect();
            cuts.sort_unstable();
            let (mut hasher, mut from) = (Hasher::default(), 0);
            for cut in cuts {
                hasher.update(&content[from..cut]);
                hasher = Hasher::restore(&hasher.state()).unwrap();
                from = cut;
            }
            hasher.update(&content[from..]);
            prop_assert_eq!(hasher.finish(), ContentHash::of(&content));
        }
    }
}
