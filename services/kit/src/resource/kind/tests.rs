//! Each kind against bytes; the same against a database is told by the end-to-end tests.

use std::borrow::Cow;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::value::Kind as Value;
use prost_types::{EnumValueDescriptorProto, FileDescriptorProto, Struct};

use super::*;
use crate::resource::decode::KeyPolicy;
use crate::resource::mask::{MaskPath, UpdateMask, read_mask, update_mask};
use crate::resource::rules::no_rules;
use crate::resource::select::Selection;
use crate::resource::wire::{put_bytes, put_fixed64, put_number};
use crate::resource::{Description, Field, Resource};

mod assignments;
mod limits;

/// What is put for a value, without its length; `None` for null.
fn put(kind: &dyn ColumnKind, slot: &Slot<'_>, reading: Reading<'_>) -> Result<Option<Vec<u8>>, String> {
    let mut tuple = Vec::new();
    kind.put("f", slot, reading, &mut tuple).map_err(|violation| {
        assert!(violation.field == "f" || violation.field.starts_with("f."), "{}", violation.field);
        format!("{} {}", violation.field, violation.description)
    })?;
    Ok((tuple != NULL.to_be_bytes()).then(|| tuple[4..].to_vec()))
}

fn number(bits: u64) -> Slot<'static> {
    Slot::Number(bits)
}

fn bytes(bytes: &[u8]) -> Slot<'_> {
    Slot::Bytes(Cow::Borrowed(bytes))
}

/// Of a row that may be new.
const NEW: Reading<'_> = Reading { unset_is_null: true, ..Reading::ALL };
/// Of a row that is there and keeps what is left out.
const KEPT: Reading<'_> = Reading { keeps_unset: true, ..NEW };

/// What a new row stores, with its length.
fn stored_if_unset(kind: &dyn ColumnKind) -> Vec<u8> {
    let mut row = Vec::new();
    kind.put_new(None, 0, &mut row);
    row
}

/// The field of a message that a stored value becomes.
fn shown(kind: &dyn ColumnKind, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    kind.output()(&mut out, OutputField { number: 7, names: kind.enum_names(), members: None }, value);
    out
}

#[test]
fn a_boolean_is_one_byte() {
    let kind = boolean();
    assert_eq!(put(&kind, &number(1), Reading::ALL), Ok(Some(vec![1])));
    // A varint of a bool is true unless it is zero.
    assert_eq!(put(&kind, &number(1 << 40), KEPT), Ok(Some(vec![1])));
    assert_eq!(put(&kind, &Slot::Unset, Reading::ALL), Ok(Some(vec![0])));
    for reading in [NEW, KEPT] {
        assert_eq!(put(&kind, &number(0), reading), Ok(None));
    }
    assert_eq!(stored_if_unset(&kind), [0, 0, 0, 1, 0]);
    assert_eq!(shown(&kind, &[1]), [7 << 3, 1]);
    assert!(shown(&kind, &[0]).is_empty());
    assert_eq!(kind.literal(&[1]).as_deref(), Some("true"));
    assert_eq!(kind.literal(&[2]), None);
}

#[test]
fn a_double_keeps_its_bits() {
    let kind = double();
    for number in [1.5, -0.1, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        let value = put(&kind, &Slot::Number(number.to_bits()), Reading::ALL).expect("a number").expect("not null");
        assert_eq!(value, number.to_be_bytes());
        assert_eq!(shown(&kind, &value), [&[7 << 3 | 1][..], &number.to_le_bytes()].concat());
        let literal = kind.literal(&value).expect("a literal");
        let digits = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix("'::double precision"));
        assert_eq!(digits.and_then(|digits| digits.parse().ok()), Some(number), "{literal}");
    }
    for zero in [0.0_f64, -0.0] {
        let zero = number(zero.to_bits());
        assert_eq!(put(&kind, &zero, Reading::ALL), Ok(Some(vec![0; 8])));
        assert_eq!(put(&kind, &zero, KEPT), Ok(None));
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = put(&kind, &Slot::Number(number.to_bits()), Reading::ALL);
        assert_eq!(refused, Err("f must be a finite number".to_owned()));
    }
    // Other programs may have stored what is refused here.
    assert_eq!(shown(&kind, &f64::INFINITY.to_be_bytes())[1..], f64::INFINITY.to_le_bytes());
    assert_eq!(kind.literal(&f64::NAN.to_be_bytes()).as_deref(), Some("'NaN'::double precision"));
    assert_eq!(kind.literal(&f64::NEG_INFINITY.to_be_bytes()).as_deref(), Some("'-Infinity'::double precision"));
    assert_eq!(stored_if_unset(&kind), [&[0, 0, 0, 8][..], &[0; 8]].concat());
}

