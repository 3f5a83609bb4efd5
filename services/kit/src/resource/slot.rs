//! The value of one field of a message, and the portion of it that is decoded.

use std::borrow::Cow;

use super::kind::{MemberFields, WireForm};
use super::mask;
use super::wire::{Malformed, Value};

/// The portion of a field that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion<'a> {
    /// All of it.
    All,
    /// These keys of a jsonb object.
    Keys(&'a mask::KeySet),
    /// All of a status but its phase.
    Details,
    /// Nothing of it.
    Nothing,
}

impl Portion<'_> {
    /// Whether it includes a key.
    pub(super) fn reaches(self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => std::str::from_utf8(key).is_ok_and(|key| keys.contain(key)),
            Self::Details => key != b"phase",
            Self::Nothing => false,
        }
    }

    /// Keeps the entries of a status's details that it includes. The key `phase` of a mask is the field of that name,
    /// and no detail. Each variant has its own loop: from one loop around a `match` the compiler makes several, and
    /// chooses between them by a length that other variants do not have. That is harmless, but Valgrind reports it.
    pub(super) fn keep_details<T>(self, entries: &mut Vec<(&str, T)>) {
        match self {
            Self::All | Self::Details => {}
            Self::Keys(keys) => entries.retain(|(key, _)| *key != "phase" && keys.contain(key)),
            Self::Nothing => entries.clear(),
        }
    }
}

/// The occurrences of a field that its kind needs.
#[derive(Clone, Debug)]
pub enum Slot<'a> {
    /// There is none.
    Unset,
    /// The bits of a number.
    Number(u64),
    /// A text, or a message.
    Bytes(Cow<'a, [u8]>),
    /// The items of a list, or the entries of a map.
    Entries(Vec<&'a [u8]>),
    /// A member of a payload.
    Member {
        /// Which one.
        member: &'a MemberFields,
        /// Its message.
        bytes: Cow<'a, [u8]>,
    },
}

impl<'a> Slot<'a> {
    /// Takes one occurrence of a field.
    ///
    /// # Errors
    /// Its wire type is not that of the field.
    #[inline]
    pub(super) fn take(&mut self, form: WireForm, value: Value<'a>) -> Result<(), Malformed> {
        match (form, value, self) {
            (WireForm::Varint, Value::Varint(number), slot) => *slot = Slot::Number(number),
            (WireForm::Fixed64, Value::Fixed64(bits), slot) => *slot = Slot::Number(bits),
            (WireForm::List, Value::Bytes(bytes), Slot::Entries(entries)) => entries.push(bytes),
            (WireForm::List, Value::Bytes(bytes), slot) => *slot = Slot::Entries(vec![bytes]),
            // A message field that appears several times is merged, as protobuf prescribes.
            (WireForm::Message, Value::Bytes(bytes), Slot::Bytes(before)) => before.to_mut().extend(bytes),
            (WireForm::Message | WireForm::Bytes, Value::Bytes(bytes), slot) => {
                *slot = Slot::Bytes(Cow::Borrowed(bytes));
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// Takes one occurrence of a member of a payload. Of several members the last one counts; if it is the same, they
    /// are merged.
    ///
    /// # Errors
    /// It is no message.
    pub(super) fn take_member(&mut self, member: &'a MemberFields, value: Value<'a>) -> Result<(), Malformed> {
        let Value::Bytes(message) = value else { return Err(Malformed) };
        match self {
            Slot::Member { member: before, bytes } if before.number == member.number => bytes.to_mut().extend(message),
            slot => *slot = Slot::Member { member, bytes: Cow::Borrowed(message) },
        }
        Ok(())
    }

    /// Whether it is unset or set to an empty text, which is the same.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Unset => true,
            Self::Number(number) => *number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Entries(entries) => entries.is_empty(),
            Self::Member { .. } => false,
        }
    }
}
