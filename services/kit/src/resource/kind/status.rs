//! Statuses: an `orrery.type.v1.Status` in a `jsonb` object, whose key `phase` is the phase and whose other keys are
//! the details.

use std::borrow::Cow;

use bytes::BufMut as _;

use super::object::{path_key, refused, struct_entries};
use super::sql::{Entries, as_stored, selected_keys, stored_object, without};
use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, JSONB_VERSION, OutputField, PutField, Reading, Stated,
    StoredColumn, UnsetPhase, WireForm, json_of, limits, put_jsonb, storable_text,
};
use crate::db::array::ElementType;
use crate::db::sql::{indented, literal};
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::document::{JsonValue, entries, put_string};
use crate::resource::is_status_field;
use crate::resource::json::JsonText;
use crate::resource::mask::{KeySet, Reach};
use crate::resource::slot::Slot;
use crate::resource::structure::{self, ObjectValue, put_object, sort_and_keep_last};
use crate::resource::tuple::{NULL, end_value};
use crate::resource::wire::{FieldReader, Malformed, Value, put_bytes, put_header, varint_length};

/// Most bytes of a phase.
pub const MAX_PHASE_BYTES: usize = 63;
/// Most bytes of a status's details.
const MAX_DETAILS_BYTES: usize = 256 * 1024;

/// A status whose phase on a new row is this one.
pub const fn status(default_phase: &'static str) -> Status {
    Status { default_phase }
}

/// A status in a jsonb column.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    default_phase: &'static str,
}

impl Status {
    /// The phase of a new row, as JSON.
    fn default_phase(&self) -> String {
        let mut json = Vec::new();
        put_string(&mut json, self.default_phase);
        String::from_utf8_lossy(&json).into_owned()
    }
}

fn check_phase(name: &str, phase: &str) -> Result<(), Violation> {
    if phase.len() > MAX_PHASE_BYTES || phase.chars().any(char::is_control) {
        let why = "must be at most 63 bytes, without control characters";
        return Err(Violation::new(format!("{name}.phase"), why));
    }
    Ok(())
}

