//! The target of a value: a path of a mapping, resolved in the message's descriptor.

use std::cmp::Ordering;

use chrono::{DateTime, Timelike as _, Utc};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use super::timestamp::LEAP_SECOND;
use super::transform::quoted;
use super::{Problem, RecordRefusal};
use crate::message::from_json;

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const STRUCT: &str = "google.protobuf.Struct";

/// A resolved path.
#[derive(Clone, Debug)]
pub(crate) struct TargetPath {
    /// The messages on the way to the field.
    steps: Vec<FieldDescriptor>,
    leaf: Leaf,
}

#[derive(Clone, Debug)]
enum Leaf {
    Field(FieldDescriptor),
    /// A list: each value becomes one element.
    Element(FieldDescriptor),
    /// A key of a map.
    Key(FieldDescriptor, String),
    /// Several keys of a map with this prefix.
    Keys(FieldDescriptor, String),
    /// A message, written as JSON.
    Json(FieldDescriptor),
    /// A key of a `google.protobuf.Struct`.
    StructKey(FieldDescriptor, String),
}

/// A value of a field, small enough to hold millions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Unsigned(u64),
    Double(f64),
    Boolean(bool),
    Enumerator(i32),
    Instant(DateTime<Utc>),
}

impl Scalar {
    /// Compares two times; none for other values.
    pub(crate) fn compare_times(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Instant(one), Self::Instant(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

impl TargetPath {
    /// Resolves a path. An error says which paths are allowed.
    pub(crate) fn resolve(message: &MessageDescriptor, path: &str, json: bool) -> Result<Self, String> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let Some(field) = message.get_field_by_name(name) else {
            let names = quoted(message.fields().map(|field| field.name().to_owned()));
            return Err(format!("unknown field `{name}` of {}, expected one of {names}", message.name()));
        };
        let leaf = |leaf| Ok(Self { steps: Vec::new(), leaf });
        if field.is_map() {
            return match rest {
                None | Some("") => Err(format!("`{name}` is a map: add a key, such as `{name}.season`")),
                Some(rest) => match rest.strip_suffix('*') {
                    Some(beginning) => leaf(Leaf::Keys(field, beginning.to_owned())),
                    None => leaf(Leaf::Key(field.clone(), rest.to_owned())),
                },
            };
        }
        if field.is_list() {
            return match (field.kind(), rest) {
                (Kind::Message(_), _) => Err(format!("`{name}` is a list of messages: use a section [[{name}]]")),
                (_, Some(_)) => Err(format!("`{name}` has no fields")),
                (_, None) => leaf(Leaf::Element(field)),
            };
        }
        let inner = match field.kind() {
            Kind::Message(inner) if inner.full_name() == STRUCT => {
                return match rest {
                    None | Some("") => Err(format!("`{name}` contains keys: add one, such as `{name}.note`")),
                    Some(rest) => leaf(Leaf::StructKey(field, rest.to_owned())),
                };
            }
            Kind::Message(inner) if inner.full_name() != TIMESTAMP => inner,
            _ => {
                return match rest {
                    None => leaf(Leaf::Field(field)),
                    Some(_) => Err(format!("`{name}` has no fields")),
                };
            }
        };
        if json && rest.is_none() {
            return leaf(Leaf::Json(field));
        }
        let Some(rest) = rest else {
            let names = quoted(inner.fields().map(|field| format!("{name}.{}", field.name())));
            return Err(format!("`{name}` is a message: use one of its fields {names}"));
        };
        let mut target = Self::resolve(&inner, rest, json)?;
        target.steps.insert(0, field);
        Ok(target)
    }

    /// Whether the path ends in `*`.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.leaf, Leaf::Keys(..))
    }

    /// Whether the path is a message that is written as JSON.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.leaf, Leaf::Json(_))
    }

    /// The field that the path begins with, if the message has only one of it and others.
    pub(crate) fn alternative(&self) -> Option<&FieldDescriptor> {
        let (Leaf::Field(leaf) | Leaf::Json(leaf)) = &self.leaf else { return None };
        let first = self.steps.first().unwrap_or(leaf);
        first.containing_oneof().filter(|oneof| oneof.fields().len() > 1).map(|_| first)
    }

