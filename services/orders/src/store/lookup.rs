//! Translates what support staff type or paste to conditions on orders. Each possible meaning is a select of its own
//! that uses an index of its own.

use orrery_kit::db::sql::{literal, literal_array};
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_proto::orders::v1::LookupOrdersRequest;
use orrery_proto::orders::v1::lookup_orders_request::{Annotation, Criterion};
use serde_json::Value;

use super::line_item::MAX_SKU_BYTES;
use super::order::MAX_CUSTOMER_ID_BYTES;
use super::pasted::{folded, forms, pairs};
use super::uids::ORDER_UID;

/// Maximum length of the typed text, and of an annotation's key and value, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;

/// Selects the orders that match.
///
/// # Errors
/// [`Error::Invalid`] if a text is empty, too long, or cannot be the beginning of a uid.
pub fn filter(request: Option<&LookupOrdersRequest>) -> Result<Filter, Error> {
    let criterion = request.and_then(|request| request.criterion.as_ref());
    let criterion = criterion
        .ok_or_else(|| Error::invalid("criterion", "is required: text, customer_id, sku, annotation or uid_prefix"))?;
    let selects = match criterion {
        Criterion::Text(text) => {
            check("text", text, MAX_TEXT_BYTES)?;
            of_any_meaning(text)
        }
        Criterion::CustomerId(id) => {
            check("customer_id", id, MAX_CUSTOMER_ID_BYTES)?;
            of_customer(id)
        }
        Criterion::Sku(sku) => {
            check("sku", sku, MAX_SKU_BYTES)?;
            with_sku(sku)
        }
        Criterion::Annotation(Annotation { key, value }) => {
            check("annotation.key", key, MAX_TEXT_BYTES)?;
            check("annotation.value", value, MAX_TEXT_BYTES)?;
            annotated(key, value)
        }
        Criterion::UidPrefix(prefix) => {
            check("uid_prefix", prefix, MAX_TEXT_BYTES)?;
            let selects = beginning_with(prefix);
            if selects.is_empty() {
                let why = format!("must have at least one character after \"{}\"", ORDER_UID.prefix);
                return Err(Error::invalid("uid_prefix", why));
            }
            selects
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

/// Searches a text in every meaning that it can have.
fn of_any_meaning(text: &str) -> Vec<String> {
    let mut selects = [of_customer(text), with_sku(text), beginning_with(text)].concat();
    if let Some((key, value)) = text.split_once('=')
        && !key.is_empty()
    {
        selects.extend(annotated(key, value));
    }
    selects
}

fn of_customer(id: &str) -> Vec<String> {
    in_any_case("uid", "orders.order_header", "customer_id", id)
}

fn with_sku(sku: &str) -> Vec<String> {
    in_any_case("order_uid", "orders.order_line_item", "sku", sku)
}

/// Rows whose column equals this text in any Unicode composition and any letter case of A to Z. Values that are stored
/// in folded form are found in the index of the column; the others in an index of their own. Most writers use one
/// letter case, and so pay for one index only.
fn in_any_case(uid: &str, table: &str, column: &str, text: &str) -> Vec<String> {
    let texts = literal_array(&folded(text));
    let fold = format!("lower(normalize(t.{column}, nfc))");
    vec![
        format!("select t.{uid} from {table} as t where t.{column} = any({texts})"),
        format!("select t.{uid} from {table} as t where {fold} = any({texts}) and t.{column} <> {fold}"),
    ]
}

/// Uids with this prefix, as pasted or in lower case, which new uids have. Uids of other programs can begin in any way.
/// A prefix that all uids made here have in common finds nothing.
fn beginning_with(prefix: &str) -> Vec<String> {
    let bare = forms(prefix).pop().unwrap_or_default().to_lowercase();
    if ORDER_UID.prefix.starts_with(&bare) {
        return Vec::new();
    }
    let mut prefixes: Vec<String> = forms(prefix).into_iter().flat_map(|form| [form.to_lowercase(), form]).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.iter().map(|prefix| in_range_of(prefix)).collect()
}

/// A range from the prefix to the prefix with its last character replaced by the next one; the index of the key serves
/// it, since uids compare bytewise, and so by code points. If the last character has no next one, the character before
/// it is replaced.
fn in_range_of(prefix: &str) -> String {
    let from = literal(prefix);
    let mut before = prefix.chars();
    let mut to = String::new();
    while let Some(last) = before.next_back() {
        // The surrogates are not characters: the code point after them follows the one before them.
        let next = (u32::from(last) + 1..=u32::from(last) + 0x801).find_map(char::from_u32);
        if let Some(next) = next {
            to = format!(" and h.uid < {}", literal(&format!("{}{next}", before.as_str())));
            break;
        }
    }
    format!("select h.uid from orders.order_header as h where h.uid >= {from}{to}")
}

/// Orders with an annotation, in any Unicode composition, in the letter case that was pasted.
fn annotated(key: &str, value: &str) -> Vec<String> {
    pairs(key, value).iter().map(|(key, value)| annotated_so(key, value)).collect()
}

/// Orders with this annotation. Other programs may have stored a value that is not a string; it is read as its JSON
/// text: `5` is found whether it was stored as a string or as a number. The index finds candidates, and the text of
/// each decides.
fn annotated_so(key: &str, value: &str) -> String {
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

/// The JSON value other than a string whose text this is. Postgres prints numbers without an exponent and stores no
/// NUL, so a value with either cannot be stored, and Postgres would not accept it in a literal.
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
        // A customer and a SKU, in two indexes each, and the prefix of a uid.
        assert_eq!(meanings("17850"), 5);
        assert_eq!(meanings(" 17850\n"), 6);
        assert_eq!(meanings("ord_53"), 5);
        assert_eq!(meanings("ord_5K"), 6);
        assert_eq!(meanings("source/country=France"), 7);
        assert_eq!(meanings("=France"), 6);
        // Every uid that is made here has this prefix.
        for text in ["o", "ORD", "ord_", " ord_\n"] {
            assert_eq!(meanings(text), 4, "{text}");
        }
        // A text with another value in every form.
        assert!(meanings("\u{feff}ord_é\u{ad}x\u{a0}=\u{a0}é\u{ad}x\u{a0}") < 20);
    }

    #[test]
    fn a_beginning_is_a_range_up_to_the_next_text_of_its_length() {
        let range = |prefix: &str| in_range_of(prefix).split_once("where ").map(|(_, range)| range.to_owned());
        for (prefix, to) in [("ord_1", "ord_2"), ("SO-9", "SO-:"), ("a\u{d7ff}", "a\u{e000}"), ("a\u{10ffff}", "b")] {
            let expected = format!("h.uid >= '{prefix}' and h.uid < '{to}'");
            assert_eq!(range(prefix), Some(expected), "{prefix}");
        }
        assert_eq!(range("\u{10ffff}"), Some("h.uid >= '\u{10ffff}'".to_owned()));
    }
}
