//! The way out: a read_mask becomes a select list, and each tuple that it brings becomes a message's bytes, in one pass and
//! without anything in between.

use xxhash_rust::xxh3::xxh3_64;

use super::document::{JsonValue, elements, entries};
use super::mask::{MaskPath, Reach};
use super::rules::prefix;
use super::structure;
use super::tuple::Columns;
use super::wire::{put_bytes, put_header, put_number, varint_length};
use super::{Field, Kind, Resource};
use crate::timestamp;

/// The field of a page message that holds its rows.
const ROWS_FIELD: u32 = 1;
/// jsonb's binary format is a version, 1, and the text.
const JSONB_VERSION: usize = 1;

/// What to select and how to write it as a message.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The select list, to be followed by columns of the reader's own.
    pub sql: String,
    /// How many columns that is.
    pub columns: usize,
    outputs: Vec<Output>,
    /// The number of the etag's field, if it is asked for; then every column is selected as it stands, before others.
    etag: Option<u32>,
    /// How many columns make the etag.
    stored: usize,
    /// How many columns the key has, which come first.
    keys: usize,
    whole: bool,
    /// The parts that are asked for, in the order of their fields.
    pub parts: Vec<SelectedPart>,
}

/// A part of a resource that is asked for: rows of another table.
#[derive(Clone, Debug)]
pub struct SelectedPart {
    /// The field of the owner's message that holds them.
    pub number: u32,
    /// What they are.
    pub resource: &'static Resource,
    /// How many columns of their key name their owner.
    pub owner_columns: usize,
    /// What is wanted of each. Their owner's key is always selected, first, and never put into their message.
    pub selection: Selection,
}

/// What becomes of one column.
#[derive(Clone, Copy, Debug)]
enum Output {
    /// Not asked for; selected because the key is needed, or for the etag.
    Nothing,
    Text(u32),
    Integer(u32),
    TextList(u32),
    Timestamp(u32),
    Map(u32),
    Status(u32),
}

impl Selection {
    /// What a mask asks for. The key's columns are always selected, first.
    pub fn new(resource: &Resource, mask: &[MaskPath]) -> Self {
        let etag = mask.iter().find_map(|reached| {
            let field = &resource.fields[reached.field];
            matches!(field.kind, Kind::Etag).then_some(field.number)
        });
        let mut columns = Vec::new();
        let mut outputs = Vec::new();
        let mut reached_parts = Vec::new();
        for (at, field) in resource.fields.iter().enumerate() {
            if matches!(field.kind, Kind::Etag | Kind::Part(_)) {
                continue;
            }
            let reached = mask.iter().find(|reached| reached.field == at);
            if reached.is_none() && !field.key && etag.is_none() {
                continue;
            }
            let output = match (reached, field.kind) {
                (None, _) | (_, Kind::Etag | Kind::Part(_)) => Output::Nothing,
                (_, Kind::Text(_) | Kind::Decimal { .. }) => Output::Text(field.number),
                (_, Kind::Integer(_) | Kind::Revision) => Output::Integer(field.number),
                (_, Kind::TextList { .. }) => Output::TextList(field.number),
                (_, Kind::Timestamp(_)) => Output::Timestamp(field.number),
                (_, Kind::Map(_)) => Output::Map(field.number),
                (_, Kind::Status { .. }) => Output::Status(field.number),
            };
            let part = reached.and_then(|reached| part(field.name, field.kind, &reached.reach));
            match part {
                Some(part) if etag.is_some() => {
                    columns.push(whole(field.name, field.kind));
                    outputs.push(Output::Nothing);
                    reached_parts.push((part, output));
                }
                Some(part) => {
                    columns.push(part);
                    outputs.push(output);
                }
                None => {
                    columns.push(whole(field.name, field.kind));
                    outputs.push(output);
                }
            }
        }
        let stored = columns.len();
        for (part, output) in reached_parts {
            columns.push(part);
            outputs.push(output);
        }
        Self {
            sql: columns.join(", "),
            columns: columns.len(),
            outputs,
            etag,
            stored,
            keys: resource.key_length(),
            whole: mask.len() == resource.fields.len() && mask.iter().all(|reached| reached.reach == Reach::Whole),
            parts: mask.iter().filter_map(|reached| SelectedPart::new(resource, reached)).collect(),
        }
    }

