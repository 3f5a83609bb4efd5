//! Each kind beside the rules that the contract states of its field.

use std::mem::take;

use super::*;
use crate::resource::constraints::{Time, contract};

const ROW: UidKind = UidKind { prefix: "row_" };

/// Rules that say nothing.
fn none() -> Constraints {
    Constraints::default()
}

fn text_of(max_bytes: usize) -> Constraints {
    Constraints { max_bytes: Some(max_bytes), not_contains: Some("\0".to_owned()), ..none() }
}

fn pattern(pattern: &str) -> Constraints {
    Constraints { pattern: Some(pattern.to_owned()), ..none() }
}

fn bounds(min: impl Into<Option<i64>>, max: impl Into<Option<i64>>) -> Constraints {
    Constraints { min: min.into(), max: max.into(), ..none() }
}

fn list(max_items: usize, max_bytes: usize) -> Constraints {
    Constraints { max_items: Some(max_items), items: Some(Box::new(text_of(max_bytes))), ..none() }
}

fn one_of_texts(texts: &[&str]) -> Constraints {
    Constraints { allowed: texts.iter().map(|text| (*text).to_owned()).collect(), ..none() }
}

fn times(earliest: i64, latest: i64) -> Constraints {
    let time = |seconds, nanos| Some(Time { seconds, nanos });
    Constraints { earliest: time(earliest, 0), latest: time(latest, 999_999_999), ..none() }
}

fn required(rules: Constraints) -> Constraints {
    Constraints { required: true, ..rules }
}

/// The rules of a field of the contract.
fn stated(message: &str, field: &str) -> Constraints {
    let message = contract().expect("a contract").get_message_by_name(message).expect("a message");
    Constraints::of(&message.get_field_by_name(field).expect("a field")).expect("rules")
}

/// Checks that a kind accepts these rules of its field, and refuses those.
#[track_caller]
fn expect(kind: &dyn ColumnKind, accepted: &[Constraints], refused: &[Constraints]) {
    let check = |rules, key| check_limits(kind, Stated { rules, key });
    for rules in accepted {
        assert_eq!(check(rules, false), Ok(()), "{kind:?}");
    }
    assert!(!refused.is_empty());
    for rules in refused {
        let why = check(rules, false).expect_err("other rules than the kind keeps");
        assert!(why.starts_with("the contract states [") && why.contains(" keeps ["), "{why}");
    }
}

#[test]
fn texts_are_as_long_as_the_contract_states() {
    for kind in [&text(8) as &dyn ColumnKind, &text_not_null(8)] {
        let stated = text_of(8);
        let without = Constraints { not_contains: None, ..text_of(8) };
        let more = Constraints { max_chars: Some(8), ..text_of(8) };
        expect(kind, &[stated], &[none(), text_of(7), text_of(9), required(text_of(8)), without, more]);
    }
    let checked = text_checked(8, |_| Ok(()));
    let pattern = Constraints { pattern: Some("^a*$".to_owned()), ..text_of(8) };
    expect(&checked, &[text_of(8), required(text_of(8)), pattern], &[none(), text_of(9)]);
}

#[test]
fn formats_are_the_patterns_that_the_contract_states() {
    let formats: [(&dyn ColumnKind, &dyn ColumnKind, &str, &str); 5] = [
        (&code(3), &code(3).optional(), "[A-Z]{3}", "[A-Z]{2}"),
        (&hash(64), &hash(64).optional(), "[0-9a-f]{64}", "[0-9a-f]{63}"),
        (&name(63), &name(63).optional(), "[a-z][a-z0-9_.-]{0,62}", "[a-z][a-z0-9_.-]{0,63}"),
        (&uid_of(ROW), &uid_of(ROW).optional(), "row_[A-Za-z0-9_.-]{1,124}", "raw_[A-Za-z0-9_.-]{1,124}"),
        (&decimal(15, 4), &decimal(15, 4).or_zero(), "-?[0-9]{1,15}([.][0-9]{1,4})?", "-?[0-9]{1,15}([.][0-9]{1,5})?"),
    ];
    for (wanted, optional, right, wrong) in formats {
        let full = |expression: &str| pattern(&format!("^{expression}$"));
        let or_empty = |expression: &str| pattern(&format!("^({expression})?$"));
        let accepted = [full(right), required(full(right)), or_empty(right)];
        expect(wanted, &accepted, &[none(), full(wrong), or_empty(wrong), text_of(8), pattern(right)]);
        // What may be empty is not required.
        let refused = [full(right), required(or_empty(right)), or_empty(wrong), none()];
        expect(optional, &[or_empty(right)], &refused);
    }
    expect(&decimal(9, 0).or_kept(), &[pattern("^(-?[0-9]{1,9})?$")], &[pattern("^(-?[0-9]{1,9}([.][0-9]{1,0})?)?$")]);
    expect(&decimal(9, 2).computed(), &[none()], &[pattern("^(-?[0-9]{1,9}([.][0-9]{1,2})?)?$")]);
    let sides = one_of(&["left", "right"]);
    let both = one_of_texts(&["right", "left"]);
    expect(&sides, &[both.clone(), required(both.clone())], &[none(), one_of_texts(&["left"])]);
    expect(&sides.optional(), &[one_of_texts(&["", "left", "right"])], &[both]);
}

