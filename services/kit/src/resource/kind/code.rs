//! Codes of capital letters in a `text` column: of a currency, of a country.

use super::limits;
use super::text::{EmptyText, TextFormat, TextKind};
use crate::resource::constraints::Constraints;

/// A code with a fixed number of letters A-Z. It is required unless it is [optional](TextKind::optional).
pub const fn code(letters: usize) -> TextKind<Code> {
    TextKind { format: Code { letters }, empty: EmptyText::Refused }
}

/// The format of codes.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    letters: usize,
}

impl TextFormat for Code {
    fn check(&self, text: &str) -> Result<(), String> {
        if text.len() == self.letters && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Ok(());
        }
        Err(format!("must be {} letters A-Z", self.letters))
    }

    fn limits(&self, _: &Constraints, may_be_empty: bool) -> Vec<Constraints> {
        limits::pattern(&format!("[A-Z]{{{}}}", self.letters), may_be_empty)
    }
}
