//! `google.protobuf.Struct` and jsonb: one to the other, bytes to bytes.
//!
//! A Struct's numbers are doubles. A stored number that a double cannot hold is given out as a string of its digits, and an entry that
//! nests deeper than protobuf's parsers go as its JSON text; neither is lost when it is written back as it was read.

use super::document::{JsonValue, elements, entries, put_string};
use super::wire::{Malformed, Reader, Value, put_bytes, put_number, put_varint};

/// How deep values nest in what is given out: every level of JSON takes three of protobuf, whose parsers stop at 100.
const MAX_DEPTH_OUT: usize = 28;
/// How deep values nest in what is taken in; the same for symmetry.
const MAX_DEPTH_IN: usize = 28;

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
    let mut entry = Vec::new();
    put_bytes(&mut entry, ENTRY_KEY, key);
    let mut body = Vec::new();
    put_value(&mut body);
    put_bytes(&mut entry, ENTRY_VALUE, &body);
    put_bytes(out, STRUCT_FIELDS, &entry);
}

/// How many objects and arrays stand around the innermost value.
fn nesting(raw: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string) = (0_usize, 0, false);
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            _ if in_string => {}
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
        Some(b'{') => {
            let mut body = Vec::new();
            for (key, value) in entries(raw) {
                put_pair(&mut body, &key.text(), |body| put_value(body, value));
            }
            put_bytes(out, VALUE_STRUCT, &body);
        }
        Some(b'[') => {
            let mut body = Vec::new();
            for (_, value) in elements(raw) {
                let mut element = Vec::new();
                put_value(&mut element, value);
                put_bytes(&mut body, LIST_VALUES, &element);
            }
            put_bytes(out, VALUE_LIST, &body);
        }
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

/// The double that reads as exactly these digits, if there is one. jsonb prints numbers without an exponent.
fn exact_double(raw: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(raw).ok()?;
    let number: f64 = text.parse().ok()?;
    let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    (number.is_finite() && number.to_string() == plain).then_some(number)
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
            Self::TooDeep => "must not nest deeper than 28 levels",
        }
    }
}

/// Reads a Struct's entries as pairs of key and JSON text, sorted by key; of a repeated key the last one counts.
pub(super) fn read_entries(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, StructError> {
    let mut found = Vec::new();
    read_fields(bytes, 0, &mut found)?;
    Ok(found)
}

fn read_fields(bytes: &[u8], depth: usize, found: &mut Vec<(String, Vec<u8>)>) -> Result<(), StructError> {
    if depth > MAX_DEPTH_IN {
        return Err(StructError::TooDeep);
    }
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next()? {
        let (STRUCT_FIELDS, Value::Bytes(entry)) = (number, value) else { continue };
        let (mut key, mut json) = ("", None);
        let mut fields = Reader::new(entry);
        while let Some(field) = fields.next()? {
            match field {
                (ENTRY_KEY, Value::Bytes(bytes)) => key = text(bytes)?,
                (ENTRY_VALUE, Value::Bytes(bytes)) => {
                    let mut out = Vec::new();
                    read_value(bytes, depth, &mut out)?;
                    json = Some(out);
                }
                _ => {}
            }
        }
        found.push((key.to_owned(), json.unwrap_or_else(|| b"null".to_vec())));
    }
    sort_and_keep_last(found);
    Ok(())
}

/// Sorts entries by key; of a repeated key the last one stays.
pub(super) fn sort_and_keep_last<K: Ord, V>(entries: &mut Vec<(K, V)>) {
    if entries.is_sorted_by(|a, b| a.0 < b.0) {
        return;
    }
    // Reversed and stable, the last of a key comes first, and that is the one that dedup keeps.
    entries.reverse();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|a, b| a.0 == b.0);
}

