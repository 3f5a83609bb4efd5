//! Lists of texts in a `jsonb` column.

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::sql::EMPTY_ARRAY;
use super::{
    Assignment, Change, ColumnKind, ContractField, OutputField, PutField, Reading, Stated, StoredColumn, WireForm,
    json_of, limits, put_jsonb, storable_text,
};
use crate::db::array::ElementType;
use crate::db::sql::indented;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::document::{JsonValue, elements};
use crate::resource::json::JsonText;
use crate::resource::slot::Slot;
use crate::resource::tuple::NULL;
use crate::resource::wire::put_bytes;

/// A list of texts, with these limits on its length and on each text.
pub const fn text_list(max_items: usize, max_bytes: usize) -> TextList {
    TextList { max_items, max_bytes }
}

/// A list of texts in a jsonb column.
#[derive(Clone, Copy, Debug)]
pub struct TextList {
    max_items: usize,
    max_bytes: usize,
}

impl ColumnKind for TextList {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.field.r#type() == Type::String && field.is_list()
    }

    fn wire_form(&self) -> WireForm {
        WireForm::List
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        let items = Some(Box::new(limits::text(self.max_bytes)));
        vec![Constraints { max_items: Some(self.max_items), items, ..Constraints::default() }]
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("jsonb", false))
    }

    fn element_type(&self) -> ElementType {
        ElementType::Json
    }

    fn put(&self, name: &str, slot: &Slot<'_>, _reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let items = match slot {
            Slot::Entries(items) => items,
            Slot::Unset => {
                tuple.put_i32(NULL);
                return Ok(());
            }
            Slot::Number(_) | Slot::Bytes(_) | Slot::Member { .. } => {
                return Err(Violation::new(name, "is no list of texts"));
            }
        };
        let (count, most) = (items.len(), self.max_items);
        if count > most {
            return Err(Violation::new(name, format!("has {count} entries; at most {most} are allowed")));
        }
        put_jsonb(tuple, |tuple| {
            let mut json = JsonText::new(tuple);
            json.put(b"[");
            for (nth, item) in items.iter().enumerate() {
                let path = || format!("{name}[{nth}]");
                let item = storable_text(item, path)?;
                if item.len() > self.max_bytes {
                    let why = format!("is {} bytes long; at most {} are allowed", item.len(), self.max_bytes);
                    return Err(Violation::new(path(), why));
                }
                json.separate(nth);
                json.put_string(item);
            }
            json.put(b"]");
            json.finish().map_err(|why| Violation::new(name, why))
        })
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        Some(EMPTY_ARRAY)
    }

    fn output(&self) -> PutField {
        put_texts
    }

    /// The new list, or the stored value if it reads as that list.
    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        let reads_as = format!(
            "(select coalesce(jsonb_agg(coalesce(e.value #>> '{{}}', 'null') order by e.place), '[]')\n   \
                from jsonb_array_elements(case when jsonb_typeof(t.{name}) = 'array' then t.{name} else '[]' end)\n   \
                with ordinality as e (value, place))"
        );
        let reads_as = indented(&reads_as, 7);
        let value = match change {
            Change::IfSet => format!(
                "(case when i.{name} is null or i.{name} =\n       \
                       {reads_as} then t.{name}\n      \
                       else i.{name} end)"
            ),
            _ => format!(
                "(case when coalesce(i.{name}, '[]') =\n       \
                       {reads_as} then t.{name}\n      \
                       else coalesce(i.{name}, '[]') end)"
            ),
        };
        Assignment::new(name, value)
    }
}

/// A jsonb array as a repeated text; an element that is no string is given as its JSON text.
fn put_texts(out: &mut Vec<u8>, target: OutputField, jsonb: &[u8]) {
    for (_, value) in elements(json_of(jsonb)) {
        match value {
            JsonValue::String(text) => put_bytes(out, target.number, &text.text()),
            JsonValue::Other(raw) => put_bytes(out, target.number, raw),
        }
    }
}
