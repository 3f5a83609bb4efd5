//! Page and resume tokens: the position where a paged read continues, sealed so that a caller can send it back but
//! cannot change it.
//!
//! A token is URL-safe base64 without padding of: a version byte, the [`Scope`] of the request that made it (16 bytes),
//! the parts of the position (each with its length as four big-endian bytes before it), and the first 16 bytes of an
//! HMAC-SHA256 over all of that. The scope is compared only after the HMAC was verified: a changed filter and a
//! modified token are different errors, and the caller is told which one it is. The position is authenticated, not
//! encrypted: every holder of a token was allowed to read the row that it points at.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Maximum length of a token that [`open`] accepts, in bytes of its text. Positions hold key columns, and other
/// programs may store keys of many thousand bytes, since an index holds them compressed.
pub const MAX_TOKEN_BYTES: usize = 1024 * 1024;

const VERSION: u8 = 1;
const SCOPE_BYTES: usize = 16;
const SEAL_BYTES: usize = 16;

/// The key that seals tokens. Processes that must open each other's tokens share it.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// A key with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Derives a key from a secret of any length.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"orrery page token\0");
        hash.update(secret);
        Self(hash.finalize().into())
    }

    fn mac(&self, sealed: &[u8]) -> Hmac<Sha256> {
        // HMAC pads the key with zeros to one block. Padding it here avoids a constructor that returns an error.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(sealed);
        mac
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKey(..)")
    }
}

/// What a token is valid for: one method with one filter in one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope([u8; SCOPE_BYTES]);

impl Scope {
    /// The scope of a request: the method's full name, the bytes of its filter in some deterministic encoding, and its
    /// order.
    #[must_use]
    pub fn new(method: &str, filter: &[u8], order: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), filter, order.as_bytes()] {
            // Each part is hashed with its length, so that moving bytes from one part to the next changes the hash.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut scope = [0; SCOPE_BYTES];
        scope.copy_from_slice(&hash.finalize()[..SCOPE_BYTES]);
        Self(scope)
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is not a token, was altered or truncated, or was sealed with another key.
    #[error("the token was altered, was truncated, or comes from another installation")]
    Invalid,
    /// The token comes from a version of the service that uses another format.
    #[error("the token comes from another version of the service")]
    OtherVersion,
    /// The token is authentic, but belongs to a request with another method, filter or order.
    #[error("the token belongs to a request with another method, filter or order")]
    OtherRequest,
}

/// Makes the token for `position`, the key columns of the last row that was sent.
///
/// A position of more than about 780,000 bytes makes a token longer than [`MAX_TOKEN_BYTES`], which cannot be opened.
#[must_use]
pub fn seal(key: &TokenKey, scope: &Scope, position: &[&[u8]]) -> String {
    let length: usize = position.iter().map(|part| 4 + part.len()).sum();
    let mut token = Vec::with_capacity(1 + SCOPE_BYTES + length + SEAL_BYTES);
    token.push(VERSION);
    token.extend_from_slice(&scope.0);
    for part in position {
        token.extend_from_slice(&(part.len() as u32).to_be_bytes());
        token.extend_from_slice(part);
    }
    let seal = key.mac(&token).finalize().into_bytes();
    token.extend_from_slice(&seal[..SEAL_BYTES]);
    URL_SAFE_NO_PAD.encode(token)
}

/// Returns the position in a token that [`seal`] made with the same key and scope.
pub fn open(key: &TokenKey, scope: &Scope, token: &str) -> Result<Vec<Vec<u8>>, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Invalid);
    }
    let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Invalid)?;
    match token.first() {
        None => return Err(TokenError::Invalid),
        Some(&VERSION) => {}
        Some(_) => return Err(TokenError::OtherVersion),
    }
    let (sealed, seal) = token.split_last_chunk::<SEAL_BYTES>().ok_or(TokenError::Invalid)?;
    key.mac(sealed).verify_truncated_left(seal).map_err(|_| TokenError::Invalid)?;
    let (made_for, position) = sealed[1..].split_first_chunk::<SCOPE_BYTES>().ok_or(TokenError::Invalid)?;
    if made_for != &scope.0 {
        return Err(TokenError::OtherRequest);
    }
    parts(position).ok_or(TokenError::Invalid)
}

