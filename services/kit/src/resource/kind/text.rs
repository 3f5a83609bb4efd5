//! `text`: any text, or one of a format.

use std::fmt::Debug;

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, Column, ColumnKind, ContractField, PutField, Reading, Role, Stated, limits, put_text,
    storable_text, text_of,
};
use crate::db::array::ElementType;
use crate::db::sql::literal;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};
use crate::uid::{UidKind, check_key};

/// A text of at most `max_bytes` bytes; an empty one is stored as null.
pub const fn text(max_bytes: usize) -> Text<Free> {
    Text { format: Free { max_bytes }, empty: Empty::Null }
}

/// A text of at most `max_bytes` bytes; an empty one is stored as such.
pub const fn text_not_null(max_bytes: usize) -> Text<Free> {
    Text { format: Free { max_bytes }, empty: Empty::Stored }
}

/// A required text of at most `max_bytes` bytes in a format of the slice's own: `check` says what is wrong with a text.
pub const fn text_checked(max_bytes: usize, check: fn(&str) -> Result<(), String>) -> Text<Checked> {
    Text { format: Checked { max_bytes, check }, empty: Empty::Refused }
}

/// What a text must look like.
pub trait TextFormat: Debug + Send + Sync {
    /// Whether a text that is not empty is in the format.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, text: &str) -> Result<(), String>;

    /// What the contract may state of a field in this format, for which it states `rules`.
    fn limits(&self, rules: &Constraints, may_be_empty: bool) -> Vec<Constraints>;

    /// Its kind, if it is the row's own uid.
    fn own_uid(&self) -> Option<UidKind> {
        None
    }
}

/// A text column.
#[derive(Clone, Copy, Debug)]
pub struct Text<F> {
    pub(super) format: F,
    pub(super) empty: Empty,
}

/// What an empty text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Empty {
    /// Refused, unless the row is stored already and keeps what is left out.
    Refused,
    /// Null.
    Null,
    /// A text like others.
    Stored,
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

impl<F: Copy> Text<F> {
    /// The same, where an empty text is null.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { format: self.format, empty: Empty::Null }
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

    /// What the function checks is the slice's to compare.
    fn limits(&self, rules: &Constraints, _: bool) -> Vec<Constraints> {
        vec![Constraints { max_bytes: Some(self.max_bytes), required: false, ..rules.clone() }]
    }
}

impl<F: TextFormat> ColumnKind for Text<F> {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::String)
    }

    fn limits(&self, stated: Stated<'_>) -> Vec<Constraints> {
        let may_be_empty = self.empty != Empty::Refused;
        let mut limits = self.format.limits(stated.rules, may_be_empty);
        if stated.key {
            limits.push(limits::stored_key());
        }
        if may_be_empty { limits } else { limits::or_required(limits) }
    }

    fn column(&self) -> Option<Column> {
        Some(Column::new("text", self.empty == Empty::Null))
    }

    fn role(&self) -> Role {
        self.format.own_uid().map_or(Role::Stored, Role::OwnUid)
    }

    fn element_type(&self) -> ElementType {
        ElementType::Text
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let text = text_of(slot, name)?;
        if text.is_empty() {
            if self.empty == Empty::Refused && !reading.keeps_unset {
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
        (self.empty == Empty::Stored).then_some(b"")
    }

    fn output(&self) -> PutField {
        put_text
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match (change, self.empty) {
            (Change::IfSet, _) => Assignment::if_set(name),
            (_, Empty::Refused) => Assignment::new(name, format!("i.{name}")),
            (_, Empty::Stored) => Assignment::or(name, "''"),
            // An empty text that another program stored stays where null is sent: it reads the same.
            (_, Empty::Null) => Assignment::or(name, &format!("case when t.{name} = '' then '' end")),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        Some(literal(storable_text(value, String::new).ok()?))
    }

    fn is_orderable(&self) -> bool {
        true
    }
}
