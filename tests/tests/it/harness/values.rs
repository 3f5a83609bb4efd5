//! Test values for fields that all resources have: statuses, labels, annotations, times and uids. Each is either
//! invalid in one way, or valid and at a limit.

use std::collections::HashMap;

use orrery_proto::r#type::v1::Status;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};

use super::timestamp;

/// Labels or annotations.
pub(crate) type Map = HashMap<String, String>;

fn text(text: &str) -> Kind {
    Kind::StringValue(text.to_owned())
}

fn status(phase: &str, details: Option<Struct>) -> Status {
    Status { phase: phase.to_owned(), details }
}

fn detail(phase: &str, key: &str, kind: Kind) -> Status {
    status(phase, Some(Struct { fields: [(key.to_owned(), Value { kind: Some(kind) })].into() }))
}

fn nested(levels: usize) -> Kind {
    (0..levels)
        .fold(Kind::NullValue(0), |inner, _| Kind::ListValue(ListValue { values: vec![Value { kind: Some(inner) }] }))
}

fn map(entries: &[(&str, &str)]) -> Map {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Invalid statuses, with the field that is invalid.
pub(crate) fn invalid_statuses() -> Vec<(Status, &'static str)> {
    vec![
        (status(&"p".repeat(64), None), "phase"),
        (status("a\nb", None), "phase"),
        (status("a\0", None), "phase"),
        (detail("", "a\0", text("x")), "details"),
        (detail("", "a", text("x\0")), "details"),
        (detail("", "a", Kind::NumberValue(f64::NAN)), "details"),
        (detail("", "a", Kind::NumberValue(f64::INFINITY)), "details"),
        (detail("", "a", Kind::NumberValue(f64::NEG_INFINITY)), "details"),
        (detail("", "a", nested(29)), "details.a.0.0.0.0.0.0.0..."),
        (detail("", "a", text(&"x".repeat(256 * 1024))), "details"),
        // A key in the details must not be the name of a field.
        (detail("draft", "phase", text("x")), "details.phase"),
        (detail("", "phase", text("nonsense\n")), "details.phase"),
        (detail("", "phase", text("draft")), "details.phase"),
        (detail("", "phase", text(&"x".repeat(12_000))), "details.phase"),
        (detail("", "phase", Kind::NumberValue(5.0)), "details.phase"),
        (detail("", "phase", Kind::NullValue(0)), "details.phase"),
        (detail("", "details", nested(1)), "details.details"),
    ]
}

/// Valid statuses at a limit. None has a phase.
pub(crate) fn valid_statuses() -> Vec<Status> {
    vec![
        detail("", "a", nested(28)),
        detail("", "", text("x")),
        detail("", "a.b\\c\"d\u{1}", text("\u{1}\\\"\n😀")),
        detail("", "a", Kind::NumberValue(f64::MAX)),
        detail("", "a", Kind::NumberValue(f64::MIN_POSITIVE)),
        detail("", "a", text(&"x".repeat(255 * 1024))),
    ]
}

/// Valid phases at a limit, for resources that allow any phase.
pub(crate) fn valid_phases() -> Vec<Status> {
    vec![status(&"p".repeat(63), None), status("It's \\ sold \"out\"!", None)]
}

/// Invalid keys of labels and annotations.
fn invalid_keys() -> Vec<String> {
    let mut keys: Vec<String> =
        ["", "a b", "-a", "a-", "a/b/c", "/a", "a/", "É", "a\0", "a\n", "Example.com/a"].map(str::to_owned).into();
    keys.extend(["k".repeat(64), format!("{}/a", "p".repeat(254))]);
    keys
}

/// Invalid labels, with the invalid key, or none if the map as a whole is invalid.
pub(crate) fn invalid_labels() -> Vec<(Map, Option<&'static str>)> {
    let mut cases = vec![
        (map(&[("a", &"x".repeat(1_025))]), Some("a")),
        (map(&[("a", "\0")]), Some("a")),
        ((0..65).map(|at| (format!("a{at}"), String::new())).collect(), None),
    ];
    cases.extend(invalid_keys().into_iter().map(|key| (map(&[(&key, "x")]), None)));
    cases
}

/// Valid labels at a limit.
pub(crate) fn valid_labels() -> Vec<Map> {
    let longest_key =
        format!("{}/{}", ["p".repeat(63), "q".repeat(63), "r".repeat(63), "s".repeat(61)].join("."), "k".repeat(63));
    vec![
        map(&[("a", &"x".repeat(1_024)), ("b", ""), ("c", "\u{1}\\\"'😀")]),
        map(&[(&longest_key, "x"), ("A.b_c-1", "x"), ("0", "x")]),
        (0..64).map(|at| (format!("a{at}"), "x".repeat(900))).collect(),
    ]
}

/// Invalid annotations, with the invalid key, or none if the map as a whole is invalid.
pub(crate) fn invalid_annotations() -> Vec<(Map, Option<&'static str>)> {
    let mut cases = vec![
        (map(&[("a", "x\0")]), Some("a")),
        (map(&[("a", &"x".repeat(256 * 1024 + 1))]), Some("a")),
        ((0..2).map(|at| (format!("a{at}"), "x".repeat(128 * 1024))).collect(), None),
        ((0..257).map(|at| (format!("a{at}"), String::new())).collect(), None),
    ];
    cases.extend(invalid_keys().into_iter().map(|key| (map(&[(&key, "x")]), None)));
    cases
}

/// Valid annotations at a limit.
pub(crate) fn valid_annotations() -> Vec<Map> {
    vec![
        map(&[("a", &"x".repeat(256 * 1024 - 1))]),
        (0..256).map(|at| (format!("a{at}"), "\u{1}\\\"\n😀".to_owned())).collect(),
    ]
}

/// Invalid times.
pub(crate) fn invalid_times() -> Vec<Timestamp> {
    [
        (-62_135_596_801, 999_999_999),
        (253_402_300_800, 0),
        (i64::MAX, 0),
        (i64::MIN, 0),
        (0, -1),
        (0, 1_000_000_000),
        (0, i32::MIN),
    ]
    .map(|(seconds, nanos)| Timestamp { seconds, nanos })
    .into()
}

/// The first and the last valid time, and zero.
pub(crate) fn valid_times() -> Vec<Timestamp> {
    vec![timestamp(-62_135_596_800), Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 }, timestamp(0)]
}

/// Texts that are not uids with this prefix, such as "prd_".
pub(crate) fn invalid_uids(prefix: &str) -> Vec<String> {
    let other = if prefix == "ord_" { "prd_" } else { "ord_" };
    let mut uids: Vec<String> = ["a", "abc", other].map(str::to_owned).into();
    uids.push(format!("{other}a"));
    uids.push(prefix.to_uppercase() + "a");
    uids.push(format!(" {prefix}a"));
    uids.push(prefix.trim_end_matches('_').to_owned());
    let longest = "x".repeat(125);
    uids.extend(["", "a b", "a/b", "é", "\0", &longest].map(|rest| format!("{prefix}{rest}")));
    uids
}

/// Texts that no stored row can have as its key.
pub(crate) fn impossible_keys() -> Vec<String> {
    vec![String::new(), "\0".to_owned(), "ord_a\0".to_owned(), "x".repeat(256 * 1024 + 1)]
}

/// The longest uid with this prefix, and one with all allowed characters.
pub(crate) fn valid_uids(prefix: &str) -> Vec<String> {
    vec![format!("{prefix}{}", "x".repeat(124)), format!("{prefix}A.b-C_9")]
}
