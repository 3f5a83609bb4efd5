#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

use super::{Constraints, Time, contract};

/// The rules of a field, named as `orrery.catalog.v1.Product.name`.
fn of(path: &str) -> Constraints {
    let (message, field) = path.rsplit_once('.').unwrap();
    let field = contract().unwrap().get_message_by_name(message).unwrap().get_field_by_name(field).unwrap();
    Constraints::of(&field).unwrap()
}

fn text(max_bytes: usize) -> Constraints {
    Constraints { max_bytes: Some(max_bytes), not_contains: Some("\0".to_owned()), ..Constraints::default() }
}

#[test]
fn rules_of_every_kind_are_read_as_the_contract_states_them() {
    assert_eq!(of("orrery.catalog.v1.Product.name"), text(2_048));
    assert_eq!(of("orrery.catalog.v1.Product.update_ts"), Constraints::default());
    let kind = of("orrery.orders.v1.TransitionOrderRequest.to_phase");
    assert!(kind.required && kind.allowed.contains(&"draft".to_owned()) && kind.allowed.len() == 7, "{kind:?}");
    assert_eq!(of("orrery.orders.v1.Order.revision"), Constraints { min: Some(0), ..Constraints::default() });
    let score = of("orrery.catalog.v1.ResolveProductsRequest.min_score");
    assert_eq!(score, Constraints { least: Some(0.0), greatest: Some(1.0), ..Constraints::default() });
    let view = of("orrery.orders.v1.GetOrderRequest.view");
    assert_eq!(view, Constraints { defined_only: true, ..Constraints::default() });
    let data = of("orrery.records.v1.UploadDocumentRequest.Chunk.data");
    assert_eq!(data, Constraints { max_bytes: Some(1 << 20), ..Constraints::default() });
    let lines = of("orrery.orders.v1.Address.lines");
    let items = Some(Box::new(text(512)));
    assert_eq!(lines, Constraints { max_items: Some(8), items, ..Constraints::default() });
    let labels = of("orrery.orders.v1.Order.labels");
    assert_eq!((labels.max_pairs, labels.values.as_deref()), (Some(64), Some(&text(1_024))));
    assert!(labels.keys.unwrap().pattern.unwrap().starts_with("^("));
    let lease = of("orrery.orders.v1.ClaimDueOrdersRequest.lease");
    let (shortest, longest) = (Time { seconds: 1, nanos: 0 }, Time { seconds: 86_400, nanos: 0 });
    let expected =
        Constraints { required: true, earliest: Some(shortest), latest: Some(longest), ..Constraints::default() };
    assert_eq!(lease, expected);
    let created = of("orrery.orders.v1.Order.create_ts");
    assert_eq!(created.latest, Some(Time { seconds: 253_402_300_799, nanos: 999_999_999 }));
}

fn visit(message: &MessageDescriptor, seen: &mut usize) {
    for field in message.fields() {
        let constraints = Constraints::of(&field).unwrap();
        *seen += usize::from(constraints != Constraints::default());
        if constraints.items.is_some() || constraints.max_items.is_some() {
            assert!(field.is_list(), "{}", field.full_name());
        }
        assert_eq!(constraints.keys.is_some(), field.is_map() && constraints.max_pairs.is_some());
        if constraints.max_bytes.is_some() {
            assert!([Kind::String, Kind::Bytes].contains(&field.kind()), "{}", field.full_name());
        }
        if constraints.pattern.is_some() || !constraints.allowed.is_empty() {
            assert_eq!(field.kind(), Kind::String, "{}", field.full_name());
        }
    }
    message.child_messages().for_each(|child| visit(&child, seen));
}

#[test]
fn every_rule_of_the_contract_is_known_and_fits_its_field() {
    let mut seen = 0;
    for message in contract().unwrap().all_messages().filter(|message| message.full_name().starts_with("orrery.")) {
        visit(&message, &mut seen);
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_rule_that_is_not_known_is_an_error() {
    let contract = contract().unwrap();
    let rules = contract.get_message_by_name("buf.validate.FieldRules").unwrap();
    let read = |bytes: &[u8]| Constraints::default().read(&DynamicMessage::decode(rules.clone(), bytes).unwrap());
    // required: true
    assert_eq!(read(&[0xc8, 0x01, 1]), Ok(()));
    // cel_expression: ""; string.prefix: "a"; repeated.items.string.prefix: "a"
    for (bytes, number) in [
        (&[0xea, 0x01, 0][..], "number 29 of buf.validate.FieldRules"),
        (&[0x72, 3, 0x3a, 1, b'a'], "number 7 of buf.validate.StringRules"),
        (&[0x92, 0x01, 7, 0x22, 5, 0x72, 3, 0x3a, 1, b'a'], "number 7 of buf.validate.StringRules"),
    ] {
        let refused = read(bytes).unwrap_err();
        assert!(refused.contains(number), "{refused}");
    }
}
