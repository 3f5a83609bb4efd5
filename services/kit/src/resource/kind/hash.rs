//! Hashes in a `text` column: a fixed number of hexadecimal digits.

use super::limits;
use super::text::{EmptyText, TextFormat, TextKind};
use crate::resource::constraints::Constraints;

/// A hash with a fixed number of hexadecimal digits in lower case (64 for SHA-256). It is required unless it is
/// [optional](TextKind::optional).
pub const fn hash(digits: usize) -> TextKind<Hash> {
    TextKind { format: Hash { digits }, empty: EmptyText::Refused }
}

/// The format of hashes.
#[derive(Clone, Copy, Debug)]
pub struct Hash {
    digits: usize,
}

impl TextFormat for Hash {
    fn check(&self, text: &str) -> Result<(), String> {
        if text.len() == self.digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(());
        }
        Err(format!("must be {} of 0-9 and a-f", self.digits))
    }

    fn limits(&self, _: &Constraints, may_be_empty: bool) -> Vec<Constraints> {
        limits::pattern(&format!("[0-9a-f]{{{}}}", self.digits), may_be_empty)
    }
}
