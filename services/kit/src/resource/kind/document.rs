//! Documents: a `google.protobuf.Struct` in a `jsonb` column.

use bytes::BufMut as _;

use super::object::{key_reach, refused, struct_entries};
use super::sql::{EMPTY_OBJECT, Entries, keys_replaced, replaced, selected_keys};
use super::{
    Assignment, Change, ColumnKind, ContractField, OutputField, PutField, Reading, Stated, StoredColumn, WireForm,
    json_of, limits, put_jsonb,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::document::entries;
use crate::resource::json::JsonText;
use crate::resource::mask::Reach;
use crate::resource::slot::Slot;
use crate::resource::structure::{put_entry, put_object};
use crate::resource::tuple::NULL;
use crate::resource::wire::put_nested;

/// Any JSON object of at most `max_bytes` encoded bytes. Masks can name its keys, like those of a map.
pub const fn document(max_bytes: usize) -> Document {
    Document { max_bytes }
}

/// A JSON object in a jsonb column.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    max_bytes: usize,
}

impl ColumnKind for Document {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is_message(".google.protobuf.Struct")
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Message
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

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let Slot::Bytes(bytes) = slot else {
            tuple.put_i32(NULL);
            return Ok(());
        };
        if bytes.len() > self.max_bytes {
            return Err(Violation::new(name, format!("holds more than {} bytes", self.max_bytes)));
        }
        let mut entries = struct_entries(|| name.to_owned(), bytes)?;
        entries.retain(|(key, _)| reading.portion.reaches(key.as_bytes()));
        put_jsonb(tuple, |tuple| {
            let mut json = JsonText::new(tuple);
            put_object(&mut json, &entries).map_err(|error| refused(name, bytes, &error))?;
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
        put_document
    }

    fn reach(&self, inner: &str) -> Result<Reach, &'static str> {
        key_reach(inner)
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => replaced(name, true, Entries::Values),
            Change::Keys(keys, _) => keys_replaced(name, keys, Entries::Values),
            Change::Whole | Change::Details { .. } => replaced(name, false, Entries::Values),
        }
    }
}

/// A jsonb object as a Struct, which is set even if it is empty.
fn put_document(out: &mut Vec<u8>, target: OutputField, jsonb: &[u8]) {
    put_nested(out, target.number, |body| {
        for (key, value) in entries(json_of(jsonb)) {
            put_entry(body, &key.text(), value);
        }
    });
}
