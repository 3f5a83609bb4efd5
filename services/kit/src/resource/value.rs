//! One field's value on its way in: from the wire to its place in a tuple, with the rules of its kind.

use std::borrow::Cow;

use bytes::BufMut as _;
use orrery_proto::nesting::path_below;

use super::is_status_field;
use super::json::JsonText;
use super::slot::{Portion, Slot};
use super::structure::{Item, MAX_DEPTH_IN, StructError, put_object, read_entries, sort_and_keep_last};
use super::tuple::{NULL, end_value, put_prefixed};
use super::wire::{Malformed, Reader, Value};
use super::{EmptyDecimal, Field, IntegerRule, MapRule, TextRule};
use crate::decimal::Decimal;
use crate::error::Violation;
use crate::uid::check_key;
use crate::{label, timestamp};

/// Most bytes of a phase.
pub const MAX_PHASE_BYTES: usize = 63;
/// Most bytes of a status's details.
const MAX_DETAILS_BYTES: usize = 256 * 1024;
const JSONB_VERSION: u8 = 1;

fn text(bytes: &[u8], path: impl FnOnce() -> String) -> Result<&str, Violation> {
    match std::str::from_utf8(bytes) {
        Err(_) => Err(Violation::new(path(), "must be valid UTF-8")),
        Ok(text) if text.contains('\0') => {
            Err(Violation::new(path(), "must not hold NUL characters: Postgres cannot store them"))
        }
        Ok(text) => Ok(text),
    }
}

pub(super) fn text_of<'a>(slot: &'a Slot<'_>, name: &str) -> Result<&'a str, Violation> {
    match slot {
        Slot::Bytes(bytes) => text(bytes, || name.to_owned()),
        Slot::Unset | Slot::Entries(_) | Slot::Number(_) => Ok(""),
    }
}

/// Puts a text; `may_be_kept` if what is required may also be left out, because it is stored already.
pub(super) fn put_text(
    field: &Field,
    rule: TextRule,
    slot: &Slot<'_>,
    may_be_kept: bool,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let text = text_of(slot, field.name)?;
    let refuse = |why: String| Err(Violation::new(field.name, why));
    match rule {
        TextRule::Free { .. } | TextRule::OptionalUid(_) | TextRule::Code { nullable: true, .. } if text.is_empty() => {
            tuple.put_i32(NULL);
            return Ok(());
        }
        TextRule::Code { .. } if text.is_empty() && may_be_kept => {
            tuple.put_i32(NULL);
            return Ok(());
        }
        _ if text.is_empty() => return refuse("is required".to_owned()),
        rule => check_text(rule, text).or_else(refuse)?,
    }
    put_prefixed(tuple, text.as_bytes());
    Ok(())
}

/// Puts a part of the key of a row that may be stored already, by whatever program.
pub(super) fn put_stored_key(field: &Field, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
    let text = text_of(slot, field.name)?;
    check_key(text).map_err(|why| Violation::new(field.name, why))?;
    put_prefixed(tuple, text.as_bytes());
    Ok(())
}

/// Whether a text that is not empty follows its rule. The error says what is wrong with it.
pub(super) fn check_text(rule: TextRule, text: &str) -> Result<(), String> {
    match rule {
        TextRule::Uid(kind, _) | TextRule::OptionalUid(kind) => kind.check(text),
        TextRule::Code { letters, .. }
            if text.len() != letters || !text.bytes().all(|byte| byte.is_ascii_uppercase()) =>
        {
            Err(format!("must be {letters} letters A-Z"))
        }
        TextRule::OneOf(texts) if !texts.contains(&text) => Err(format!("must be one of {}", texts.join(", "))),
        TextRule::Name(max_bytes) if !is_name(text, max_bytes) => {
            Err(format!("must be 1 to {max_bytes} of a-z, 0-9, \"_\", \"-\" and \".\", beginning with a letter"))
        }
        TextRule::Free { max_bytes, .. } if text.len() > max_bytes => {
            Err(format!("is {} bytes long; at most {max_bytes} are allowed", text.len()))
        }
        TextRule::Free { .. } | TextRule::Name(_) | TextRule::Code { .. } | TextRule::OneOf(_) => Ok(()),
    }
}