fn read_value(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), StructError> {
    let mut reader = Reader::new(bytes);
    out.clear();
    while let Some(field) = reader.next()? {
        out.clear(); // a oneof: the last field counts
        match field {
            (VALUE_NULL, Value::Varint(_)) => out.extend_from_slice(b"null"),
            (VALUE_NUMBER, Value::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                if !number.is_finite() {
                    return Err(StructError::NotFinite);
                }
                out.extend_from_slice(number.to_string().as_bytes());
            }
            (VALUE_STRING, Value::Bytes(bytes)) => put_string(out, text(bytes)?),
            (VALUE_BOOL, Value::Varint(truth)) => {
                out.extend_from_slice(if truth == 0 { b"false" } else { b"true" });
            }
            (VALUE_STRUCT, Value::Bytes(bytes)) => {
                let mut entries = Vec::new();
                read_fields(bytes, depth + 1, &mut entries)?;
                put_object(out, &entries);
            }
            (VALUE_LIST, Value::Bytes(bytes)) => {
                if depth + 1 > MAX_DEPTH_IN {
                    return Err(StructError::TooDeep);
                }
                let mut values = Reader::new(bytes);
                out.push(b'[');
                let mut element = Vec::new();
                while let Some((number, value)) = values.next()? {
                    let (LIST_VALUES, Value::Bytes(bytes)) = (number, value) else { continue };
                    read_value(bytes, depth + 1, &mut element)?;
                    if out.len() > 1 {
                        out.extend_from_slice(b", ");
                    }
                    out.extend_from_slice(&element);
                }
                out.push(b']');
            }
            _ => {}
        }
    }
    if out.is_empty() {
        out.extend_from_slice(b"null");
    }
    Ok(())
}

/// Appends an object of these entries, whose values are JSON texts.
pub(super) fn put_object<K: AsRef<str>>(out: &mut Vec<u8>, entries: &[(K, Vec<u8>)]) {
    out.push(b'{');
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        put_string(out, key.as_ref());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

fn text(bytes: &[u8]) -> Result<&str, StructError> {
    let text = std::str::from_utf8(bytes).map_err(|_| StructError::NotUtf8)?;
    if text.contains('\0') { Err(StructError::Nul) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn to_struct(json: &str) -> prost_types::Struct {
        let mut out = Vec::new();
        for (key, value) in entries(json.as_bytes()) {
            put_entry(&mut out, &key.text(), value);
        }
        prost_types::Struct::decode(&out[..]).expect("a Struct")
    }

    fn to_json(value: &prost_types::Struct) -> Result<String, StructError> {
        let mut out = Vec::new();
        put_object(&mut out, &read_entries(&value.encode_to_vec())?);
        Ok(String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn json_goes_there_and_back() {
        let json = r#"{"a": [1, 2.5, "x", null, true, {}], "b": {"c": {"d": []}}, "e": -0.001, "f": "\"\\é"}"#;
        assert_eq!(to_json(&to_struct(json)).expect("storable"), json);
    }

    #[test]
    fn a_number_that_no_double_holds_is_given_out_as_its_digits() {
        let json = r#"{"a": 12345678901234567890, "b": 1.10, "c": 0.1000000000000000055}"#;
        assert_eq!(
            to_json(&to_struct(json)).expect("storable"),
            r#"{"a": "12345678901234567890", "b": 1.1, "c": "0.1000000000000000055"}"#
        );
    }

    #[test]
    fn depth_is_bounded_both_ways() {
        let json = format!("{{\"a\": {}1{}}}", "[".repeat(500), "]".repeat(500));
        let shown = to_struct(&json);
        assert!(to_json(&shown).is_ok(), "what is given out can be written back");
        let mut deep = prost_types::Struct::default();
        for _ in 0..40 {
            let kind = Some(prost_types::value::Kind::StructValue(deep));
            deep = prost_types::Struct { fields: [("a".to_owned(), prost_types::Value { kind })].into() };
        }
        assert_eq!(to_json(&deep), Err(StructError::TooDeep));
    }
}
