//! What a resource is: a message, a table, and how one becomes the other.
//!
//! Contract and table meet by name: a column is the proto field of the same name. A [`Description`] says only what names cannot
//! (table, key, defaults, what is computed); [`Resource::compile`] joins it with the descriptors and finds every mismatch when the
//! service starts. From then on rows travel as *tuples*: for every stored field, in field order, a 4-byte length (-1 for
//! null) and the value in Postgres's binary format. That is what the database sends, what it takes, and what is hashed.
//!
//! - [`select`]: read_mask to select list, tuple to message bytes
//! - [`decode`]: message bytes to tuple, with every rule of every field
//! - [`mask`]: paths of field masks
//! - `new_row`: tuple to a row of `COPY`

pub mod decode;
mod document;
pub mod mask;
mod new_row;
pub mod select;
mod structure;
mod wire;

use orrery_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::db::array::ElementType;
use crate::uid::UidKind;

/// What names cannot say about a resource.
#[derive(Debug)]
pub struct Description {
    /// The message's full name, for example `orrery.catalog.v1.Product`.
    pub message: &'static str,
    /// The table with its schema, for example `catalog.product`.
    pub table: &'static str,
    /// The key's columns. They are the message's first fields, in this order, and texts.
    pub key: &'static [&'static str],
    /// What is particular about fields; those that are not named here follow from their type.
    pub rules: &'static [(&'static str, Rule)],
    /// What rows point at within the slice.
    pub references: &'static [Reference],
    /// A timestamp column: a row that is older than the stored one changes nothing.
    pub newest_by: Option<&'static str>,
}

/// What is particular about one field.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// The resource's own uid: checked, and made when a create leaves it empty.
    Uid(UidKind),
    /// The uid of something else.
    UidOf(UidKind),
    /// A text of at most this many bytes; an empty one is stored as null.
    Text(usize),
    /// A text of at most this many bytes; an empty one is stored as such.
    TextNotNull(usize),
    /// A required name: 1 to this many of a-z, 0-9, `_`, `-` and `.`, beginning with a letter.
    Name(usize),
    /// A required exact decimal in a `numeric` column: most digits before and after the point.
    Decimal(usize, usize),
    /// A status whose phase on a new row is this one.
    Status(&'static str),
    /// Labels: keys and values to select by.
    Labels,
    /// Annotations.
    Annotations,
    /// A timestamp that is now where a new row leaves it unset, and kept ever after.
    CreatedAt,
    /// A timestamp that the store sets whenever the row changes.
    UpdatedAt,
    /// A timestamp that is now where it is unset.
    MeasuredAt,
    /// A hash of the stored row.
    Etag,
}

/// A column that holds the key of another table of the slice.
#[derive(Debug)]
pub struct Reference {
    /// The column.
    pub column: &'static str,
    /// The table that it points into.
    pub table: &'static str,
    /// The column that it points at: the table's key.
    pub target: &'static str,
}

/// One field of a compiled resource.
#[derive(Debug)]
pub struct Field {
    /// Its name, which is its column's.
    pub name: &'static str,
    /// Its number in the message.
    pub number: u32,
    /// What it holds.
    pub kind: Kind,
    /// Whether it belongs to the key.
    pub key: bool,
}

/// What a field holds and which rules it follows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// text
    Text(TextRule),
    /// numeric, a text outside the database
    Decimal {
        /// Most digits before the point.
        integer_digits: usize,
        /// Most digits after it.
        fraction_digits: usize,
    },
    /// timestamptz
    Timestamp(TimestampRule),
    /// `jsonb` object, a map of texts outside the database
    Map(MapRule),
    /// `jsonb` object, an `orrery.type.v1.Status` outside the database
    Status {
        /// The phase of a new row that names none.
        default_phase: &'static str,
    },
    /// no column: a hash of the others
    Etag,
}

/// Rules of a text.
#[derive(Clone, Copy, Debug)]
pub enum TextRule {
    /// A uid; `own` if it is the resource's.
    Uid(UidKind, bool),
    /// Any text of at most so many bytes; empty is null if `nullable`.
    Free {
        /// Most bytes.
        max_bytes: usize,
        /// Whether an empty text is null.
        nullable: bool,
    },
    /// A name by the grammar of [`Rule::Name`].
    Name(usize),
}

/// Who sets a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampRule {
    /// The caller when the row is created, else the store; then nobody.
    Created,
    /// The store.
    Updated,
    /// The caller, else the store.
    Measured,
}

/// Rules of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRule {
    /// Most entries.
    pub max_entries: usize,
    /// Most bytes of one value.
    pub max_value_bytes: usize,
    /// Most bytes of all keys and values together.
    pub max_bytes: usize,
}

/// Limits of labels, as the contract states them.
const LABELS: MapRule = MapRule { max_entries: 64, max_value_bytes: 1_024, max_bytes: 64 * 1_024 };
/// Limits of annotations, as the contract states them.
const ANNOTATIONS: MapRule = MapRule { max_entries: 256, max_value_bytes: 256 * 1_024, max_bytes: 256 * 1_024 };

/// A description joined with the descriptors.
#[derive(Debug)]
pub struct Resource {
    /// What it was made from.
    pub description: &'static Description,
    /// The fields in the order of their numbers; the key's come first.
    pub fields: Vec<Field>,
    /// The name of the rows' field in messages that hold several: the resource's plural.
    pub plural: &'static str,
}

impl Resource {
    /// Joins a description with the contract's descriptors.
    ///
    /// # Panics
    /// When they do not fit: a mistake in the program, found when the service starts and by a test.
    #[expect(clippy::panic, reason = "a description that does not fit the contract is a mistake in the program")]
    pub fn compile(description: &'static Description, plural: &'static str) -> Self {
        match Self::try_compile(description, plural) {
            Ok(resource) => resource,
            Err(mismatch) => panic!("{}: {mismatch}", description.message),
        }
    }

