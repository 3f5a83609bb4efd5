//! Payloads: a oneof of messages, stored as one object in a `jsonb` column. A text column beside it, the discriminator,
//! holds the name of the member that is set.
//!
//! - `members`: the members, joined with the contract, and how a message becomes the value of an input tuple
//! - `keys`: single keys, as rules read and set them
//! - `sql`: how the column is selected and assigned
//! - `values`: values of the inner fields as JSON
//!
//! The stored object has a key for each inner field that is set, with the name of the field. Other programs may have
//! stored more keys, and other values. Keys that the member does not have stay in every write. A value that does not
//! fit its field reads as unset. A value that is sent replaces the stored one, unless jsonb takes the two for equal, as
//! it does 1.5 and 1.50.
//!
//! What callers send for fields that the service computes is ignored: rules set them, and a mask that names the member
//! leaves them.
//!
//! In tuples, sent and selected, the value is an object with a single key: the name of the member, and below it the
//! stored object. `{"circle": {"radius": 2}}` is a circle.

mod keys;
mod members;
mod sql;
#[cfg(test)]
mod tests;
mod values;

use bytes::BufMut as _;

pub(in crate::resource) use self::members::oneof_of;
pub use self::members::{InnerField, MemberFields, Members};
use super::sql::EMPTY_OBJECT;
use super::{
    Assignment, Change, ColumnKind, ContractField, JSONB_VERSION, OutputField, PutField, Reading, Stated, StoredColumn,
    json_of, limits,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::document::{JsonValue, entries};
use crate::resource::mask::{KeySet, Reach};
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};
use crate::resource::wire::put_nested;

/// A payload, described under the name of its column: the messages of a oneof.
pub const fn payload(payload: Payload) -> Payload {
    payload
}

/// A oneof of messages in a jsonb column.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// The name of the oneof in the contract. Its fields are neighbours by their numbers.
    pub oneof: &'static str,
    /// The text column that holds the name of the member. It is a field of its own. Whether it agrees with the member
    /// that was sent is for the resource's rules to check.
    pub discriminator: &'static str,
    /// All fields of the oneof.
    pub members: &'static [Member],
}

/// One member of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name of its field, which the discriminator holds.
    pub field: &'static str,
    /// The kind of each field of its message. A field that is unset has no key in the stored object, whatever the
    /// default of its kind.
    pub fields: &'static [(&'static str, &'static dyn ColumnKind)],
}

impl Payload {
    /// Every member: what a mask names that names all fields.
    pub(in crate::resource) fn every_member(&self) -> KeySet {
        let names = self.members.iter().map(|member| member.field.to_owned()).collect();
        KeySet { names, beginnings: Vec::new() }
    }
}

impl ColumnKind for Payload {
    /// It is no kind of a single field: [`Members::compile`] joins it with all fields of its oneof.
    fn fits(&self, _: &ContractField<'_>) -> bool {
        false
    }

    fn payload(&self) -> Option<&Payload> {
        Some(self)
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        limits::none()
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("jsonb", false))
    }

    fn element_type(&self) -> ElementType {
        ElementType::Json
    }

    fn put(&self, _name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let Slot::Member { member, bytes } = slot else {
            tuple.put_i32(NULL);
            return Ok(());
        };
        let mut violations = Vec::new();
        member.put(bytes, reading, tuple, &mut violations);
        violations.into_iter().next().map_or(Ok(()), Err)
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        Some(EMPTY_OBJECT)
    }

    fn put_new(&self, value: Option<&[u8]>, _now: i64, row: &mut Vec<u8>) {
        let member = value.and_then(|value| entries(json_of(value)).next());
        match member {
            Some((_, JsonValue::Other(object))) => {
                row.put_i32(1 + object.len() as i32);
                row.push(JSONB_VERSION);
                row.extend_from_slice(object);
            }
            _ => put_prefixed(row, EMPTY_OBJECT),
        }
    }

    fn put_selected(&self, value: Option<&[u8]>, _now: i64, tuple: &mut Vec<u8>) {
        put_prefixed(tuple, value.unwrap_or(EMPTY_OBJECT));
    }

    fn select(&self, column: &str) -> String {
        self.selected(column)
    }

    fn select_part(&self, column: &str, reach: &Reach) -> Option<String> {
        self.selected_part(column, reach)
    }

    fn output(&self) -> PutField {
        put_member
    }

    /// The assignment if the discriminator stays as it is stored.
    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        self.assign_beside(name, change, &format!("t.{}", self.discriminator))
    }
}

/// The member of a row as its field of the message. A name that is no member is no field. The inner fields are in the
/// order of the object's keys.
fn put_member(out: &mut Vec<u8>, target: OutputField, jsonb: &[u8]) {
    let Some((name, value)) = entries(json_of(jsonb)).next() else { return };
    let Some(member) = target.members.and_then(|members| members.named(&name.text())) else { return };
    put_nested(out, member.number, |out| {
        let JsonValue::Other(object) = value else { return };
        let mut scratch = Vec::new();
        for (key, value) in entries(object) {
            let Some(inner) = member.field(&key.text()) else { continue };
            scratch.clear();
            if values::read(inner, value, &mut scratch).is_some() {
                inner.put_output(out, &scratch);
            }
        }
    });
}