    /// Everything.
    pub fn whole(resource: &Resource) -> Self {
        Self::new(resource, &MaskPath::all(resource))
    }

    /// The key of a tuple of this selection, as a tuple.
    pub fn key<'t>(&self, tuple: &'t [u8]) -> &'t [u8] {
        prefix(tuple, self.keys)
    }

    /// Whether it is everything.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Appends a tuple as a message's bytes.
    pub fn put_message(&self, tuple: &[u8], out: &mut Vec<u8>) {
        let mut columns = Columns::new(tuple);
        for output in &self.outputs {
            let Some(value) = columns.next().flatten() else { continue };
            match *output {
                Output::Nothing => {}
                Output::Text(_) if value.is_empty() => {}
                Output::Text(number) => put_bytes(out, number, value),
                Output::Integer(number) => put_integer(out, number, value),
                Output::TextList(number) => put_texts(out, number, value.get(JSONB_VERSION..).unwrap_or_default()),
                Output::Timestamp(number) => put_timestamp(out, number, value),
                Output::Map(number) => put_map(out, number, value.get(JSONB_VERSION..).unwrap_or_default()),
                Output::Status(number) => put_status(out, number, value.get(JSONB_VERSION..).unwrap_or_default()),
            }
        }
        if let Some(number) = self.etag {
            let mut stored = Columns::new(tuple);
            stored.by_ref().take(self.stored).for_each(drop);
            put_bytes(out, number, etag(&tuple[..tuple.len() - stored.rest().len()]).as_bytes());
        }
    }

    /// Appends a tuple as one row of a page message.
    pub fn put_row(&self, tuple: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        self.put_field(ROWS_FIELD, tuple, scratch, out);
    }

    /// Appends a tuple as a field that holds its message.
    pub fn put_field(&self, number: u32, tuple: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        self.put_message(tuple, scratch);
        put_bytes(out, number, scratch);
    }

    /// The part of a tuple behind this list: the columns that the reader selected after it.
    pub fn rest<'a>(&self, tuple: &'a [u8]) -> &'a [u8] {
        let mut columns = Columns::new(tuple);
        columns.by_ref().take(self.columns).for_each(drop);
        columns.rest()
    }
}

impl SelectedPart {
    fn new(owner: &Resource, reached: &MaskPath) -> Option<Self> {
        let Kind::Part(nth) = owner.fields[reached.field].kind else { return None };
        let part = &owner.parts[nth];
        let wanted = |name: &str| match &reached.reach {
            Reach::Keys(columns) => columns.contain(name),
            Reach::Whole | Reach::Details { .. } => true,
        };
        // The first fields name the owner.
        let fields =
            part.resource.fields.iter().enumerate().skip(part.owner_columns).filter(|(_, field)| wanted(field.name));
        let mask: Vec<MaskPath> = fields.map(|(field, _)| MaskPath { field, reach: Reach::Whole }).collect();
        let owner_columns = part.owner_columns;
        Some(Self {
            number: part.number,
            resource: part.resource,
            owner_columns,
            selection: Selection::new(part.resource, &mask),
        })
    }
}

/// Appends a message that stands in pieces as one row of a page message.
pub fn put_row_of<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
    put_header(out, ROWS_FIELD, pieces.clone().map(<[u8]>::len).sum());
    pieces.for_each(|piece| out.extend_from_slice(piece));
}

/// How many bytes a message of so many takes as a row of a page message.
pub fn row_length(message: usize) -> usize {
    1 + varint_length(message as u64) + message
}

/// A stored field as it stands in a tuple. The table's alias is `t`.
pub(crate) fn column(field: &Field) -> String {
    whole(field.name, field.kind)
}

