//! Parameters in Postgres's binary format, written directly from column values. A statement over many rows binds one
//! array per column, a statement over one row binds its values. No value becomes a Rust object on the way.

use bytes::BufMut as _;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

/// The element types of parameters, by their fixed object ids (`pg_type.dat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// `text`
    Text,
    /// `integer`
    Integer,
    /// `bigint`
    BigInteger,
    /// `timestamptz`
    Timestamp,
    /// `jsonb`
    Json,
    /// `numeric`
    Numeric,
    /// `boolean`
    Boolean,
    /// `double precision`
    Double,
}

impl ElementType {
    fn element_oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Integer => 23,
            Self::BigInteger => 20,
            Self::Timestamp => 1184,
            Self::Json => 3802,
            Self::Numeric => 1700,
            Self::Boolean => 16,
            Self::Double => 701,
        }
    }

    fn array_oid(self) -> u32 {
        match self {
            Self::Text => 1009,
            Self::Integer => 1007,
            Self::BigInteger => 1016,
            Self::Timestamp => 1185,
            Self::Json => 3807,
            Self::Numeric => 1231,
            Self::Boolean => 1000,
            Self::Double => 1022,
        }
    }

    /// The SQL name of the type.
    pub fn name(self) -> &'static str {
        let array = self.array_name();
        array.strip_suffix("[]").unwrap_or(array)
    }

    /// The SQL name of the array type.
    pub fn array_name(self) -> &'static str {
        match self {
            Self::Text => "text[]",
            Self::Integer => "integer[]",
            Self::BigInteger => "bigint[]",
            Self::Timestamp => "timestamptz[]",
            Self::Json => "jsonb[]",
            Self::Numeric => "numeric[]",
            Self::Boolean => "boolean[]",
            Self::Double => "double precision[]",
        }
    }
}

/// One value of a row as a parameter.
#[derive(Clone, Debug)]
pub struct ValueParameter {
    element: ElementType,
    /// `None` for null.
    value: Option<Vec<u8>>,
}

impl ValueParameter {
    /// A value in its binary form; `None` is null.
    pub fn new(element: ElementType, value: Option<&[u8]>) -> Self {
        Self { element, value: value.map(<[u8]>::to_vec) }
    }
}

impl Type<Postgres> for ValueParameter {
    fn type_info() -> PgTypeInfo {
        // Each value gives its own type in `produces`.
        PgTypeInfo::with_oid(Oid(ElementType::Text.element_oid()))
    }
}

impl Encode<'_, Postgres> for ValueParameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(value) = &self.value else { return Ok(IsNull::Yes) };
        buffer.extend_from_slice(value);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.element.element_oid())))
    }
}

/// Dimensions, flag, element type, length, lower bound: 4 bytes each.
const HEADER: usize = 20;

/// A one-dimensional array parameter.
#[derive(Debug)]
pub struct ArrayParameter {
    element: ElementType,
    bytes: Vec<u8>,
    count: i32,
    has_null: bool,
}

impl ArrayParameter {
    /// An empty array with room for `capacity` bytes of elements.
    pub fn with_capacity(element: ElementType, capacity: usize) -> Self {
        Self { element, bytes: Vec::with_capacity(capacity), count: 0, has_null: false }
    }

    /// Appends one element: a 4-byte length and its binary form; the length is -1 for null.
    pub fn push_prefixed(&mut self, prefixed: &[u8]) {
        self.has_null |= prefixed.len() == 4 && prefixed == (-1_i32).to_be_bytes();
        self.bytes.extend_from_slice(prefixed);
        self.count += 1;
    }

    /// Appends one element in its binary form.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.put_i32(value.len() as i32);
        self.bytes.extend_from_slice(value);
        self.count += 1;
    }

    /// Appends the first columns of a tuple to the arrays, one column to each.
    pub fn push_columns(arrays: &mut [Self], tuple: &[u8]) {
        let mut rest = tuple;
        for array in arrays {
            let length = rest.first_chunk::<4>().map_or(-1, |length| i32::from_be_bytes(*length));
            let end = 4 + usize::try_from(length).unwrap_or(0);
            let (value, behind) = rest.split_at_checked(end).unwrap_or((&[0xff; 4], &[]));
            array.push_prefixed(value);
            rest = behind;
        }
    }

    /// A `text[]`.
    pub fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let mut array = Self::with_capacity(ElementType::Text, 0);
        for text in texts {
            array.push(text.as_ref().as_bytes());
        }
        array
    }
}

impl Type<Postgres> for ArrayParameter {
    fn type_info() -> PgTypeInfo {
        // Each value gives its own type in `produces`.
        PgTypeInfo::with_oid(Oid(ElementType::Text.array_oid()))
    }
}

impl Encode<'_, Postgres> for ArrayParameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        // array_recv: dimensions, has-null flag, element type; then each dimension's length and lower bound.
        let mut header = [0_u8; HEADER];
        let mut at = &mut header[..];
        at.put_i32(1);
        at.put_i32(i32::from(self.has_null));
        at.put_u32(self.element.element_oid());
        at.put_i32(self.count);
        at.put_i32(1);
        buffer.extend_from_slice(&header);
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.element.array_oid())))
    }
}
