//! `google.protobuf.Struct` and jsonb: one to the other, bytes to bytes.
//!
//! The numbers of a Struct are doubles. A stored number that no double represents is returned as a string of its
//! digits, and an entry that nests deeper than protobuf's parsers allow as its JSON text. Both keep their stored value
//! when they are written back unchanged.

use orrery_proto::nesting::MAX_STRUCT_LEVELS;

use super::document::{JsonValue, digits, elements, entries};
use super::json::JsonText;
use super::numeral::exact_double;
use super::wire::{FieldReader, Malformed, Value, put_bytes, put_nested, put_number, put_varint};

/// Maximum nesting of returned values: every level of JSON takes three of protobuf, whose parsers stop at 100.
const MAX_DEPTH_OUT: usize = 28;
/// Maximum nesting of received values: the same.
pub(super) const MAX_DEPTH_IN: usize = MAX_STRUCT_LEVELS;

// google/protobuf/struct.proto
const STRUCT_FIELDS: u32 = 1;
const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;
const VALUE_NULL: u32 = 1;
const VALUE_NUMBER: u32 = 2;
const VALUE_STRING: u32 = 3;
const VALUE_BOOL: u32 = 4;
const VALUE_STRUCT: u32 = 5;
const VALUE_LIST: u32 = 6;
const LIST_VALUES: u32 = 1;

/// Appends one entry of `Struct.fields`.
pub(super) fn put_entry(out: &mut Vec<u8>, key: &[u8], value: JsonValue<'_>) {
    put_pair(out, key, |body| match value {
        JsonValue::Other(raw) if nesting(raw) > MAX_DEPTH_OUT => put_bytes(body, VALUE_STRING, raw),
        value => put_value(body, value),
    });
}

fn put_pair(out: &mut Vec<u8>, key: &[u8], put_value: impl FnOnce(&mut Vec<u8>)) {
    put_nested(out, STRUCT_FIELDS, |entry| {
        put_bytes(entry, ENTRY_KEY, key);
        put_nested(entry, ENTRY_VALUE, put_value);
    });
}

/// The number of objects and arrays around the innermost value.
fn nesting(raw: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut at) = (0_usize, 0, false, 0);
    while let Some(byte) = raw.get(at) {
        at += 1;
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'0'..=b'9' => at += digits(&raw[at..]),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn put_value(out: &mut Vec<u8>, value: JsonValue<'_>) {
    let raw = match value {
        JsonValue::String(text) => return put_bytes(out, VALUE_STRING, &text.text()),
        JsonValue::Other(raw) => raw,
    };
    match raw.first() {
        Some(b'{') => put_nested(out, VALUE_STRUCT, |body| {
            for (key, value) in entries(raw) {
                put_pair(body, &key.text(), |body| put_value(body, value));
            }
        }),
        Some(b'[') => put_nested(out, VALUE_LIST, |body| {
            for (_, value) in elements(raw) {
                put_nested(body, LIST_VALUES, |element| put_value(element, value));
            }
        }),
        Some(b't') => put_number(out, VALUE_BOOL, 1),
        Some(b'f') => put_number(out, VALUE_BOOL, 0),
        Some(b'n') | None => put_number(out, VALUE_NULL, 0),
        Some(_) => match exact_double(raw) {
            Some(number) => {
                put_varint(out, u64::from(VALUE_NUMBER << 3 | 1));
                out.extend_from_slice(&number.to_le_bytes());
            }
            None => put_bytes(out, VALUE_STRING, raw),
        },
    }
}

/// Why a Struct cannot be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StructError {
    /// Its bytes are no Struct.
    Malformed,
    /// A text is not UTF-8.
    NotUtf8,
    /// A text holds NUL.
    Nul,
    /// A number is NaN or infinite.
    NotFinite,
    /// Values nest too deep.
    TooDeep,
}

impl From<Malformed> for StructError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl StructError {
    pub(super) fn description(&self) -> &'static str {
        match self {
            Self::Malformed => "the bytes are no google.protobuf.Struct",
            Self::NotUtf8 => "must be valid UTF-8",
            Self::Nul => "must not hold NUL characters: Postgres cannot store them",
            Self::NotFinite => "must not hold NaN or infinite numbers: JSON has none",
            Self::TooDeep => orrery_proto::nesting::TOO_DEEP,
        }
    }
}