    /// Whether the target takes one value, even from several rules.
    pub(crate) fn is_single(&self) -> bool {
        !matches!(self.leaf, Leaf::Keys(..) | Leaf::Element(_))
    }

    /// Whether the field identifies something: the row, a part of it, or what it references.
    pub(crate) fn is_identity(&self) -> bool {
        matches!(&self.leaf, Leaf::Field(field) if field.name() == "uid" || field.name().ends_with("_uid"))
    }

    /// The path in an update_mask; `path` is the one that was resolved.
    pub(crate) fn mask_path(&self, path: &str) -> String {
        match &self.leaf {
            // A key that contains backticks.
            Leaf::Key(_, key) | Leaf::StructKey(_, key) if key.starts_with('`') => {
                format!("{}`{key}`", &path[..path.len() - key.len()])
            }
            _ => path.to_owned(),
        }
    }

    /// Whether this path and another one can set the same key of a map, because one of them ends in `*`.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let same_map = |one: &FieldDescriptor, another: &FieldDescriptor| one == another && self.steps == other.steps;
        match (&self.leaf, &other.leaf) {
            (Leaf::Keys(map, beginning), Leaf::Key(of, key)) | (Leaf::Key(of, key), Leaf::Keys(map, beginning)) => {
                same_map(map, of) && key.starts_with(beginning.as_str())
            }
            (Leaf::Keys(map, one), Leaf::Keys(of, another)) => {
                same_map(map, of) && (one.starts_with(another.as_str()) || another.starts_with(one.as_str()))
            }
            _ => false,
        }
    }

    /// Whether the field is a time.
    pub(crate) fn is_time(&self) -> bool {
        matches!(&self.leaf, Leaf::Field(field) if is_timestamp(&field.kind()))
    }

    /// Parses a text that is not empty as a value of the field.
    pub(crate) fn read(&self, text: &str) -> Result<Scalar, Problem> {
        match &self.leaf {
            Leaf::Field(field) | Leaf::Element(field) => read_scalar(&field.kind(), text),
            Leaf::StructKey(..) => Ok(Scalar::Text(text.to_owned())),
            Leaf::Json(field) => read_json(field, text).map(|_| Scalar::Text(text.to_owned())),
            Leaf::Key(field, _) | Leaf::Keys(field, _) => match field.kind() {
                Kind::Message(entry) => read_scalar(&entry.map_entry_value_field().kind(), text),
                _ => Ok(Scalar::Text(text.to_owned())),
            },
        }
    }

    /// Sets a value. For a path that ends in `*`, `key` is the rest of the map's key.
    pub(crate) fn assign(&self, message: &mut DynamicMessage, key: &str, scalar: Scalar) {
        let mut holder = message;
        for step in &self.steps {
            let Value::Message(inner) = holder.get_field_mut(step) else { return };
            holder = inner;
        }
        match &self.leaf {
            Leaf::Field(field) => holder.set_field(field, value_of(&field.kind(), scalar)),
            Leaf::Json(field) => {
                if let Scalar::Text(text) = scalar
                    && let Ok(value) = read_json(field, &text)
                {
                    holder.set_field(field, Value::Message(value));
                }
            }
            Leaf::Element(field) => {
                if let Value::List(elements) = holder.get_field_mut(field) {
                    elements.push(value_of(&field.kind(), scalar));
                }
            }
            Leaf::Key(field, name) => insert(holder, field, name.clone(), scalar),
            Leaf::Keys(field, beginning) => insert(holder, field, format!("{beginning}{key}"), scalar),
            Leaf::StructKey(field, name) => {
                let Value::Message(object) = holder.get_field_mut(field) else { return };
                let Some(fields) = object.descriptor().get_field_by_name("fields") else { return };
                insert(object, &fields, name.clone(), scalar);
            }
        }
    }
}

/// Reads a message that is written as JSON.
fn read_json(field: &FieldDescriptor, text: &str) -> Result<DynamicMessage, Problem> {
    let Kind::Message(message) = field.kind() else { return Err("is not several fields".into()) };
    let json = serde_json::from_str(text).map_err(|_| "is not JSON")?;
    from_json(&message, &json).map_err(
        |RecordRefusal { field, problem, .. }| {
            if field.is_empty() { problem } else { format!("{field}: {problem}").into() }
        },
    )
}

