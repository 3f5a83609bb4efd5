//! The parameters of procedures: what a procedure declares, and the values that a run was given.

use std::time::Duration;

use orrery_proto::procedures::v1 as contract;
use serde_json::{Map, Number, Value};

use crate::config::{HumanDuration, parse_duration};
use crate::error::{Error, Violation};

/// Most bytes of a text.
const MAX_TEXT_BYTES: usize = 1_024;
/// Most texts of a list.
const MAX_TEXTS: usize = 64;
/// Whole numbers beyond this are not exact in JSON (RFC 8259, section 6).
const MAX_EXACT: i64 = (1 << 53) - 1;

/// A parameter that a procedure declares.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name, for example `dry_run`.
    pub name: &'static str,
    /// Which values it takes, and the default.
    pub kind: ParameterKind,
    /// What it means, its unit and its bounds, for people.
    pub description: &'static str,
}

/// The values that a parameter takes, and its default.
#[derive(Clone, Copy, Debug)]
pub enum ParameterKind {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer {
        /// The default.
        default: i64,
        /// The least value.
        min: i64,
        /// The greatest value, at most 2^53 - 1.
        max: i64,
    },
    /// A duration, in JSON a text such as `10s`; see [`parse_duration`].
    Duration {
        /// The default.
        default: Duration,
        /// The least value.
        min: Duration,
        /// The greatest value.
        max: Duration,
    },
    /// A text of at most 1,024 bytes; the default is empty.
    Text,
    /// At most 64 texts; the default is none.
    Texts,
}

impl ParameterKind {
    /// The value that a JSON value stands for, in the form in which it is stored.
    ///
    /// # Errors
    /// What is wrong with it: the end of a sentence that begins with the parameter's name.
    fn checked(self, value: &Value) -> Result<Value, String> {
        match self {
            Self::Boolean(_) => value.as_bool().map(Value::Bool).ok_or_else(|| "must be true or false".to_owned()),
            Self::Integer { min, max, .. } => whole_number(value)
                .filter(|number| (min..=max.min(MAX_EXACT)).contains(number))
                .map(|number| Value::Number(Number::from(number)))
                .ok_or_else(|| format!("must be a whole number from {min} to {max}")),
            Self::Duration { min, max, .. } => {
                let text = value.as_str().ok_or("must be a duration such as \"10s\"")?;
                let duration = parse_duration(text)?;
                if !(min..=max).contains(&duration) {
                    return Err(format!("must be from {} to {}", HumanDuration(min), HumanDuration(max)));
                }
                Ok(Value::String(HumanDuration(duration).to_string()))
            }
            Self::Text => Ok(Value::String(checked_text(value)?.to_owned())),
            Self::Texts => {
                let texts = value.as_array().ok_or("must be a list of texts")?;
                if texts.len() > MAX_TEXTS {
                    return Err(format!("has {} texts; at most {MAX_TEXTS} are allowed", texts.len()));
                }
                texts.iter().try_for_each(|text| checked_text(text).map(drop))?;
                Ok(value.clone())
            }
        }
    }

    /// The default as JSON; `None` if it is empty.
    fn default_value(self) -> Option<Value> {
        match self {
            Self::Boolean(default) => Some(default.into()),
            Self::Integer { default, .. } => Some(default.into()),
            Self::Duration { default, .. } => Some(HumanDuration(default).to_string().into()),
            Self::Text | Self::Texts => None,
        }
    }

    fn contract(self) -> contract::ParameterKind {
        match self {
            Self::Boolean(_) => contract::ParameterKind::Boolean,
            Self::Integer { .. } => contract::ParameterKind::Integer,
            Self::Duration { .. } => contract::ParameterKind::Duration,
            Self::Text => contract::ParameterKind::Text,
            Self::Texts => contract::ParameterKind::TextList,
        }
    }
}

/// A whole number, also one that is written as a fraction: every number of a `google.protobuf.Struct` is one.
#[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "whole numbers up to 2^53 are exact")]
fn whole_number(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let number = value.as_f64()?;
    (number.trunc() == number && number.abs() <= MAX_EXACT as f64).then_some(number as i64)
}

fn checked_text(value: &Value) -> Result<&str, String> {
    let text = value.as_str().ok_or("must hold texts only")?;
    if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
        return Err(format!("must have at most {MAX_TEXT_BYTES} bytes, without NUL"));
    }
    Ok(text)
}

