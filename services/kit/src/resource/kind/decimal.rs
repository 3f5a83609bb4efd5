//! Exact decimals: `numeric` in the database, a text in the contract. They travel as text, with the digits that were
//! sent.

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::Type;

use super::{
    Assignment, Change, ColumnKind, ContractField, PutField, Reading, Stated, StoredColumn, limits, put_text, text_of,
};
use crate::db::array::ElementType;
use crate::decimal::Decimal;
use crate::error::Violation;
use crate::resource::constraints::Constraints;
use crate::resource::slot::Slot;
use crate::resource::tuple::{NULL, end_value, put_prefixed};

/// A decimal with at most these many digits before and after the point. It is required, unless another meaning of an
/// empty one is declared.
pub const fn decimal(integer_digits: usize, fraction_digits: usize) -> Decimals {
    Decimals { integer_digits, fraction_digits, empty: EmptyDecimal::Refused, computed: false }
}

/// A column of exact decimals.
#[derive(Clone, Copy, Debug)]
pub struct Decimals {
    integer_digits: usize,
    fraction_digits: usize,
    empty: EmptyDecimal,
    computed: bool,
}

/// The meaning of an empty decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EmptyDecimal {
    /// Refused.
    Refused,
    /// Zero.
    Zero,
    /// The stored value; zero on a new row.
    Kept,
    /// Null.
    Null,
}

impl Decimals {
    /// The same, but an empty one is zero.
    #[must_use]
    pub const fn or_zero(self) -> Self {
        Self { empty: EmptyDecimal::Zero, ..self }
    }

    /// The same, but an empty one keeps the stored value, and is zero on a new row.
    #[must_use]
    pub const fn or_kept(self) -> Self {
        Self { empty: EmptyDecimal::Kept, ..self }
    }

    /// The same, but an empty one is null.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { empty: EmptyDecimal::Null, ..self }
    }

    /// The same, computed by the service.
    #[must_use]
    pub const fn computed(self) -> Self {
        Self { empty: EmptyDecimal::Kept, computed: true, ..self }
    }
}

impl ColumnKind for Decimals {
    fn fits(&self, field: &ContractField<'_>) -> bool {
        field.is(Type::String)
    }

    fn limits(&self, _: Stated<'_>) -> Vec<Constraints> {
        if self.computed {
            // The value that was sent is ignored.
            return limits::none();
        }
        let fraction = match self.fraction_digits {
            0 => String::new(),
            digits => format!("([.][0-9]{{1,{digits}}})?"),
        };
        let expression = format!("-?[0-9]{{1,{}}}{fraction}", self.integer_digits);
        let limits = limits::pattern(&expression, self.empty != EmptyDecimal::Refused);
        if self.empty == EmptyDecimal::Refused { limits::or_required(limits) } else { limits }
    }

    fn column(&self) -> Option<StoredColumn> {
        let digits = (!self.computed).then_some((self.integer_digits, self.fraction_digits));
        Some(StoredColumn { sql_type: "numeric", nullable: self.empty == EmptyDecimal::Null, digits })
    }

    fn is_computed(&self) -> bool {
        self.computed
    }

    fn element_type(&self) -> ElementType {
        ElementType::Text
    }

    fn stored_type(&self) -> ElementType {
        ElementType::Numeric
    }

    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let mut text = text_of(slot, name)?;
        if text.is_empty() {
            match self.empty {
                EmptyDecimal::Refused => return Err(Violation::new(name, "is required")),
                EmptyDecimal::Zero if !reading.unset_is_null => text = "0",
                EmptyDecimal::Zero | EmptyDecimal::Kept | EmptyDecimal::Null => {
                    tuple.put_i32(NULL);
                    return Ok(());
                }
            }
        }
        Decimal::check(text, self.integer_digits, self.fraction_digits)
            .map_err(|error| Violation::new(name, error.to_string()))?;
        put_prefixed(tuple, Decimal::canonical(text).as_bytes());
        Ok(())
    }

    fn put_new(&self, value: Option<&[u8]>, _now: i64, row: &mut Vec<u8>) {
        if value.is_none() && self.empty == EmptyDecimal::Null {
            row.put_i32(NULL);
            return;
        }
        let text = std::str::from_utf8(value.unwrap_or(b"0")).unwrap_or_default();
        let at = row.len();
        row.put_i32(0);
        Decimal::put_numeric(text, row);
        end_value(row, at);
    }

    fn put_selected(&self, value: Option<&[u8]>, _now: i64, tuple: &mut Vec<u8>) {
        match value {
            None if self.empty == EmptyDecimal::Null => tuple.put_i32(NULL),
            value => put_prefixed(tuple, value.unwrap_or(b"0")),
        }
    }

    fn select(&self, column: &str) -> String {
        format!("{column}::text")
    }

    fn output(&self) -> PutField {
        put_text
    }

    /// The digits count, not the number: 1.50 is not 1.5.
    fn assign(&self, name: &str, change: Change<'_>) -> Assignment {
        match change {
            Change::IfSet => assign_if_set(name),
            _ if self.empty == EmptyDecimal::Null => Assignment {
                value: format!("i.{name}::numeric"),
                differs: format!("i.{name} is distinct from t.{name}::text"),
            },
            _ if self.empty == EmptyDecimal::Zero => Assignment {
                value: format!("coalesce(i.{name}, '0')::numeric"),
                differs: format!("coalesce(i.{name}, '0') is distinct from t.{name}::text"),
            },
            _ => assign_if_set(name),
        }
    }

    fn literal(&self, value: &[u8]) -> Option<String> {
        Decimal::read_numeric(value).map(|text| format!("'{text}'::numeric"))
    }

    fn is_orderable(&self) -> bool {
        true
    }
}

/// The number that was sent; the stored one where none was.
fn assign_if_set(name: &str) -> Assignment {
    Assignment {
        value: format!("coalesce(i.{name}::numeric, t.{name})"),
        differs: format!("i.{name} is not null and i.{name} is distinct from t.{name}::text"),
    }
}
