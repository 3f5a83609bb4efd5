//! Parts: rows of another table that belong to one row of this one, as lines belong to an order. A part is a resource of its own whose
//! key begins with the owner's uid. It is written with its owner or not at all, and read with it.
//!
//! In the owner's input tuple a part is one value behind the columns: null where the caller said nothing of it, else for every child a
//! 4-byte length and the child's input tuple without the owner's column, as the caller said it. [`Part::rows`] completes what was left
//! out, the same way every time: the same list always becomes the same rows.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::LazyLock;

use bytes::BufMut as _;
use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::{Label, Type};
use ulid::Ulid;
use xxhash_rust::xxh3::xxh3_128;

use super::decode::MAX_VIOLATIONS;
use super::tuple::{Columns, put_prefixed};
use super::wire::Reader;
use super::{Field, Resource};
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
    /// How the part is computed from others, if it is.
    pub derivation: Option<&'static dyn Derivation>,
}

/// A part that is computed from another one: sums over an order's lines.
pub trait Derivation: Debug + Sync {
    /// The name of the part whose rows are summed up.
    fn source(&self) -> &'static str;

    /// The computed columns, from the rows of the source: each an input tuple without the owner's column. The result is a tuple of the
    /// derived part, also without the owner's column, in which the columns that a caller gives are null.
    ///
    /// # Errors
    /// A sum that cannot be kept; the violation is for the owner.
    fn sum(&self, rows: &mut dyn Iterator<Item = &[u8]>) -> Result<Vec<u8>, Violation>;

    /// The whole tuple, without the owner's column: computed columns from `sums` (which may be a stored tuple), the caller's own from
    /// `said`, else, where that is null, from `stored`.
    ///
    /// # Errors
    /// A sum that cannot be kept; the violation is for the owner.
    fn complete(&self, sums: &[u8], said: Option<&[u8]>, stored: Option<&[u8]>) -> Result<Vec<u8>, Violation>;
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
    /// How the part is computed, if it is.
    pub derivation: Option<&'static dyn Derivation>,
    /// Of which kind the children's uids are, if they have any of their own.
    uids: Option<UidKind>,
    /// Whether the children are numbered, in the column after their uid.
    numbered: bool,
}