impl ColumnKind for Status {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is_message(".orrery.type.v1.Status")
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Message
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        // The details hold no keys with the names of the status's fields.
        limits::none()
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("jsonb", false))
    }

    fn role(&self) -> FieldRole {
        FieldRole::Status
    }

    fn element_type(&self) -> ElementType {
        ElementType::Json
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let malformed = |Malformed| Violation::new(name, "is no orrery.type.v1.Status");
        let bytes = match slot {
            Slot::Bytes(bytes) => bytes,
            Slot::Unset => {
                tuple.put_i32(NULL);
                return Ok(());
            }
            Slot::Number(_) | Slot::Entries(_) | Slot::Member { .. } => return Err(malformed(Malformed)),
        };
        let (mut phase, mut details) = (&b""[..], Cow::Borrowed(&b""[..]));
        let mut reader = FieldReader::new(bytes);
        while let Some(piece) = reader.next().map_err(malformed)? {
            match piece {
                (1, Value::Bytes(bytes)) if reading.portion.reaches(b"phase") => phase = bytes,
                (2, Value::Bytes(bytes)) if details.is_empty() => details = Cow::Borrowed(bytes),
                (2, Value::Bytes(bytes)) => details.to_mut().extend_from_slice(bytes),
                _ => {}
            }
        }
        let phase = storable_text(phase, || format!("{name}.phase"))?;
        check_phase(name, phase)?;
        let path = || format!("{name}.details");
        if details.len() > MAX_DETAILS_BYTES {
            return Err(Violation::new(path(), "holds more than 262144 bytes"));
        }
        let mut entries = struct_entries(path, &details)?;
        reading.portion.keep_details(&mut entries);
        if let Some((key, _)) = entries.iter().find(|(key, _)| is_status_field(key)) {
            let why = "must not be set: a field of Status is no key of its details";
            return Err(Violation::new(format!("{}.{key}", path()), why));
        }
        if !phase.is_empty() {
            entries.push(("phase", ObjectValue::Text(phase)));
            sort_and_keep_last(&mut entries);
        }
        if entries.is_empty() {
            tuple.put_i32(NULL);
            return Ok(());
        }
        put_jsonb(tuple, |tuple| {
            let mut json = JsonText::new(tuple);
            put_object(&mut json, &entries).map_err(|error| refused(&path(), &details, &error))?;
            json.finish().map_err(|why| Violation::new(path(), why))
        })
    }

    /// A status with the default phase if it names none. Postgres sorts the keys and keeps the last of two equal ones.
    fn put_new(&self, value: Option<&[u8]>, _now: i64, row: &mut Vec<u8>) {
        let at = row.len();
        row.put_i32(0);
        row.push(JSONB_VERSION);
        row.extend_from_slice(b"{\"phase\": ");
        put_string(row, self.default_phase);
        match value.and_then(|value| value.get(2..)) {
            Some(rest) if rest.len() > 1 => {
                row.extend_from_slice(b", ");
                row.extend_from_slice(rest);
            }
            _ => row.push(b'}'),
        }
        end_value(row, at);
    }

    fn select_part(&self, column: &str, reach: &Reach) -> Option<String> {
        match reach {
            Reach::Details { phase: false } => {
                Some(format!("(case when jsonb_typeof({column}) = 'object' then {column} - 'phase' else '{{}}' end)"))
            }
            reach => selected_keys(column, reach),
        }
    }

    fn output(&self) -> PutField {
        put_status
    }

    fn reach(&self, inner: &str) -> Result<Reach, &'static str> {
        match inner {
            "phase" => return Ok(Reach::Keys(KeySet::one("phase"))),
            "details" => return Ok(Reach::Details { phase: false }),
            _ => {}
        }
        match inner.strip_prefix("details.").and_then(path_key) {
            Some(key) if key != "phase" => Ok(Reach::Keys(KeySet::one(key))),
            _ => Err("names no part of a status; there are phase, details and details.KEY"),
        }
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        let (sent, stored, object) = (format!("i.{name}"), format!("t.{name}"), stored_object(name));
        let default = format!("{}::jsonb", literal(&format!("{{\"phase\": {}}}", self.default_phase())));
        let kept_phase = indented(
            &format!(
                "(case when {stored} -> 'phase' is null then '{{}}'\n      \
                       else jsonb_set('{{}}', '{{phase}}', {stored} -> 'phase') end)"
            ),
            11,
        );
        let sent_as_stored = |condition, indent| indented(&as_stored(name, Entries::Values, condition), indent);
        let value = match change {
            Change::IfSet => format!(
                "(case when {sent} is null or {sent} = {stored} then {stored}\n      \
                       when {sent} - 'phase' = '{{}}'\n      \
                       then {object} || {sent}\n      \
                       else {kept_phase}\n        \
                         || {} end)",
                sent_as_stored(None, 11)
            ),
            Change::Whole => format!(
                "(case when {default} || {sent} = {stored} then {stored}\n      \
                       else {default}\n        \
                         || {} end)",
                sent_as_stored(None, 11)
            ),
            Change::Details { if_set: true } => format!(
                "(case when coalesce({sent} - 'phase', '{{}}') = '{{}}' then {stored}\n      \
                       else {kept_phase}\n        \
                         || {} end)",
                sent_as_stored(Some("n.key <> 'phase'"), 11)
            ),
            Change::Details { if_set: false } => {
                format!("(          {kept_phase}\n        || {})", sent_as_stored(Some("n.key <> 'phase'"), 11))
            }
            Change::Keys(keys, UnsetPhase::Kept) if *keys == KeySet::one("phase") => format!(
                "(case when {sent} -> 'phase' is null then {stored}\n      \
                       else {object}\n        \
                         || jsonb_build_object('phase', {sent} -> 'phase') end)"
            ),
            Change::Keys(keys, UnsetPhase::Default) if *keys == KeySet::one("phase") => {
                let phase = format!("coalesce({sent} -> 'phase', {})", literal(&self.default_phase()));
                format!("({object}\n || jsonb_build_object('phase', {phase}))")
            }
            Change::Keys(keys, unset_phase) => {
                let names = keys.names.iter().filter(|key| *key != "phase").cloned().collect();
                let rest = without(name, &KeySet { names, beginnings: Vec::new() });
                let is_phase_reset = keys.contain("phase") && unset_phase == UnsetPhase::Default;
                let default = if is_phase_reset { format!("\n || {default}") } else { String::new() };
                format!("({rest}{default}\n || {})", sent_as_stored(Some(&keys.condition("n.key")), 4))
            }
        };
        Assignment::new(name, value)
    }
}

/// A jsonb object as an `orrery.type.v1.Status`: `phase = 1`, every other key in `details = 2`.
fn put_status(out: &mut Vec<u8>, target: OutputField, jsonb: &[u8]) {
    let mut phase = None;
    let mut details = Vec::new();
    for (key, value) in entries(json_of(jsonb)) {
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
    put_header(out, target.number, length);
    if !phase.is_empty() {
        put_bytes(out, 1, &phase);
    }
    if !details.is_empty() {
        put_bytes(out, 2, &details);
    }
}
