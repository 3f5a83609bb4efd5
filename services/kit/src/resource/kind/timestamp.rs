//! `timestamptz`.

use bytes::BufMut as _;

use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, OutputField, PutField, Reading, Stated, StoredColumn,
    WireForm, limits,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::{Constraints, Time};
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};
use crate::resource::wire::{FieldReader, Malformed, Value, put_header, put_number, varint_length};
use crate::timestamp as time;

/// A timestamp that the caller sets and clears.
pub const fn timestamp() -> TimestampKind {
    TimestampKind { role: FieldRole::Stored, computed: false }
}

/// A timestamp that is now on a new row without one, and never changes.
pub const fn created_at() -> TimestampKind {
    TimestampKind { role: FieldRole::Created, computed: false }
}

/// A timestamp that the service sets whenever the row changes.
pub const fn updated_at() -> TimestampKind {
    TimestampKind { role: FieldRole::Updated, computed: false }
}

/// A timestamp that is now if it is unset.
pub const fn measured_at() -> TimestampKind {
    TimestampKind { role: FieldRole::Measured, computed: false }
}

/// A timestamp column.
#[derive(Clone, Copy, Debug)]
pub struct TimestampKind {
    role: FieldRole,
    computed: bool,
}

impl TimestampKind {
    /// The same, set by the service, whatever the caller sends.
    #[must_use]
    pub const fn computed(self) -> Self {
        Self { computed: true, ..self }
    }

    fn is_free(&self) -> bool {
        self.role == FieldRole::Stored
    }
}

impl ColumnKind for TimestampKind {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is_message(".google.protobuf.Timestamp")
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Message
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        if self.role == FieldRole::Updated || self.computed {
            // The value that was sent is ignored.
            return limits::none();
        }
        let earliest = Time { seconds: time::FIRST_SECOND, nanos: 0 };
        let latest = Time { seconds: time::LAST_SECOND, nanos: 999_999_999 };
        vec![Constraints { earliest: Some(earliest), latest: Some(latest), ..Constraints::default() }]
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("timestamp with time zone", self.is_free()))
    }

    fn role(&self) -> FieldRole {
        self.role
    }

    fn is_computed(&self) -> bool {
        self.computed
    }

    fn element_type(&self) -> ElementType {
        ElementType::Timestamp
    }

    fn put(&self, name: &str, slot: &Slot<'_>, _reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let refuse = |why: &str| Violation::new(name, why);
        let malformed = |Malformed| refuse("is no google.protobuf.Timestamp");
        let bytes = match slot {
            Slot::Bytes(bytes) => bytes,
            Slot::Unset => {
                tuple.put_i32(NULL);
                return Ok(());
            }
            Slot::Number(_) | Slot::Entries(_) | Slot::Member { .. } => return Err(malformed(Malformed)),
        };
        let (mut seconds, mut nanos) = (0, 0);
        let mut reader = FieldReader::new(bytes);
        while let Some(field) = reader.next().map_err(malformed)? {
            match field {
                (1, Value::Varint(value)) => seconds = value.cast_signed(),
                (2, Value::Varint(value)) => nanos = (value as u32).cast_signed(),
                _ => {}
            }
        }
        let microseconds = time::to_postgres(seconds, nanos).map_err(refuse)?;
        put_prefixed(tuple, &microseconds.to_be_bytes());
        Ok(())
    }

    fn put_new(&self, value: Option<&[u8]>, now: i64, row: &mut Vec<u8>) {
        match value {
            Some(value) => put_prefixed(row, value),
            None if self.is_free() => row.put_i32(NULL),
            None => put_prefixed(row, &now.to_be_bytes()),
        }
    }

    fn output(&self) -> PutField {
        put_timestamp
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            // An unset time becomes now. That alone is no change.
            _ if !self.is_free() => Assignment {
                value: format!("coalesce(i.{name}, now())"),
                differs: format!("i.{name} is not null and i.{name} is distinct from t.{name}"),
            },
            Change::IfSet => Assignment::if_set(name),
            _ => Assignment::new(name, format!("i.{name}")),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        Some(time::to_sql_literal(i64::from_be_bytes(value.try_into().ok()?)))
    }

    fn is_orderable(&self) -> bool {
        true
    }
}

fn put_timestamp(out: &mut Vec<u8>, target: OutputField, value: &[u8]) {
    let Ok(bytes) = value.try_into() else { return };
    let (seconds, nanos) = time::from_postgres(i64::from_be_bytes(bytes));
    let seconds = seconds as u64;
    let nanos = u64::from(nanos.unsigned_abs());
    let length = (if seconds == 0 { 0 } else { 1 + varint_length(seconds) })
        + (if nanos == 0 { 0 } else { 1 + varint_length(nanos) });
    put_header(out, target.number, length);
    if seconds != 0 {
        put_number(out, 1, seconds);
    }
    if nanos != 0 {
        put_number(out, 2, nanos);
    }
}
