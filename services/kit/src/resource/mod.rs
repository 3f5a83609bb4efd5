//! Resources: a message, a table, and the conversion between them.
//!
//! A column has the name of its proto field. A [`Description`] states only what does not follow from the names (table,
//! key, defaults, computed fields). [`Resource::compile`] joins it with the descriptors and finds every mismatch when
//! the service starts. After that, rows are processed as *tuples*: for every stored field, in field order, a 4-byte
//! length (-1 for null) and the value in Postgres's binary format. The database sends and takes this form, and hashes
//! are computed over it.
//!
//! - `description`, `field`, [`child_table`]: what is described, and what it is compiled to
//! - [`kind`]: all about each kind of column
//! - [`select`]: read_mask to select list, tuple to message bytes
//! - [`decode`]: message bytes to tuple, with every rule of every field
//! - [`mask`]: paths of field masks
//! - [`bounds`]: the limits of every row
//! - `new_row`: tuple to a row of `COPY`
//! - `ordering`: the orders in which rows can be read
//! - `owner`: what a row says of its owner, whose rows a write replaces together
//!
//! A row can have children: rows of other tables that belong to it, as lines belong to an order ([`child_table`]). The
//! children in a table are a resource of their own. In their owner's message they are a field that holds the child's
//! message, single or repeated.

pub mod batch;
pub mod bounds;
pub mod child_table;
pub mod constraints;
pub mod decode;
mod description;
pub(crate) mod document;
mod field;
mod json;
pub mod key;
pub mod kind;
pub mod mask;
mod new_row;
mod numeral;
mod ordering;
pub(crate) mod owner;
pub mod refusal;
mod refused;
pub mod row;
pub mod rules;
pub mod select;
mod slot;
mod structure;
pub mod tuple;
mod wire;

use std::sync::LazyLock;

use orrery_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use self::child_table::ChildTable;
use self::constraints::Constraints;
pub use self::description::{Description, Reference, ReferenceTarget, Unique};
pub use self::field::Field;
use self::field::FieldSource;
pub use self::kind::MAX_PHASE_BYTES;
use self::kind::{Members, Payload, Stated, check_limits, oneof_of};
pub use self::ordering::{DeclaredOrder, SortColumn};
use self::rules::Rules;
pub(crate) use self::wire::{BadChunk, ChunkReader};
use crate::db::array::ElementType;

/// A description joined with the descriptors.
#[derive(Debug)]
pub struct Resource {
    /// The description that it was compiled from.
    pub description: &'static Description,
    /// The fields in the order of their numbers. The key comes first.
    pub fields: Vec<Field>,
    /// The tables of its rows' children, in the order of the fields' numbers.
    pub child_tables: Vec<ChildTable>,
    /// The name of the field that holds rows in messages with several of them: the resource's plural.
    pub plural: &'static str,
    /// Its own rules.
    pub rules: Box<dyn Rules>,
}

impl Resource {
    /// Joins a description with the contract's descriptors.
    ///
    /// # Panics
    /// If they do not match. That is a mistake in the program; it is found by a test, and when the service starts.
    #[expect(clippy::panic, reason = "a description that does not fit the contract is a mistake in the program")]
    pub fn compile(description: &'static Description, plural: &'static str) -> Self {
        match Self::try_compile(description, plural) {
            Ok(resource) => resource,
            Err(mismatch) => panic!("{}: {mismatch}", description.message),
        }
    }

    fn try_compile(description: &'static Description, plural: &'static str) -> Result<Self, String> {
        let descriptors = FileDescriptorSet::decode(description.descriptors).map_err(|error| error.to_string())?;
        let message = find_message(&descriptors, description.message).ok_or("no such message")?;
        let mut described: Vec<&FieldDescriptorProto> = message.field.iter().collect();
        described.sort_by_key(|field| field.number());
        let mut fields = Vec::with_capacity(described.len());
        let mut child_tables = Vec::new();
        let contract = DescriptorPool::decode(description.descriptors).map_err(|error| error.to_string())?;
        let annotated = contract.get_message_by_name(description.message).ok_or("no such message")?;
        for field in described {
            let rules = annotated.get_field_by_name(field.name()).ok_or("no such field")?;
            let rules = Constraints::of(&rules)?;
            if let Some(child_table) = description.children.iter().find(|table| table.field == field.name()) {
                let child_table = ChildTable::compile(description, child_table, field)?;
                let field =
                    Field::of_children(child_table.name, child_table.number, child_tables.len(), child_table.single);
                check_limits(field.kind, Stated { rules: &rules, key: false })
                    .map_err(|why| format!("field {}: {why}", field.name))?;
                fields.push(field);
                child_tables.push(child_table);
            } else if let Some(child_table) = child_tables.last() {
                return Err(format!("field {} comes after the children in field {}", field.name(), child_table.name));
            } else if let Some((column, payload)) = payload_of(description, &message, field) {
                match fields.iter().position(|field| field.name == column) {
                    None => {
                        let members = Members::compile(payload, &descriptors, &message, &annotated)?;
                        fields.push(Field::of_payload(column, payload, members));
                    }
                    Some(at) if at + 1 == fields.len() => {}
                    Some(_) => return Err(format!("the fields of the oneof {} are no neighbours", payload.oneof)),
                }
            } else {
                let (kinds, path) = (description.fields, field.name());
                let key = description.key.contains(&path);
                let source = FieldSource { kinds, key, contract: &descriptors, message: &message, path };
                fields.push(Field::compile(&source, field, &rules)?);
            }
        }
        if child_tables.len() != description.children.len() {
            return Err("children stand in no field".to_owned());
        }
        for (at, &key) in description.key.iter().enumerate() {
            match fields.get_mut(at) {
                Some(field) if field.name == key && field.is_stored() && is_key_type(field.element_type()) => {
                    field.key = true;
                }
                _ => return Err(format!("the key's column {key} is not text or integer field number {at}")),
            }
        }
        let known = |name: &str| fields.iter().any(|field| field.name == name);
        let named = description.fields.iter().map(|(name, _)| *name);
        let referring = description.references.iter().map(|reference| reference.column);
        let referring = referring.filter(|path| !fields.iter().any(|field| field.inner(path).is_some()));
        let unique = description.unique.iter().flat_map(|unique| unique.columns).copied();
        let all = named.chain(referring).chain(unique).chain(description.newest_by);
        if let Some(unknown) = all.into_iter().find(|name| !known(name)) {
            return Err(format!("no field {unknown}"));
        }
        fields.iter().try_for_each(|field| check_discriminator(field, &fields))?;
        let mut resource = Self { description, fields, child_tables, plural, rules: rules::no_rules() };
        ordering::check(&resource)?;
        owner::check(&resource)?;
        resource.rules = (description.rules)(&resource)?;
        Ok(resource)
    }

