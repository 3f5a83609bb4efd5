//! Uids in a `text` column: the row's own, or another row's.

use super::limits;
use super::text::{EmptyText, TextFormat, TextKind};
use crate::resource::constraints::Constraints;
use crate::uid::UidKind;

/// The row's own uid. A create without one gets a new one.
pub const fn uid(kind: UidKind) -> TextKind<Uid> {
    TextKind { format: Uid { kind, own: true }, empty: EmptyText::Refused }
}

/// The uid of another row. It is required unless it is [optional](TextKind::optional).
pub const fn uid_of(kind: UidKind) -> TextKind<Uid> {
    TextKind { format: Uid { kind, own: false }, empty: EmptyText::Refused }
}

/// The format of uids.
#[derive(Clone, Copy, Debug)]
pub struct Uid {
    kind: UidKind,
    own: bool,
}

impl TextFormat for Uid {
    fn check(&self, text: &str) -> Result<(), String> {
        self.kind.check(text)
    }

    fn limits(&self, _: &Constraints, may_be_empty: bool) -> Vec<Constraints> {
        limits::pattern(&self.kind.pattern(), may_be_empty)
    }

    fn own_uid(&self) -> Option<UidKind> {
        self.own.then_some(self.kind)
    }
}