impl Parameter {
    /// It as a message of the contract.
    pub(super) fn message(&self) -> contract::ProcedureParameter {
        contract::ProcedureParameter {
            name: self.name.to_owned(),
            kind: self.kind.contract().into(),
            description: self.description.to_owned(),
            default_value: self.kind.default_value().map(|value| to_message(&value)),
        }
    }
}

/// The values that a run was given, each one checked. Values that were not given have their defaults.
#[derive(Clone, Debug)]
pub struct Parameters {
    declared: &'static [Parameter],
    given: Map<String, Value>,
}

impl Parameters {
    /// Checks values against what a procedure declares. `field` is the path of the values, for errors.
    ///
    /// # Errors
    /// [`Error::Invalid`] with each unknown name and wrong value.
    pub fn checked(declared: &'static [Parameter], given: &Map<String, Value>, field: &str) -> Result<Self, Error> {
        let (mut checked, mut violations) = (Map::new(), Vec::new());
        for (name, value) in given {
            let path = format!("{field}.{name}");
            match declared.iter().find(|parameter| parameter.name == name) {
                None => {
                    violations
                        .push(Violation::new(path, "is no parameter of the procedure; ListProcedures names them"));
                }
                Some(_) if value.is_null() => {}
                Some(parameter) => match parameter.kind.checked(value) {
                    Ok(value) => {
                        checked.insert(name.clone(), value);
                    }
                    Err(why) => violations.push(Violation::new(path, why)),
                },
            }
        }
        if violations.is_empty() { Ok(Self { declared, given: checked }) } else { Err(Error::Invalid(violations)) }
    }

    /// As [`checked`](Self::checked), of a message.
    ///
    /// # Errors
    /// As [`checked`](Self::checked).
    pub(super) fn of_message(
        declared: &'static [Parameter],
        message: Option<&prost_types::Struct>,
        field: &str,
    ) -> Result<Self, Error> {
        let given = message.map(of_struct).unwrap_or_default();
        Self::checked(declared, &given, field)
    }

    /// As [`checked`](Self::checked), of what the database has.
    ///
    /// # Errors
    /// As [`checked`](Self::checked).
    pub(super) fn of_stored(declared: &'static [Parameter], stored: &str) -> Result<Self, Error> {
        match serde_json::from_str(stored) {
            Ok(Value::Object(given)) => Self::checked(declared, &given, "parameters"),
            _ => Err(Error::invalid("parameters", "are no JSON object")),
        }
    }

    /// What was given, as JSON text.
    pub(super) fn stored(&self) -> String {
        Value::Object(self.given.clone()).to_string()
    }

    fn kind(&self, name: &str) -> Result<ParameterKind, Error> {
        let declared = self.declared.iter().find(|parameter| parameter.name == name);
        declared.map(|parameter| parameter.kind).ok_or_else(|| undeclared(name))
    }

    /// The value of a boolean.
    ///
    /// # Errors
    /// [`Error::Internal`] if the procedure does not declare it as such; as in the following ones.
    pub fn boolean(&self, name: &str) -> Result<bool, Error> {
        let ParameterKind::Boolean(default) = self.kind(name)? else { return Err(undeclared(name)) };
        Ok(self.given.get(name).and_then(Value::as_bool).unwrap_or(default))
    }

    /// The value of a whole number.
    ///
    /// # Errors
    /// As [`boolean`](Self::boolean).
    pub fn integer(&self, name: &str) -> Result<i64, Error> {
        let ParameterKind::Integer { default, .. } = self.kind(name)? else { return Err(undeclared(name)) };
        Ok(self.given.get(name).and_then(Value::as_i64).unwrap_or(default))
    }

    /// The value of a duration.
    ///
    /// # Errors
    /// As [`boolean`](Self::boolean).
    pub fn duration(&self, name: &str) -> Result<Duration, Error> {
        let ParameterKind::Duration { default, .. } = self.kind(name)? else { return Err(undeclared(name)) };
        let given = self.given.get(name).and_then(Value::as_str);
        Ok(given.and_then(|text| parse_duration(text).ok()).unwrap_or(default))
    }

    /// The value of a text; empty if none was given.
    ///
    /// # Errors
    /// As [`boolean`](Self::boolean).
    pub fn text(&self, name: &str) -> Result<&str, Error> {
        let ParameterKind::Text = self.kind(name)? else { return Err(undeclared(name)) };
        Ok(self.given.get(name).and_then(Value::as_str).unwrap_or_default())
    }