/// A key names what any program stored, so that the format of new rows is no rule of the field.
#[test]
fn a_key_is_that_of_any_stored_row() {
    let stored = text_of(256 * 1024);
    for kind in [&uid(ROW) as &dyn ColumnKind, &name(63)] {
        for (rules, fits) in [(&stored, true), (&required(stored.clone()), true), (&text_of(1_024), false)] {
            assert_eq!(check_limits(kind, Stated { rules, key: true }).is_ok(), fits, "{kind:?} {rules:?}");
        }
        expect(kind, &[], std::slice::from_ref(&stored));
    }
    for (rules, fits) in [(none(), true), (bounds(1, 9), true), (bounds(0, 9), false)] {
        assert_eq!(check_limits(&integer(1, 9), Stated { rules: &rules, key: true }).is_ok(), fits, "{rules:?}");
    }
}

#[test]
fn numbers_are_within_the_bounds_that_the_contract_states() {
    const MOST: i32 = i32::MAX;
    expect(&integer(i32::MIN, MOST), &[none()], &[bounds(i64::from(i32::MIN), None), bounds(0, None)]);
    expect(&integer(0, MOST), &[bounds(0, None)], &[none(), bounds(1, None), bounds(0, i64::from(MOST))]);
    expect(&integer(0, 9), &[bounds(0, 9)], &[bounds(0, 8), bounds(0, None), required(bounds(0, 9))]);
    expect(&integer(1, 9), &[bounds(1, 9), required(bounds(1, 9))], &[bounds(0, 9)]);
    // 0 is what is unset.
    expect(&integer(1, 9).optional(), &[bounds(0, 9)], &[bounds(1, 9)]);
    expect(&integer(0, MOST).completed(), &[bounds(0, None)], &[none()]);
    expect(&integer(0, 9).computed(), &[none()], &[bounds(0, 9)]);
    expect(&big_integer(i64::MIN, i64::MAX), &[none()], &[bounds(0, None)]);
    expect(&big_integer(0, 1 << 40), &[bounds(0, 1 << 40)], &[bounds(0, 1 << 41)]);
    expect(&revision(), &[bounds(0, None)], &[none(), bounds(1, None)]);
    for kind in [&boolean() as &dyn ColumnKind, &double(), &status("active"), &document(8)] {
        expect(kind, &[none()], &[required(none())]);
    }
}

#[test]
fn enums_and_times_are_what_the_contract_states() {
    let defined = Constraints { defined_only: true, ..none() };
    expect(&enumeration(SIDES), &[defined.clone(), required(defined.clone())], &[none(), required(none())]);
    expect(
        &enumeration(SIDES).optional(),
        &[defined],
        &[none(), required(Constraints { defined_only: true, ..none() })],
    );
    let (first, last) = (-62_135_596_800, 253_402_300_799);
    for kind in [timestamp(), created_at(), measured_at()] {
        expect(&kind, &[times(first, last)], &[none(), times(first + 1, last), times(first, last - 1)]);
    }
    expect(&updated_at(), &[none()], &[times(first, last)]);
    expect(&etag(), &[Constraints { not_contains: Some("\0".to_owned()), ..none() }], &[none(), text_of(8)]);
}

#[test]
fn lists_and_maps_have_as_many_entries_as_the_contract_states() {
    expect(&text_list(8, 512), &[list(8, 512)], &[none(), list(7, 512), list(8, 511)]);
    let most = |items| Constraints { max_items: Some(items), ..none() };
    expect(&MANY_CHILDREN, &[none(), most(100_000)], &[most(99_999)]);
    expect(&ONE_CHILD, &[none()], &[most(1)]);
    let stated = stated("orrery.orders.v1.Order", "labels");
    let mut others = vec![none(), Constraints { max_pairs: Some(63), ..stated.clone() }];
    let changes: [fn(&mut Constraints); 3] = [
        |rules| rules.values.iter_mut().for_each(|values| values.max_bytes = Some(1)),
        |rules| rules.keys.iter_mut().for_each(|keys| keys.max_bytes = Some(1)),
        |rules| rules.keys.iter_mut().for_each(|keys| drop(take(&mut keys.pattern))),
    ];
    for change in changes {
        let mut other = stated.clone();
        change(&mut other);
        others.push(other);
    }
    expect(&labels(), std::slice::from_ref(&stated), &others);
    expect(&annotations(), &[], &[stated]);
}

/// A description whose limit is not the contract's fails when the service starts.
#[test]
fn a_resource_does_not_compile_with_another_limit_than_the_contract_states() {
    static LONGER: Description = Description {
        key: &["order_uid"],
        fields: &[("order_uid", &uid_of(UidKind { prefix: "ord_" })), ("kind", &text(8))],
        ..Description::new("orrery.orders.v1.Address", "orders.order_address")
    };
    static OTHER: Description = Description {
        key: &["order_uid"],
        fields: &[
            ("order_uid", &uid_of(UidKind { prefix: "ord_" })),
            ("kind", &enumeration(&[(1, "billing"), (2, "shipping")])),
            ("name", &text(511)),
        ],
        ..Description::new("orrery.orders.v1.Address", "orders.order_address")
    };
    let refused = |description| Resource::try_compile(description, "addresses").expect_err("it does not fit");
    assert!(refused(&LONGER).starts_with("the kind of field kind does not fit its type"), "{}", refused(&LONGER));
    let why = refused(&OTHER);
    let expected = "field name: the contract states [at most 512 bytes, without \"\\0\"], but ";
    assert!(why.starts_with(expected) && why.ends_with(" keeps [at most 511 bytes, without \"\\0\"]"), "{why}");
}

/// The fields of a status have their rules in the message of its own.
#[test]
fn a_phase_is_as_long_as_the_contract_states() {
    let expected = Constraints { max_bytes: Some(MAX_PHASE_BYTES), ..pattern("^\\P{Cc}*$") };
    assert_eq!(stated("orrery.type.v1.Status", "phase"), expected);
}
