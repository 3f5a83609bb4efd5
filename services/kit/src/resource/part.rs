//! Parts: rows of another table that belong to one row of this one, as lines belong to an order. A part is a resource of its own whose
//! key begins with the owner's uid. It is written with its owner or not at all, and read with it.
//!
//! In the owner's input tuple a part is one value behind the columns: null where the caller sent nothing, else for every
//! child a 4-byte length and the child's input tuple without the owner's columns.

use std::collections::HashSet;
use std::sync::LazyLock;

use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};

use super::decode::MAX_VIOLATIONS;
use super::row::rows;
use super::tuple::Columns;
use super::wire::Reader;
use super::{Description, Field, Resource};
use crate::error::Violation;
use crate::uid::UidKind;

/// Most children of one part of one owner, and of all owners of a chunk together: as many as one statement may touch. A child that says
/// nothing takes two bytes of a message and thirty times as many in memory, so that a message's size bounds too little.
pub const MAX_CHILDREN: usize = 100_000;

/// What names cannot say about a part.
#[derive(Debug)]
pub struct PartDescription {
    /// The field of the owner's message that holds the children.
    pub field: &'static str,
    /// What the children are. The first column of their key is the owner's uid.
    pub resource: &'static LazyLock<Resource>,
    /// Whether a child that is stored already is replaced as a whole; else what is left out of it stays.
    pub replaced: bool,
}

/// A description joined with the owner's field.
#[derive(Debug)]
pub struct Part {
    /// The field's name.
    pub name: &'static str,
    /// Its number in the owner's message.
    pub number: u32,
    /// What the children are.
    pub resource: &'static Resource,
    /// Whether there is at most one.
    pub single: bool,
    /// Whether stored children are replaced as a whole.
    pub replaced: bool,
    /// How many columns of the children's key name their owner: its key.
    pub owner_columns: usize,
    /// Of which kind the children's uids are, if they have any of their own.
    uids: Option<UidKind>,
}

impl Part {
    pub(super) fn compile(
        owner: &'static Description,
        description: &'static PartDescription,
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
        let PartDescription { field: name, replaced, .. } = *description;
        Ok(Self { name, number, resource, single, replaced, owner_columns, uids })
    }

    /// Appends an owner's children as whole input tuples, one after the other, and where each ends. `owner` is the
    /// owner's key as it stands in a tuple.
    pub fn rows(&self, owner: &[u8], children: &[u8], out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        for child in rows(children) {
            out.extend_from_slice(owner);
            out.extend_from_slice(child.tuple());
            ends.push(out.len());
        }
    }

    /// The children that were sent with uids that none is created with: each one's place, its uid and what is wrong
    /// with that.
    pub fn foreign_children<'s>(&self, said: &'s [u8]) -> impl Iterator<Item = (usize, &'s [u8], String)> + use<'s> {
        self.uids.into_iter().flat_map(move |kind| {
            rows(said).enumerate().filter_map(move |(place, child)| {
                let uid = Columns::new(child.tuple()).next().flatten()?;
                let why = kind.check(&String::from_utf8_lossy(uid)).err()?;
                Some((place, uid, why))
            })
        })
    }

    /// What is said of a child at this place whose uid is not one that is created.
    pub fn foreign_child(&self, place: usize, why: String) -> Violation {
        let name = self.resource.inputs().nth(self.owner_columns).map_or("", |field| field.name);
        Violation::new(format!("{}[{place}].{name}", self.name), why)
    }

    /// Finds children that cannot be stored: without a key, or beside another one of the same key.
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

/// How many children an encoded owner has, as far as that can be told; none if they are more than one owner may have, which is refused
/// when it is decoded, before they take memory.
pub(crate) fn count(owner: &Resource, message: &[u8]) -> usize {
    let mut reader = Reader::new(message);
    let mut count = 0;
    while let Ok(Some((number, _))) = reader.next() {
        count += usize::from(owner.parts.iter().any(|part| part.number == number));
    }
    if count > MAX_CHILDREN { 0 } else { count }
}

/// What was said of a part of a tuple of `owner`: `None` if nothing was.
pub fn said<'a>(owner: &Resource, part: usize, tuple: &'a [u8]) -> Option<&'a [u8]> {
    Columns::new(tuple).nth(owner.inputs().count() + part).flatten()
}
