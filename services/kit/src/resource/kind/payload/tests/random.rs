//! Random payloads, sent and stored.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decimal::Decimal;
use crate::timestamp as time;

proptest! {
    #[test]
    fn a_key_is_set_and_removed_among_others(
        others in prop::collection::btree_map("[a-z]{1,8}|\\PC{1,3}", "[0-9]{1,3}|true|\"[a-z]*\"", 0..6),
        sides in -9..=9_i32,
    ) {
        let members = members();
        let circle = members.named(b"circle").expect("a circle");
        let inner = circle.field(b"sides").expect("sides");
        let mut sorted: Vec<(String, String)> = others.into_iter().collect();
        sorted.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        let object = |entries: &[(String, String)]| {
            let entries = entries.iter().map(|(key, value)| format!("{}: {value}", serde_json::Value::from(&**key)));
            format!("\u{1}{{\"circle\": {{{}}}}}", entries.collect::<Vec<_>>().join(", ")).into_bytes()
        };
        let set = circle.with(&object(&sorted), inner, Some(&sides.to_be_bytes())).expect("a circle");
        prop_assert_eq!(circle.value(&set, inner), Some(sides.to_be_bytes().to_vec()));
        let mut expected: BTreeMap<(usize, String), String> =
            sorted.iter().map(|(key, value)| ((key.len(), key.clone()), value.clone())).collect();
        expected.insert((5, "sides".to_owned()), sides.to_string());
        let expected: Vec<(String, String)> = expected.into_iter().map(|((_, key), value)| (key, value)).collect();
        prop_assert_eq!(&set, &object(&expected));
        let unset = circle.with(&set, inner, None).expect("a circle");
        sorted.retain(|(key, _)| key != "sides");
        prop_assert_eq!(&unset, &object(&sorted));
        prop_assert_eq!(circle.value(&unset, inner), None);
        prop_assert_eq!(members.named(b"square").expect("a square").with(&set, inner, None), None);
    }

    #[test]
    fn typed_values_come_back(
        name in "\\PC{0,16}",
        sides in -9..=9_i32,
        points: i64,
        radius in "|-?(0|[1-9][0-9]{0,30})([.][0-9]{1,20})?",
        filled: bool,
        ratio in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL,
        drawn in prop::option::of((time::FIRST_SECOND..=time::LAST_SECOND, 0..1_000_000_i32)),
        tags in prop::collection::vec("\\PC{0,9}", 0..4),
    ) {
        let mut circle = Vec::new();
        if !name.is_empty() {
            put_bytes(&mut circle, 1, name.as_bytes());
        }
        put_bytes(&mut circle, 2, b"00ff");
        if sides != 0 {
            put_number(&mut circle, 3, i64::from(sides).cast_unsigned());
        }
        if points != 0 {
            put_number(&mut circle, 4, points.cast_unsigned());
        }
        let radius = Decimal::canonical(&radius).into_owned();
        if !radius.is_empty() {
            put_bytes(&mut circle, 5, radius.as_bytes());
        }
        if filled {
            put_number(&mut circle, 6, 1);
        }
        put_fixed64(&mut circle, 7, ratio.to_bits());
        if let Some((seconds, micros)) = drawn {
            let stamp = prost_types::Timestamp { seconds, nanos: micros * 1_000 };
            put_bytes(&mut circle, 8, &stamp.encode_to_vec());
        }
        for tag in &tags {
            put_bytes(&mut circle, 9, tag.as_bytes());
        }
        let json = decoded(&[(20, &circle)], None).expect("a circle").expect("it is set");
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        prop_assert_eq!(inner(20, &shown(&json)), Some(sorted(&circle)));
    }

    #[test]
    fn any_stored_bytes_are_read_without_a_panic(bytes: Vec<u8>, text in "[\\[\\]{}:,\"\\\\a-z0-9. -]{0,60}") {
        for json in [String::from_utf8_lossy(&bytes).into_owned(), text] {
            shown(&json);
            for field in CIRCLE.fields {
                shown(&format!("{{\"circle\": {{\"{}\": {json}}}}}", field.0));
            }
        }
    }

    #[test]
    fn any_stored_json_is_a_message(
        name in prop::sample::select(vec!["circle", "square", "point", "sphere", ""]),
        entries in prop::collection::btree_map(
            prop::sample::select(CIRCLE.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
            "-?[0-9]{1,30}([.][0-9]{1,9})?|\"[a-zT:Z0-9-]{0,20}\"|true|null|\\[\\]|\\[1, \"a\"\\]|\\{\"k\": [0-9]\\}",
            0..9,
        ),
    ) {
        let entries: Vec<String> = entries.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let json = format!("{{\"{name}\": {{{}}}}}", entries.join(", "));
        let (shown, member) = (shown(&json), members().named(name.as_bytes()).map(|member| member.number));
        // Its fields are read to the end.
        match member {
            Some(number) => prop_assert!(inner(number, &shown).is_some(), "{}", json),
            None => prop_assert!(shown.is_empty(), "{}", json),
        }
    }
}
