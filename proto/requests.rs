//! Requests by what they ask for, whichever resource they name.
//!
//! The requests of a verb mean the same by the same field names: `uid`, `read_mask`, `page_size` and so on. So each
//! converts into one type for its verb, and what handles that is written once. `build.rs` makes the conversions from
//! the fields' names (`proto/build/requests.rs`), and refuses a contract whose requests do not fit their verbs.
//! Creates, updates and chunked writes have forms of their own, in which rows stay bytes: see [`wire`](crate::wire).

use prost::Message;
use prost_types::FieldMask;

/// The key of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The names of its columns, in their order.
    pub columns: &'static [&'static str],
    /// The value of each.
    pub values: Vec<KeyValue>,
}

/// The value of one column of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyValue {
    /// Of a text column.
    Text(String),
    /// Of an integer column.
    Integer(i64),
}

impl Default for KeyValue {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<String> for KeyValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for KeyValue {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for KeyValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// The text; empty for an integer, which a key of the contract's type never holds there.
impl From<KeyValue> for String {
    fn from(value: KeyValue) -> Self {
        match value {
            KeyValue::Text(text) => text,
            KeyValue::Integer(_) => Self::new(),
        }
    }
}

/// The integer; 0 for a text, as above.
impl From<KeyValue> for i64 {
    fn from(value: KeyValue) -> Self {
        match value {
            KeyValue::Text(_) => 0,
            KeyValue::Integer(number) => number,
        }
    }
}

/// The integer; 0 for a text or a larger one, as above.
impl From<KeyValue> for i32 {
    fn from(value: KeyValue) -> Self {
        i64::from(value).try_into().unwrap_or_default()
    }
}

/// The keys of several rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The field of the request that holds them: `uids` or `keys`.
    pub field: &'static str,
    /// The names of the key's columns, in their order.
    pub columns: &'static [&'static str],
    /// The values of each row's key.
    pub rows: Vec<Vec<KeyValue>>,
}

impl Keys {
    /// Keys that are one text each.
    pub fn of_uids(uids: Vec<String>) -> Self {
        let rows = uids.into_iter().map(|uid| vec![KeyValue::Text(uid)]).collect();
        Self { field: "uids", columns: &["uid"], rows }
    }

    /// Whether each key is a text, and not a message of several columns.
    pub fn are_uids(&self) -> bool {
        self.field == "uids"
    }
}

/// A key as the message of its columns: field 1 is the first one.
pub fn key_message(key: &[KeyValue]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, value) in (1..).zip(key) {
        match value {
            KeyValue::Text(text) if !text.is_empty() => prost::encoding::string::encode(number, text, &mut message),
            KeyValue::Integer(value) if *value != 0 => prost::encoding::int64::encode(number, value, &mut message),
            KeyValue::Text(_) | KeyValue::Integer(_) => {}
        }
    }
    message
}

/// `GetX`.
#[derive(Clone, Debug, PartialEq)]
pub struct Get {
    /// Which row.
    pub key: Key,
    /// What of it; all that the view says if unset.
    pub read_mask: Option<FieldMask>,
    /// How much of it where there is no mask: 0 for the method's default, 1 for BASIC, 2 for FULL.
    pub view: i32,
}

/// `BatchGetX`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchGet {
    /// Which rows.
    pub keys: Keys,
    /// As of [`Get`].
    pub read_mask: Option<FieldMask>,
    /// As of [`Get`].
    pub view: i32,
}

/// `DeleteX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which row.
    pub key: Key,
    /// The etag that it must have; empty for any.
    pub etag: String,
    /// The revision that it must have; 0 for any.
    pub revision: i32,
    /// Whether a missing row is no error.
    pub allow_missing: bool,
}

/// Which rows a request for pages asks for: its field `filter`, or, where it has none, the request itself without the
/// fields that all such requests have.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter<F> {
    /// The conditions; `None` for all rows.
    pub message: Option<F>,
    /// The conditions, encoded: tokens are bound to them. They are encoded anew, not taken as they came, so that a
    /// token stays good for a client that writes the same fields in another order, or fields that are unknown here.
    pub encoded: Vec<u8>,
}

impl<F: Message> Filter<F> {
    /// The conditions of a message.
    pub fn new(message: Option<F>) -> Self {
        let encoded = message.as_ref().map(F::encode_to_vec).unwrap_or_default();
        Self { message, encoded }
    }
}

/// `ListX` and `LookupX`: one page.
#[derive(Clone, Debug, PartialEq)]
pub struct List<F> {
    /// The method's name, which tokens are bound to.
    pub method: &'static str,
    /// Which rows.
    pub filter: Filter<F>,
    /// In which order; empty for the resource's own.
    pub order_by: String,
    /// Most rows; 0 for the default.
    pub page_size: i32,
    /// The token to go on from; empty for the beginning.
    pub page_token: String,
    /// As of [`Get`].
    pub read_mask: Option<FieldMask>,
    /// As of [`Get`].
    pub view: i32,
}

/// `StreamX`: pages until there are no more rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream<F> {
    /// The method's name, which tokens are bound to.
    pub method: &'static str,
    /// Which rows.
    pub filter: Filter<F>,
    /// In which order; empty for the resource's own.
    pub order_by: String,
    /// Most rows in a message; 0 for as many as fit.
    pub page_size: i32,
    /// The token to go on from; empty for the beginning.
    pub resume_token: String,
    /// As of [`Get`].
    pub read_mask: Option<FieldMask>,
    /// As of [`Get`].
    pub view: i32,
}

/// A request of `CheckX`: which of some rows do not exist.
pub trait Check: Send + 'static {
    /// The answer's type.
    type Response: Message + 'static;

    /// The keys to look for.
    fn keys(self) -> Keys;

    /// The answer: how many different keys were looked for, and those that no row has.
    fn response(checked: i64, missing: Vec<Vec<KeyValue>>) -> Self::Response;
}

/// The conversions.
#[allow(clippy::pedantic, reason = "generated")]
mod conversions {
    include!(concat!(env!("OUT_DIR"), "/server/request_forms.rs"));
}

#[cfg(test)]
mod tests;