    /// The value of a list of texts; empty if none was given.
    ///
    /// # Errors
    /// As [`boolean`](Self::boolean).
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, Error> {
        let ParameterKind::Texts = self.kind(name)? else { return Err(undeclared(name)) };
        let texts = self.given.get(name).and_then(Value::as_array).into_iter().flatten();
        Ok(texts.filter_map(Value::as_str).collect())
    }
}

fn undeclared(name: &str) -> Error {
    Error::internal(format!("a procedure reads the parameter {name}, which it does not declare so"))
}

/// A Struct as a JSON object.
fn of_struct(message: &prost_types::Struct) -> Map<String, Value> {
    message.fields.iter().map(|(key, value)| (key.clone(), of_message(value))).collect()
}

fn of_message(message: &prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match &message.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        // JSON has no NaN and no infinities; as texts they are refused as numbers.
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(*number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::BoolValue(truth)) => Value::Bool(*truth),
        Some(Kind::StructValue(object)) => Value::Object(of_struct(object)),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(of_message).collect()),
    }
}

/// A JSON object as a Struct.
pub(super) fn to_struct(object: &Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct { fields: object.iter().map(|(key, value)| (key.clone(), to_message(value))).collect() }
}

fn to_message(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.iter().map(to_message).collect() })
        }
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::json;

    use super::*;

    const DECLARED: &[Parameter] = &[
        Parameter { name: "dry_run", kind: ParameterKind::Boolean(false), description: "" },
        Parameter { name: "most", kind: ParameterKind::Integer { default: 10, min: 1, max: 100 }, description: "" },
        Parameter {
            name: "grace",
            kind: ParameterKind::Duration {
                default: Duration::from_mins(1),
                min: Duration::ZERO,
                max: Duration::from_hours(24),
            },
            description: "",
        },
        Parameter { name: "zone", kind: ParameterKind::Text, description: "" },
        Parameter { name: "relations", kind: ParameterKind::Texts, description: "" },
    ];

    fn checked(given: &Value) -> Result<Parameters, Error> {
        Parameters::checked(DECLARED, given.as_object().unwrap(), "parameters")
    }

    fn violations(given: &Value) -> Vec<String> {
        match checked(given) {
            Err(Error::Invalid(violations)) => violations.into_iter().map(|violation| violation.field).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let parameters = checked(&json!({"most": null})).unwrap();
        assert!(!parameters.boolean("dry_run").unwrap());
        assert_eq!(parameters.integer("most").unwrap(), 10);
        assert_eq!(parameters.duration("grace").unwrap(), Duration::from_mins(1));
        assert_eq!(parameters.text("zone").unwrap(), "");
        assert!(parameters.texts("relations").unwrap().is_empty());
        assert_eq!(parameters.stored(), "{}");
    }

    #[test]
    fn what_is_given_is_stored_and_read_back() {
        let given = json!({"dry_run": true, "most": 7.0, "grace": "90s", "zone": "UTC", "relations": ["a.b.c"]});
        let stored = checked(&given).unwrap().stored();
        let parameters = Parameters::of_stored(DECLARED, &stored).unwrap();
        assert!(parameters.boolean("dry_run").unwrap());
        assert_eq!(parameters.integer("most").unwrap(), 7);
        assert_eq!(parameters.duration("grace").unwrap(), Duration::from_secs(90));
        assert_eq!(parameters.text("zone").unwrap(), "UTC");
        assert_eq!(parameters.texts("relations").unwrap(), ["a.b.c"]);
    }

    #[test]
    fn each_wrong_value_is_named() {
        let wrong = json!({"dry_run": "yes", "most": 0, "grace": 10, "zone": 1, "relations": "a", "other": 1});
        let mut fields = violations(&wrong);
        fields.sort();
        let expected =
            ["dry_run", "grace", "most", "other", "relations", "zone"].map(|name| format!("parameters.{name}"));
        assert_eq!(fields, expected);
        for wrong in [
            json!({"most": 101}),
            json!({"most": 1.5}),
            json!({"most": 1e300}),
            json!({"grace": "25h"}),
            json!({"grace": "soon"}),
            json!({"zone": "a\0b"}),
            json!({"relations": [1]}),
            json!({"relations": vec!["a"; 65]}),
        ] {
            assert_eq!(violations(&wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_struct_and_json_are_the_same() {
        let json = json!({"a": [1.5, true, null, "x"], "b": {"c": 2.0}});
        assert_eq!(Value::Object(of_struct(&to_struct(json.as_object().unwrap()))), json);
    }
}