fn parts(mut position: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while !position.is_empty() {
        let (length, rest) = position.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(part.to_vec());
        position = rest;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Made by an independent implementation, in Python.
    const TOKEN: &str = "AfLNZ4kf7qQMxbDcJ8fkgaMAAAAFcHJkXzE4CarWJnvk5O5JEH_-fJgZ";

    fn key() -> TokenKey {
        TokenKey::new([7; 32])
    }

    fn scope() -> Scope {
        Scope::new("orrery.catalog.v1.CatalogService/StreamProducts", b"filter", "uid asc")
    }

    #[test]
    fn a_token_stays_what_it_is() {
        // Tokens outlive a deployment: a token from before it must still open after it.
        assert_eq!(open(&key(), &scope(), TOKEN), Ok(vec![b"prd_1".to_vec()]));
        assert_eq!(seal(&key(), &scope(), &[b"prd_1"]), TOKEN);
    }

    #[test]
    fn nothing_and_other_text_is_refused() {
        for token in ["", "A", "AQ", "=", "AQ==", "not a token", "é", "\0", &"A".repeat(MAX_TOKEN_BYTES + 1)] {
            assert!(open(&key(), &scope(), token).is_err(), "{token}");
        }
    }

    #[test]
    fn another_version_is_told_apart() {
        let mut token = URL_SAFE_NO_PAD.decode(TOKEN).unwrap();
        token[0] = VERSION + 1;
        assert_eq!(open(&key(), &scope(), &URL_SAFE_NO_PAD.encode(token)), Err(TokenError::OtherVersion));
    }

    #[test]
    fn another_request_is_told_apart_from_tampering() {
        for other in [
            Scope::new("orrery.catalog.v1.CatalogService/ListProducts", b"filter", "uid asc"),
            Scope::new("orrery.catalog.v1.CatalogService/StreamProducts", b"filtes", "uid asc"),
            Scope::new("orrery.catalog.v1.CatalogService/StreamProducts", b"filter", "uid desc"),
            Scope::new("orrery.catalog.v1.CatalogService/StreamProductsf", b"ilter", "uid asc"),
        ] {
            assert_eq!(open(&key(), &other, TOKEN), Err(TokenError::OtherRequest));
        }
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", TokenKey::from_secret(b"hunter2")), "TokenKey(..)");
    }

    #[test]
    fn secrets_make_different_keys() {
        let token = seal(&TokenKey::from_secret(b"one"), &scope(), &[b"x"]);
        assert!(open(&TokenKey::from_secret(b"one"), &scope(), &token).is_ok());
        assert_eq!(open(&TokenKey::from_secret(b"two"), &scope(), &token), Err(TokenError::Invalid));
    }

    fn sealed(position: &[Vec<u8>]) -> String {
        let position: Vec<&[u8]> = position.iter().map(Vec::as_slice).collect();
        seal(&key(), &scope(), &position)
    }

    proptest! {
        #[test]
        fn positions_come_back(position in vec(vec(any::<u8>(), 0..200), 0..5)) {
            prop_assert_eq!(open(&key(), &scope(), &sealed(&position)), Ok(position));
        }

        #[test]
        fn a_flipped_bit_is_refused(position in vec(vec(any::<u8>(), 0..20), 0..3)) {
            let token = sealed(&position);
            let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(open(&key(), &scope(), &URL_SAFE_NO_PAD.encode(flipped)).is_err());
            }
            for bit in 0..token.len() * 8 {
                let mut flipped = token.clone().into_bytes();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(flipped) = String::from_utf8(flipped) {
                    prop_assert!(open(&key(), &scope(), &flipped).is_err());
                }
            }
        }

        #[test]
        fn a_cut_or_lengthened_token_is_refused(
            position in vec(vec(any::<u8>(), 0..20), 0..3),
            more in "[A-Za-z0-9_-]{1,9}",
        ) {
            let token = sealed(&position);
            for length in 0..token.len() {
                prop_assert!(open(&key(), &scope(), &token[..length]).is_err());
                prop_assert!(open(&key(), &scope(), &token[length + 1..]).is_err());
            }
            let longer = format!("{token}{more}");
            prop_assert!(open(&key(), &scope(), &longer).is_err());
        }

        #[test]
        fn another_key_is_refused(bytes: [u8; 32], position in vec(vec(any::<u8>(), 0..20), 0..3)) {
            prop_assume!(bytes != [7; 32]);
            prop_assert_eq!(open(&TokenKey::new(bytes), &scope(), &sealed(&position)), Err(TokenError::Invalid));
        }

        #[test]
        fn any_text_is_answered(token in "\\PC{0,100}|[A-Za-z0-9_-]{0,100}|AQ[A-Za-z0-9_-]{0,100}") {
            prop_assert!(open(&key(), &scope(), &token).is_err());
        }
    }
}
