//! The rules of fields as the contract states them: `buf.validate` annotations, read from the descriptors.
//!
//! The annotations hold for every method that takes the field. Rules that depend on the method, such as the grammar of
//! a new row's uid, stand in the field's comment and in the description.

use orrery_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};

/// The option that holds a field's rules.
const OPTION: &str = "buf.validate.field";

/// The rules of a field, an item of a list, or a map's key or value. What is `None` or empty is not limited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// Whether it must be set. A field without presence must then not be zero: an empty text is not set.
    pub required: bool,
    /// The fewest bytes of a text.
    pub min_bytes: Option<usize>,
    /// The most bytes of a text, or of bytes.
    pub max_bytes: Option<usize>,
    /// The fewest characters (code points) of a text.
    pub min_chars: Option<usize>,
    /// The most characters (code points) of a text.
    pub max_chars: Option<usize>,
    /// A regular expression, in RE2's syntax, that a text matches. It is anchored where it says so.
    pub pattern: Option<String>,
    /// A text that does not occur in a text.
    pub not_contains: Option<String>,
    /// The texts that are allowed; any if there are none here.
    pub allowed: Vec<String>,
    /// Whether the number of an enum must be one that the enum names.
    pub defined_only: bool,
    /// The numbers of an enum that are not allowed.
    pub refused_numbers: Vec<i32>,
    /// The least integer.
    pub min: Option<i64>,
    /// The greatest integer.
    pub max: Option<i64>,
    /// The least double.
    pub least: Option<f64>,
    /// The greatest double.
    pub greatest: Option<f64>,
    /// The earliest timestamp or the shortest duration.
    pub earliest: Option<Time>,
    /// The latest timestamp or the longest duration.
    pub latest: Option<Time>,
    /// The fewest items of a list.
    pub min_items: Option<usize>,
    /// The most items of a list.
    pub max_items: Option<usize>,
    /// The rules of each item of a list.
    pub items: Option<Box<Constraints>>,
    /// The fewest entries of a map.
    pub min_pairs: Option<usize>,
    /// The most entries of a map.
    pub max_pairs: Option<usize>,
    /// The rules of each key of a map.
    pub keys: Option<Box<Constraints>>,
    /// The rules of each value of a map.
    pub values: Option<Box<Constraints>>,
}

/// A `google.protobuf.Timestamp` or `google.protobuf.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds.
    pub seconds: i64,
    /// Additional nanoseconds.
    pub nanos: i32,
}

/// The descriptors of the whole contract, with the options that it declares. Decoded anew by every call: they are
/// large, and needed while the service starts.
///
/// # Errors
/// What is wrong with the descriptors.
pub fn contract() -> Result<DescriptorPool, String> {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|error| error.to_string())
}

impl Constraints {
    /// The rules of a field of the contract; no limits if it has no annotation.
    ///
    /// # Errors
    /// Names the field and the rule that this program does not know, or whose value it cannot use.
    pub fn of(field: &FieldDescriptor) -> Result<Self, String> {
        let option = field.parent_pool().get_extension_by_name(OPTION);
        let option = option.ok_or_else(|| format!("the contract does not declare {OPTION}"))?;
        let options = field.options();
        if !options.has_extension(&option) {
            return Ok(Self::default());
        }
        let mut constraints = Self::default();
        constraints
            .read(message(options.get_extension(&option).as_ref())?)
            .map_err(|why| format!("{}: {why}", field.full_name()))?;
        Ok(constraints)
    }

