//! The fields of a resource: what each holds and which rules it follows.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::description::{Description, Rule};
use crate::db::array::ElementType;
use crate::uid::UidKind;

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
    /// Whether the service computes it, whatever the caller says.
    pub computed: bool,
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
        /// What an empty one is.
        empty: EmptyDecimal,
    },
    /// integer or bigint, a varint outside the database
    Integer(IntegerRule),
    /// integer, which grows by one with every change of the row
    Revision,
    /// `jsonb` array of texts, a repeated text outside the database
    TextList {
        /// Most texts.
        max_items: usize,
        /// Most bytes of one.
        max_bytes: usize,
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
    /// no column: rows of another table, by their place in [`Resource::parts`]
    Part(usize),
}

/// What an empty decimal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyDecimal {
    /// Refused.
    Refused,
    /// Zero.
    Zero,
    /// Nothing said: what is stored stays.
    Kept,
}

/// Rules of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerRule {
    /// The least.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// Whether the column is a bigint.
    pub big: bool,
    /// Whether 0 is null.
    pub zero_is_null: bool,
}

/// Rules of a text.
#[derive(Clone, Copy, Debug)]
pub enum TextRule {
    /// A uid; `own` if it is the resource's.
    Uid(UidKind, bool),
    /// A uid or null.
    OptionalUid(UidKind),
    /// So many of A-Z; or null, if `nullable`.
    Code {
        /// How many.
        letters: usize,
        /// Whether an empty one is null.
        nullable: bool,
    },
    /// One of these.
    OneOf(&'static [&'static str]),
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
    /// The caller, else nobody.
    Free,
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

/// Most digits of an amount before and after the point: those of `numeric(19,4)`, which is what a Postgres shop keeps money in.
pub const AMOUNT_DIGITS: (usize, usize) = (15, 4);

impl Field {
    /// Whether an update may change it.
    pub fn is_mutable(&self) -> bool {
        let fixed = matches!(
            self.kind,
            Kind::Etag | Kind::Revision | Kind::Timestamp(TimestampRule::Created | TimestampRule::Updated)
        );
        !self.key && !self.computed && !fixed
    }

    /// The type of the array that carries this column to the database. Decimals travel as text.
    pub fn element_type(&self) -> ElementType {
        match self.kind {
            Kind::Text(_) | Kind::Decimal { .. } | Kind::Etag | Kind::Part(_) => ElementType::Text,
            Kind::Integer(IntegerRule { big: true, .. }) => ElementType::BigInteger,
            Kind::Integer(_) | Kind::Revision => ElementType::Integer,
            Kind::Timestamp(_) => ElementType::Timestamp,
            Kind::Map(_) | Kind::Status { .. } | Kind::TextList { .. } => ElementType::Json,
        }
    }

    /// The type of its column.
    pub fn stored_type(&self) -> ElementType {
        match self.kind {
            Kind::Decimal { .. } => ElementType::Numeric,
            _ => self.element_type(),
        }
    }
}

