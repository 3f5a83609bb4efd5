//! Names in a `text` column.

use super::limits;
use super::text::{EmptyText, TextFormat, TextKind};
use crate::resource::constraints::Constraints;

/// A required name: 1 to `max_bytes` of a-z, 0-9, `_`, `-` and `.`, beginning with a letter.
pub const fn name(max_bytes: usize) -> TextKind<Name> {
    TextKind { format: Name { max_bytes }, empty: EmptyText::Refused }
}

/// The format of names.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    max_bytes: usize,
}

impl TextFormat for Name {
    fn check(&self, text: &str) -> Result<(), String> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
        let begins_well = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if begins_well && text.len() <= self.max_bytes && text.bytes().all(allowed) {
            return Ok(());
        }
        let max_bytes = self.max_bytes;
        Err(format!("must be 1 to {max_bytes} of a-z, 0-9, \"_\", \"-\" and \".\", beginning with a letter"))
    }

    fn limits(&self, _: &Constraints, may_be_empty: bool) -> Vec<Constraints> {
        let more = self.max_bytes.saturating_sub(1);
        limits::pattern(&format!("[a-z][a-z0-9_.-]{{0,{more}}}"), may_be_empty)
    }
}
