//! `integer` and `bigint`.

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, FieldRole, PutField, Reading, Stated, StoredColumn, WireForm,
    bits_of, int32_of, limits, put_integer,
};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, put_prefixed};

/// An `integer` within these bounds; unset is 0.
pub const fn integer(min: i32, max: i32) -> IntegerKind {
    IntegerKind { min: min as i64, max: max as i64, big: false, zero: Zero::Stored, computed: false }
}

/// A `bigint` within these bounds; unset is 0.
pub const fn big_integer(min: i64, max: i64) -> IntegerKind {
    IntegerKind { min, max, big: true, zero: Zero::Stored, computed: false }
}

/// An integer column.
#[derive(Clone, Copy, Debug)]
pub struct IntegerKind {
    min: i64,
    max: i64,
    big: bool,
    zero: Zero,
    computed: bool,
}

/// The meaning of 0, which is also the unset value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zero {
    /// The number.
    Stored,
    /// Null.
    Null,
    /// A number that the service sets.
    Completed,
}

impl IntegerKind {
    /// The same, but 0 is null.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { zero: Zero::Null, ..self }
    }

    /// The same, but the service replaces 0 before it writes the row.
    #[must_use]
    pub const fn completed(self) -> Self {
        Self { zero: Zero::Completed, ..self }
    }

    /// The same, computed by the service.
    #[must_use]
    pub const fn computed(self) -> Self {
        Self { computed: true, ..self }
    }

    fn can_be_zero(&self) -> bool {
        self.min <= 0 && self.max >= 0
    }
}

impl ColumnKind for IntegerKind {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(if self.big { Type::Int64 } else { Type::Int32 })
    }

    fn wire_form(&self) -> WireForm {
        WireForm::Varint
    }

    fn limits(&self, stated: Stated<'_>) -> Vec<Constraints> {
        if self.computed {
            // The value that was sent is ignored.
            return limits::none();
        }
        let (least, greatest) = if self.big { (i64::MIN, i64::MAX) } else { (i32::MIN.into(), i32::MAX.into()) };
        // 0 is also the unset value.
        let zero = (self.zero != Zero::Stored).then_some(0);
        let min = zero.map_or(self.min, |zero| self.min.min(zero));
        let max = zero.map_or(self.max, |zero| self.max.max(zero));
        let mut limits = vec![Constraints {
            min: (min != least).then_some(min),
            max: (max != greatest).then_some(max),
            ..Constraints::default()
        }];
        if stated.key {
            // A stored row may have any number.
            limits.push(Constraints::default());
        }
        if self.zero == Zero::Stored && !self.can_be_zero() { limits::or_required(limits) } else { limits }
    }

    fn column(&self) -> Option<StoredColumn> {
        Some(StoredColumn::new(if self.big { "bigint" } else { "integer" }, self.zero == Zero::Null))
    }

    fn role(&self) -> FieldRole {
        if self.zero == Zero::Completed { FieldRole::CompletedInteger } else { FieldRole::Stored }
    }

    fn is_computed(&self) -> bool {
        self.computed
    }

    fn element_type(&self) -> ElementType {
        if self.big { ElementType::BigInteger } else { ElementType::Integer }
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let value = if self.big { bits_of(slot).cast_signed() } else { int32_of(slot).into() };
        let may_be_null = if self.can_be_zero() { reading.unset_is_null } else { reading.keeps_unset };
        if value == 0 && (self.zero != Zero::Stored || may_be_null) {
            tuple.put_i32(NULL);
            return Ok(());
        }
        if value < self.min || value > self.max {
            return Err(Violation::new(name, format!("must be {} to {}", self.min, self.max)));
        }
        if self.big {
            put_prefixed(tuple, &value.to_be_bytes());
        } else {
            put_prefixed(tuple, &(value as i32).to_be_bytes());
        }
        Ok(())
    }

    fn put_stored_key(&self, _name: &str, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        if self.big {
            put_prefixed(tuple, &bits_of(slot).to_be_bytes());
        } else {
            put_prefixed(tuple, &int32_of(slot).to_be_bytes());
        }
        Ok(())
    }

    fn check_new_key(&self, key: &str) -> Result<(), String> {
        match key.parse::<i64>() {
            Ok(value) if (self.min..=self.max).contains(&value) => Ok(()),
            _ => Err(format!("must be {} to {}", self.min, self.max)),
        }
    }

    fn default_value(&self) -> Option<&'static [u8]> {
        let zero: &[u8] = if self.big { &[0; 8] } else { &[0; 4] };
        // If 0 is not allowed, an unset number is missing: the column refuses null.
        (self.zero == Zero::Stored && self.can_be_zero()).then_some(zero)
    }

    fn output(&self) -> PutField {
        put_integer
    }

    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => Assignment::if_set(name),
            _ if self.zero == Zero::Completed => Assignment::if_set(name),
            _ if self.zero == Zero::Stored && self.can_be_zero() => Assignment::or(name, "0"),
            _ => Assignment::new(name, format!("i.{name}")),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        if self.big {
            Some(i64::from_be_bytes(value.try_into().ok()?).to_string())
        } else {
            Some(i32::from_be_bytes(value.try_into().ok()?).to_string())
        }
    }

    fn is_orderable(&self) -> bool {
        true
    }
}