    /// The fields that have a column, in tuple order.
    pub fn stored(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.is_stored())
    }

    /// The columns of an input tuple, in order: every stored field except those that only the service sets. The
    /// children come after them.
    pub fn inputs(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.is_input())
    }

    /// The place of the field of that name in an input tuple.
    pub fn input_position(&self, name: &str) -> Option<usize> {
        self.inputs().position(|field| field.name == name)
    }

    /// The fields that a caller may overwrite.
    pub fn mutable(&self) -> impl Iterator<Item = &Field> {
        self.stored().filter(|field| field.is_mutable())
    }

    /// The columns of the default order.
    pub fn natural_order(&self) -> &'static [&'static str] {
        match self.description.natural_order {
            [] => self.description.key,
            order => order,
        }
    }

    /// The revision column, if it has one.
    pub fn revision(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.is_revision())
    }

    /// How many columns the key has.
    pub fn key_length(&self) -> usize {
        self.description.key.len()
    }

    /// How many columns of the key are those of its owner; 0 if rows have no owner.
    pub fn owner_length(&self) -> usize {
        self.description.owner.len()
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The place of the field with this number in the message. A payload is the field of each of its members.
    #[inline]
    fn place_of(&self, number: u32) -> Option<usize> {
        let of_member = || self.fields.iter().position(|field| field.member(number).is_some());
        self.fields.iter().position(|field| field.number == number).or_else(of_member)
    }

    /// The schema of its table: that of the slice.
    pub fn schema(&self) -> &'static str {
        self.description.table.split_once('.').map_or("", |(schema, _)| schema)
    }

    /// The names of the fields in the contract.
    pub(crate) fn contract_names(&self) -> Vec<&'static str> {
        self.fields.iter().flat_map(Field::contract_names).collect()
    }

    /// The message's name without its package, for people: `Product`.
    pub fn noun(&self) -> &'static str {
        self.description.message.rsplit('.').next().unwrap_or_default()
    }
}

/// The names of the fields of `orrery.type.v1.Status`. In the database they are keys of the same object as the details.
static STATUS_FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let status = find_message(&descriptors, "orrery.type.v1.Status").unwrap_or_default();
    status.field.iter().map(|field| field.name().to_owned()).collect()
});

/// Whether a key of a status object is a field of its own in the contract.
fn is_status_field(key: &str) -> bool {
    STATUS_FIELDS.iter().any(|name| name == key)
}

/// The payload that a field of the contract belongs to, and its column.
fn payload_of(
    description: &'static Description,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<(&'static str, &'static Payload)> {
    let oneof = oneof_of(message, field)?;
    let payloads = description.fields.iter().filter_map(|(column, kind)| Some((*column, kind.payload()?)));
    payloads.into_iter().find(|(_, payload)| payload.oneof == oneof)
}

/// Checks that the text beside a payload can hold the name of each member.
fn check_discriminator(field: &Field, fields: &[Field]) -> Result<(), String> {
    let (Some(payload), Some(members)) = (field.kind.payload(), field.members()) else { return Ok(()) };
    let name = payload.discriminator;
    let beside = fields.iter().find(|field| field.name == name && field.is_input());
    let beside = beside.filter(|field| field.stored_type() == ElementType::Text);
    let beside = beside.ok_or_else(|| format!("the discriminator {name} is no text column"))?;
    for member in &members.members {
        beside.kind.check_new_key(member.name).map_err(|why| format!("{name} does not take {}: {why}", member.name))?;
    }
    Ok(())
}

/// Whether columns of this type can be part of a key.
fn is_key_type(element: ElementType) -> bool {
    matches!(element, ElementType::Text | ElementType::Integer | ElementType::BigInteger)
}

fn find_message(set: &FileDescriptorSet, name: &str) -> Option<DescriptorProto> {
    let (package, name) = name.rsplit_once('.')?;
    let mut messages = set.file.iter().filter(|file| file.package() == package).flat_map(|file| &file.message_type);
    messages.find(|message| message.name() == name).cloned()
}