    fn try_compile(description: &'static Description, plural: &'static str) -> Result<Self, String> {
        let descriptors = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).map_err(|error| error.to_string())?;
        let message = find_message(&descriptors, description.message).ok_or("no such message")?;
        let mut fields = Vec::with_capacity(message.field.len());
        for field in &message.field {
            fields.push(compile_field(description, &message, field)?);
        }
        fields.sort_by_key(|field| field.number);
        for (at, &key) in description.key.iter().enumerate() {
            match fields.get_mut(at) {
                Some(field) if field.name == key && matches!(field.kind, Kind::Text(_)) => field.key = true,
                _ => return Err(format!("the key's column {key} is not text field number {at}")),
            }
        }
        let known = |name: &str| fields.iter().any(|field| field.name == name);
        let named = description.rules.iter().map(|(name, _)| *name);
        let referring = description.references.iter().map(|reference| reference.column);
        if let Some(unknown) = named.chain(referring).chain(description.newest_by).find(|name| !known(name)) {
            return Err(format!("no field {unknown}"));
        }
        Ok(Self { description, fields, plural })
    }

    /// The fields that have a column, in tuple order.
    pub fn stored(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !matches!(field.kind, Kind::Etag))
    }

    /// The fields that a caller gives, in the order of an input tuple: every stored one but those that only the store sets.
    pub fn inputs(&self) -> impl Iterator<Item = &Field> {
        self.stored().filter(|field| !matches!(field.kind, Kind::Timestamp(TimestampRule::Updated)))
    }

    /// The place of the field of that name in an input tuple.
    pub fn input_position(&self, name: &str) -> Option<usize> {
        self.inputs().position(|field| field.name == name)
    }

    /// The fields that a caller may overwrite.
    pub fn mutable(&self) -> impl Iterator<Item = &Field> {
        self.stored().filter(|field| field.is_mutable())
    }

    /// How many columns the key has.
    pub fn key_length(&self) -> usize {
        self.description.key.len()
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The message's name without its package, for people: `Product`.
    pub fn noun(&self) -> &'static str {
        self.description.message.rsplit('.').next().unwrap_or_default()
    }
}

impl Field {
    /// Whether an update may change it.
    pub fn is_mutable(&self) -> bool {
        let fixed = matches!(self.kind, Kind::Etag | Kind::Timestamp(TimestampRule::Created | TimestampRule::Updated));
        !self.key && !fixed
    }

    /// The type of the array that carries this column to the database. Decimals travel as text.
    pub fn element_type(&self) -> ElementType {
        match self.kind {
            Kind::Text(_) | Kind::Decimal { .. } | Kind::Etag => ElementType::Text,
            Kind::Timestamp(_) => ElementType::Timestamp,
            Kind::Map(_) | Kind::Status { .. } => ElementType::Json,
        }
    }
}

fn find_message(set: &FileDescriptorSet, name: &str) -> Option<DescriptorProto> {
    let (package, name) = name.rsplit_once('.')?;
    let mut messages = set.file.iter().filter(|file| file.package() == package).flat_map(|file| &file.message_type);
    messages.find(|message| message.name() == name).cloned()
}

fn compile_field(
    description: &'static Description,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
) -> Result<Field, String> {
    let rule = description.rules.iter().find(|(name, _)| *name == field.name()).map(|(_, rule)| *rule);
    let is_text = field.r#type() == Type::String && field.label() != Label::Repeated;
    let is_timestamp = field.type_name() == ".google.protobuf.Timestamp";
    let is_status = field.type_name() == ".orrery.type.v1.Status";
    let is_map = message.nested_type.iter().any(|nested| {
        field.type_name().ends_with(&format!(".{}", nested.name()))
            && nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
            && nested.field.iter().all(|entry| entry.r#type() == Type::String)
    });
    let (kind, fits) = match rule.ok_or_else(|| format!("field {} has no rule", field.name()))? {
        Rule::Uid(kind) => (Kind::Text(TextRule::Uid(kind, true)), is_text),
        Rule::UidOf(kind) => (Kind::Text(TextRule::Uid(kind, false)), is_text),
        Rule::Text(max_bytes) => (Kind::Text(TextRule::Free { max_bytes, nullable: true }), is_text),
        Rule::TextNotNull(max_bytes) => (Kind::Text(TextRule::Free { max_bytes, nullable: false }), is_text),
        Rule::Name(max_bytes) => (Kind::Text(TextRule::Name(max_bytes)), is_text),
        Rule::Decimal(integer_digits, fraction_digits) => (Kind::Decimal { integer_digits, fraction_digits }, is_text),
        Rule::Status(default_phase) => (Kind::Status { default_phase }, is_status),
        Rule::Labels => (Kind::Map(LABELS), is_map),
        Rule::Annotations => (Kind::Map(ANNOTATIONS), is_map),
        Rule::CreatedAt => (Kind::Timestamp(TimestampRule::Created), is_timestamp),
        Rule::UpdatedAt => (Kind::Timestamp(TimestampRule::Updated), is_timestamp),
        Rule::MeasuredAt => (Kind::Timestamp(TimestampRule::Measured), is_timestamp),
        Rule::Etag => (Kind::Etag, is_text),
    };
    if !fits {
        return Err(format!("the rule of field {} does not fit its type", field.name()));
    }
    let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
    // Resources are made once per process and live as long as it.
    let name = String::leak(field.name().to_owned());
    Ok(Field { name, number, kind, key: false })
}
