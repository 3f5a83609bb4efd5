//! An enum of the contract in a `text` column.

use bytes::BufMut as _;

use super::{
    Assignment, Change, ColumnKind, ContractField, OutputField, PutField, Reading, Stated, StoredColumn, WireForm,
    int32_of, limits, storable_text,
};
use crate::db::array::ElementType;
use crate::db::sql::{literal, literal_array};
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};
use crate::resource::wire::put_number;

/// The stored text of each value of an enum, with the value's number. 0 has no text: it is unset.
pub type EnumNames = &'static [(i32, &'static str)];

/// An enum whose values are stored as these texts, for example `&[(1, "billing"), (2, "shipping")]`. It is required
/// unless it is [optional](Enumeration::optional). A stored text that is none of them reads as 0.
pub const fn enumeration(names: EnumNames) -> Enumeration {
    Enumeration { names, optional: false }
}

/// An enum in a text column.
#[derive(Clone, Copy, Debug)]
pub struct Enumeration {
    names: EnumNames,
    optional: bool,
}

impl Enumeration {
    /// The same, but 0 is null.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    fn texts(&self) -> Vec<&'static str> {
        self.names.iter().map(|(_, text)| *text).collect()
    }
}

impl ColumnKind for Enumeration {
    /// The names must be those of all values but 0, each once.
    fn fits(&self, field: &ContractField<'_>) -> bool {
        let Some(contract) = field.enumeration() else { return false };
        let mut values: Vec<i32> = contract.value.iter().map(prost_types::EnumValueDescriptorProto::number).collect();
        values.retain(|number| *number != 0);
        let mut named: Vec<i32> = self.names.iter().map(|(number, _)| *number).collect();
        let (mut texts, count) = (self.texts(), named.len());
        values.sort_unstable();
        values.dedup();
        named.sort_unstable();
        texts.sort_unstable();
        texts.dedup();
        values == named && texts.len() == count && !texts.contains(&"")
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Varint
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        let limits = vec![Constraints { defined_only: true, ..Constraints::default() }];
        if self.optional { limits } else { limits::or_required(limits) }
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("text", self.optional))
    }

    fn element_type(&self) -> ElementType {
        ElementType::Text
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let value = int32_of(slot);
        if value == 0 {
            if !self.optional && !reading.keeps_unset {
                return Err(Violation::new(name, "is required"));
            }
            tuple.put_i32(NULL);
            return Ok(());
        }
        let Some((_, text)) = self.names.iter().find(|(number, _)| *number == value) else {
            let known: Vec<String> = self.names.iter().map(|(number, text)| format!("{number} ({text})")).collect();
            return Err(Violation::new(name, format!("is {value}; it must be one of {}", known.join(", "))));
        };
        put_prefixed(tuple, text.as_bytes());
        Ok(())
    }

    fn output(&self) -> PutField {
        put_number_of_name
    }

    fn enum_names(&self) -> EnumNames {
        self.names
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => Assignment::if_set(name),
            _ if !self.optional => Assignment::new(name, format!("i.{name}")),
            // A stored text without a value stays if 0 is sent: it reads as 0.
            _ => {
                let known = literal_array(&self.texts());
                Assignment::or(name, &format!("case when t.{name} <> all ({known}) then t.{name} end"))
            }
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        Some(literal(storable_text(value, String::new).ok()?))
    }

    fn is_orderable(&self) -> bool {
        true
    }
}

fn put_number_of_name(out: &mut Vec<u8>, target: OutputField, value: &[u8]) {
    if let Some((number, _)) = target.names.iter().find(|(_, text)| text.as_bytes() == value) {
        // An enum's value is sign-extended to 64 bits, as an int32 is.
        put_number(out, target.number, i64::from(*number).cast_unsigned());
    }
}
