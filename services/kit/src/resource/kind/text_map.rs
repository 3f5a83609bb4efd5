//! Labels and annotations: maps of texts in a `jsonb` column, which other programs may have filled with anything.

use bytes::BufMut as _;

use super::object::key_reach;
use super::sql::{EMPTY_OBJECT, Entries, keys_replaced, replaced, selected_keys};
use super::{
    Assignment, Change, ColumnKind, ContractField, OutputField, PutField, Reading, Stated, StoredColumn, WireForm,
    json_of, limits, put_jsonb, storable_text,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::label;
use crate::resource::constraints::Constraints;
use crate::resource::document::{JsonValue, entries};
use crate::resource::json::JsonText;
use crate::resource::mask::Reach;
use crate::resource::slot::{Portion, Slot};
use crate::resource::structure::sort_and_keep_last;
use crate::resource::tuple::NULL;
use crate::resource::wire::{FieldReader, Malformed, Value, put_bytes, put_header, varint_length};

/// Labels: keys and values to select by. The limits are those of the contract.
pub const fn labels() -> TextMap {
    TextMap { entries: 64, value_bytes: 1_024, bytes: 64 * 1_024 }
}

/// Annotations. The limits are those of the contract.
pub const fn annotations() -> TextMap {
    TextMap { entries: 256, value_bytes: 256 * 1_024, bytes: 256 * 1_024 }
}

/// A map of texts in a jsonb column.
#[derive(Clone, Copy, Debug)]
pub struct TextMap {
    /// Most entries.
    entries: usize,
    /// Most bytes of one value.
    value_bytes: usize,
    /// Most bytes of all keys and values together.
    bytes: usize,
}

impl TextMap {
    fn checked_entries<'a>(
        &self,
        name: &str,
        slot: &'a Slot<'_>,
        portion: Portion<'_>,
    ) -> Result<Vec<(&'a str, &'a str)>, Violation> {
        let Slot::Entries(raw) = slot else { return Err(Violation::new(name, "is no map")) };
        let mut entries = Vec::with_capacity(raw.len());
        let mut bytes = 0;
        for entry in raw {
            let Some((key, value)) = map_entry(name, entry, portion)? else { continue };
            bytes += key.len() + value.len();
            if value.len() > self.value_bytes {
                let why = format!("is {} bytes long; at most {} are allowed", value.len(), self.value_bytes);
                return Err(Violation::new(format!("{name}.{key}"), why));
            }
            entries.push((key, value));
        }
        sort_and_keep_last(&mut entries);
        let (count, most) = (entries.len(), self.entries);
        if count > most {
            return Err(Violation::new(name, format!("has {count} entries; at most {most} are allowed")));
        }
        if bytes > self.bytes {
            let most = self.bytes;
            return Err(Violation::new(name, format!("holds {bytes} bytes; at most {most} are allowed")));
        }
        Ok(entries)
    }
}

/// Whether a kind is a map of texts.
pub(in crate::resource) fn is_text_map(kind: &dyn ColumnKind) -> bool {
    kind.wire_form() == WireForm::List && kind.default_value() == Some(EMPTY_OBJECT)
}

/// The key and value of an entry; `None` if it is not decoded.
fn map_entry<'a>(name: &str, entry: &'a [u8], portion: Portion<'_>) -> Result<Option<(&'a str, &'a str)>, Violation> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut reader = FieldReader::new(entry);
    while let Some(field) = reader.next().map_err(|Malformed| Violation::new(name, "holds an entry that is none"))? {
        match field {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    if !portion.reaches(key) {
        return Ok(None);
    }
    let key = storable_text(key, || name.to_owned())?;
    label::check_key(key)
        .map_err(|why| Violation::new(name, format!("key {:?} {why}", key.chars().take(80).collect::<String>())))?;
    Ok(Some((key, storable_text(value, || format!("{name}.{key}"))?)))
}

impl ColumnKind for TextMap {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is_text_map()
    }

    fn wire_form(&self) -> WireForm {
        WireForm::List
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        let keys = Constraints {
            max_bytes: Some(label::MAX_KEY_BYTES),
            pattern: Some(label::KEY_PATTERN.to_owned()),
            ..Constraints::default()
        };
        vec![Constraints {
            max_pairs: Some(self.entries),
            keys: Some(Box::new(keys)),
            values: Some(Box::new(limits::text(self.value_bytes))),
            ..Constraints::default()
        }]
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("jsonb", false))
    }

    fn element_type(&self) -> ElementType {
        ElementType::Json
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        if matches!(slot, Slot::Unset) {
            tuple.put_i32(NULL);
            return Ok(());
        }
        let entries = self.checked_entries(name, slot, reading.portion)?;
        put_jsonb(tuple, |tuple| {
            let mut json = JsonText::new(tuple);
            json.put(b"{");
            for (nth, (key, value)) in entries.into_iter().enumerate() {
                json.separate(nth);
                json.put_string(key);
                json.put(b": ");
                json.put_string(value);
            }
            json.put(b"}");
            json.finish().map_err(|why| Violation::new(name, why))
        })
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        Some(EMPTY_OBJECT)
    }

    fn select_part(&self, column: &str, reach: &Reach) -> Option<String> {
        selected_keys(column, reach)
    }

    fn output(&self) -> PutField {
        put_map
    }

    fn reach(&self, inner: &str) -> Result<Reach, &'static str> {
        key_reach(inner)
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => replaced(name, true, Entries::Texts),
            Change::Keys(keys, _) => keys_replaced(name, keys, Entries::Texts),
            Change::Whole | Change::Details { .. } => replaced(name, false, Entries::Texts),
        }
    }
}

/// A jsonb object as a map of texts; a value that is no string is given as its JSON text.
fn put_map(out: &mut Vec<u8>, target: OutputField, jsonb: &[u8]) {
    for (key, value) in entries(json_of(jsonb)) {
        let key = key.text();
        let value = match value {
            JsonValue::String(text) => text.text(),
            JsonValue::Other(raw) => raw.into(),
        };
        let length = 2 + varint_length(key.len() as u64) + key.len() + varint_length(value.len() as u64) + value.len();
        put_header(out, target.number, length);
        put_bytes(out, 1, &key);
        put_bytes(out, 2, &value);
    }
}
