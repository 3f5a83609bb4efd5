//! Etags: a hash of the stored row, without a column.

use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, PutField, Reading, Stated, StoredColumn, put_nothing,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;

/// A hash of the stored row. A row that is sent with another etag than the stored row's is refused.
pub const fn etag() -> Etag {
    Etag
}

/// A hash of the stored row.
#[derive(Clone, Copy, Debug)]
pub struct Etag;

impl ColumnKind for Etag {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::String)
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        let limits = Constraints { not_contains: Some("\0".to_owned()), ..Constraints::default() };
        vec![limits]
    }

    fn column(&self) -> Option<StoredColumn> {
        None
    }

    fn role(&self) -> FieldRole {
        FieldRole::Etag
    }

    fn element_type(&self) -> ElementType {
        ElementType::Text
    }

    /// It is not in the input tuple: it is a precondition.
    fn put(&self, _: &str, _: &Slot<'_>, _: Reading<'_>, _: &mut Vec<u8>) -> Result<(), Violation> {
        Ok(())
    }

    fn output(&self) -> PutField {
        put_nothing
    }

    /// It has no column to assign.
    fn assign(&self, _name: &str, _change: Change<'_>) -> Assignment {
        Assignment { value: String::new(), differs: "false".to_owned() }
    }
}