const SIDES: EnumNames = &[(1, "left"), (4, "right"), (-2, "behind")];

#[test]
fn an_enum_is_the_text_of_its_value() {
    let kind = enumeration(SIDES);
    let sent = |value: i32| number(i64::from(value).cast_unsigned());
    for (value, text) in SIDES {
        assert_eq!(put(&kind, &sent(*value), Reading::ALL), Ok(Some(text.as_bytes().to_vec())));
        let mut field = Vec::new();
        put_number(&mut field, 7, i64::from(*value).cast_unsigned());
        assert_eq!(shown(&kind, text.as_bytes()), field);
    }
    assert_eq!(put(&kind, &sent(0), Reading::ALL), Err("f is required".to_owned()));
    assert_eq!(put(&kind, &sent(0), KEPT), Ok(None));
    assert_eq!(put(&kind.optional(), &sent(0), Reading::ALL), Ok(None));
    let refused = "f is 3; it must be one of 1 (left), 4 (right), -2 (behind)".to_owned();
    assert_eq!(put(&kind, &sent(3), Reading::ALL), Err(refused.clone()));
    assert_eq!(put(&kind.optional(), &sent(3), KEPT), Err(refused));
    // What another program stored and the contract does not know is unset.
    assert!(shown(&kind, b"above").is_empty());
    assert_eq!(kind.literal(b"le'ft").as_deref(), Some("'le''ft'"));
}

/// A field of an enum, and the enum with these values.
fn enum_field(values: &[i32]) -> (FileDescriptorSet, DescriptorProto, FieldDescriptorProto) {
    let value = |number: &i32| EnumValueDescriptorProto { number: Some(*number), ..Default::default() };
    let sides = EnumDescriptorProto {
        name: Some("Side".to_owned()),
        value: values.iter().map(value).collect(),
        ..Default::default()
    };
    let file =
        FileDescriptorProto { package: Some("test.v1".to_owned()), enum_type: vec![sides], ..Default::default() };
    let field = FieldDescriptorProto {
        r#type: Some(Type::Enum.into()),
        type_name: Some(".test.v1.Side".to_owned()),
        ..Default::default()
    };
    let message = DescriptorProto { name: Some("Door".to_owned()), ..Default::default() };
    (FileDescriptorSet { file: vec![file] }, message, field)
}

#[test]
fn the_names_of_an_enum_are_those_of_all_its_values() {
    let fits = |values: &[i32], names: EnumNames| {
        let (contract, message, field) = enum_field(values);
        enumeration(names).fits(&ContractField { field: &field, message: &message, contract: &contract })
    };
    assert!(fits(&[0, 1, 4, -2], SIDES));
    assert!(!fits(&[0, 1, 4], SIDES), "one name too many");
    assert!(!fits(&[0, 1, 4, -2, 5], SIDES), "one name missing");
    assert!(!fits(&[0, 1, 2], &[(1, "left"), (2, "left")]), "two values with one text");
    assert!(!fits(&[0, 1], &[(1, "")]), "a text that is empty");
}

#[test]
fn an_enum_inside_the_message_is_found_too() {
    let (contract, message, mut field) = enum_field(&[0, 1]);
    let inside = contract.file[0].enum_type.clone();
    let message = DescriptorProto { enum_type: inside, ..message };
    field.type_name = Some(".test.v1.Door.Side".to_owned());
    let contract = FileDescriptorSet::default();
    let field = ContractField { field: &field, message: &message, contract: &contract };
    assert!(enumeration(&[(1, "left")]).fits(&field));
}