fn insert(holder: &mut DynamicMessage, map: &FieldDescriptor, key: String, scalar: Scalar) {
    let Kind::Message(entry) = map.kind() else { return };
    let value = value_of(&entry.map_entry_value_field().kind(), scalar);
    if let Value::Map(entries) = holder.get_field_mut(map) {
        entries.insert(MapKey::String(key), value);
    }
}

fn is_timestamp(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(message) if message.full_name() == TIMESTAMP)
}

/// Parses a text as a value of a kind.
pub(crate) fn read_scalar(kind: &Kind, text: &str) -> Result<Scalar, Problem> {
    Ok(match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Scalar::Integer(text.parse::<i32>().map_err(|_| "is not a 32-bit integer")?.into())
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Scalar::Integer(text.parse().map_err(|_| "is not a 64-bit integer")?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Scalar::Unsigned(text.parse::<u32>().map_err(|_| "is not an unsigned 32-bit integer")?.into())
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Scalar::Unsigned(text.parse().map_err(|_| "is not an unsigned 64-bit integer")?)
        }
        Kind::Double | Kind::Float => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Scalar::Double(number),
            _ => return Err("is not a number".into()),
        },
        Kind::Bool => Scalar::Boolean(text.parse().map_err(|_| "is neither `true` nor `false`")?),
        Kind::Enum(values) => Scalar::Enumerator(read_enum(values, text)?),
        Kind::Message(message) if message.full_name() == TIMESTAMP => {
            let time = DateTime::parse_from_rfc3339(text).map_err(|_| "is not a time in RFC 3339 format")?;
            // This is how the library represents the second after 23:59:59.
            if time.nanosecond() >= 1_000_000_000 {
                return Err(LEAP_SECOND.into());
            }
            Scalar::Instant(time.to_utc())
        }
        // Only text is left: paths lead to the fields of messages, and the contract has no bytes.
        _ => Scalar::Text(text.to_owned()),
    })
}

/// The number of an enum's value, from its name (`ADDRESS_KIND_BILLING`) or what is left of that without the beginning
/// that all names of the enum share (`billing`), in any letter case.
fn read_enum(values: &EnumDescriptor, text: &str) -> Result<i32, Problem> {
    let unset = values.get_value(0);
    let shared = unset.as_ref().and_then(|value| value.name().strip_suffix("UNSPECIFIED")).unwrap_or_default();
    let short = |name: &str| name.strip_prefix(shared).unwrap_or(name).to_owned();
    let mut known = Vec::new();
    for value in values.values() {
        let name = value.name();
        if name.eq_ignore_ascii_case(text) || short(name).eq_ignore_ascii_case(text) {
            return Ok(value.number());
        }
        if value.number() != 0 {
            known.push(short(name).to_ascii_lowercase());
        }
    }
    Err(format!("is not a value of {}: {}", values.name(), known.join(", ")).into())
}

/// Converts a scalar of [`read_scalar`] for this kind to a value of the descriptor library.
pub(crate) fn value_of(kind: &Kind, scalar: Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => match kind {
            // google.protobuf.Value
            Kind::Message(message) => {
                let mut value = DynamicMessage::new(message.clone());
                value.set_field_by_name("string_value", Value::String(text));
                Value::Message(value)
            }
            _ => Value::String(text),
        },
        Scalar::Integer(number) => match kind {
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
            _ => Value::I64(number),
        },
        Scalar::Unsigned(number) => match kind {
            Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
            _ => Value::U64(number),
        },
        Scalar::Double(number) => match kind {
            Kind::Float => Value::F32(number as f32),
            _ => Value::F64(number),
        },
        Scalar::Boolean(value) => Value::Bool(value),
        Scalar::Enumerator(number) => Value::EnumNumber(number),
        Scalar::Instant(instant) => match kind {
            Kind::Message(message) => {
                let mut value = DynamicMessage::new(message.clone());
                value.set_field_by_name("seconds", Value::I64(instant.timestamp()));
                value.set_field_by_name("nanos", Value::I32(instant.timestamp_subsec_nanos() as i32));
                Value::Message(value)
            }
            _ => Value::String(instant.to_rfc3339()),
        },
    }
}
