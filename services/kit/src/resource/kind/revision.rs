//! Revisions: the number of changes of a row, in an `integer` column.

use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, PutField, Reading, Stated, StoredColumn, WireForm,
    put_integer,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;

/// The number of changes: 1 on a new row. A row that is sent with another revision than the stored one is refused.
pub const fn revision() -> Revision {
    Revision
}

/// A revision column.
#[derive(Clone, Copy, Debug)]
pub struct Revision;

impl ColumnKind for Revision {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::Int32)
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Varint
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        vec![Constraints { min: Some(0), ..Constraints::default() }]
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("integer", false))
    }

    fn role(&self) -> FieldRole {
        FieldRole::Revision
    }

    fn element_type(&self) -> ElementType {
        ElementType::Integer
    }

    /// It is not in the input tuple: it is a precondition.
    fn put(&self, _: &str, _: &Slot<'_>, _: Reading<'_>, _: &mut Vec<u8>) -> Result<(), Violation> {
        Ok(())
    }

    fn output(&self) -> PutField {
        put_integer
    }

    /// The assignment of every change. After the largest number the server refuses the change.
    fn assign(&self, name: &str, _change: Change<'_>) -> Assignment {
        Assignment { value: format!("t.{name} + 1"), differs: "true".to_owned() }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        Some(i32::from_be_bytes(value.try_into().ok()?).to_string())
    }

    fn is_orderable(&self) -> bool {
        true
    }
}
