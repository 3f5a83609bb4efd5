//! The types that rules read and set columns as.

use bytes::BufMut as _;

use crate::db::array::ElementType;
use crate::resource::Field;
use crate::resource::document::{self, JsonValue, entries};
use crate::resource::kind::{WireForm, is_text_map};

/// A type that a rule reads a column as.
pub trait ColumnType {
    /// What a value is in Rust.
    type Value<'a>;

    /// The same without a borrow.
    type Owned;

    /// Whether a column of this field is read as this type.
    fn fits(field: &Field) -> bool;

    /// The value from its bytes in Postgres's binary format; `None` if they are invalid.
    fn read(bytes: &[u8]) -> Option<Self::Value<'_>>;

    /// A value without its borrow.
    fn owned(value: Self::Value<'_>) -> Self::Owned;
}

/// A type that a rule sets columns as.
pub trait WritableType: ColumnType {
    /// Appends a value in Postgres's binary format.
    fn write(value: Self::Value<'_>, out: &mut Vec<u8>);
}

/// A `text` column, as `&str`.
#[derive(Clone, Copy, Debug)]
pub enum Text {}

/// An `integer` column, as `i32`.
#[derive(Clone, Copy, Debug)]
pub enum Integer {}

/// A `bigint` column, as `i64`.
#[derive(Clone, Copy, Debug)]
pub enum BigInteger {}

/// A `numeric` column, as the text of the exact decimal. A stored one may be `NaN` or infinite.
#[derive(Clone, Copy, Debug)]
pub enum DecimalText {}

/// A `timestamptz` column, as microseconds since 2000-01-01 UTC.
#[derive(Clone, Copy, Debug)]
pub enum Timestamp {}

/// A list of texts in a `jsonb` column. If a stored element is no string, its JSON text.
#[derive(Clone, Copy, Debug)]
pub enum Texts {}

/// A map of texts in a `jsonb` column, as its entries. A stored value that is no string is its JSON text.
#[derive(Clone, Copy, Debug)]
pub enum TextEntries {}

/// The phase in a status column. If a stored phase is no string, its JSON text.
#[derive(Clone, Copy, Debug)]
pub enum Phase {}

impl ColumnType for Text {
    type Value<'a> = &'a str;
    type Owned = String;

    fn fits(field: &Field) -> bool {
        field.stored_type() == ElementType::Text
    }

    fn read(bytes: &[u8]) -> Option<&str> {
        std::str::from_utf8(bytes).ok()
    }

    fn owned(value: &str) -> String {
        value.to_owned()
    }
}

impl WritableType for Text {
    fn write(value: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(value.as_bytes());
    }
}

impl ColumnType for Integer {
    type Value<'a> = i32;
    type Owned = i32;

    fn fits(field: &Field) -> bool {
        field.element_type() == ElementType::Integer
    }

    fn read(bytes: &[u8]) -> Option<i32> {
        bytes.try_into().ok().map(i32::from_be_bytes)
    }

    fn owned(value: i32) -> i32 {
        value
    }
}

impl WritableType for Integer {
    fn write(value: i32, out: &mut Vec<u8>) {
        out.put_i32(value);
    }
}

impl ColumnType for BigInteger {
    type Value<'a> = i64;
    type Owned = i64;

    fn fits(field: &Field) -> bool {
        field.element_type() == ElementType::BigInteger
    }

    fn read(bytes: &[u8]) -> Option<i64> {
        bytes.try_into().ok().map(i64::from_be_bytes)
    }

    fn owned(value: i64) -> i64 {
        value
    }
}

impl WritableType for BigInteger {
    fn write(value: i64, out: &mut Vec<u8>) {
        out.put_i64(value);
    }
}

impl ColumnType for DecimalText {
    type Value<'a> = &'a str;
    type Owned = String;

    fn fits(field: &Field) -> bool {
        field.stored_type() == ElementType::Numeric
    }

    fn read(bytes: &[u8]) -> Option<&str> {
        std::str::from_utf8(bytes).ok()
    }

    fn owned(value: &str) -> String {
        value.to_owned()
    }
}

impl WritableType for DecimalText {
    fn write(value: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(value.as_bytes());
    }
}

impl ColumnType for Timestamp {
    type Value<'a> = i64;
    type Owned = i64;

    fn fits(field: &Field) -> bool {
        field.element_type() == ElementType::Timestamp
    }

    fn read(bytes: &[u8]) -> Option<i64> {
        bytes.try_into().ok().map(i64::from_be_bytes)
    }

    fn owned(value: i64) -> i64 {
        value
    }
}

impl WritableType for Timestamp {
    fn write(value: i64, out: &mut Vec<u8>) {
        out.put_i64(value);
    }
}

impl ColumnType for Texts {
    type Value<'a> = Vec<String>;
    type Owned = Vec<String>;

    fn fits(field: &Field) -> bool {
        let is_list = field.wire_form == WireForm::List && field.element_type() == ElementType::Json;
        is_list && !is_text_map(field.kind)
    }

    fn read(bytes: &[u8]) -> Option<Vec<String>> {
        Some(document::texts(bytes.get(1..)?))
    }

    fn owned(value: Vec<String>) -> Vec<String> {
        value
    }
}

impl WritableType for Texts {
    fn write(value: Vec<String>, out: &mut Vec<u8>) {
        document::put_jsonb_texts(out, &value);
    }
}

impl ColumnType for TextEntries {
    type Value<'a> = Vec<(String, String)>;
    type Owned = Vec<(String, String)>;

    fn fits(field: &Field) -> bool {
        is_text_map(field.kind)
    }

    fn read(bytes: &[u8]) -> Option<Vec<(String, String)>> {
        let (_version, json) = bytes.split_first()?;
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let value = |value| match value {
            JsonValue::String(value) => text(&value.text()),
            JsonValue::Other(raw) => text(raw),
        };
        json.starts_with(b"{").then(|| entries(json).map(|(key, own)| (text(&key.text()), value(own))).collect())
    }

    fn owned(value: Vec<(String, String)>) -> Vec<(String, String)> {
        value
    }
}

impl ColumnType for Phase {
    type Value<'a> = String;
    type Owned = String;

    fn fits(field: &Field) -> bool {
        field.is_status()
    }

    fn read(bytes: &[u8]) -> Option<String> {
        document::phase(bytes)
    }

    fn owned(value: String) -> String {
        value
    }
}