impl Field {
    /// Joins a field of the contract with its rule.
    pub(super) fn compile(
        description: &'static Description,
        message: &DescriptorProto,
        field: &FieldDescriptorProto,
    ) -> Result<Field, String> {
        let rule = description.rules.iter().find(|(name, _)| *name == field.name()).map(|(_, rule)| *rule);
        let repeated = field.label() == Label::Repeated;
        let is_text = field.r#type() == Type::String && !repeated;
        let is_integer = field.r#type() == Type::Int32 && !repeated;
        let is_timestamp = field.type_name() == ".google.protobuf.Timestamp";
        let is_status = field.type_name() == ".orrery.type.v1.Status";
        let is_map = message.nested_type.iter().any(|nested| {
            field.type_name().ends_with(&format!(".{}", nested.name()))
                && nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
                && nested.field.iter().all(|entry| entry.r#type() == Type::String)
        });
        let rule = rule.ok_or_else(|| format!("field {} has no rule", field.name()))?;
        let decimal = |integer_digits, fraction_digits, empty| Kind::Decimal { integer_digits, fraction_digits, empty };
        let integer =
            |min: i32, max: i32| IntegerRule { min: min.into(), max: max.into(), big: false, zero_is_null: false };
        let any = integer(i32::MIN, i32::MAX);
        let (kind, fits) = match rule {
            Rule::Uid(kind) => (Kind::Text(TextRule::Uid(kind, true)), is_text),
            Rule::UidOf(kind) => (Kind::Text(TextRule::Uid(kind, false)), is_text),
            Rule::OptionalUidOf(kind) => (Kind::Text(TextRule::OptionalUid(kind)), is_text),
            Rule::Text(max_bytes) => (Kind::Text(TextRule::Free { max_bytes, nullable: true }), is_text),
            Rule::TextNotNull(max_bytes) => (Kind::Text(TextRule::Free { max_bytes, nullable: false }), is_text),
            Rule::Name(max_bytes) => (Kind::Text(TextRule::Name(max_bytes)), is_text),
            Rule::Code(letters) => (Kind::Text(TextRule::Code { letters, nullable: false }), is_text),
            Rule::OptionalCode(letters) => (Kind::Text(TextRule::Code { letters, nullable: true }), is_text),
            Rule::OneOf(texts) => (Kind::Text(TextRule::OneOf(texts)), is_text),
            Rule::TextList(max_items, max_bytes) => {
                (Kind::TextList { max_items, max_bytes }, field.r#type() == Type::String && repeated)
            }
            Rule::Integer(min, max) => (Kind::Integer(integer(min, max)), is_integer),
            Rule::PositiveInteger => {
                (Kind::Integer(IntegerRule { zero_is_null: true, ..integer(0, i32::MAX) }), is_integer)
            }
            Rule::ComputedInteger => (Kind::Integer(any), is_integer),
            Rule::ComputedBigInteger => {
                let rule = IntegerRule { min: i64::MIN, max: i64::MAX, big: true, zero_is_null: false };
                (Kind::Integer(rule), field.r#type() == Type::Int64 && !repeated)
            }
            Rule::Revision => (Kind::Revision, is_integer),
            Rule::Decimal(integer_digits, fraction_digits) => {
                (decimal(integer_digits, fraction_digits, EmptyDecimal::Refused), is_text)
            }
            Rule::Amount => (decimal(AMOUNT_DIGITS.0, AMOUNT_DIGITS.1, EmptyDecimal::Zero), is_text),
            Rule::OptionalAmount => (decimal(AMOUNT_DIGITS.0, AMOUNT_DIGITS.1, EmptyDecimal::Kept), is_text),
            Rule::ComputedDecimal => (decimal(usize::MAX, usize::MAX, EmptyDecimal::Kept), is_text),
            Rule::Status(default_phase) => (Kind::Status { default_phase }, is_status),
            Rule::Labels => (Kind::Map(LABELS), is_map),
            Rule::Annotations => (Kind::Map(ANNOTATIONS), is_map),
            Rule::CreatedAt => (Kind::Timestamp(TimestampRule::Created), is_timestamp),
            Rule::UpdatedAt => (Kind::Timestamp(TimestampRule::Updated), is_timestamp),
            Rule::MeasuredAt => (Kind::Timestamp(TimestampRule::Measured), is_timestamp),
            Rule::Timestamp => (Kind::Timestamp(TimestampRule::Free), is_timestamp),
            Rule::Etag => (Kind::Etag, is_text),
        };
        if !fits {
            return Err(format!("the rule of field {} does not fit its type", field.name()));
        }
        let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
        let computed = matches!(rule, Rule::ComputedInteger | Rule::ComputedBigInteger | Rule::ComputedDecimal);
        // Resources are made once per process and live as long as it.
        let name = String::leak(field.name().to_owned());
        Ok(Field { name, number, kind, key: false, computed })
    }
}
