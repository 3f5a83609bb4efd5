//! Short texts, each with a small grammar.

use std::collections::BTreeMap;

use orrery_catalog::store::product::PRODUCT;
use orrery_catalog::store::product_metric::PRODUCT_METRIC;
use orrery_kit::decimal::Decimal;
use orrery_kit::label_selector::LabelSelector;
use orrery_kit::page_token::{Scope, TokenKey, open, seal};
use orrery_kit::resource::mask::{read_mask, update_mask};
use orrery_kit::resource::select::Selection;
use orrery_kit::timestamp;
use orrery_orders::store::order::ORDER;
use prost_types::FieldMask;

use super::{error_text, told};

/// A token that was not sealed with the key is refused; a sealed one gives its content.
pub(super) fn page_token(bytes: &[u8]) -> String {
    let key = TokenKey::new([7; 32]);
    let scope = Scope::new("/a.b/C", b"filter", "uid");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let refused = open(&key, &scope, text).expect_err("nobody has sealed it");
        error_text(&refused.to_string());
    }
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let token = seal(&key, &scope, &parts);
    if bytes.len() > 16 * 1024 {
        return "long".to_owned();
    }
    assert_eq!(open(&key, &scope, &token).unwrap(), parts);
    open(&key, &Scope::new("/a.b/C", b"filter2", "uid"), &token).unwrap_err();
    open(&TokenKey::new([8; 32]), &scope, &token).unwrap_err();
    // One character is changed.
    let at = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % token.len();
    let mut changed = token.clone().into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    if let Ok(opened) = open(&key, &scope, std::str::from_utf8(&changed).unwrap()) {
        panic!("a changed token is opened: {opened:?}");
    }
    format!("{}", parts.len().min(9))
}

/// A displayed selector parses to the same selector, and its SQL quotes each text.
pub(super) fn label_selector(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return String::new() };
    let selector = match LabelSelector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.position <= text.len() && text.is_char_boundary(error.position), "{error}");
            return error_text(&error.message);
        }
    };
    let shown = selector.to_string();
    // With separators it may exceed the limit.
    let again = LabelSelector::parse(&shown);
    if shown.len() > 4_096 {
        return "long".to_owned();
    }
    assert_eq!(again.as_ref(), Ok(&selector), "{shown:?}");
    assert_eq!(selector.is_empty(), selector.requirements().is_empty());
    // In the SQL, nothing of the selector is outside of literals.
    for condition in selector.to_sql("labels", |_| "'literal'".to_owned()) {
        let outside = condition.replace("'literal'", "");
        assert!(!outside.contains('\''), "{condition}");
    }
    let labels: BTreeMap<String, String> =
        selector.requirements().iter().map(|requirement| (requirement.key().to_owned(), "x".to_owned())).collect();
    format!("{} {}", selector.matches(&labels), selector.requirements().len().min(9))
}

/// An accepted mask can be used for a read, whatever it names.
pub(super) fn field_mask(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return String::new() };
    let mask = FieldMask { paths: text.split('\n').map(str::to_owned).collect() };
    let mut summary = String::new();
    for resource in [&*PRODUCT, &*PRODUCT_METRIC, &*ORDER] {
        match read_mask(resource, Some(&mask), "read_mask") {
            Ok(reached) => {
                let selection = Selection::new(resource, &reached);
                assert!(selection.columns > 0 && !selection.sql.is_empty());
                assert_eq!(selection.sql.matches('\'').count() % 2, 0, "{}", selection.sql);
                summary.push('r');
            }
            Err(violation) => summary.push_str(&told(vec![violation])),
        }
        match update_mask(resource, Some(&mask), "update_mask") {
            Ok(mask) => {
                let _ = mask.keeping_unset();
                summary.push('u');
            }
            Err(violation) => summary.push_str(&told(vec![violation])),
        }
    }
    summary
}

/// A decimal and its canonical form are the same number.
pub(super) fn decimal(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return String::new() };
    let (one, other) = text.split_once(' ').unwrap_or((text, "1"));
    let checked = Decimal::check(one, 1_000, 1_000);
    let parsed = one.parse::<Decimal>();
    let Ok(number) = parsed else {
        return error_text(&checked.map_or_else(|error| error.to_string(), |()| "has too many digits".to_owned()));
    };
    checked.unwrap();
    let canonical = Decimal::canonical(one);
    assert_eq!(canonical.parse::<Decimal>().unwrap(), number);
    assert_eq!(Decimal::canonical(&canonical), canonical);
    assert_eq!(number.to_string(), canonical);
    assert!(!(number.is_zero() && number.is_negative()));
    let mut binary = Vec::new();
    Decimal::put_numeric(one, &mut binary);
    assert!(binary.len() >= 8);
    let Ok(other) = other.parse::<Decimal>() else { return "one".to_owned() };
    if let (Ok(sum), Ok(turned)) = (number.checked_add(&other), other.checked_add(&number)) {
        assert_eq!(sum, turned);
    }
    if let (Ok(product), Ok(turned)) = (number.checked_mul(&other), other.checked_mul(&number)) {
        assert_eq!(product, turned);
        assert_eq!(product.is_zero(), number.is_zero() || other.is_zero());
    }
    "both".to_owned()
}

/// Instants go into the database and come back to the microsecond; texts of any format are read or refused.
pub(super) fn timestamp(bytes: &[u8]) -> String {
    let mut summary = String::new();
    if let Some((number, rest)) = bytes.split_first_chunk::<12>() {
        let (seconds, nanos) = number.split_at(8);
        let seconds = i64::from_le_bytes(seconds.try_into().unwrap());
        let nanos = i32::from_le_bytes(nanos.try_into().unwrap());
        let _ = (timestamp::from_postgres(seconds), timestamp::to_sql_literal(seconds));
        for seconds in [seconds, seconds % 253_402_300_800] {
            if let Ok(micros) = timestamp::to_postgres(seconds, nanos) {
                assert_eq!(timestamp::from_postgres(micros), (seconds, nanos / 1_000 * 1_000));
                assert!(timestamp::bound_to_postgres(seconds, nanos).is_ok_and(|bound| bound >= micros));
                summary.push('i');
            }
        }
        let _ = rest;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return summary };
    let (format, text) = text.split_once('\n').unwrap_or(("rfc3339", text));
    for zone in ["Europe/London", "America/New_York"] {
        let mapping = format!(
            "[fields]\nuid = {{ column = \"id\" }}\ncreate_ts = {{ column = \"at\", transforms = [{{ timestamp = \
             {{ format = {format:?}, zone = {zone:?} }} }}] }}"
        );
        let record = serde_json::json!({ "id": "prd_a", "at": text }).to_string();
        match orrery::fuzzing::import(false, "x.jsonl", Some(&mapping), record.as_bytes(), usize::MAX) {
            Ok(imported) => {
                assert_eq!((imported.items.len(), &imported.fault), (1, &None));
                summary.push_str(&error_text(&imported.items[0]));
            }
            Err(error) => summary.push_str(&error_text(&error)),
        }
    }
    summary
}
