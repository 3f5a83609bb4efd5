//! Requests by what they ask for, whichever resource they name.
//!
//! The requests of a verb mean the same by the same field names: `uid`, `read_mask`, `page_size` and so on. So each
//! converts into one type for its verb, and what handles that is written once. `build.rs` makes the conversions from
//! the fields' names (`proto/build/requests.rs`), and refuses a contract whose requests do not fit their verbs. Creates,
//! updates and chunked writes have forms of their own, in which rows stay bytes: see [`wire`](crate::wire).

use prost::Message;
use prost_types::FieldMask;

/// The key of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The names of its columns, in their order.
    pub columns: &'static [&'static str],
    /// The value of each.
    pub values: Vec<String>,
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
    pub uids: Vec<String>,
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
    fn new(message: Option<F>) -> Self {
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

/// A request of `CheckX`: which of some uids do not exist.
pub trait Check: Send + 'static {
    /// The answer's type.
    type Response: Message + 'static;

    /// The uids to look for.
    fn uids(self) -> Vec<String>;

    /// The answer: how many different uids were looked for, and those that do not exist.
    fn response(checked: i64, missing_uids: Vec<String>) -> Self::Response;
}

/// The conversions.
#[allow(clippy::pedantic, reason = "generated")]
mod conversions {
    include!(concat!(env!("OUT_DIR"), "/server/request_forms.rs"));
}

#[cfg(test)]
mod tests;
