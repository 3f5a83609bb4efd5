//! Decoding: the bytes of a message become an input tuple. Every rule of every field is checked.
//!
//! A tuple is canonical: map keys are sorted and unset fields are null. Two encodings of the same message give the same
//! tuple, and the write ledger stores its hash. A field with its zero value counts as unset (proto3).

use bytes::BufMut as _;

use super::bounds::{MAX_CHILDREN, MAX_ROW_BYTES, MAX_VIOLATIONS};
use super::key::number;
use super::kind::{Reading, int32_of, int64_of, text_of};
use super::mask::{Reach, UpdateMask};
use super::rules::CheckedRow;
use super::slot::{Portion, Slot};
use super::tuple::prefix;
use super::tuple::{Columns, NULL, end_value, put_prefixed};
use super::wire::{FieldReader, Malformed, Value};
use super::{Field, Resource, child_table};
use crate::db::array::ElementType;
use crate::error::Violation;

/// Which keys a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// Keys of new rows: they follow the grammar of the contract. An empty uid is replaced by a new one.
    NewOrMade,
    /// Keys of new rows. An empty uid is refused.
    New,
    /// Any key that another program may have stored. Whether a new row has a valid key is checked later, by
    /// [`Resource::check_new_keys`].
    Any,
}

/// The content of a row that is not in its columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RowExtras {
    /// The etag and revision that the stored row must have.
    pub precondition: Precondition,
    /// Whether the uid was made here.
    pub made_uid: bool,
}

/// What the stored row must be like for a write to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The etag that it must have; empty for any.
    pub etag: String,
    /// The revision that it must have; 0 for any.
    pub revision: i32,
}

impl Precondition {
    /// Whether any stored row is accepted.
    pub fn is_none(&self) -> bool {
        self.etag.is_empty() && self.revision == 0
    }
}

impl Resource {
    /// Appends the input tuple of an encoded message to `tuple`. If there is an `update`, only the fields that it names
    /// are decoded; the others are null. A caller may have read them from rows that other programs wrote, so they need
    /// not follow the rules.
    ///
    /// # Errors
    /// Every broken rule; `tuple` is then as it was.
    pub fn decode(
        &self,
        message: &[u8],
        keys: KeyPolicy,
        update: Option<&UpdateMask>,
        tuple: &mut Vec<u8>,
    ) -> Result<RowExtras, Vec<Violation>> {
        let start = tuple.len();
        let slots = self.slots(message)?;
        let mut violations = Vec::new();
        let mut decoded = RowExtras::default();
        let keeps_unset = update.is_some_and(UpdateMask::keeps_unset);
        for (at, (field, slot)) in self.fields.iter().zip(&slots).enumerate() {
            let portion = self.portion(at, update);
            let put = if field.is_etag() {
                text_of(slot, field.name).map(|etag| etag.clone_into(&mut decoded.precondition.etag))
            } else if field.is_revision() {
                decoded.precondition.revision = int32_of(slot);
                if decoded.precondition.revision < 0 {
                    Err(Violation::new(field.name, "must not be negative"))
                } else {
                    Ok(())
                }
            } else if field.is_update_time() {
                Ok(())
            } else if portion == Portion::Nothing {
                tuple.put_i32(NULL);
                Ok(())
            } else if let Some(kind) = field.own_uid().filter(|_| keys == KeyPolicy::NewOrMade && slot.is_empty()) {
                put_prefixed(tuple, kind.new_uid().as_bytes());
                decoded.made_uid = true;
                Ok(())
            } else if let Some(nth) = field.child_table() {
                let owner = prefix(&tuple[start..], self.key_length()).to_vec();
                self.put_children(nth, &owner, slot, keys, tuple, &mut violations);
                Ok(())
            } else if field.key && keys == KeyPolicy::Any {
                field.kind.put_stored_key(field.name, slot, tuple)
            } else {
                let reading = Reading { portion, keeps_unset: keeps_unset && !field.key, unset_is_null: !field.key };
                match field.members() {
                    Some(members) => {
                        members.put(slot, reading, tuple, &mut violations);
                        Ok(())
                    }
                    None => put_value(field, slot, reading, tuple),
                }
            };
            violations.extend(put.err());
            if violations.len() >= MAX_VIOLATIONS {
                break;
            }
        }
        if violations.is_empty() {
            return Ok(decoded);
        }
        tuple.truncate(start);
        Err(violations)
    }

