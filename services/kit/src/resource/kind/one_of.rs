//! One of a few texts in a `text` column, for a text field. For an enum: [`enumeration`](super::enumeration).

use super::text::{EmptyText, TextFormat, TextKind};
use crate::resource::constraints::Constraints;

/// One of these texts, which is required unless it is [optional](TextKind::optional).
pub const fn one_of(texts: &'static [&'static str]) -> TextKind<OneOf> {
    TextKind { format: OneOf { texts }, empty: EmptyText::Refused }
}

/// The format of a text that is one of a few.
#[derive(Clone, Copy, Debug)]
pub struct OneOf {
    texts: &'static [&'static str],
}

impl TextFormat for OneOf {
    fn check(&self, text: &str) -> Result<(), String> {
        if self.texts.contains(&text) {
            return Ok(());
        }
        Err(format!("must be one of {}", self.texts.join(", ")))
    }

    fn limits(&self, _: &Constraints, may_be_empty: bool) -> Vec<Constraints> {
        let empty = may_be_empty.then_some("");
        let allowed = self.texts.iter().copied().chain(empty).map(str::to_owned).collect();
        vec![Constraints { allowed, ..Constraints::default() }]
    }
}