#[test]
fn every_kind_fits_its_own_type_and_no_list_of_it() {
    let kinds: [(&dyn ColumnKind, Type); 9] = [
        (&text(9), Type::String),
        (&hash(64), Type::String),
        (&decimal(9, 2), Type::String),
        (&etag(), Type::String),
        (&boolean(), Type::Bool),
        (&double(), Type::Double),
        (&integer(0, 9), Type::Int32),
        (&big_integer(0, 9), Type::Int64),
        (&revision(), Type::Int32),
    ];
    let (contract, message) = (FileDescriptorSet::default(), DescriptorProto::default());
    let all = [Type::String, Type::Bool, Type::Double, Type::Int32, Type::Int64, Type::Uint32, Type::Bytes];
    for (kind, own) in kinds {
        for of in all {
            for label in [Label::Optional, Label::Repeated] {
                let field =
                    FieldDescriptorProto { r#type: Some(of.into()), label: Some(label.into()), ..Default::default() };
                let fits = kind.fits(&ContractField { field: &field, message: &message, contract: &contract });
                assert_eq!(fits, of == own && label == Label::Optional, "{kind:?} {of:?} {label:?}");
            }
        }
    }
}

#[test]
fn a_hash_has_its_digits_and_no_others() {
    let kind = hash(8);
    assert_eq!(put(&kind, &bytes(b"0123abcf"), Reading::ALL), Ok(Some(b"0123abcf".to_vec())));
    for wrong in ["0123abc", "0123abcff", "0123ABCF", "0123abcg", "0123abc\u{e9}"] {
        let refused = put(&kind, &bytes(wrong.as_bytes()), Reading::ALL);
        assert_eq!(refused, Err("f must be 8 of 0-9 and a-f".to_owned()), "{wrong}");
    }
    assert_eq!(put(&kind, &bytes(b""), Reading::ALL), Err("f is required".to_owned()));
    assert_eq!(put(&kind, &bytes(b""), KEPT), Ok(None));
    assert_eq!(put(&kind.optional(), &Slot::Unset, Reading::ALL), Ok(None));
}

#[test]
fn a_slice_has_formats_of_its_own() {
    fn even(text: &str) -> Result<(), String> {
        if text.len().is_multiple_of(2) { Ok(()) } else { Err("must be even".to_owned()) }
    }
    let kind = text_checked(6, even);
    assert_eq!(put(&kind, &bytes(b"abcd"), Reading::ALL), Ok(Some(b"abcd".to_vec())));
    assert_eq!(put(&kind, &bytes(b"abc"), Reading::ALL), Err("f must be even".to_owned()));
    let long = "f is 8 bytes long; at most 6 are allowed".to_owned();
    assert_eq!(put(&kind, &bytes(b"abcdefgh"), Reading::ALL), Err(long));
    assert_eq!(put(&kind, &bytes(b"a\0"), Reading::ALL).map_err(|why| why.contains("NUL")), Err(true));
    assert_eq!(put(&kind, &bytes(b"\xff\xff"), Reading::ALL), Err("f must be valid UTF-8".to_owned()));
    assert_eq!(put(&kind, &bytes(b""), Reading::ALL), Err("f is required".to_owned()));
    assert_eq!(put(&kind.optional(), &bytes(b""), Reading::ALL), Ok(None));
}

#[test]
fn an_unset_number_is_zero_unless_it_must_not_be() {
    let zero = [0, 0, 0, 4, 0, 0, 0, 0];
    assert_eq!(stored_if_unset(&integer(-1, 1)), zero);
    assert_eq!(put(&integer(-1, 1), &Slot::Unset, Reading::ALL), Ok(Some(vec![0; 4])));
    assert_eq!(put(&integer(-1, 1), &Slot::Unset, KEPT), Ok(None));
    assert_eq!(put(&integer(-1, 1), &Slot::Unset, NEW), Ok(None));
    for reading in [Reading::ALL, NEW] {
        assert_eq!(put(&integer(1, 9), &Slot::Unset, reading), Err("f must be 1 to 9".to_owned()));
    }
    assert_eq!(put(&integer(1, 9), &Slot::Unset, KEPT), Ok(None));
    // So that the database refuses a row that is new after all.
    assert_eq!(stored_if_unset(&integer(1, 9)), NULL.to_be_bytes());
    for kind in [integer(0, 9).optional(), integer(0, 9).completed()] {
        assert_eq!(put(&kind, &Slot::Unset, Reading::ALL), Ok(None));
        assert_eq!(stored_if_unset(&kind), NULL.to_be_bytes());
    }
    assert_eq!(put(&integer(0, 9), &number(u64::MAX), Reading::ALL), Err("f must be 0 to 9".to_owned()));
    let big = put(&big_integer(i64::MIN, i64::MAX), &number(u64::MAX), Reading::ALL);
    assert_eq!(big, Ok(Some((-1_i64).to_be_bytes().to_vec())));
    // Zero of what a caller left out is no change of a stored amount.
    assert_eq!(put(&decimal(9, 2).or_zero(), &Slot::Unset, Reading::ALL), Ok(Some(b"0".to_vec())));
    assert_eq!(put(&decimal(9, 2).or_zero(), &Slot::Unset, NEW), Ok(None));
    assert_eq!(put(&decimal(9, 2).or_kept(), &Slot::Unset, Reading::ALL), Ok(None));
    assert_eq!(put(&decimal(9, 2), &Slot::Unset, KEPT), Err("f is required".to_owned()));
    assert_eq!(stored_if_unset(&decimal(9, 2).optional()), NULL.to_be_bytes());
}

fn value(kind: Value) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

fn structure(entries: &[(&str, Value)]) -> Vec<u8> {
    let fields = entries.iter().map(|(key, kind)| ((*key).to_owned(), value(kind.clone())));
    Struct { fields: fields.collect() }.encode_to_vec()
}

fn nested(levels: usize) -> Value {
    let list = |inner| Value::ListValue(prost_types::ListValue { values: vec![value(inner)] });
    (0..levels).fold(Value::BoolValue(true), |inner, _| list(inner))
}

#[test]
fn a_document_is_any_object() {
    let kind = document(1_000);
    let entries = [("a b", Value::NumberValue(1.5)), ("", Value::NullValue(0)), ("o", nested(2))];
    let json = br#"{"": null, "a b": 1.5, "o": [[true]]}"#;
    let stored = put(&kind, &bytes(&structure(&entries)), Reading::ALL).expect("an object").expect("not null");
    assert_eq!(stored, [b"\x01", &json[..]].concat());
    let shown_again = shown(&kind, &stored);
    // Behind the field's key and a length of one byte. The keys may stand in another order.
    assert_eq!(Struct::decode(&shown_again[2..]), Struct::decode(&structure(&entries)[..]));
    // Set and empty is another thing than unset.
    assert_eq!(put(&kind, &bytes(b""), Reading::ALL), Ok(Some(b"\x01{}".to_vec())));
    assert_eq!(put(&kind, &Slot::Unset, Reading::ALL), Ok(None));
    assert_eq!(shown(&kind, b"\x01{}"), [7 << 3 | 2, 0]);
    assert_eq!(shown(&kind, b"\x01[1]"), [7 << 3 | 2, 0]);
    assert_eq!(stored_if_unset(&kind), b"\0\0\0\x03\x01{}");
}

#[test]
fn a_document_that_cannot_be_stored_is_refused_where_it_is_wrong() {
    let refused = |entries: &[(&str, Value)], kind: Document| {
        let refused = put(&kind, &bytes(&structure(entries)), Reading::ALL);
        refused.expect_err("it cannot be stored")
    };
    assert!(refused(&[("k", Value::NumberValue(f64::NAN))], document(99)).starts_with("f must not hold NaN"));
    assert!(refused(&[("k", Value::StringValue("\0".to_owned()))], document(99)).starts_with("f must not hold NUL"));
    assert!(refused(&[("k", nested(60))], document(999)).starts_with("f.k"));
    let long = refused(&[("k", Value::StringValue("x".repeat(99)))], document(99));
    assert_eq!(long, "f holds more than 99 bytes");
    assert!(put(&document(99), &bytes(b"\x0a\x05"), Reading::ALL).is_err(), "bytes that are no Struct");
    let printed = vec![value(Value::NumberValue(5e-324)); 2_000];
    let list = Value::ListValue(prost_types::ListValue { values: printed });
    assert!(refused(&[("k", list)], document(1 << 20)).contains("bytes as the JSON that Postgres prints"));
}

/// A thing of every new kind.
fn resource() -> Resource {
    static DESCRIPTION: Description = Description::new("test.v1.Thing", "test.thing");
    static KINDS: &[(&str, &dyn ColumnKind)] = &[
        ("uid", &uid(UidKind { prefix: "thg_" })),
        ("active", &boolean()),
        ("ratio", &double()),
        ("side", &enumeration(SIDES)),
        ("body", &document(1_000)),
        ("digest", &hash(4)),
        ("etag", &etag()),
    ];
    let mut fields: Vec<Field> =
        (1..).zip(KINDS).map(|(number, (name, kind))| Field::new(name, number, *kind)).collect();
    fields[0].key = true;
    Resource { description: &DESCRIPTION, fields, child_tables: Vec::new(), plural: "things", rules: no_rules() }
}

fn message() -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(&mut message, 1, b"thg_1");
    put_number(&mut message, 2, 1);
    put_fixed64(&mut message, 3, 0.25_f64.to_bits());
    put_number(&mut message, 4, 4);
    put_bytes(&mut message, 5, &structure(&[("a", Value::StringValue("x".to_owned()))]));
    put_bytes(&mut message, 6, b"00ff");
    message
}

