//! Message to JSON.

use chrono::{DateTime, SecondsFormat};
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};

use super::{LIST, STRUCT, TIMESTAMP, VALUE};

/// Appends the message as one line of JSON. Fields are in the order of their numbers, map keys are sorted, and unset
/// fields are left out, so that equal messages give equal text.
pub(crate) fn write_json(message: &DynamicMessage, out: &mut Vec<u8>) {
    match message.descriptor().full_name() {
        TIMESTAMP => return write_timestamp(message, out),
        STRUCT => {
            return match message.get_field_by_name("fields").as_deref() {
                Some(Value::Map(entries)) => write_map(entries, out),
                _ => out.extend(b"{}"),
            };
        }
        LIST => {
            return match message.get_field_by_name("values").as_deref() {
                Some(Value::List(values)) => write_list(values, &Kind::Message(message.descriptor()), out),
                _ => out.extend(b"[]"),
            };
        }
        VALUE => {
            return match message.fields().next() {
                Some((field, value)) if field.name() != "null_value" => write_value(value, &field.kind(), out),
                _ => out.extend(b"null"),
            };
        }
        _ => {}
    }
    out.push(b'{');
    for (place, (field, value)) in message.fields().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(field.name(), out);
        out.push(b':');
        write_value(value, &field.kind(), out);
    }
    out.push(b'}');
}

/// Appends the value of a field of this kind as JSON.
pub(crate) fn write_field(value: &Value, kind: &Kind, out: &mut Vec<u8>) {
    write_value(value, kind, out);
}

fn write_value(value: &Value, kind: &Kind, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => write_text(text, out),
        Value::Message(message) => write_json(message, out),
        Value::Map(entries) => write_map(entries, out),
        Value::List(values) => write_list(values, kind, out),
        Value::Bool(value) => out.extend(if *value { &b"true"[..] } else { b"false" }),
        Value::I32(number) => out.extend(number.to_string().as_bytes()),
        Value::U32(number) => out.extend(number.to_string().as_bytes()),
        // Protobuf's JSON mapping quotes 64-bit integers, because many readers only have doubles.
        Value::I64(number) => write_text(&number.to_string(), out),
        Value::U64(number) => write_text(&number.to_string(), out),
        Value::F32(number) => write_number(f64::from(*number), out),
        Value::F64(number) => write_number(*number, out),
        Value::EnumNumber(number) => match kind {
            Kind::Enum(values) => match values.get_value(*number) {
                Some(value) => write_text(value.name(), out),
                None => out.extend(number.to_string().as_bytes()),
            },
            _ => out.extend(number.to_string().as_bytes()),
        },
        Value::Bytes(bytes) => write_text(&String::from_utf8_lossy(bytes), out),
    }
}

fn write_number(number: f64, out: &mut Vec<u8>) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT && !(number == 0.0 && number.is_sign_negative()) {
        out.extend((number as i64).to_string().as_bytes());
    } else if number.is_finite() {
        out.extend(format!("{number:?}").as_bytes());
    } else {
        write_text(
            if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            },
            out,
        );
    }
}

fn write_map(entries: &std::collections::HashMap<MapKey, Value>, out: &mut Vec<u8>) {
    let mut sorted: Vec<(&MapKey, &Value)> = entries.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    out.push(b'{');
    for (place, (key, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        match key {
            MapKey::String(key) => write_text(key, out),
            MapKey::Bool(key) => write_text(&key.to_string(), out),
            MapKey::I32(key) => write_text(&key.to_string(), out),
            MapKey::I64(key) => write_text(&key.to_string(), out),
            MapKey::U32(key) => write_text(&key.to_string(), out),
            MapKey::U64(key) => write_text(&key.to_string(), out),
        }
        out.push(b':');
        write_value(value, &Kind::String, out);
    }
    out.push(b'}');
}

fn write_list(values: &[Value], kind: &Kind, out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_value(value, kind, out);
    }
    out.push(b']');
}

fn write_timestamp(message: &DynamicMessage, out: &mut Vec<u8>) {
    let number = |name| match message.get_field_by_name(name).as_deref() {
        Some(Value::I64(number)) => *number,
        Some(Value::I32(number)) => i64::from(*number),
        _ => 0,
    };
    let (seconds, nanos) = (number("seconds"), number("nanos"));
    // Services only send valid times. An invalid one is written as it is rather than as another time.
    match u32::try_from(nanos).ok().and_then(|nanos| DateTime::from_timestamp(seconds, nanos)) {
        Some(instant) => write_text(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true), out),
        None => write_text(&format!("{seconds}s{nanos}ns"), out),
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut copied = 0;
    for (place, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend(&text.as_bytes()[copied..place]);
        copied = place + 1;
        if escape.is_empty() {
            out.extend(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend(escape);
        }
    }
    out.extend(&text.as_bytes()[copied..]);
    out.push(b'"');
}
