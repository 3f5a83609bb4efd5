//! The fields of a resource.

use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::constraints::Constraints;
use super::description::Description;
use super::kind::{ColumnKind, ContractField, FieldRole, MANY_CHILDREN, ONE_CHILD, Stated, WireForm, check_limits};
use super::tuple::put_prefixed;
use crate::db::array::ElementType;
use crate::uid::UidKind;

/// One field of a compiled resource.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, which is also the name of its column.
    pub name: &'static str,
    /// Its number in the message.
    pub number: u32,
    /// Its kind: its type and its rules.
    pub kind: &'static dyn ColumnKind,
    /// Whether it belongs to the key.
    pub key: bool,
    /// The wire form of its value.
    pub(super) wire_form: WireForm,
    role: FieldRole,
    /// If it holds children, the place of their table in [`Resource::child_tables`](super::Resource::child_tables).
    child_table: Option<usize>,
}

impl Field {
    /// A field of a kind.
    pub(crate) fn new(name: &'static str, number: u32, kind: &'static dyn ColumnKind) -> Self {
        Self { name, number, kind, key: false, wire_form: kind.wire_form(), role: kind.role(), child_table: None }
    }

    /// A field that holds children.
    pub(super) fn of_children(name: &'static str, number: u32, child_table: usize, single: bool) -> Self {
        let kind = if single { &ONE_CHILD } else { &MANY_CHILDREN };
        Self { child_table: Some(child_table), ..Self::new(name, number, kind) }
    }

    /// Joins a field of the contract, and the contract's rules for it, with its kind.
    pub(super) fn compile(
        description: &'static Description,
        contract: &FileDescriptorSet,
        message: &DescriptorProto,
        field: &FieldDescriptorProto,
        rules: &Constraints,
    ) -> Result<Self, String> {
        let kind = description.fields.iter().find(|(name, _)| *name == field.name()).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| format!("field {} has no kind", field.name()))?;
        if !kind.fits(&ContractField { field, message, contract }) {
            return Err(format!("the kind of field {} does not fit its type: {kind:?}", field.name()));
        }
        let stated = Stated { rules, key: description.key.contains(&field.name()) };
        check_limits(kind, stated).map_err(|why| format!("field {}: {why}", field.name()))?;
        let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
        // Leaked on purpose: resources are created once per process and live as long as it.
        Ok(Self::new(String::leak(field.name().to_owned()), number, kind))
    }

    /// Whether it has a column.
    pub fn is_stored(&self) -> bool {
        !matches!(self.role, FieldRole::Etag | FieldRole::Children)
    }

    /// Whether a caller can send a value for its column.
    pub fn is_input(&self) -> bool {
        self.is_stored() && !matches!(self.role, FieldRole::Revision | FieldRole::Updated)
    }

    /// Whether an update may change it.
    pub fn is_mutable(&self) -> bool {
        !self.kind.is_computed() && self.is_changeable()
    }

    /// Whether an update may change it, by the caller's value or by a computed one.
    pub fn is_changeable(&self) -> bool {
        let fixed =
            matches!(self.role, FieldRole::Etag | FieldRole::Revision | FieldRole::Created | FieldRole::Updated);
        !self.key && !fixed
    }

    /// Whether it is a hash of the stored row.
    pub fn is_etag(&self) -> bool {
        self.role == FieldRole::Etag
    }

    /// Whether it counts the changes of the row.
    pub fn is_revision(&self) -> bool {
        self.role == FieldRole::Revision
    }

    /// Whether it is the time of the row's last change.
    pub fn is_update_time(&self) -> bool {
        self.role == FieldRole::Updated
    }

    /// Whether it is an integer.
    pub fn is_number(&self) -> bool {
        matches!(self.element_type(), ElementType::Integer | ElementType::BigInteger)
    }

    /// Whether it is a time.
    pub fn is_time(&self) -> bool {
        self.kind.element_type() == ElementType::Timestamp
    }

    /// Whether it is the row's status.
    pub fn is_status(&self) -> bool {
        self.role == FieldRole::Status
    }

    /// The kind of uid, if it is the row's own uid.
    pub fn own_uid(&self) -> Option<UidKind> {
        match self.role {
            FieldRole::OwnUid(kind) => Some(kind),
            _ => None,
        }
    }

    /// Whether it is an integer that the service sets if the caller sends 0.
    pub fn is_completed_integer(&self) -> bool {
        self.role == FieldRole::CompletedInteger
    }

    /// If it holds children, the place of their table in [`Resource::child_tables`](super::Resource::child_tables).
    pub fn child_table(&self) -> Option<usize> {
        self.child_table
    }

    /// Whether rows can be ordered by it. Nullable columns cannot be used: null has no place in an order.
    pub fn is_orderable(&self) -> bool {
        self.kind.is_orderable() && self.kind.column().is_some_and(|column| !column.nullable)
    }

    /// The type of the array that carries this column to the database. Decimals travel as text.
    pub fn element_type(&self) -> ElementType {
        self.kind.element_type()
    }

    /// Appends the value of a new row as a select returns it. `now` is the time of creation.
    pub(crate) fn put_created(&self, value: Option<&[u8]>, now: i64, tuple: &mut Vec<u8>) {
        match self.role {
            FieldRole::Updated => put_prefixed(tuple, &now.to_be_bytes()),
            FieldRole::Revision => put_prefixed(tuple, &1_i32.to_be_bytes()),
            _ => self.kind.put_selected(value, now, tuple),
        }
    }

    /// The type of its column.
    pub fn stored_type(&self) -> ElementType {
        self.kind.stored_type()
    }
}
