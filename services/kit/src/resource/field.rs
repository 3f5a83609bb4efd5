//! The fields of a resource.

use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::constraints::Constraints;
use super::kind::{
    ColumnKind, ContractField, FieldRole, InnerField, MANY_CHILDREN, MemberFields, Members, ONE_CHILD, Stated,
    WireForm, check_limits,
};
use super::tuple::put_prefixed;
use crate::db::array::ElementType;
use crate::uid::UidKind;

/// One field of a compiled resource.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, which is also the name of its column. A payload has the name of its column: in the contract it is a
    /// oneof.
    pub name: &'static str,
    /// Its number in the message; of a payload, the number of its first member.
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
    /// Its members, if it is a payload.
    members: Option<&'static Members>,
}

/// What a field of the contract is joined with.
#[derive(Debug)]
pub(super) struct FieldSource<'a> {
    /// The kinds of the fields of its message.
    pub(super) kinds: &'static [(&'static str, &'static dyn ColumnKind)],
    /// Whether it belongs to the key of a resource.
    pub(super) key: bool,
    /// The whole contract.
    pub(super) contract: &'a FileDescriptorSet,
    /// The message that it belongs to.
    pub(super) message: &'a DescriptorProto,
    /// Its path, for errors.
    pub(super) path: &'a str,
}

impl Field {
    /// A field of a kind.
    pub(crate) fn new(name: &'static str, number: u32, kind: &'static dyn ColumnKind) -> Self {
        let (wire_form, role) = (kind.wire_form(), kind.role());
        Self { name, number, kind, key: false, wire_form, role, child_table: None, members: None }
    }

    /// A payload in the column `name`.
    pub(super) fn of_payload(name: &'static str, kind: &'static dyn ColumnKind, members: Members) -> Self {
        let number = members.members.first().map_or(0, |member| member.number);
        // Leaked on purpose, as the names of fields are.
        Self { members: Some(Box::leak(Box::new(members))), ..Self::new(name, number, kind) }
    }

    /// A field that holds children.
    pub(super) fn of_children(name: &'static str, number: u32, child_table: usize, single: bool) -> Self {
        let kind = if single { &ONE_CHILD } else { &MANY_CHILDREN };
        Self { child_table: Some(child_table), ..Self::new(name, number, kind) }
    }

    /// Joins a field of the contract, and the contract's rules for it, with its kind.
    pub(super) fn compile(
        source: &FieldSource<'_>,
        field: &FieldDescriptorProto,
        rules: &Constraints,
    ) -> Result<Self, String> {
        let FieldSource { kinds, key, contract, message, path } = *source;
        let kind = kinds.iter().find(|(name, _)| *name == field.name()).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| format!("field {path} has no kind"))?;
        if !kind.fits(&ContractField { field, message, contract }) {
            return Err(format!("the kind of field {path} does not fit its type: {kind:?}"));
        }
        check_limits(kind, Stated { rules, key }).map_err(|why| format!("field {path}: {why}"))?;
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

    /// Its members, if it is a payload.
    pub fn members(&self) -> Option<&'static Members> {
        self.members
    }

    /// The member whose field in the message has this number, if it is a payload.
    #[inline]
    pub(super) fn member(&self, number: u32) -> Option<&'static MemberFields> {
        self.members.and_then(|members| members.numbered(number))
    }

    /// The field of a member that a path names, if it is a payload: `circle.radius`.
    pub fn inner(&self, path: &str) -> Option<(&'static MemberFields, &'static InnerField)> {
        let (member, name) = path.split_once('.')?;
        let member = self.members?.named(member.as_bytes())?;
        Some((member, member.field(name.as_bytes())?))
    }

    /// The names of its fields in the contract: of a payload, those of its members.
    pub fn contract_names(&self) -> impl Iterator<Item = &'static str> {
        let own = self.members.is_none().then_some(self.name);
        own.into_iter().chain(self.members.into_iter().flat_map(|members| &members.members).map(|member| member.name))
    }

    /// Its name in the contract: of a payload, that of its oneof.
    pub fn contract_name(&self) -> &'static str {
        self.members.map_or(self.name, |members| members.oneof)
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
