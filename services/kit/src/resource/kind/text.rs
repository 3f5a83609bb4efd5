//! `text`: any text, or one of a format.

use std::fmt::Debug;

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, PutField, Reading, Stated, StoredColumn, limits,
    put_text, storable_text, text_of,
};
use crate::db::array::ElementType;
use crate::db::sql::literal;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};
use crate::uid::{UidKind, check_key};

/// A text of at most `max_bytes` bytes; an empty one is stored as null.
pub const fn text(max_bytes: usize) -> TextKind<Free> {
    TextKind { format: Free { max_bytes }, empty: EmptyText::Null }
}

/// A text of at most `max_bytes` bytes; an empty one is stored as such.
pub const fn text_not_null(max_bytes: usize) -> TextKind<Free> {
    TextKind { format: Free { max_bytes }, empty: EmptyText::Stored }
}

/// A required text of at most `max_bytes` bytes in a format of the slice's own: `check` says what is wrong with a text.
pub const fn text_checked(max_bytes: usize, check: fn(&str) -> Result<(), String>) -> TextKind<Checked> {
    TextKind { format: Checked { max_bytes, check }, empty: EmptyText::Refused }
}

/// The format of a text.
pub trait TextFormat: Debug + Send + Sync {
    /// Whether a text that is not empty is in the format.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, text: &str) -> Result<(), String>;

    /// The rules that the contract may state for a field in this format.
    fn limits(&self, rules: &Constraints, may_be_empty: bool) -> Vec<Constraints>;

    /// Its kind, if it is the row's own uid.
    fn own_uid(&self) -> Option<UidKind> {
        None
    }
}

/// A text column.
#[derive(Clone, Copy, Debug)]
pub struct TextKind<F> {
    pub(super) format: F,
    pub(super) empty: EmptyText,
}

/// The meaning of an empty text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyText {
    /// Refused, unless the row exists and keeps unset fields.
    Refused,
    /// Null.
    Null,
    /// An empty text.
    Stored,
    /// Null. The service sets the value, whatever the caller sends.
    Computed,
}

/// Any text.
#[derive(Clone, Copy, Debug)]
pub struct Free {
    max_bytes: usize,
}

/// A text that a function checks.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    max_bytes: usize,
    check: fn(&str) -> Result<(), String>,
}

impl<F: Copy> TextKind<F> {
    /// The same, but an empty text is null.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { format: self.format, empty: EmptyText::Null }
    }

    /// The same, but the service computes it: what the caller sends is ignored, and an unset one is null.
    #[must_use]
    pub const fn computed(self) -> Self {
        Self { format: self.format, empty: EmptyText::Computed }
    }
}

fn check_length(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.len() > max_bytes {
        return Err(format!("is {} bytes long; at most {max_bytes} are allowed", text.len()));
    }
    Ok(())
}

impl TextFormat for Free {
    fn check(&self, text: &str) -> Result<(), String> {
        check_length(text, self.max_bytes)
    }

    fn limits(&self, _: &Constraints, _: bool) -> Vec<Constraints> {
        vec![limits::text(self.max_bytes)]
    }
}

impl TextFormat for Checked {
    fn check(&self, text: &str) -> Result<(), String> {
        check_length(text, self.max_bytes)?;
        (self.check)(text)
    }

    /// The slice compares its function with the contract.
    fn limits(&self, rules: &Constraints, _: bool) -> Vec<Constraints> {
        vec![Constraints { max_bytes: Some(self.max_bytes), required: false, ..rules.clone() }]
    }
}

impl<F: TextFormat> ColumnKind for TextKind<F> {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::String)
    }

    fn limits(&self, stated: Stated<'_>) -> Vec<Constraints> {
        if self.empty == EmptyText::Computed {
            return limits::none();
        }
        let may_be_empty = self.empty != EmptyText::Refused;
        let mut limits = self.format.limits(stated.rules, may_be_empty);
        if stated.key {
            limits.push(limits::stored_key());
        }
        if may_be_empty { limits } else { limits::or_required(limits) }
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("text", matches!(self.empty, EmptyText::Null | EmptyText::Computed)))
    }

    fn is_computed(&self) -> bool {
        self.empty == EmptyText::Computed
    }

    fn role(&self) -> FieldRole {
        self.format.own_uid().map_or(FieldRole::Stored, FieldRole::OwnUid)
    }

    fn element_type(&self) -> ElementType {
        ElementType::Text
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let text = text_of(slot, name)?;
        if text.is_empty() {
            if self.empty == EmptyText::Refused && !reading.keeps_unset {
                return Err(Violation::new(name, "is required"));
            }
            tuple.put_i32(NULL);
            return Ok(());
        }
        self.format.check(text).map_err(|why| Violation::new(name, why))?;
        put_prefixed(tuple, text.as_bytes());
        Ok(())
    }

    fn put_stored_key(&self, name: &str, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let text = text_of(slot, name)?;
        check_key(text).map_err(|why| Violation::new(name, why))?;
        put_prefixed(tuple, text.as_bytes());
        Ok(())
    }

    fn check_new_key(&self, key: &str) -> Result<(), String> {
        self.format.check(key)
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        (self.empty == EmptyText::Stored).then_some(b"")
    }

    fn output(&self) -> PutField {
        put_text
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match (change, self.empty) {
            (Change::IfSet, _) => Assignment::if_set(name),
            (_, EmptyText::Refused | EmptyText::Computed) => Assignment::new(name, format!("i.{name}")),
            (_, EmptyText::Stored) => Assignment::or(name, "''"),
            // A stored empty text stays if null is sent: both read the same.
            (_, EmptyText::Null) => Assignment::or(name, &format!("case when t.{name} = '' then '' end")),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        Some(literal(storable_text(value, String::new).ok()?))
    }

    fn is_orderable(&self) -> bool {
        true
    }
}