fn decode(message: &[u8], update: Option<&UpdateMask>) -> Result<Vec<u8>, Vec<Violation>> {
    let mut tuple = Vec::new();
    resource().decode(message, KeyPolicy::New, update, &mut tuple).map(|_| tuple)
}

#[test]
fn a_message_of_every_new_kind_comes_back() {
    let resource = resource();
    let tuple = decode(&message(), None).expect("a thing");
    let everything = MaskPath::all(&resource).into_iter().filter(|path| path.field < 6).collect::<Vec<_>>();
    let mut out = Vec::new();
    Selection::new(&resource, &everything).put_message(&tuple, &mut out);
    assert_eq!(out, message());
}

#[test]
fn values_of_another_wire_type_are_no_message() {
    let refused = |bytes: &[u8]| decode(bytes, None).is_err_and(|violations| violations[0].field.is_empty());
    let mut text_for_bool = Vec::new();
    put_bytes(&mut text_for_bool, 2, b"1");
    let mut number_for_double = Vec::new();
    put_number(&mut number_for_double, 3, 1);
    let mut double_for_enum = Vec::new();
    put_fixed64(&mut double_for_enum, 4, 1);
    let mut number_for_document = Vec::new();
    put_number(&mut number_for_document, 5, 1);
    for bytes in [text_for_bool, number_for_double, double_for_enum, number_for_document] {
        assert!(refused(&bytes), "{bytes:?}");
    }
}