fn is_name(text: &str, max_bytes: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    text.len() <= max_bytes && text.bytes().all(allowed) && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

pub(super) fn put_decimal(
    field: &Field,
    integer_digits: usize,
    fraction_digits: usize,
    empty: EmptyDecimal,
    slot: &Slot<'_>,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let mut text = text_of(slot, field.name)?;
    match empty {
        EmptyDecimal::Refused if text.is_empty() => return Err(Violation::new(field.name, "is required")),
        EmptyDecimal::Zero if text.is_empty() => text = "0",
        EmptyDecimal::Kept if text.is_empty() => {
            tuple.put_i32(NULL);
            return Ok(());
        }
        _ => {}
    }
    Decimal::check(text, integer_digits, fraction_digits)
        .map_err(|error| Violation::new(field.name, error.to_string()))?;
    put_prefixed(tuple, Decimal::canonical(text).as_bytes());
    Ok(())
}

/// Puts an integer in its column's width.
pub(super) fn put_integer(
    field: &Field,
    rule: IntegerRule,
    slot: &Slot<'_>,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let value = integer_of(slot, rule.big);
    if value < rule.min || value > rule.max {
        return Err(Violation::new(field.name, format!("must be {} to {}", rule.min, rule.max)));
    }
    match i32::try_from(value) {
        Ok(0) if rule.zero_is_null => tuple.put_i32(NULL),
        Ok(value) if !rule.big => put_prefixed(tuple, &value.to_be_bytes()),
        _ => put_prefixed(tuple, &value.to_be_bytes()),
    }
    Ok(())
}

/// The integer in a slot. An int32 is as many bits of the varint (protobuf.dev, "Encoding").
pub(super) fn integer_of(slot: &Slot<'_>, big: bool) -> i64 {
    match slot {
        Slot::Number(bits) if big => bits.cast_signed(),
        Slot::Number(bits) => i64::from((*bits as u32).cast_signed()),
        Slot::Unset | Slot::Bytes(_) | Slot::Entries(_) => 0,
    }
}

/// Puts a list of texts as a jsonb array.
pub(super) fn put_text_list(
    field: &Field,
    max_items: usize,
    max_bytes: usize,
    slot: &Slot<'_>,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let Slot::Entries(items) = slot else { return Err(Violation::new(field.name, "is no list of texts")) };
    if items.len() > max_items {
        let why = format!("has {} entries; at most {max_items} are allowed", items.len());
        return Err(Violation::new(field.name, why));
    }
    let at = tuple.len();
    tuple.put_i32(0);
    tuple.push(JSONB_VERSION);
    let mut json = JsonText::new(tuple);
    json.put(b"[");
    for (nth, item) in items.iter().enumerate() {
        let path = || format!("{}[{nth}]", field.name);
        let item = text(item, path)?;
        if item.len() > max_bytes {
            let why = format!("is {} bytes long; at most {max_bytes} are allowed", item.len());
            return Err(Violation::new(path(), why));
        }
        json.separate(nth);
        json.put_string(item);
    }
    json.put(b"]");
    json.finish().map_err(|why| Violation::new(field.name, why))?;
    end_value(tuple, at);
    Ok(())
}

pub(super) fn put_timestamp(field: &Field, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
    let refuse = |why: &str| Violation::new(field.name, why);
    let Slot::Bytes(bytes) = slot else { return Err(refuse("is no google.protobuf.Timestamp")) };
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some(part) = reader.next().map_err(|Malformed| refuse("is no google.protobuf.Timestamp"))? {
        match part {
            (1, Value::Varint(value)) => seconds = value.cast_signed(),
            (2, Value::Varint(value)) => nanos = (value as u32).cast_signed(),
            _ => {}
        }
    }
    let microseconds = timestamp::to_postgres(seconds, nanos).map_err(refuse)?;
    put_prefixed(tuple, &microseconds.to_be_bytes());
    Ok(())
}

pub(super) fn put_map(
    field: &Field,
    rule: MapRule,
    slot: Slot<'_>,
    part: Portion<'_>,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let Slot::Entries(raw) = slot else { return Err(Violation::new(field.name, "is no map")) };
    let mut entries = Vec::with_capacity(raw.len());
    let mut bytes = 0;
    for entry in raw {
        let Some((key, value)) = map_entry(field, entry, part)? else { continue };
        bytes += key.len() + value.len();
        if value.len() > rule.max_value_bytes {
            return Err(Violation::new(
                format!("{}.{key}", field.name),
                format!("is {} bytes long; at most {} are allowed", value.len(), rule.max_value_bytes),
            ));
        }
        entries.push((key, value));
    }
    sort_and_keep_last(&mut entries);
    if entries.len() > rule.max_entries {
        let most = rule.max_entries;
        return Err(Violation::new(field.name, format!("has {} entries; at most {most} are allowed", entries.len())));
    }
    if bytes > rule.max_bytes {
        let most = rule.max_bytes;
        return Err(Violation::new(field.name, format!("holds {bytes} bytes; at most {most} are allowed")));
    }
    let at = tuple.len();
    tuple.put_i32(0);
    tuple.push(JSONB_VERSION);
    let mut json = JsonText::new(tuple);
    json.put(b"{");
    for (nth, (key, value)) in entries.into_iter().enumerate() {
        json.separate(nth);
        json.put_string(key);
        json.put(b": ");
        json.put_string(value);
    }
    json.put(b"}");
    json.finish().map_err(|why| Violation::new(field.name, why))?;
    end_value(tuple, at);
    Ok(())
}

/// The key and value of an entry, unless it is not looked at.
fn map_entry<'a>(field: &Field, entry: &'a [u8], part: Portion<'_>) -> Result<Option<(&'a str, &'a str)>, Violation> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut reader = Reader::new(entry);
    while let Some(part) =
        reader.next().map_err(|Malformed| Violation::new(field.name, "holds an entry that is none"))?
    {
        match part {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    if !part.reaches(key) {
        return Ok(None);
    }
    let key = text(key, || field.name.to_owned())?;
    label::check_key(key).map_err(|why| {
        Violation::new(field.name, format!("key {:?} {why}", key.chars().take(80).collect::<String>()))
    })?;
    Ok(Some((key, text(value, || format!("{}.{key}", field.name))?)))
}

pub(super) fn put_status(
    field: &Field,
    slot: &Slot<'_>,
    part: Portion<'_>,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let refuse = |part: &str, why: &str| Violation::new(format!("{}{part}", field.name), why);
    let malformed = |Malformed| refuse("", "is no orrery.type.v1.Status");
    let Slot::Bytes(bytes) = slot else { return Err(malformed(Malformed)) };
    let (mut phase, mut details) = (&b""[..], Cow::Borrowed(&b""[..]));
    let mut reader = Reader::new(bytes);
    while let Some(piece) = reader.next().map_err(malformed)? {
        match piece {
            (1, Value::Bytes(bytes)) if part.reaches(b"phase") => phase = bytes,
            (2, Value::Bytes(bytes)) if details.is_empty() => details = Cow::Borrowed(bytes),
            (2, Value::Bytes(bytes)) => details.to_mut().extend_from_slice(bytes),
            _ => {}
        }
    }
    let phase = text(phase, || format!("{}.phase", field.name))?;
    if phase.len() > MAX_PHASE_BYTES || phase.chars().any(char::is_control) {
        return Err(refuse(".phase", "must be at most 63 bytes, without control characters"));
    }
    if details.len() > MAX_DETAILS_BYTES {
        return Err(refuse(".details", "holds more than 262144 bytes"));
    }
    let refuse_details = |error: StructError| {
        let path = if error == StructError::TooDeep { path_below(&details, MAX_DEPTH_IN) } else { None };
        refuse(&path.map_or(".details".to_owned(), |path| format!(".details.{path}")), error.description())
    };
    let mut entries = read_entries(&details).map_err(refuse_details)?;
    part.keep_details(&mut entries);
    if let Some((key, _)) = entries.iter().find(|(key, _)| is_status_field(key)) {
        return Err(refuse(&format!(".details.{key}"), "must not be set: a field of Status is no key of its details"));
    }
    if !phase.is_empty() {
        entries.push(("phase", Item::Text(phase)));
        sort_and_keep_last(&mut entries);
    }
    if entries.is_empty() {
        tuple.put_i32(NULL);
        return Ok(());
    }
    let at = tuple.len();
    tuple.put_i32(0);
    tuple.push(JSONB_VERSION);
    let mut json = JsonText::new(tuple);
    put_object(&mut json, &entries).map_err(refuse_details)?;
    json.finish().map_err(|why| refuse(".details", &why))?;
    end_value(tuple, at);
    Ok(())
}
