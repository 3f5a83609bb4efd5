//! Values of inner fields as JSON, by their element types: texts as strings, integers and decimals as numbers,
//! timestamps as RFC 3339 in UTC with microseconds, jsonb as it is. The digits of a decimal are those that were sent:
//! they are never those of a double.

use super::InnerField;
use crate::db::array::ElementType;
use crate::decimal::Decimal;
use crate::resource::document::JsonValue;
use crate::resource::json::JsonText;
use crate::resource::kind::{JSONB_VERSION, json_of};
use crate::timestamp;

/// Puts a value of an input tuple. One that its field cannot have becomes null, which reads as unset.
pub(super) fn put(element: ElementType, value: &[u8], json: &mut JsonText<'_>) {
    let text = std::str::from_utf8(value).unwrap_or_default();
    match element {
        ElementType::Text => json.put_string(text),
        ElementType::Numeric => match Decimal::check(text, usize::MAX, usize::MAX) {
            Ok(()) => json.put(value),
            Err(_) => json.put(b"null"),
        },
        ElementType::Integer => match value.try_into().map(i32::from_be_bytes) {
            Ok(number) => json.put(number.to_string().as_bytes()),
            Err(_) => json.put(b"null"),
        },
        ElementType::BigInteger => match value.try_into().map(i64::from_be_bytes) {
            Ok(number) => json.put(number.to_string().as_bytes()),
            Err(_) => json.put(b"null"),
        },
        ElementType::Double => match value.try_into().map(f64::from_be_bytes) {
            Ok(number) if number.is_finite() => json.put_number(number),
            _ => json.put(b"null"),
        },
        ElementType::Timestamp => match value.try_into().map(i64::from_be_bytes) {
            Ok(microseconds) => json.put_string(&timestamp::to_rfc3339(microseconds)),
            Err(_) => json.put(b"null"),
        },
        ElementType::Boolean => json.put(if value == [1] { b"true" } else { b"false" }),
        ElementType::Json => json.put(json_of(value)),
    }
}

/// Appends a JSON value as its field has it in a selected tuple; `None` if it does not fit the field.
pub(super) fn read(inner: &InnerField, value: JsonValue<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (inner.element, value) {
        (ElementType::Text, JsonValue::String(text)) => out.extend_from_slice(&text.text()),
        (ElementType::Timestamp, JsonValue::String(text)) => {
            let text = text.text();
            let microseconds = timestamp::from_rfc3339(std::str::from_utf8(&text).ok()?)?;
            out.extend_from_slice(&microseconds.to_be_bytes());
        }
        (ElementType::Integer, JsonValue::Other(raw)) => {
            out.extend_from_slice(&whole(raw)?.parse::<i32>().ok()?.to_be_bytes());
        }
        (ElementType::BigInteger, JsonValue::Other(raw)) => {
            out.extend_from_slice(&whole(raw)?.parse::<i64>().ok()?.to_be_bytes());
        }
        (ElementType::Numeric, JsonValue::Other(raw)) => {
            Decimal::check(std::str::from_utf8(raw).ok()?, usize::MAX, usize::MAX).ok()?;
            out.extend_from_slice(raw);
        }
        (ElementType::Double, JsonValue::Other(raw)) => {
            // Rust also reads names of numbers that are not finite.
            raw.last().filter(|last| last.is_ascii_digit())?;
            let number: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
            out.extend_from_slice(&Some(number).filter(|number| number.is_finite())?.to_be_bytes());
        }
        (ElementType::Boolean, JsonValue::Other(b"true")) => out.push(1),
        (ElementType::Boolean, JsonValue::Other(b"false")) => out.push(0),
        (ElementType::Json, JsonValue::Other(raw)) if raw.first() == inner.opening.as_ref() => {
            out.push(JSONB_VERSION);
            out.extend_from_slice(raw);
        }
        _ => return None,
    }
    Some(())
}

/// The digits of a whole number. jsonb takes 5 and 5.0 for equal, and prints each as it was sent.
fn whole(raw: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(raw).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    fraction.bytes().all(|digit| digit == b'0').then_some(whole)
}
