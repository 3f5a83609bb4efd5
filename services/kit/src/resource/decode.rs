//! The way in: a message's bytes become an input tuple, and every rule of every field is checked on the way.
//!
//! A tuple is canonical: map keys are sorted and unset fields are null, so that two encodings of the same message
//! give the same bytes, which are what the write ledger hashes. A field that is set to its zero value is unset (proto3).

use std::borrow::Cow;

use bytes::BufMut as _;

use super::document::put_string;
use super::mask::{Reach, UpdateMask};
use super::structure::{put_object, read_entries, sort_and_keep_last};
use super::wire::{Malformed, Reader, Value};
use super::{Field, Kind, MapRule, Resource, TextRule, TimestampRule};
use crate::decimal::Decimal;
use crate::error::Violation;
use crate::{label, timestamp};

/// Most bytes of one encoded row: one that was written can always be read within the limits.
pub const MAX_ROW_BYTES: usize = 1024 * 1024;
/// Most bytes of a phase.
const MAX_PHASE_BYTES: usize = 63;
/// Most bytes of a status's details.
const MAX_DETAILS_BYTES: usize = 256 * 1024;
const NULL: i32 = -1;
const JSONB_VERSION: u8 = 1;

/// What becomes of a uid that is left empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyUid {
    /// It is refused.
    Refuse,
    /// One is made.
    Make,
}

/// What a row says besides its columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The etag that the stored row must have; empty if the caller does not care.
    pub etag: String,
    /// Whether the uid was made here.
    pub made_uid: bool,
}

/// Which part of a field is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    All,
    /// These keys of a jsonb object.
    Keys(&'a [String]),
    /// All of a status but its phase.
    Details,
    Nothing,
}

impl Part<'_> {
    fn reaches(self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.iter().any(|reached| reached.as_bytes() == key),
            Self::Details => key != b"phase",
            Self::Nothing => false,
        }
    }
}

/// Every occurrence of a field, as far as its kind wants them.
enum Slot<'a> {
    Unset,
    Bytes(Cow<'a, [u8]>),
    Entries(Vec<&'a [u8]>),
}

impl Slot<'_> {
    /// Whether it is unset or set to an empty text, which is the same.
    fn is_empty(&self) -> bool {
        match self {
            Self::Unset => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Entries(entries) => entries.is_empty(),
        }
    }
}

impl Resource {
    /// Appends the input tuple of an encoded message to `tuple`. With an `update` only what it reaches is looked at: what else the
    /// message holds may have been read from rows that other programs wrote, and is null.
    ///
    /// # Errors
    /// Every broken rule; `tuple` is then as it was.
    pub fn decode(
        &self,
        message: &[u8],
        empty_uid: EmptyUid,
        update: Option<&UpdateMask>,
        tuple: &mut Vec<u8>,
    ) -> Result<Decoded, Vec<Violation>> {
        let start = tuple.len();
        if message.len() > MAX_ROW_BYTES {
            return Err(vec![Violation::new("", format!("is larger than {MAX_ROW_BYTES} bytes"))]);
        }
        let slots = self
            .slots(message)
            .map_err(|Malformed| vec![Violation::new("", format!("the bytes are no {}", self.description.message))])?;
        let mut violations = Vec::new();
        let mut decoded = Decoded::default();
        for (at, (field, slot)) in self.fields.iter().zip(slots).enumerate() {
            let part = self.part(at, update);
            let put = match (field.kind, slot) {
                (Kind::Etag, slot) => take_etag(&slot, &mut decoded),
                (Kind::Timestamp(TimestampRule::Updated), _) => Ok(()),
                _ if part == Part::Nothing => {
                    tuple.put_i32(NULL);
                    Ok(())
                }
                (Kind::Text(TextRule::Uid(kind, true)), slot) if empty_uid == EmptyUid::Make && slot.is_empty() => {
                    put_prefixed(tuple, kind.new_uid().as_bytes());
                    decoded.made_uid = true;
                    Ok(())
                }
                (Kind::Text(rule), slot) => put_text(field, rule, &slot, tuple),
                (Kind::Decimal { integer_digits, fraction_digits }, slot) => {
                    put_decimal(field, integer_digits, fraction_digits, &slot, tuple)
                }
                (_, Slot::Unset) => {
                    tuple.put_i32(NULL);
                    Ok(())
                }
                (Kind::Timestamp(_), slot) => put_timestamp(field, &slot, tuple),
                (Kind::Map(rule), slot) => put_map(field, rule, slot, part, tuple),
                (Kind::Status { .. }, slot) => put_status(field, &slot, part, tuple),
            };
            if let Err(violation) = put {
                violations.push(violation);
            }
        }
        if violations.is_empty() {
            return Ok(decoded);
        }
        tuple.truncate(start);
        Err(violations)
    }

