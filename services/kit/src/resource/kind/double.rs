//! `double precision`.

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, OutputField, PutField, Reading, Stated, StoredColumn, WireForm,
    bits_of, limits,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};
use crate::resource::wire::put_fixed64;

/// A finite double; unset is 0. Values of other programs, including NaN and infinities, are returned as they are
/// stored.
pub const fn double() -> DoubleKind {
    DoubleKind
}

/// A double column.
#[derive(Clone, Copy, Debug)]
pub struct DoubleKind;

impl ColumnKind for DoubleKind {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::Double)
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Fixed64
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        limits::none()
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new("double precision", false))
    }

    fn element_type(&self) -> ElementType {
        ElementType::Double
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let number = f64::from_bits(bits_of(slot));
        if !number.is_finite() {
            return Err(Violation::new(name, "must be a finite number"));
        }
        if number != 0.0 {
            put_prefixed(tuple, &number.to_be_bytes());
        } else if reading.unset_is_null {
            tuple.put_i32(NULL);
        } else {
            // The negative zero too: Postgres takes both for equal.
            put_prefixed(tuple, &0.0_f64.to_be_bytes());
        }
        Ok(())
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        Some(&[0; 8])
    }

    fn output(&self) -> PutField {
        put_double
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => Assignment::if_set(name),
            _ => Assignment::or(name, "0"),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        let number = f64::from_be_bytes(value.try_into().ok()?);
        let text = match number {
            _ if number.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            // The fewest digits that give the same double.
            _ => format!("{number:e}"),
        };
        Some(format!("'{text}'::double precision"))
    }

    fn is_orderable(&self) -> bool {
        true
    }
}

fn put_double(out: &mut Vec<u8>, target: OutputField, value: &[u8]) {
    let Ok(bytes) = value.try_into() else { return };
    let number = f64::from_be_bytes(bytes);
    if number.to_bits() != 0 {
        put_fixed64(out, target.number, number.to_bits());
    }
}