/// A column as it stands. The table's alias is `t`.
fn whole(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Decimal { .. } => format!("t.{name}::text"),
        _ => format!("t.{name}"),
    }
}

/// The part of a column that a mask reaches, if it is not all of it.
fn part(name: &str, kind: Kind, reach: &Reach) -> Option<String> {
    match (kind, reach) {
        (Kind::Map(_) | Kind::Status { .. }, Reach::Keys(keys)) => Some(format!(
            "(select coalesce(jsonb_object_agg(e.key, e.value), '{{}}') from jsonb_each(case jsonb_typeof(t.{name}) \
                 when 'object' then t.{name} else '{{}}' end) as e where {})",
            keys.condition("e.key")
        )),
        (Kind::Status { .. }, Reach::Details { phase: false }) => {
            Some(format!("(case jsonb_typeof(t.{name}) when 'object' then t.{name} - 'phase' else '{{}}' end)"))
        }
        _ => None,
    }
}

/// The etag of a tuple of all stored columns.
pub fn etag(tuple: &[u8]) -> String {
    format!("{:016x}", xxh3_64(tuple))
}

/// An integer or bigint as a varint: sign-extended to 64 bits (protobuf.dev, "Encoding").
fn put_integer(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    let value = match *value {
        [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
        _ => value.try_into().map_or(0, i64::from_be_bytes),
    };
    if value != 0 {
        put_number(out, number, value.cast_unsigned());
    }
}

/// A jsonb array as a repeated text; an element that is no string is given as its JSON text.
fn put_texts(out: &mut Vec<u8>, number: u32, json: &[u8]) {
    for (_, value) in elements(json) {
        match value {
            JsonValue::String(text) => put_bytes(out, number, &text.text()),
            JsonValue::Other(raw) => put_bytes(out, number, raw),
        }
    }
}

fn put_timestamp(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    let Ok(bytes) = value.try_into() else { return };
    let (seconds, nanos) = timestamp::from_postgres(i64::from_be_bytes(bytes));
    let seconds = seconds as u64;
    let nanos = u64::from(nanos.unsigned_abs());
    let length = (if seconds == 0 { 0 } else { 1 + varint_length(seconds) })
        + (if nanos == 0 { 0 } else { 1 + varint_length(nanos) });
    put_header(out, number, length);
    if seconds != 0 {
        put_number(out, 1, seconds);
    }
    if nanos != 0 {
        put_number(out, 2, nanos);
    }
}

/// A jsonb object as a map of texts; a value that is no string is given as its JSON text.
#[inline]
fn put_map(out: &mut Vec<u8>, number: u32, json: &[u8]) {
    for (key, value) in entries(json) {
        let key = key.text();
        let value = match value {
            JsonValue::String(text) => text.text(),
            JsonValue::Other(raw) => raw.into(),
        };
        let length = 2 + varint_length(key.len() as u64) + key.len() + varint_length(value.len() as u64) + value.len();
        put_header(out, number, length);
        put_bytes(out, 1, &key);
        put_bytes(out, 2, &value);
    }
}

/// A jsonb object as an `orrery.type.v1.Status`: `phase = 1`, every other key in `details = 2`.
#[inline]
fn put_status(out: &mut Vec<u8>, number: u32, json: &[u8]) {
    let mut phase = None;
    let mut details = Vec::new();
    for (key, value) in entries(json) {
        let key = key.text();
        match value {
            JsonValue::String(text) if *key == *b"phase" => phase = Some(text.text()),
            value => structure::put_entry(&mut details, &key, value),
        }
    }
    let phase = phase.unwrap_or_default();
    let mut length = 0;
    if !phase.is_empty() {
        length += 1 + varint_length(phase.len() as u64) + phase.len();
    }
    if !details.is_empty() {
        length += 1 + varint_length(details.len() as u64) + details.len();
    }
    put_header(out, number, length);
    if !phase.is_empty() {
        put_bytes(out, 1, &phase);
    }
    if !details.is_empty() {
        put_bytes(out, 2, &details);
    }
}
