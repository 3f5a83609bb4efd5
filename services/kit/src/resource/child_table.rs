//! Child tables: their rows belong to one row of the owner's table, as lines belong to an order. Children are a
//! resource of their own, whose key begins with the owner's key. They are read and written only with their owner.
//!
//! In the owner's input tuple the children of one table are one value after the columns: null if the caller did not
//! send the field, else for every child a 4-byte length and the child's input tuple without the owner's columns.

use std::collections::HashSet;
use std::sync::LazyLock;

use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};

use super::bounds::{MAX_CHILDREN, MAX_VIOLATIONS};
use super::row::rows;
use super::tuple::Columns;
use super::wire::FieldReader;
use super::{Description, Field, Resource};
use crate::error::Violation;
use crate::uid::UidKind;

/// A child table, as a resource's description states it.
#[derive(Debug)]
pub struct ChildDescription {
    /// The field of the owner's message that holds the children.
    pub field: &'static str,
    /// What the children are. The first column of their key is the owner's uid.
    pub resource: &'static LazyLock<Resource>,
    /// Whether an update replaces a stored child as a whole. Otherwise its columns that were not sent keep their
    /// values.
    pub replaced: bool,
}

/// A child table: its description joined with the owner's field.
#[derive(Debug)]
pub struct ChildTable {
    /// The field's name.
    pub name: &'static str,
    /// Its number in the owner's message.
    pub number: u32,
    /// What the children are.
    pub resource: &'static Resource,
    /// Whether an owner has at most one child.
    pub single: bool,
    /// Whether stored children are replaced as a whole.
    pub replaced: bool,
    /// How many columns of the children's key are the owner's key. They come first.
    pub owner_columns: usize,
    /// The kind of the children's uids, if they have uids of their own.
    uids: Option<UidKind>,
}

impl ChildTable {
    pub(super) fn compile(
        owner: &'static Description,
        description: &'static ChildDescription,
        field: &FieldDescriptorProto,
    ) -> Result<Self, String> {
        let resource: &'static Resource = description.resource;
        if field.r#type() != Type::Message || field.type_name() != format!(".{}", resource.description.message) {
            return Err(format!("field {} holds no {}", field.name(), resource.description.message));
        }
        let owner_columns = owner.key.len();
        let single = field.label() != Label::Repeated;
        let own_columns = resource.key_length().checked_sub(owner_columns);
        if own_columns.is_none_or(|columns| single != (columns == 0)) {
            return Err(format!("the key of {} does not fit field {}", resource.description.message, field.name()));
        }
        let owners = resource.inputs().take(owner_columns);
        if owners.zip(owner.key).any(|(field, _)| !field.key) {
            return Err(format!("the key of {} does not begin with its owner's", resource.description.message));
        }
        let uids = resource.inputs().nth(owner_columns).and_then(Field::own_uid);
        let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
        let ChildDescription { field: name, replaced, .. } = *description;
        Ok(Self { name, number, resource, single, replaced, owner_columns, uids })
    }

    /// Appends an owner's children to `out` as whole input tuples, one after the other, and the end of each to `ends`.
    /// `owner` is the owner's key as a tuple.
    pub fn rows(&self, owner: &[u8], children: &[u8], out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        for child in rows(children) {
            out.extend_from_slice(owner);
            out.extend_from_slice(child.tuple());
            ends.push(out.len());
        }
    }

    /// The provided children whose uids break the grammar of new uids: each one's place, its uid and the reason.
    pub fn foreign_children<'s>(
        &self,
        provided: &'s [u8],
    ) -> impl Iterator<Item = (usize, &'s [u8], String)> + use<'s> {
        self.uids.into_iter().flat_map(move |kind| {
            rows(provided).enumerate().filter_map(move |(place, child)| {
                let uid = Columns::new(child.tuple()).next().flatten()?;
                let why = kind.check(&String::from_utf8_lossy(uid)).err()?;
                Some((place, uid, why))
            })
        })
    }

    /// The violation for a child at this place whose uid breaks the grammar of new uids.
    pub fn foreign_child(&self, place: usize, why: String) -> Violation {
        let name = self.resource.inputs().nth(self.owner_columns).map_or("", |field| field.name);
        Violation::new(format!("{}[{place}].{name}", self.name), why)
    }

    /// Finds children that cannot be stored: those without a key, and those whose key appears twice.
    pub(super) fn check_children(&self, value: &[u8], violations: &mut Vec<Violation>) {
        let own_key = self.resource.key_length() - self.owner_columns;
        let mut keys = HashSet::new();
        for (at, child) in rows(value).enumerate() {
            if own_key == 0 || violations.len() >= MAX_VIOLATIONS {
                return;
            }
            let mut refuse = |column: usize, why: &str| {
                let name = self.resource.inputs().nth(self.owner_columns + column).map_or("", |field| field.name);
                violations.push(Violation::new(format!("{}[{at}].{name}", self.name), why));
            };
            let key = child.prefix(own_key);
            match Columns::new(key).position(|column| column.is_none()) {
                Some(column) => refuse(column, "is required"),
                None if !keys.insert(key) => refuse(own_key - 1, "appears twice"),
                None => {}
            }
        }
    }
}

/// The number of children in an encoded owner, up to the first malformed field. 0 if there are more than one owner may
/// have: decoding refuses such an owner before its children take memory.
pub(crate) fn count(owner: &Resource, message: &[u8]) -> usize {
    let mut reader = FieldReader::new(message);
    let mut count = 0;
    while let Ok(Some((number, _))) = reader.next() {
        count += usize::from(owner.child_tables.iter().any(|table| table.number == number));
    }
    if count > MAX_CHILDREN { 0 } else { count }
}

/// The children of one table that a tuple of `owner` provides; `None` if the field was not sent.
pub fn provided<'a>(owner: &Resource, child_table: usize, tuple: &'a [u8]) -> Option<&'a [u8]> {
    Columns::new(tuple).nth(owner.inputs().count() + child_table).flatten()
}
