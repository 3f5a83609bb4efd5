//! Translates a requirement to SQL. A GIN index answers containment (`@>`) and existence (`?`); the rest of each
//! condition makes the answer right for rows that other programs wrote.

use super::{Operator, Requirement};

pub(super) fn condition(requirement: &Requirement, column: &str, literal: &impl Fn(&str) -> String) -> String {
    let key = requirement.key();
    let quoted_key = literal(key);
    match requirement.operator() {
        Operator::Equals(value) => contains(column, key, std::slice::from_ref(value), literal),
        Operator::In(values) => contains(column, key, values, literal),
        Operator::NotEquals(value) => {
            let text = text_of(column, &quoted_key, std::slice::from_ref(value));
            format!("({text} is distinct from {})", literal(value))
        }
        Operator::NotIn(values) => {
            let text = text_of(column, &quoted_key, values);
            format!("(({text} in ({})) is not true)", list(values, literal))
        }
        // `?` also finds array elements and scalar strings; `->` finds only keys of an object.
        Operator::Exists => format!("({column} ? {quoted_key} and ({column} -> {quoted_key}) is not null)"),
        Operator::DoesNotExist => format!("(({column} -> {quoted_key}) is null)"),
    }
}

fn contains(column: &str, key: &str, values: &[String], literal: &impl Fn(&str) -> String) -> String {
    let mut documents = Vec::with_capacity(values.len());
    let mut numbers = false;
    for value in values {
        // Neither keys nor values contain a character that JSON escapes: the grammar of labels has none.
        documents.push(literal(&format!("{{\"{key}\":\"{value}\"}}")));
        numbers |= is_number(value);
        if is_number(value) || matches!(value.as_str(), "true" | "false" | "null") {
            documents.push(literal(&format!("{{\"{key}\":{value}}}")));
        }
    }
    let contained = match documents.as_slice() {
        [document] => format!("{column} @> {document}::jsonb"),
        documents => format!("{column} @> any (array[{}]::jsonb[])", documents.join(", ")),
    };
    if numbers {
        // jsonb `1` contains `1.0`, but their texts differ.
        let text = text_of(column, &literal(key), values);
        format!("({contained} and {text} in ({}))", list(values, literal))
    } else {
        format!("({contained})")
    }
}

/// The label's value as text, null if it is absent.
fn text_of(column: &str, quoted_key: &str, values: &[String]) -> String {
    if values.iter().any(|value| value == "null") {
        // `->>` gives SQL null for a JSON null, whose text is "null".
        format!("coalesce({column} ->> {quoted_key}, ({column} -> {quoted_key})::text)")
    } else {
        format!("{column} ->> {quoted_key}")
    }
}

fn list(values: &[String], literal: &impl Fn(&str) -> String) -> String {
    values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(", ")
}

/// Whether `value` is the text of a jsonb number: without a sign, which the grammar of values excludes, and without an
/// exponent, which Postgres never prints.
fn is_number(value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (integer, fraction) = value.split_once('.').map_or((value, None), |(integer, rest)| (integer, Some(rest)));
    digits(integer) && (integer == "0" || !integer.starts_with('0')) && fraction.is_none_or(digits)
}
