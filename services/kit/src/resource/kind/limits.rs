//! The limits of kinds beside the rules that the contract states: they must be the same, or a service does not start.

use super::ColumnKind;
use crate::resource::constraints::Constraints;
use crate::uid::MAX_KEY_BYTES;

/// A field's rules in the contract.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    /// The rules.
    pub rules: &'a Constraints,
    /// Whether the field belongs to the key, so that a method may name any stored value by it.
    pub key: bool,
}

/// Compares a kind's limits with the rules of its field.
///
/// # Errors
/// The rules that the contract states, and the ones that it must state.
pub(in crate::resource) fn check(kind: &dyn ColumnKind, stated: Stated<'_>) -> Result<(), String> {
    let mut expected = kind.limits(stated);
    // The order of the texts says nothing.
    let mut rules = stated.rules.clone();
    for constraints in expected.iter_mut().chain([&mut rules]) {
        constraints.allowed.sort_unstable();
    }
    if expected.contains(&rules) {
        return Ok(());
    }
    let expected: Vec<String> = expected.iter().map(brief).collect();
    Err(format!("the contract states {}, but {kind:?} keeps {}", brief(&rules), expected.join(", or ")))
}

/// Only what is limited.
fn brief(constraints: &Constraints) -> String {
    let Constraints { required, min_bytes, max_bytes, min_chars, max_chars, pattern, not_contains, .. } = constraints;
    let Constraints { allowed, defined_only, refused_numbers, min, max, earliest, latest, .. } = constraints;
    let Constraints { min_items, max_items, items, min_pairs, max_pairs, keys, values, .. } = constraints;
    let inner = |of: &Option<Box<Constraints>>| of.as_deref().map(brief);
    let limits = [
        required.then(|| "required".to_owned()),
        min_bytes.map(|bytes| format!("at least {bytes} bytes")),
        max_bytes.map(|bytes| format!("at most {bytes} bytes")),
        min_chars.map(|chars| format!("at least {chars} characters")),
        max_chars.map(|chars| format!("at most {chars} characters")),
        pattern.as_ref().map(|pattern| format!("pattern {pattern}")),
        not_contains.as_ref().map(|text| format!("without {text:?}")),
        (!allowed.is_empty()).then(|| format!("one of {allowed:?}")),
        defined_only.then(|| "a value of the enum".to_owned()),
        (!refused_numbers.is_empty()).then(|| format!("none of {refused_numbers:?}")),
        min.map(|min| format!("at least {min}")),
        max.map(|max| format!("at most {max}")),
        earliest.map(|time| format!("not before {} s {} ns", time.seconds, time.nanos)),
        latest.map(|time| format!("not after {} s {} ns", time.seconds, time.nanos)),
        min_items.map(|items| format!("at least {items} items")),
        max_items.map(|items| format!("at most {items} items")),
        inner(items).map(|items| format!("items {items}")),
        min_pairs.map(|pairs| format!("at least {pairs} entries")),
        max_pairs.map(|pairs| format!("at most {pairs} entries")),
        inner(keys).map(|keys| format!("keys {keys}")),
        inner(values).map(|values| format!("values {values}")),
    ];
    format!("[{}]", limits.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// No limit.
pub(super) fn none() -> Vec<Constraints> {
    vec![Constraints::default()]
}

/// Any text of at most so many bytes.
pub(super) fn text(max_bytes: usize) -> Constraints {
    Constraints { max_bytes: Some(max_bytes), not_contains: Some("\0".to_owned()), ..Constraints::default() }
}

/// A text that matches a whole regular expression. If it may be empty, the contract must say so. If it may not, the
/// contract may still allow it, because an update may leave it out.
pub(super) fn pattern(expression: &str, may_be_empty: bool) -> Vec<Constraints> {
    let of = |pattern: String| Constraints { pattern: Some(pattern), ..Constraints::default() };
    let mut all = vec![of(format!("^({expression})?$"))];
    if !may_be_empty {
        all.push(of(format!("^{expression}$")));
    }
    all
}

/// The key of a stored row.
pub(super) fn stored_key() -> Constraints {
    text(MAX_KEY_BYTES)
}

/// The same, but the contract may also state that the field is required: an unset one is refused unless the row exists.
pub(super) fn or_required(limits: Vec<Constraints>) -> Vec<Constraints> {
    let required = limits.iter().map(|limits| Constraints { required: true, ..limits.clone() }).collect();
    [limits, required].concat()
}
