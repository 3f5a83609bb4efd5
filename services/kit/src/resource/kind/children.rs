//! Children: a field of their owner's message, without a column. [`child_table`](crate::resource::child_table)
//! describes how they are written.

use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, PutField, Reading, Stated, StoredColumn, WireForm,
    limits, put_nothing,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::bounds::MAX_CHILDREN;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;

/// At most one row.
pub(in crate::resource) static ONE_CHILD: ChildrenField = ChildrenField { many: false };
/// Any number of rows.
pub(in crate::resource) static MANY_CHILDREN: ChildrenField = ChildrenField { many: true };

/// Rows of another table.
#[derive(Clone, Copy, Debug)]
pub(in crate::resource) struct ChildrenField {
    many: bool,
}

impl ColumnKind for ChildrenField {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.field.r#type() == Type::Message && field.is_list() == self.many
    }

    fn wire_form(&self) -> WireForm {
        if self.many { WireForm::List } else { WireForm::Message }
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        let most = Constraints { max_items: Some(MAX_CHILDREN), ..Constraints::default() };
        // The contract need not state the limit if something else allows fewer children.
        if self.many { vec![most, Constraints::default()] } else { limits::none() }
    }

    fn column(&self) -> Option<StoredColumn> {
        None
    }

    fn role(&self) -> FieldRole {
        FieldRole::Children
    }

    fn element_type(&self) -> ElementType {
        ElementType::Text
    }

    /// Their own resource decodes them.
    fn put(&self, _: &str, _: &Slot<'_>, _: Reading<'_>, _: &mut Vec<u8>) -> Result<(), Violation> {
        Ok(())
    }

    fn output(&self) -> PutField {
        put_nothing
    }

    /// They have no column to assign.
    fn assign(&self, _name: &str, _change: Change<'_>) -> Assignment {
        Assignment { value: String::new(), differs: "false".to_owned() }
    }
}
