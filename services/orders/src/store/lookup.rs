//! What a support person types, as conditions on orders. Every meaning is a select of its own over an index of its own.

use orrery_kit::db::sql::literal;
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_proto::orders::v1::lookup_orders_request::{Annotation, By};
use serde_json::Value;

use super::line_item::MAX_SKU_BYTES;
use super::order::MAX_CUSTOMER_ID_BYTES;
use super::uids::ORDER_UID;

/// Most bytes of what is typed, and of an annotation's key and value.
const MAX_TEXT_BYTES: usize = 1_024;

/// The orders that are meant.
///
/// # Errors
/// [`Error::Invalid`] for what is empty, too long, or cannot begin a uid.
pub fn filter(by: Option<&By>) -> Result<Filter, Error> {
    let by = by.ok_or_else(|| Error::invalid("by", "is required: text, customer_id, sku, annotation or uid_prefix"))?;
    let selects = match by {
        By::Text(text) => {
            check("text", text, MAX_TEXT_BYTES)?;
            of_any_meaning(text)
        }
        By::CustomerId(id) => {
            check("customer_id", id, MAX_CUSTOMER_ID_BYTES)?;
            vec![of_customer(id)]
        }
        By::Sku(sku) => {
            check("sku", sku, MAX_SKU_BYTES)?;
            vec![with_sku(sku)]
        }
        By::Annotation(Annotation { key, value }) => {
            check("annotation.key", key, MAX_TEXT_BYTES)?;
            check("annotation.value", value, MAX_TEXT_BYTES)?;
            vec![annotated(key, value)]
        }
        By::UidPrefix(prefix) => {
            ORDER_UID.check(prefix).map_err(|why| Error::invalid("uid_prefix", why))?;
            vec![beginning_with(prefix)]
        }
    };
    Ok(Filter::default().among("uid", &selects))
}

fn check(field: &str, text: &str, max_bytes: usize) -> Result<(), Error> {
    if text.is_empty() || text.len() > max_bytes || text.contains('\0') {
        return Err(Error::invalid(field, format!("must be 1 to {max_bytes} bytes, without NUL")));
    }
    Ok(())
}

/// A text means what it says, and also what it says without the white space that comes along when it is pasted.
fn of_any_meaning(text: &str) -> Vec<String> {
    let trimmed = text.trim();
    let mut texts = vec![text];
    if trimmed != text && !trimmed.is_empty() {
        texts.push(trimmed);
    }
    let mut selects = Vec::new();
    for text in texts {
        selects.extend([of_customer(text), with_sku(text)]);
        if ORDER_UID.check(text).is_ok() {
            selects.push(beginning_with(text));
        }
        if let Some((key, value)) = text.split_once('=')
            && !key.is_empty()
        {
            selects.push(annotated(key, value));
        }
    }
    selects
}

fn of_customer(id: &str) -> String {
    format!("select h.uid from orders.order_header as h where h.customer_id = {}", literal(id))
}

fn with_sku(sku: &str) -> String {
    format!("select l.order_uid from orders.order_line_item as l where l.sku = {}", literal(sku))
}

/// Uids that begin so: a range up to the prefix with the next character in place of its last, which the key's index serves: uids compare
/// bytewise. The prefix is ASCII, and its last character has a next one.
fn beginning_with(prefix: &str) -> String {
    let from = literal(prefix);
    let mut next = prefix.to_owned();
    let last = next.pop().and_then(|last| char::from_u32(u32::from(last) + 1));
    next.extend(last);
    let to = literal(&next);
    format!("select h.uid from orders.order_header as h where h.uid >= {from} and h.uid < {to}")
}

/// Orders with an annotation. Other programs may have stored what is no string, and it reads as its JSON text: `5` is found
/// whether it was stored as a text or as a number. The index brings candidates; what each reads as decides.
fn annotated(key: &str, value: &str) -> String {
    let contains = |value: Value| {
        let object = Value::Object([(key.to_owned(), value)].into_iter().collect());
        format!("h.annotations @> {}::jsonb", literal(&object.to_string()))
    };
    let mut candidates = contains(Value::String(value.to_owned()));
    if let Some(other) = stored_otherwise(value) {
        candidates = format!("({candidates} or {})", contains(other));
    }
    let key = literal(key);
    format!(
        "select h.uid from orders.order_header as h where {candidates} \
         and coalesce(h.annotations ->> {key}, 'null') = {}",
        literal(value)
    )
}

/// The value, other than a string, that reads as this text. Postgres prints numbers without an exponent and has no texts with NUL, so that
/// a value with either cannot be stored; nor would Postgres take it for a document.
fn stored_otherwise(text: &str) -> Option<Value> {
    fn printable(value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) => true,
            Value::Number(number) => !number.to_string().contains(['e', 'E']),
            Value::String(text) => !text.contains('\0'),
            Value::Array(items) => items.iter().all(printable),
            Value::Object(entries) => entries.iter().all(|(key, value)| !key.contains('\0') && printable(value)),
        }
    }
    let value: Value = serde_json::from_str(text).ok()?;
    (!value.is_string() && printable(&value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_postgres_can_hold_is_looked_for_as_a_value() {
        for text in ["5", "-0.50", "true", "null", "[1, \"a\"]", "{\"a\": {}}"] {
            assert!(stored_otherwise(text).is_some(), "{text}");
        }
        for text in ["", "abc", "\"5\"", "007", "1e400000", "[1E3]", "[\"\\u0000\"]", "{\"\\u0000\": 1}", "NaN", "5 6"]
        {
            assert!(stored_otherwise(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_text_is_looked_for_in_every_meaning_it_may_have() {
        let meanings = |text: &str| of_any_meaning(text).len();
        assert_eq!(meanings("17850"), 2);
        assert_eq!(meanings("ord_53"), 3);
        assert_eq!(meanings("source/country=France"), 3);
        assert_eq!(meanings("=France"), 2);
        assert_eq!(meanings(" 17850\n"), 4);
    }
}
