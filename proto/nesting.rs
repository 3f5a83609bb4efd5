//! How deep the values of a `google.protobuf.Struct` nest, and where one nests too deep: told by the keys that a caller
//! knows, not by the fields of `Struct` and `Value`.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// How deep the values of a Struct may nest. Each level of JSON takes three of protobuf, whose parsers stop at 100.
pub const MAX_STRUCT_LEVELS: usize = 28;
/// The error for a message that nests deeper.
pub const TOO_DEEP: &str = "must not nest deeper than 28 levels";

/// How many keys of a path are told.
const KEYS_TOLD: usize = 8;
/// Most characters of a key that are told.
const KEY_CHARACTERS: usize = 40;

// google/protobuf/struct.proto
const STRUCT_FIELDS: u32 = 1;
const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;
const VALUE_STRUCT: u32 = 5;
const VALUE_LIST: u32 = 6;
const LIST_VALUES: u32 = 1;

/// The path of the first value of an encoded Struct that nests deeper than `levels`: its first keys, and `...` for the
/// others. `None` if there is none, or the bytes are no Struct.
#[must_use]
pub fn path_below(encoded: &[u8], levels: usize) -> Option<String> {
    let mut path = Vec::new();
    struct_below(encoded, levels, &mut path)?;
    let told: Vec<String> = path.iter().take(KEYS_TOLD).map(|step| shortened(step)).collect();
    let rest = if path.len() > KEYS_TOLD { "..." } else { "" };
    Some(told.join(".") + rest)
}

/// `levels` is how many may still follow.
fn struct_below<'a>(encoded: &'a [u8], levels: usize, path: &mut Vec<std::borrow::Cow<'a, str>>) -> Option<()> {
    for entry in values(encoded, STRUCT_FIELDS) {
        let key = values(entry, ENTRY_KEY).last().unwrap_or_default();
        path.push(String::from_utf8_lossy(key));
        for value in values(entry, ENTRY_VALUE) {
            if value_below(value, levels, path).is_some() {
                return Some(());
            }
        }
        path.pop();
    }
    None
}

fn value_below<'a>(encoded: &'a [u8], levels: usize, path: &mut Vec<std::borrow::Cow<'a, str>>) -> Option<()> {
    for inner in values(encoded, VALUE_STRUCT) {
        let Some(levels) = levels.checked_sub(1) else { return Some(()) };
        if struct_below(inner, levels, path).is_some() {
            return Some(());
        }
    }
    for inner in values(encoded, VALUE_LIST) {
        let Some(levels) = levels.checked_sub(1) else { return Some(()) };
        for (at, element) in values(inner, LIST_VALUES).enumerate() {
            path.push(at.to_string().into());
            if value_below(element, levels, path).is_some() {
                return Some(());
            }
            path.pop();
        }
    }
    None
}

/// The length-delimited values of one field, up to where the bytes are no message.
fn values(encoded: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (number, wire_type) = decode_key(&mut rest).ok()?;
            if wire_type != WireType::LengthDelimited {
                skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
                continue;
            }
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let (value, after) = rest.split_at_checked(length)?;
            rest = after;
            if number == wanted {
                return Some(value);
            }
        }
        None
    })
}

fn shortened(key: &str) -> String {
    if key.chars().nth(KEY_CHARACTERS).is_none() {
        return key.to_owned();
    }
    key.chars().take(KEY_CHARACTERS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value};

    use super::*;

    fn nested(levels: usize) -> Struct {
        let mut value = Value { kind: Some(Kind::NumberValue(1.0)) };
        for level in (0..levels).rev() {
            value = Value {
                kind: Some(if level % 2 == 0 {
                    Kind::StructValue(Struct { fields: [(format!("k{level}"), value)].into() })
                } else {
                    Kind::ListValue(ListValue { values: vec![Value { kind: None }, value] })
                }),
            };
        }
        let fields = [("first".to_owned(), Value { kind: None }), ("note".to_owned(), value)];
        Struct { fields: fields.into() }
    }

    #[test]
    fn the_value_that_nests_too_deep_is_named_by_its_first_keys() {
        assert_eq!(path_below(&nested(3).encode_to_vec(), 2).as_deref(), Some("note.k0.1"));
        assert_eq!(path_below(&nested(3).encode_to_vec(), 3), None);
        assert_eq!(path_below(&nested(30).encode_to_vec(), 28).as_deref(), Some("note.k0.1.k2.1.k4.1.k6..."));
        let long = Struct { fields: [("x".repeat(500), Value { kind: Some(Kind::StructValue(nested(1))) })].into() };
        let path = path_below(&long.encode_to_vec(), 1).unwrap_or_default();
        assert_eq!(path, format!("{}....note", "x".repeat(40)));
        assert_eq!(path_below(b"\xff\xff", 0), None);
    }
}