impl Part {
    pub(super) fn compile(description: &'static PartDescription, field: &FieldDescriptorProto) -> Result<Self, String> {
        let resource: &'static Resource = description.resource;
        if field.r#type() != Type::Message || field.type_name() != format!(".{}", resource.description.message) {
            return Err(format!("field {} holds no {}", field.name(), resource.description.message));
        }
        let single = field.label() != Label::Repeated;
        if single != (resource.key_length() == 1) {
            return Err(format!("the key of {} does not fit field {}", resource.description.message, field.name()));
        }
        let mut after_owner = resource.inputs().skip(1);
        let uids = after_owner.next().and_then(Field::own_uid);
        let numbered = uids.is_some() && after_owner.next().is_some_and(Field::is_completed_integer);
        let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
        let PartDescription { field: name, replaced, derivation, .. } = *description;
        Ok(Self { name, number, resource, single, replaced, derivation, uids, numbered })
    }

    /// The children's column that names their owner.
    pub fn owner(&self) -> &'static str {
        self.resource.description.key[0]
    }

    /// Appends what was said of an owner's children as whole input tuples, one after the other, and where each ends. `owner` is the
    /// owner's key as it stands in a tuple, with its length.
    pub fn rows(&self, owner: &[u8], said: &[u8], out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        let Some(kind) = self.uids else {
            for child in children(said) {
                out.extend_from_slice(owner);
                out.extend_from_slice(child);
                ends.push(out.len());
            }
            return;
        };
        let mut taken: HashSet<&[u8]> = HashSet::new();
        let mut last_number = 0;
        for child in children(said) {
            let mut columns = Columns::new(child);
            taken.extend(columns.next().flatten());
            if self.numbered {
                last_number = last_number.max(number(columns.next().flatten()).unwrap_or(0));
            }
        }
        let mut place = 0;
        for child in children(said) {
            let mut columns = Columns::new(child);
            let uid = columns.next().flatten();
            place += 1;
            if self.numbered {
                place = number(columns.next().flatten()).unwrap_or_else(|| {
                    last_number += 1;
                    last_number
                });
            }
            out.extend_from_slice(owner);
            match uid {
                Some(uid) => put_prefixed(out, uid),
                None => put_prefixed(out, made_uid(kind, owner, place, &taken).as_bytes()),
            }
            if self.numbered {
                put_prefixed(out, &place.to_be_bytes());
            }
            out.extend_from_slice(columns.rest());
            ends.push(out.len());
        }
    }

    /// The children that were sent with uids that none is created with: each one's place, its uid and what is wrong
    /// with that.
    pub fn foreign_children<'s>(&self, said: &'s [u8]) -> impl Iterator<Item = (usize, &'s [u8], String)> + use<'s> {
        self.uids.into_iter().flat_map(move |kind| {
            children(said).enumerate().filter_map(move |(place, child)| {
                let uid = Columns::new(child).next().flatten()?;
                let why = kind.check(&String::from_utf8_lossy(uid)).err()?;
                Some((place, uid, why))
            })
        })
    }

    /// What is said of a child at this place whose uid is not one that is created.
    pub fn foreign_child(&self, place: usize, why: String) -> Violation {
        let name = self.resource.inputs().nth(1).map_or("", |field| field.name);
        Violation::new(format!("{}[{place}].{name}", self.name), why)
    }

    /// Finds children that cannot stand beside each other: of one key, or of one number.
    pub(super) fn check_children(&self, said: &[u8], violations: &mut Vec<Violation>) {
        let own_key = self.resource.key_length() - 1;
        let mut keys = HashSet::new();
        let mut numbers = HashSet::new();
        let (mut last_number, mut unnumbered) = (0_i32, 0_usize);
        for (at, child) in children(said).enumerate() {
            if violations.len() >= MAX_VIOLATIONS {
                return;
            }
            let mut refuse = |column: usize, why: &str| {
                let name = self.resource.inputs().nth(column + 1).map_or("", |field| field.name);
                violations.push(Violation::new(format!("{}[{at}].{name}", self.name), why));
            };
            let mut columns = Columns::new(child);
            let key: Vec<Option<&[u8]>> = columns.by_ref().take(own_key).collect();
            if own_key > 0 && key.iter().all(Option::is_some) && !keys.insert(key) {
                refuse(0, "appears twice");
            }
            if self.numbered {
                match number(columns.next().flatten()) {
                    Some(number) if !numbers.insert(number) => refuse(1, "appears twice"),
                    Some(number) => last_number = last_number.max(number),
                    None => unnumbered += 1,
                }
            }
        }
        if usize::try_from(i32::MAX - last_number).is_ok_and(|left| left < unnumbered) {
            violations.push(Violation::new(self.name, "leaves no numbers for the rows that have none"));
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

/// The children in a part's value.
pub fn children(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    Columns::new(said).flatten()
}

/// What was said of a part of a tuple of `owner`: `None` if nothing was.
pub fn said<'a>(owner: &Resource, part: usize, tuple: &'a [u8]) -> Option<&'a [u8]> {
    Columns::new(tuple).nth(owner.inputs().count() + part).flatten()
}

fn number(value: Option<&[u8]>) -> Option<i32> {
    Some(i32::from_be_bytes(value?.try_into().ok()?))
}

/// A uid that follows from the owner and the child's place; another one where a child has that already.
fn made_uid(kind: UidKind, owner: &[u8], place: i32, taken: &HashSet<&[u8]>) -> String {
    let mut content = owner.to_vec();
    content.put_i32(place);
    loop {
        let mut uid = format!("{}{}", kind.prefix, Ulid(xxh3_128(&content)));
        uid.make_ascii_lowercase();
        if !taken.contains(uid.as_bytes()) {
            return uid;
        }
        content.push(0);
    }
}
