//! `boolean`.

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, PutField, Reading, Stated, StoredColumn, WireForm, bits_of, limits,
    put_integer,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};

/// A boolean; unset is false.
pub const fn boolean() -> Boolean {
    Boolean
}

/// A boolean column.
#[derive(Clone, Copy, Debug)]
pub struct Boolean;

impl ColumnKind for Boolean {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::Bool)
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Varint
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        limits::none()
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("boolean", false))
    }

    fn element_type(&self) -> ElementType {
        ElementType::Boolean
    }

    fn put(&self, _name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        match bits_of(slot) != 0 {
            false if reading.unset_is_null => tuple.put_i32(NULL),
            truth => put_prefixed(tuple, &[u8::from(truth)]),
        }
        Ok(())
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        Some(&[0])
    }

    fn output(&self) -> PutField {
        put_integer
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => Assignment::if_set(name),
            _ => Assignment::or(name, "false"),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        match value {
            [0] => Some("false".to_owned()),
            [1] => Some("true".to_owned()),
            _ => None,
        }
    }

    fn is_orderable(&self) -> bool {
        true
    }
}