    /// Reads a `FieldRules`.
    fn read(&mut self, rules: &DynamicMessage) -> Result<(), String> {
        each_rule(rules, |name, value| match name {
            "required" => set(&mut self.required, truth(value)?),
            "int32" | "int64" => each_rule(message(value)?, |name, value| match name {
                "gte" => set(&mut self.min, Some(integer(value)?)),
                "lte" => set(&mut self.max, Some(integer(value)?)),
                _ => unknown(name),
            }),
            "double" => each_rule(message(value)?, |name, value| match name {
                "gte" => set(&mut self.least, Some(double(value)?)),
                "lte" => set(&mut self.greatest, Some(double(value)?)),
                _ => unknown(name),
            }),
            "string" => self.read_text(message(value)?),
            "bytes" => each_rule(message(value)?, |name, value| match name {
                "max_len" => set(&mut self.max_bytes, Some(count(value)?)),
                _ => unknown(name),
            }),
            "enum" => each_rule(message(value)?, |name, value| match name {
                "defined_only" => set(&mut self.defined_only, truth(value)?),
                "not_in" => set(&mut self.refused_numbers, numbers(value)?),
                _ => unknown(name),
            }),
            "repeated" => each_rule(message(value)?, |name, value| match name {
                "min_items" => set(&mut self.min_items, Some(count(value)?)),
                "max_items" => set(&mut self.max_items, Some(count(value)?)),
                "items" => set(&mut self.items, nested(value)?),
                _ => unknown(name),
            }),
            "map" => each_rule(message(value)?, |name, value| match name {
                "min_pairs" => set(&mut self.min_pairs, Some(count(value)?)),
                "max_pairs" => set(&mut self.max_pairs, Some(count(value)?)),
                "keys" => set(&mut self.keys, nested(value)?),
                "values" => set(&mut self.values, nested(value)?),
                _ => unknown(name),
            }),
            "timestamp" | "duration" => each_rule(message(value)?, |name, value| match name {
                "gte" => set(&mut self.earliest, Some(time(value)?)),
                "lte" => set(&mut self.latest, Some(time(value)?)),
                _ => unknown(name),
            }),
            _ => unknown(name),
        })
    }

    /// Reads a `StringRules`.
    fn read_text(&mut self, rules: &DynamicMessage) -> Result<(), String> {
        each_rule(rules, |name, value| match name {
            "min_bytes" => set(&mut self.min_bytes, Some(count(value)?)),
            "max_bytes" => set(&mut self.max_bytes, Some(count(value)?)),
            "min_len" => set(&mut self.min_chars, Some(count(value)?)),
            "max_len" => set(&mut self.max_chars, Some(count(value)?)),
            "pattern" => set(&mut self.pattern, Some(text(value)?)),
            "not_contains" => set(&mut self.not_contains, Some(text(value)?)),
            "in" => set(&mut self.allowed, texts(value)?),
            _ => unknown(name),
        })
    }
}

/// Hands every rule that is set to `read`. A rule that the contract does not declare is an error: a service must not
/// start without a check that the contract promises.
fn each_rule(rules: &DynamicMessage, mut read: impl FnMut(&str, &Value) -> Result<(), String>) -> Result<(), String> {
    if let Some(field) = rules.unknown_fields().next() {
        return Err(format!("rule number {} of {} is not known", field.number(), rules.descriptor().full_name()));
    }
    for (field, value) in rules.fields() {
        read(field.name(), value).map_err(|why| format!("{}: {why}", field.name()))?;
    }
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the arms of a match have one type")]
fn set<T>(place: &mut T, value: T) -> Result<(), String> {
    *place = value;
    Ok(())
}

fn unknown(name: &str) -> Result<(), String> {
    Err(format!("the rule {name} is not known"))
}

fn wrong(value: &Value, expected: &str) -> String {
    format!("{value:?} is not {expected}")
}

fn message(value: &Value) -> Result<&DynamicMessage, String> {
    value.as_message().ok_or_else(|| wrong(value, "a message"))
}

fn nested(value: &Value) -> Result<Option<Box<Constraints>>, String> {
    let mut constraints = Constraints::default();
    constraints.read(message(value)?)?;
    Ok(Some(Box::new(constraints)))
}

fn truth(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wrong(value, "a truth value"))
}

fn integer(value: &Value) -> Result<i64, String> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).ok_or_else(|| wrong(value, "an integer"))
}

fn double(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| wrong(value, "a double"))
}

fn count(value: &Value) -> Result<usize, String> {
    value.as_u64().and_then(|count| usize::try_from(count).ok()).ok_or_else(|| wrong(value, "a count"))
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(value, "a text"))
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    value.as_list().ok_or_else(|| wrong(value, "a list"))?.iter().map(text).collect()
}

fn numbers(value: &Value) -> Result<Vec<i32>, String> {
    let number = |value: &Value| value.as_i32().ok_or_else(|| wrong(value, "a number"));
    value.as_list().ok_or_else(|| wrong(value, "a list"))?.iter().map(number).collect()
}

fn time(value: &Value) -> Result<Time, String> {
    let part = |name: &str| message(value)?.get_field_by_name(name).ok_or_else(|| wrong(value, "a time"));
    let seconds = integer(part("seconds")?.as_ref())?;
    let nanos = part("nanos")?.as_i32().ok_or_else(|| wrong(value, "a time"))?;
    Ok(Time { seconds, nanos })
}

#[cfg(test)]
mod tests;
