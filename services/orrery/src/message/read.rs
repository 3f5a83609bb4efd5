//! JSON to message.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::Value as Json;

use super::{LIST, STRUCT, TIMESTAMP, VALUE};
use crate::mapping::{RecordRefusal, read_scalar, value_of};

/// Reads a message. A refusal names the field by its path. null means unset.
pub(crate) fn from_json(message: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, RecordRefusal> {
    read_message(message, json, &Path::Root)
}

/// The path to the value that is read. Its text is built only for a refusal.
enum Path<'a> {
    Root,
    Step(&'a Path<'a>, &'a str),
    Place(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn text(&self) -> String {
        let (before, step) = match self {
            Self::Root => return String::new(),
            Self::Step(before, step) => (before.text(), (*step).to_owned()),
            Self::Place(before, place) => (before.text(), place.to_string()),
        };
        if before.is_empty() { step } else { format!("{before}.{step}") }
    }

    fn refuse(&self, problem: impl Into<std::borrow::Cow<'static, str>>, json: &Json) -> RecordRefusal {
        let value = match json {
            Json::Array(_) | Json::Object(_) => String::new(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        RecordRefusal::new(self.text(), problem, &value)
    }
}

fn read_message(descriptor: &MessageDescriptor, json: &Json, path: &Path<'_>) -> Result<DynamicMessage, RecordRefusal> {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        STRUCT => {
            if let Some(fields) = descriptor.get_field_by_name("fields") {
                message.set_field(&fields, read_map(&fields, json, path)?);
            }
            return Ok(message);
        }
        LIST => {
            if let Some(values) = descriptor.get_field_by_name("values") {
                message.set_field(&values, read_list(&values, json, path)?);
            }
            return Ok(message);
        }
        VALUE => {
            let (name, value) = read_any(descriptor, json, path)?;
            message.set_field_by_name(name, value);
            return Ok(message);
        }
        _ => {}
    }
    let Json::Object(object) = json else { return Err(path.refuse("is not a JSON object", json)) };
    for (key, json) in object {
        let path = Path::Step(path, key);
        let field = descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
        let Some(field) = field else {
            return Err(RecordRefusal::new(path.text(), format!("is not a field of {}", descriptor.name()), ""));
        };
        if json.is_null() {
            continue;
        }
        if let Some(other) = field.containing_oneof().and_then(|one| one.fields().find(|it| message.has_field(it))) {
            let problem = format!("is set, and so is {}: a row has one of them", other.name());
            return Err(path.refuse(problem, json));
        }
        let value = if field.is_map() {
            read_map(&field, json, &path)?
        } else if field.is_list() {
            read_list(&field, json, &path)?
        } else {
            read_value(&field.kind(), json, &path)?
        };
        message.set_field(&field, value);
    }
    Ok(message)
}

fn read_map(field: &FieldDescriptor, json: &Json, path: &Path<'_>) -> Result<Value, RecordRefusal> {
    let Json::Object(object) = json else { return Err(path.refuse("is not a JSON object", json)) };
    let Kind::Message(entry) = field.kind() else { return Err(path.refuse("is not a map", json)) };
    let kind = entry.map_entry_value_field().kind();
    object
        .iter()
        .map(|(key, json)| Ok((MapKey::String(key.clone()), read_value(&kind, json, &Path::Step(path, key))?)))
        .collect::<Result<_, RecordRefusal>>()
        .map(Value::Map)
}

fn read_list(field: &FieldDescriptor, json: &Json, path: &Path<'_>) -> Result<Value, RecordRefusal> {
    let Json::Array(array) = json else { return Err(path.refuse("is not a JSON list", json)) };
    let kind = field.kind();
    array
        .iter()
        .enumerate()
        .map(|(place, json)| read_value(&kind, json, &Path::Place(path, place)))
        .collect::<Result<_, RecordRefusal>>()
        .map(Value::List)
}

fn read_value(kind: &Kind, json: &Json, path: &Path<'_>) -> Result<Value, RecordRefusal> {
    let text = match (kind, json) {
        (Kind::Message(message), json) if message.full_name() != TIMESTAMP => {
            return read_message(message, json, path).map(Value::Message);
        }
        (Kind::String, Json::String(text)) => return Ok(Value::String(text.clone())),
        (Kind::String | Kind::Bytes, _) => return Err(path.refuse("is not text", json)),
        (Kind::Bool, Json::Bool(value)) => return Ok(Value::Bool(*value)),
        (_, Json::String(text)) => text.clone(),
        (Kind::Message(_) | Kind::Bool | Kind::Enum(_), _)
        | (_, Json::Array(_) | Json::Object(_) | Json::Bool(_) | Json::Null) => {
            return Err(path.refuse("has another JSON type than the field", json));
        }
        (_, Json::Number(number)) => number.to_string(),
    };
    match read_scalar(kind, &text) {
        Ok(scalar) => Ok(value_of(kind, scalar)),
        Err(problem) => Err(path.refuse(problem, json)),
    }
}

/// Any JSON as a field of `google.protobuf.Value`.
fn read_any(value: &MessageDescriptor, json: &Json, path: &Path<'_>) -> Result<(&'static str, Value), RecordRefusal> {
    let nested = |name| {
        let kind = value.get_field_by_name(name).map(|field| field.kind());
        match kind {
            Some(Kind::Message(message)) => {
                read_message(&message, json, path).map(|message| (name, Value::Message(message)))
            }
            _ => Err(path.refuse("cannot be held", json)),
        }
    };
    Ok(match json {
        Json::Null => ("null_value", Value::EnumNumber(0)),
        Json::Bool(value) => ("bool_value", Value::Bool(*value)),
        Json::String(text) => ("string_value", Value::String(text.clone())),
        Json::Number(number) => match number.as_f64().filter(|double| holds(*double, &number.to_string())) {
            Some(double) => ("number_value", Value::F64(double)),
            None => return Err(path.refuse("is a number that does not fit into a double; write it as text", json)),
        },
        Json::Array(_) => return nested("list_value"),
        Json::Object(_) => return nested("struct_value"),
    })
}

/// Whether a double holds the whole number in the text exactly. Other numbers may be rounded, as usual in JSON.
fn holds(double: f64, text: &str) -> bool {
    double.is_finite() && text.parse::<i128>().map_or(true, |whole| double as i128 == whole)
}