#[test]
fn a_document_in_pieces_is_the_pieces_joined() {
    let mut in_pieces = message();
    put_bytes(&mut in_pieces, 5, &structure(&[("b", Value::BoolValue(false))]));
    let tuple = decode(&in_pieces, None).expect("a thing");
    assert!(tuple.windows(22).any(|window| window == br#"{"a": "x", "b": false}"#), "{}", tuple.escape_ascii());
}

#[test]
fn masks_reach_the_keys_of_a_document() {
    let resource = resource();
    let mask = |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(|&path| path.into()).collect() });
    let update = update_mask(&resource, mask(&["body.a", "body.x/*"]).as_ref(), "mask").expect("a mask");
    let mut sent = Vec::new();
    put_bytes(&mut sent, 1, b"thg_1");
    let entries = [("a", Value::BoolValue(true)), ("b", Value::BoolValue(true)), ("x/y", Value::NullValue(0))];
    put_bytes(&mut sent, 5, &structure(&entries));
    let tuple = decode(&sent, Some(&update)).expect("a thing");
    assert!(tuple.windows(24).any(|window| window == br#"{"a": true, "x/y": null}"#), "{}", tuple.escape_ascii());
    let read = read_mask(&resource, mask(&["body.a.b"]).as_ref(), "mask").expect("a mask");
    let select = Selection::new(&resource, &read).sql;
    assert!(select.contains("e.key in ('a.b')"), "{select}");
    for path in ["active.x", "ratio.x", "side.x", "digest.x", "uid.x", "etag.x", "body.", "body.**", "body.x\0"] {
        let refused = read_mask(&resource, mask(&[path]).as_ref(), "mask").expect_err(path);
        assert_eq!(refused.field, "mask");
    }
}

#[test]
fn a_key_that_is_an_enum_is_stored_as_its_text() {
    let kind = enumeration(SIDES);
    let mut tuple = Vec::new();
    kind.put_stored_key("f", &number(4), &mut tuple).expect("a value");
    assert_eq!(tuple[4..], *b"right");
    assert!(kind.put_stored_key("f", &number(3), &mut tuple).is_err());
    assert!(kind.put_stored_key("f", &Slot::Unset, &mut tuple).is_err());
    assert_eq!(kind.check_new_key("right"), Ok(()));
}

#[test]
fn rows_are_ordered_by_what_is_never_null() {
    static KINDS: &[(&dyn ColumnKind, bool)] = &[
        (&text_not_null(9), true),
        (&text(9), false),
        (&integer(0, 9), true),
        (&integer(0, 9).optional(), false),
        (&decimal(9, 2), true),
        (&double(), true),
        (&boolean(), true),
        (&enumeration(SIDES), true),
        (&created_at(), true),
        (&timestamp(), false),
        (&labels(), false),
        (&document(9), false),
        (&status("new"), false),
        (&etag(), false),
    ];
    for (kind, expected) in KINDS {
        assert_eq!(Field::new("f", 1, *kind).is_orderable(), *expected, "{kind:?}");
    }
    let mut numeric = Vec::new();
    crate::decimal::Decimal::put_numeric("-12345.670", &mut numeric);
    assert_eq!(decimal(9, 3).literal(&numeric).as_deref(), Some("'-12345.670'::numeric"));
    assert_eq!(decimal(9, 3).literal(b"12"), None);
    assert_eq!(text(9).literal(b"\xff"), None);
    assert_eq!(labels().literal(b"\x01{}"), None);
}