/// What an entry of an object holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum ObjectValue<'a> {
    /// A `google.protobuf.Value`, encoded.
    Value(&'a [u8]),
    /// A text.
    Text(&'a str),
}

/// The entries of a Struct, sorted by key. If a key appears twice, the last entry counts. The values are still encoded;
/// they are decoded when they are written.
pub(super) fn read_entries(bytes: &[u8]) -> Result<Vec<(&str, ObjectValue<'_>)>, StructError> {
    let mut found = Vec::new();
    let mut reader = FieldReader::new(bytes);
    while let Some((number, value)) = reader.next()? {
        let (STRUCT_FIELDS, Value::Bytes(entry)) = (number, value) else { continue };
        let (mut key, mut item) = ("", &b""[..]);
        let mut fields = FieldReader::new(entry);
        while let Some(field) = fields.next()? {
            match field {
                (ENTRY_KEY, Value::Bytes(bytes)) => key = text(bytes)?,
                (ENTRY_VALUE, Value::Bytes(bytes)) => item = bytes,
                _ => {}
            }
        }
        found.push((key, ObjectValue::Value(item)));
    }
    sort_and_keep_last(&mut found);
    Ok(found)
}

/// Sorts entries by key; of a repeated key the last one stays.
pub(super) fn sort_and_keep_last<K: Ord, V>(entries: &mut Vec<(K, V)>) {
    if entries.is_sorted_by(|a, b| a.0 < b.0) {
        return;
    }
    // Reversed before a stable sort, so that the last entry of a key comes first, which dedup keeps.
    entries.reverse();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|a, b| a.0 == b.0);
}

/// Puts an object of these entries.
pub(super) fn put_object(json: &mut JsonText<'_>, entries: &[(&str, ObjectValue<'_>)]) -> Result<(), StructError> {
    put_entries(json, entries, 0)
}

fn put_entries(json: &mut JsonText<'_>, entries: &[(&str, ObjectValue<'_>)], depth: usize) -> Result<(), StructError> {
    json.put(b"{");
    for (nth, (key, item)) in entries.iter().enumerate() {
        json.separate(nth);
        json.put_string(key);
        json.put(b": ");
        match *item {
            ObjectValue::Value(bytes) => read_value(bytes, depth, json)?,
            ObjectValue::Text(text) => json.put_string(text),
        }
    }
    json.put(b"}");
    Ok(())
}

fn read_value(bytes: &[u8], depth: usize, json: &mut JsonText<'_>) -> Result<(), StructError> {
    let mut reader = FieldReader::new(bytes);
    let start = json.mark();
    let mut is_set = false;
    while let Some(field) = reader.next()? {
        if !matches!(field.0, VALUE_NULL..=VALUE_LIST) {
            continue;
        }
        // A oneof: the last field counts.
        json.back_to(start);
        is_set = true;
        match field {
            (VALUE_NULL, Value::Varint(_)) => json.put(b"null"),
            (VALUE_NUMBER, Value::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                if !number.is_finite() {
                    return Err(StructError::NotFinite);
                }
                json.put_number(number);
            }
            (VALUE_STRING, Value::Bytes(bytes)) => json.put_string(text(bytes)?),
            (VALUE_BOOL, Value::Varint(truth)) => json.put(if truth == 0 { b"false" } else { b"true" }),
            (VALUE_STRUCT | VALUE_LIST, Value::Bytes(_)) if depth + 1 > MAX_DEPTH_IN => {
                return Err(StructError::TooDeep);
            }
            (VALUE_STRUCT, Value::Bytes(bytes)) => put_entries(json, &read_entries(bytes)?, depth + 1)?,
            (VALUE_LIST, Value::Bytes(bytes)) => {
                let mut values = FieldReader::new(bytes);
                json.put(b"[");
                let mut count = 0;
                while let Some((number, value)) = values.next()? {
                    let (LIST_VALUES, Value::Bytes(bytes)) = (number, value) else { continue };
                    json.separate(count);
                    read_value(bytes, depth + 1, json)?;
                    count += 1;
                }
                json.put(b"]");
            }
            _ => is_set = false,
        }
    }
    if !is_set {
        json.put(b"null");
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, StructError> {
    let text = std::str::from_utf8(bytes).map_err(|_| StructError::NotUtf8)?;
    if text.contains('\0') { Err(StructError::Nul) } else { Ok(text) }
}

#[cfg(test)]
mod tests;
