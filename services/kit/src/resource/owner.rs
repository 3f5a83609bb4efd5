//! Owners: what rows belong to that a write replaces together. The columns of the owner are the first ones of the key.

use std::borrow::Cow;

use super::kind::WireForm;
use super::slot::Slot;
use super::wire::{FieldReader, Value};
use super::{Field, Resource};

/// What a row that is not written says about the stored rows of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerRow {
    /// The owner has no rows: only the owner's columns are set.
    Nothing,
    /// The row was meant, whatever is wrong with it. Its key is known.
    Key,
    /// A row was meant, but its key is not known.
    UnknownKey,
}

/// Checks that an owner's columns are the first ones of the key, and that a row without the other ones is no key.
///
/// # Errors
/// What is wrong.
pub(super) fn check(resource: &Resource) -> Result<(), String> {
    let (owner, key) = (resource.description.owner, resource.description.key);
    if owner.is_empty() {
        return Ok(());
    }
    if owner.len() >= key.len() || !key.starts_with(owner) {
        return Err(format!("the owner's columns {owner:?} are not the first ones of the key, and fewer"));
    }
    // A number that is unset is 0, which may be part of a key. A text is not empty there.
    if resource.key_fields().skip(owner.len()).all(Field::is_number) {
        return Err("the key has no text behind the owner's columns: an owner without rows cannot be named".to_owned());
    }
    Ok(())
}

impl Resource {
    /// Reads what a row that could not be decoded says about its owner, however little of it can be read. Appends the
    /// row's key to `tuple`, or only the owner's columns if that is all that is known. `None` if the owner is not
    /// known; `tuple` is then as it was.
    pub(crate) fn owner_row(&self, message: &[u8], tuple: &mut Vec<u8>) -> Option<OwnerRow> {
        let owner_columns = self.owner_length();
        let KeySlots { slots, only_key, valid } = self.key_slots(message);
        let start = tuple.len();
        let put = |at: usize, tuple: &mut Vec<u8>| {
            let (field, slot) = (&self.fields[at], &slots[at]);
            // What is missing from invalid bytes may be in the part that cannot be read.
            let is_known = valid || !matches!(slot, Slot::Unset);
            is_known && field.kind.put_stored_key(field.name, slot, tuple).is_ok()
        };
        if !(0..owner_columns).all(|at| put(at, tuple)) {
            tuple.truncate(start);
            return None;
        }
        let end = tuple.len();
        if valid && only_key && slots[owner_columns..].iter().all(Slot::is_empty) {
            return Some(OwnerRow::Nothing);
        }
        if (owner_columns..self.key_length()).all(|at| put(at, tuple)) {
            return Some(OwnerRow::Key);
        }
        tuple.truncate(end);
        Some(OwnerRow::UnknownKey)
    }

    /// The fields of the key in a message, as far as its bytes are valid.
    fn key_slots<'m>(&self, message: &'m [u8]) -> KeySlots<'m> {
        let mut key = KeySlots { slots: vec![Slot::Unset; self.key_length()], only_key: true, valid: true };
        let mut reader = FieldReader::new(message);
        loop {
            let (number, value) = match reader.next() {
                Ok(Some(field)) => field,
                Ok(None) => return key,
                Err(_) => return KeySlots { valid: false, ..key },
            };
            // Fields that are not known are skipped, as in a row that is written.
            let Some(at) = self.place_of(number) else { continue };
            match (key.slots.get_mut(at), self.fields[at].wire_form, value) {
                (Some(slot), WireForm::Varint, Value::Varint(number)) => *slot = Slot::Number(number),
                (Some(slot), WireForm::Bytes, Value::Bytes(bytes)) => *slot = Slot::Bytes(Cow::Borrowed(bytes)),
                (Some(_), ..) => key.valid = false,
                (None, _, Value::Varint(0) | Value::Fixed64(0) | Value::Bytes([])) => {}
                (None, ..) => key.only_key = false,
            }
        }
    }
}

/// The fields of the key in a message.
struct KeySlots<'m> {
    slots: Vec<Slot<'m>>,
    /// Whether no other field is set.
    only_key: bool,
    /// Whether all bytes are valid.
    valid: bool,
}

#[cfg(test)]
mod tests;