    /// Checks the decoded row that begins at `start` by the resource's own rules. They may complete it.
    ///
    /// # Errors
    /// Every broken rule; `tuples` is then as it was before the row.
    pub fn check(&self, tuples: &mut Vec<u8>, start: usize, update: Option<&UpdateMask>) -> Result<(), Vec<Violation>> {
        let mut violations = Vec::new();
        self.rules.check(&mut CheckedRow::new(tuples, start, update, &mut violations));
        if violations.is_empty() {
            for (nth, child_table) in self.child_tables.iter().enumerate() {
                if let Some(children) = child_table::provided(self, nth, &tuples[start..]) {
                    child_table.check_children(children, &mut violations);
                }
            }
        }
        if violations.is_empty() {
            return Ok(());
        }
        tuples.truncate(start);
        Err(violations)
    }

    /// Checks that a row decoded with [`KeyPolicy::Any`] may be created: its key and the keys of its children must
    /// follow the grammar of the contract.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check_new_keys(&self, tuple: &[u8]) -> Result<(), Violation> {
        for (field, value) in self.inputs().take(self.key_length()).zip(Columns::new(tuple)) {
            let key = match number(value) {
                Some(number) if field.is_number() => number.to_string(),
                _ => String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
            };
            field.kind.check_new_key(&key).map_err(|why| Violation::new(field.name, why))?;
        }
        for (nth, child_table) in self.child_tables.iter().enumerate() {
            let Some(provided) = child_table::provided(self, nth, tuple) else { continue };
            if let Some((place, _, why)) = child_table.foreign_children(provided).next() {
                return Err(child_table.foreign_child(place, why));
            }
        }
        Ok(())
    }

    /// Appends the children in one field of a message.
    fn put_children(
        &self,
        nth: usize,
        owner: &[u8],
        slot: &Slot<'_>,
        keys: KeyPolicy,
        tuple: &mut Vec<u8>,
        violations: &mut Vec<Violation>,
    ) {
        let child_table = &self.child_tables[nth];
        let alone;
        let messages: &[&[u8]] = match slot {
            Slot::Unset | Slot::Number(_) | Slot::Member { .. } => {
                tuple.put_i32(NULL);
                return;
            }
            Slot::Bytes(message) => {
                alone = [&message[..]];
                &alone
            }
            Slot::Entries(messages) if messages.len() > MAX_CHILDREN => {
                let why = format!("has {} entries; at most {MAX_CHILDREN} are allowed", messages.len());
                violations.push(Violation::new(child_table.name, why));
                return;
            }
            Slot::Entries(messages) => messages,
        };
        let at = tuple.len();
        tuple.put_i32(0);
        for (place, message) in messages.iter().enumerate() {
            let child_at = tuple.len();
            tuple.put_i32(0);
            let before = violations.len();
            child_table.resource.put_child(message, owner, keys, tuple, violations);
            end_value(tuple, child_at);
            let path =
                if child_table.single { child_table.name.to_owned() } else { format!("{}[{place}]", child_table.name) };
            for violation in &mut violations[before..] {
                *violation = std::mem::replace(violation, Violation::new("", "")).within(&path);
            }
            if violations.len() >= MAX_VIOLATIONS {
                return;
            }
        }
        end_value(tuple, at);
    }

    /// Appends the tuple of a child without the columns of its owner's key.
    fn put_child(
        &self,
        message: &[u8],
        owner: &[u8],
        keys: KeyPolicy,
        tuple: &mut Vec<u8>,
        violations: &mut Vec<Violation>,
    ) {
        let slots = match self.slots(message) {
            Ok(slots) => slots,
            Err(malformed) => return violations.extend(malformed),
        };
        let mut owner = Columns::new(owner);
        for (field, slot) in self.fields.iter().zip(&slots) {
            let put = if let Some(column) = owner.next() {
                check_owner_column(field, slot, column)
            } else if !field.is_input() {
                Ok(())
            } else if field.own_uid().is_some() && slot.is_empty() {
                tuple.put_i32(NULL);
                Ok(())
            } else if field.own_uid().is_some() && keys == KeyPolicy::Any {
                field.kind.put_stored_key(field.name, slot, tuple)
            } else {
                put_value(field, slot, Reading::ALL, tuple)
            };
            violations.extend(put.err());
        }
    }

    /// The portion of a field that is decoded.
    fn portion<'a>(&self, at: usize, update: Option<&'a UpdateMask>) -> Portion<'a> {
        let Some(paths) = update.and_then(UpdateMask::paths) else { return Portion::All };
        let field = &self.fields[at];
        if field.key || self.description.newest_by == Some(field.name) {
            return Portion::All;
        }
        match paths.iter().find(|path| path.field == at).map(|path| &path.reach) {
            None => Portion::Nothing,
            Some(Reach::Keys(keys)) => Portion::Keys(keys),
            Some(Reach::Details { phase: false }) => Portion::Details,
            Some(Reach::Whole | Reach::Details { phase: true }) => Portion::All,
        }
    }

    /// The values of a message's fields, in the order of the resource's fields. Checks the size of the message and of
    /// each child.
    fn slots<'a>(&self, message: &'a [u8]) -> Result<Vec<Slot<'a>>, Vec<Violation>> {
        let malformed = |Malformed| vec![Violation::new("", format!("the bytes are no {}", self.description.message))];
        let mut slots = Vec::with_capacity(self.fields.len());
        slots.resize_with(self.fields.len(), || Slot::Unset);
        let (mut own_bytes, mut left) = (0, message.len());
        let mut reader = FieldReader::new(message);
        while let Some((number, value)) = reader.next().map_err(malformed)? {
            let taken = left - reader.left();
            left = reader.left();
            own_bytes += match value {
                Value::Bytes(bytes) if self.holds_children(number) => taken - bytes.len(),
                _ => taken,
            };
            // Checked during the loop, because an entry takes much more memory here than in the message.
            if own_bytes > MAX_ROW_BYTES {
                return Err(vec![Violation::new("", format!("is larger than {MAX_ROW_BYTES} bytes"))]);
            }
            // Unknown fields are skipped, as protobuf prescribes.
            let Some(at) = self.place_of(number) else { continue };
            let (field, slot) = (&self.fields[at], &mut slots[at]);
            match field.member(number) {
                Some(member) => slot.take_member(member, value),
                None => slot.take(field.wire_form, value),
            }
            .map_err(malformed)?;
        }
        Ok(slots)
    }

    /// Whether the field with this number holds children.
    fn holds_children(&self, number: u32) -> bool {
        self.child_tables.iter().any(|table| table.number == number)
    }
}

/// Checks a child's value for a column of its owner's key: unset, or the owner's value.
fn check_owner_column(field: &Field, slot: &Slot<'_>, column: Option<&[u8]>) -> Result<(), Violation> {
    let fits = match field.element_type() {
        _ if slot.is_empty() => true,
        ElementType::Integer => number(column) == Some(i64::from(int32_of(slot))),
        ElementType::BigInteger => number(column) == Some(int64_of(slot)),
        _ => Some(text_of(slot, field.name)?.as_bytes()) == column,
    };
    if fits { Ok(()) } else { Err(Violation::new(field.name, "is not that of the row that it belongs to")) }
}

/// Appends a field's value; null for a field that the service computes.
fn put_value(field: &Field, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
    if field.kind.is_computed() {
        tuple.put_i32(NULL);
        return Ok(());
    }
    field.kind.put(field.name, slot, reading, tuple)
}