    /// Which part of a field is looked at.
    fn part<'a>(&self, at: usize, update: Option<&'a UpdateMask>) -> Part<'a> {
        let Some(UpdateMask::Paths(paths)) = update else { return Part::All };
        let field = &self.fields[at];
        if field.key || self.description.newest_by == Some(field.name) {
            return Part::All;
        }
        match paths.iter().find(|reached| reached.field == at).map(|reached| &reached.reach) {
            None => Part::Nothing,
            Some(Reach::Keys(keys)) => Part::Keys(keys),
            Some(Reach::Details { phase: false }) => Part::Details,
            Some(Reach::Whole | Reach::Details { phase: true }) => Part::All,
        }
    }

    fn slots<'a>(&self, message: &'a [u8]) -> Result<Vec<Slot<'a>>, Malformed> {
        let mut slots = Vec::with_capacity(self.fields.len());
        slots.resize_with(self.fields.len(), || Slot::Unset);
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.next()? {
            // A field that this contract does not know is skipped, as protobuf says.
            let Some(at) = self.fields.iter().position(|field| field.number == number) else { continue };
            let Value::Bytes(bytes) = value else { return Err(Malformed) };
            let slot = &mut slots[at];
            match (&self.fields[at].kind, slot) {
                (Kind::Map(_), Slot::Entries(entries)) => entries.push(bytes),
                (Kind::Map(_), slot) => *slot = Slot::Entries(vec![bytes]),
                // A message that comes in pieces is the pieces joined.
                (Kind::Timestamp(_) | Kind::Status { .. }, Slot::Bytes(before)) => before.to_mut().extend(bytes),
                (_, slot) => *slot = Slot::Bytes(Cow::Borrowed(bytes)),
            }
        }
        Ok(slots)
    }
}

pub(super) fn put_prefixed(tuple: &mut Vec<u8>, value: &[u8]) {
    tuple.put_i32(value.len() as i32);
    tuple.extend_from_slice(value);
}

fn text(bytes: &[u8], path: impl FnOnce() -> String) -> Result<&str, Violation> {
    match std::str::from_utf8(bytes) {
        Err(_) => Err(Violation::new(path(), "must be valid UTF-8")),
        Ok(text) if text.contains('\0') => {
            Err(Violation::new(path(), "must not hold NUL characters: Postgres cannot store them"))
        }
        Ok(text) => Ok(text),
    }
}

fn text_of<'a>(slot: &'a Slot<'_>, name: &str) -> Result<&'a str, Violation> {
    match slot {
        Slot::Bytes(bytes) => text(bytes, || name.to_owned()),
        Slot::Unset | Slot::Entries(_) => Ok(""),
    }
}

fn take_etag(slot: &Slot<'_>, decoded: &mut Decoded) -> Result<(), Violation> {
    text_of(slot, "etag")?.clone_into(&mut decoded.etag);
    Ok(())
}

fn put_text(field: &Field, rule: TextRule, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
    let text = text_of(slot, field.name)?;
    let refuse = |why: String| Err(Violation::new(field.name, why));
    match rule {
        TextRule::Uid(..) | TextRule::Name(_) if text.is_empty() => return refuse("is required".to_owned()),
        TextRule::Uid(kind, _) => kind.check(text).or_else(refuse)?,
        TextRule::Name(max_bytes) if !is_name(text, max_bytes) => {
            return refuse(format!(
                "must be 1 to {max_bytes} of a-z, 0-9, \"_\", \"-\" and \".\", beginning with a letter"
            ));
        }
        TextRule::Free { max_bytes, .. } if text.len() > max_bytes => {
            return refuse(format!("is {} bytes long; at most {max_bytes} are allowed", text.len()));
        }
        TextRule::Free { .. } if text.is_empty() => {
            tuple.put_i32(NULL);
            return Ok(());
        }
        TextRule::Free { .. } | TextRule::Name(_) => {}
    }
    put_prefixed(tuple, text.as_bytes());
    Ok(())
}

fn is_name(text: &str, max_bytes: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    text.len() <= max_bytes && text.bytes().all(allowed) && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

fn put_decimal(
    field: &Field,
    integer_digits: usize,
    fraction_digits: usize,
    slot: &Slot<'_>,
    tuple: &mut Vec<u8>,
) -> Result<(), Violation> {
    let text = text_of(slot, field.name)?;
    if text.is_empty() {
        return Err(Violation::new(field.name, "is required"));
    }
    Decimal::check(text, integer_digits, fraction_digits)
        .map_err(|error| Violation::new(field.name, error.to_string()))?;
    put_prefixed(tuple, Decimal::canonical(text).as_bytes());
    Ok(())
}

fn put_timestamp(field: &Field, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
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

fn put_map(field: &Field, rule: MapRule, slot: Slot<'_>, part: Part<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
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
    tuple.extend_from_slice(&[JSONB_VERSION, b'{']);
    for (nth, (key, value)) in entries.into_iter().enumerate() {
        if nth > 0 {
            tuple.extend_from_slice(b", ");
        }
        put_string(tuple, key);
        tuple.extend_from_slice(b": ");
        put_string(tuple, value);
    }
    tuple.push(b'}');
    end_value(tuple, at);
    Ok(())
}

/// Writes the length of the value that began at `at`.
pub(super) fn end_value(tuple: &mut [u8], at: usize) {
    let length = (tuple.len() - at - 4) as i32;
    tuple[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// The key and value of an entry, unless it is not looked at.
fn map_entry<'a>(field: &Field, entry: &'a [u8], part: Part<'_>) -> Result<Option<(&'a str, &'a str)>, Violation> {
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

fn put_status(field: &Field, slot: &Slot<'_>, part: Part<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
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
    let mut entries = read_entries(&details).map_err(|error| refuse(".details", error.description()))?;
    entries.retain(|(key, _)| part.reaches(key.as_bytes()));
    if !phase.is_empty() {
        if entries.iter().any(|(key, _)| key == "phase") {
            return Err(refuse(".details", "must not hold the key phase: the phase is a field of its own"));
        }
        let mut json = Vec::new();
        put_string(&mut json, phase);
        entries.push(("phase".to_owned(), json));
        sort_and_keep_last(&mut entries);
    }
    if entries.is_empty() {
        tuple.put_i32(NULL);
        return Ok(());
    }
    let at = tuple.len();
    tuple.put_i32(0);
    tuple.push(JSONB_VERSION);
    put_object(tuple, &entries);
    end_value(tuple, at);
    Ok(())
}
