//! Payloads against bytes; the same against a database is told by the end-to-end tests.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};

use super::*;
use crate::resource::decode::KeyPolicy;
use crate::resource::kind::{
    Free, IntegerKind, OneOf, TextKind, UnsetPhase, big_integer, boolean, created_at, decimal, document, double,
    enumeration, hash, integer, one_of, revision, status, text, text_list, timestamp, uid,
};
use crate::resource::mask::{KeySet, MaskPath, UpdateMask, read_mask, update_mask};
use crate::resource::rules::no_rules;
use crate::resource::select::Selection;
use crate::resource::wire::{FieldReader, Value as WireValue, put_bytes, put_fixed64, put_number};
use crate::resource::{Description, Field, Resource, check_discriminator};
use crate::uid::UidKind;

mod assignments;
mod computed;
mod random;

const CIRCLE: Member = Member {
    field: "circle",
    fields: &[
        ("name", &text(64)),
        ("digest", &hash(4)),
        ("sides", &integer(-9, 9)),
        ("points", &big_integer(i64::MIN, i64::MAX)),
        ("radius", &decimal(40, 20).optional()),
        ("filled", &boolean()),
        ("ratio", &double()),
        ("drawn_ts", &timestamp()),
        ("tags", &text_list(9, 99)),
        ("extra", &document(4_096)),
        ("side", &enumeration(&[(1, "left"), (4, "right")]).optional()),
    ],
};
const SQUARE: Member = Member { field: "square", fields: &[("width", &integer(1, 9)), ("name", &text(8))] };
const POINT: Member = Member { field: "point", fields: &[] };
const SHAPE: Payload = Payload { oneof: "shape", discriminator: "kind", members: &[CIRCLE, SQUARE, POINT] };

fn member(member: &'static Member, number: u32) -> MemberFields {
    let field = |(number, (name, kind)): (u32, &(&'static str, &'static dyn ColumnKind))| {
        let path = String::leak(format!("{}.{name}", member.field));
        InnerField::new(path, Field::new(name, number, *kind)).expect("a field of a payload")
    };
    let mut fields: Vec<InnerField> = (1..).zip(member.fields).map(field).collect();
    fields.sort_by_key(|inner| (inner.name().len(), inner.name()));
    MemberFields { name: member.field, number, fields }
}

fn members() -> Members {
    static ALL: [Member; 3] = [CIRCLE, SQUARE, POINT];
    Members { oneof: "shape", members: (20..).zip(&ALL).map(|(number, of)| member(of, number)).collect() }
}

fn resource() -> Resource {
    static DESCRIPTION: Description = Description::new("test.v1.Thing", "test.thing");
    static TEXT: TextKind<Free> = text(9);
    static SHAPE_KIND: Payload = SHAPE;
    let mut fields = vec![
        Field::new("uid", 1, &TEXT),
        Field::new("kind", 2, &TEXT),
        Field::of_payload("body", &SHAPE_KIND, members()),
    ];
    fields[0].key = true;
    Resource { description: &DESCRIPTION, fields, child_tables: Vec::new(), plural: "things", rules: no_rules() }
}

/// The JSON in a message's tuple, or the field and description of each violation.
fn decoded(shapes: &[(u32, &[u8])], update: Option<&UpdateMask>) -> Result<Option<String>, Vec<String>> {
    let (mut message, mut tuple) = (Vec::new(), Vec::new());
    put_bytes(&mut message, 1, b"a");
    for (number, shape) in shapes {
        put_bytes(&mut message, *number, shape);
    }
    let told = |violations: Vec<Violation>| {
        violations
            .into_iter()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .collect::<Vec<_>>()
    };
    resource().decode(&message, KeyPolicy::New, update, &mut tuple).map_err(told)?;
    let value = crate::resource::tuple::Columns::new(&tuple).nth(2).flatten();
    Ok(value.map(|value| String::from_utf8(value[1..].to_vec()).expect("JSON is UTF-8")))
}

/// The message of a selected value.
fn shown(json: &str) -> Vec<u8> {
    let members: &'static Members = Box::leak(Box::new(members()));
    let mut out = Vec::new();
    SHAPE.output()(
        &mut out,
        OutputField { number: 20, names: &[], members: Some(members) },
        &[b"\x01", json.as_bytes()].concat(),
    );
    out
}

/// The fields of an encoded message, in the order of their numbers.
fn sorted(message: &[u8]) -> Vec<(u32, String)> {
    let (mut fields, mut reader) = (Vec::new(), FieldReader::new(message));
    while let Some((number, value)) = reader.next().expect("a message") {
        fields.push((number, format!("{value:?}")));
    }
    fields.sort_by_key(|(number, _)| *number);
    fields
}

/// The fields of the member with this number, if the message has it and nothing else.
fn inner(member: u32, message: &[u8]) -> Option<Vec<(u32, String)>> {
    let mut reader = FieldReader::new(message);
    match (reader.next(), reader.next()) {
        (Ok(Some((number, WireValue::Bytes(inner)))), Ok(None)) if number == member => Some(sorted(inner)),
        _ => None,
    }
}

fn attributes(entries: &[(&str, Kind)]) -> Vec<u8> {
    let value = |kind: &Kind| Value { kind: Some(kind.clone()) };
    Struct { fields: entries.iter().map(|(key, kind)| ((*key).to_owned(), value(kind))).collect() }.encode_to_vec()
}

/// A circle with every field.
fn circle() -> Vec<u8> {
    let mut circle = Vec::new();
    put_bytes(&mut circle, 1, "a \"round\" one".as_bytes());
    put_bytes(&mut circle, 2, b"00ff");
    put_number(&mut circle, 3, (-3_i64).cast_unsigned());
    put_number(&mut circle, 4, 1 << 60);
    put_bytes(&mut circle, 5, b"123456789012345678901234567890.10");
    put_number(&mut circle, 6, 1);
    put_fixed64(&mut circle, 7, 0.1_f64.to_bits());
    // 1 s and 5,000 ns.
    put_bytes(&mut circle, 8, &[8, 1, 16, 0x88, 0x27]);
    put_bytes(&mut circle, 9, b"x");
    put_bytes(&mut circle, 9, b"");
    put_bytes(&mut circle, 10, &attributes(&[("a", Kind::BoolValue(true))]));
    put_number(&mut circle, 11, 4);
    circle
}

/// As jsonb prints it: the keys sorted by their lengths.
const CIRCLE_JSON: &str = concat!(
    r#"{"circle": {"name": "a \"round\" one", "side": "right", "tags": ["x", ""], "extra": {"a": true}, "#,
    r#""ratio": 0.1, "sides": -3, "digest": "00ff", "filled": true, "points": 1152921504606846976, "#,
    r#""radius": 123456789012345678901234567890.10, "drawn_ts": "1970-01-01T00:00:01.000005Z"}}"#
);

#[test]
fn a_member_is_an_object_under_its_name_and_comes_back() {
    assert_eq!(decoded(&[(20, &circle())], None), Ok(Some(CIRCLE_JSON.to_owned())));
    assert_eq!(inner(20, &shown(CIRCLE_JSON)), Some(sorted(&circle())));
}

#[test]
fn a_member_that_is_empty_is_another_thing_than_none() {
    assert_eq!(decoded(&[], None), Ok(None));
    assert_eq!(decoded(&[(22, b"")], None), Ok(Some(r#"{"point": {}}"#.to_owned())));
    let mut point = Vec::new();
    put_bytes(&mut point, 22, b"");
    assert_eq!(shown(r#"{"point": {}}"#), point);
    for json in [r#"{"point": 7}"#, r#"{"point": "x"}"#, r#"{"point": [1, {"a": 2}]}"#, r#"{"point": {"width": 1}}"#] {
        assert_eq!(shown(json), point, "{json}");
    }
    for json in [r#"{"": {}}"#, r#"{"sphere": {"name": "x"}}"#, "{}", "[]", "null", "\"circle\"", ""] {
        assert_eq!(shown(json), b"", "{json}");
    }
}

#[test]
fn of_several_members_the_last_one_counts_and_pieces_of_one_are_joined() {
    let (mut width, mut name) = (Vec::new(), Vec::new());
    put_number(&mut width, 1, 5);
    put_bytes(&mut name, 2, b"x");
    let square = |fields: &str| Ok(Some(format!("{{\"square\": {{{fields}}}}}")));
    assert_eq!(decoded(&[(21, &width), (21, &name)], None), square(r#""name": "x", "width": 5"#));
    assert_eq!(decoded(&[(20, &circle()), (21, &width)], None), square(r#""width": 5"#));
    assert_eq!(decoded(&[(21, &name), (20, &circle()), (21, &width)], None), square(r#""width": 5"#));
    assert_eq!(decoded(&[(21, &width), (22, b"")], None), Ok(Some(r#"{"point": {}}"#.to_owned())));
}

#[test]
fn what_breaks_a_rule_is_named_by_its_path() {
    let mut circle = Vec::new();
    put_bytes(&mut circle, 2, b"xyz");
    put_number(&mut circle, 3, 10);
    put_bytes(&mut circle, 5, b"1e3");
    put_bytes(&mut circle, 9, b"a");
    put_bytes(&mut circle, 9, b"\0");
    put_bytes(&mut circle, 10, &attributes(&[("k", Kind::NumberValue(f64::NAN))]));
    let violations = decoded(&[(20, &circle)], None).expect_err("it breaks rules");
    let paths: Vec<&str> = violations.iter().filter_map(|violation| violation.split(' ').next()).collect();
    assert_eq!(paths, ["circle.tags[1]", "circle.extra", "circle.sides", "circle.digest", "circle.radius"]);
    let refused = |shape: (u32, &[u8])| decoded(&[shape], None).expect_err("it breaks a rule");
    assert_eq!(refused((20, b"")), ["circle.digest is required"]);
    assert_eq!(refused((21, b"")), ["square.width must be 1 to 9"]);
    assert_eq!(refused((21, b"\x0a")), ["square is no message of its type"]);
    assert_eq!(refused((21, b"\x0a\x01x")), ["square is no message of its type"], "a text for a number");
    let mut extra = Vec::new();
    put_bytes(&mut extra, 2, b"00ff");
    let controls = Kind::StringValue("\u{1}".repeat(4_000));
    put_bytes(&mut extra, 10, &attributes(&[("k", controls)]));
    assert!(decoded(&[(20, &extra)], None).is_ok());
}

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }
}

fn update(paths: &[&str]) -> UpdateMask {
    update_mask(&resource(), Some(&mask(paths)), "mask").expect("a mask")
}

#[test]
fn only_the_fields_that_a_mask_names_are_decoded() {
    let mut circle = Vec::new();
    put_bytes(&mut circle, 1, b"x");
    put_number(&mut circle, 3, 100);
    let name = Ok(Some(r#"{"circle": {"name": "x"}}"#.to_owned()));
    assert_eq!(decoded(&[(20, &circle)], Some(&update(&["circle.name"]))), name);
    let whole = decoded(&[(20, &circle)], Some(&update(&["circle.name", "circle"])));
    assert_eq!(whole.expect_err("it is decoded").len(), 2);
    // Of a member that the mask does not name, it is known that it was sent.
    let named = Ok(Some(r#"{"circle": {}}"#.to_owned()));
    assert_eq!(decoded(&[(20, &circle)], Some(&update(&["square"]))), named);
    assert_eq!(decoded(&[(20, &circle)], Some(&update(&["kind"]))), Ok(None));
    // What is required is not removed, unless the member itself is.
    let required = decoded(&[], Some(&update(&["circle.digest"]))).expect_err("it is required");
    assert_eq!(required, ["circle.digest is required"]);
    assert_eq!(decoded(&[], Some(&update(&["circle.digest"]).keeping_unset())), Ok(None));
    for path in ["circle", "circle.name", "*"] {
        assert_eq!(decoded(&[], Some(&update(&[path]))), Ok(None), "{path}");
    }
    // Without a mask an existing row keeps what is left out.
    let mut square = Vec::new();
    put_bytes(&mut square, 2, b"x");
    let kept = decoded(&[(21, &square)], Some(&UpdateMask::Populated));
    assert_eq!(kept, Ok(Some(r#"{"square": {"name": "x"}}"#.to_owned())));
}

#[test]
fn masks_name_members_and_their_fields() {
    let resource = resource();
    let refused = |path: &str| read_mask(&resource, Some(&mask(&[path])), "mask").expect_err(path).description;
    let fields = "names no field of square; there are name, width";
    for (path, why) in [
        ("body", "names no field; there are uid, kind, circle, square, point"),
        ("shape", "names no field; there are uid, kind, circle, square, point"),
        ("body.circle", "names no field; there are uid, kind, circle, square, point"),
        ("square.", fields),
        ("square.height", fields),
        ("square.name.x", fields),
        ("square.*", fields),
        ("point.name", "names no field of point; there are "),
    ] {
        assert_eq!(refused(path), format!("path {path:?} {why}"));
    }
    let paths = ["square.width", "circle", "circle.name", "square.name"];
    let read = read_mask(&resource, Some(&mask(&paths)), "mask").expect("a mask");
    let names = ["square.width", "circle", "circle.name", "square.name"].map(str::to_owned).to_vec();
    assert_eq!(read, [MaskPath { field: 2, reach: Reach::Keys(KeySet { names, beginnings: Vec::new() }) }]);
    let every = update(&["*"]);
    let every = every.paths().expect("paths").iter().find(|path| path.field == 2).map(|path| path.reach.clone());
    assert_eq!(every, Some(Reach::Keys(SHAPE.every_member())));
    assert!(Selection::new(&resource, &MaskPath::all(&resource)).is_whole());
}

#[test]
fn a_stored_value_that_does_not_fit_its_field_is_unset() {
    let unset = shown(r#"{"circle": {}}"#);
    for (field, values) in [
        ("name", &["1", "true", "null", "[]", "{}"][..]),
        ("sides", &["\"1\"", "1.5", "2147483648", "-2147483649", "1e1", "true", "[1]", "null"]),
        ("points", &["\"1\"", "0.1", "9223372036854775808", "{}"]),
        ("radius", &["\"1.50\"", "1e3", "true", "[]", "null"]),
        ("filled", &["\"true\"", "1", "null"]),
        ("ratio", &["\"0.1\"", "true", "null", "[0.1]"]),
        ("drawn_ts", &["1", "\"yesterday\"", "\"2026-01-01\"", "\"0000-01-01T00:00:00Z\"", "null"]),
        ("tags", &["\"x\"", "1", "{}", "null", "{\"a\": 1}"]),
        ("extra", &["\"x\"", "1", "[]", "null", "[{}]"]),
        ("side", &["1", "\"above\"", "null"]),
        ("colour", &["\"red\""]),
    ] {
        for value in values {
            assert_eq!(shown(&format!(r#"{{"circle": {{"{field}": {value}}}}}"#)), unset, "{field} {value}");
        }
    }
    // jsonb takes these for equal to what is written here.
    for (stored, same) in [("5.00", "5"), ("-3.0", "-3")] {
        let sides = |number: &str| shown(&format!(r#"{{"circle": {{"sides": {number}}}}}"#));
        assert_eq!(sides(stored), sides(same));
    }
    let large = "1".repeat(400);
    assert_eq!(shown(&format!(r#"{{"circle": {{"ratio": {large}}}}}"#)), unset);
    let drawn = |text: &str| shown(&format!(r#"{{"circle": {{"drawn_ts": "{text}"}}}}"#));
    assert_eq!(drawn("2026-01-01T01:00:00+01:00"), drawn("2026-01-01T00:00:00.000000Z"));
}

#[test]
fn kinds_with_a_meaning_for_the_whole_row_are_no_fields_of_a_payload() {
    fn leaked(kind: impl ColumnKind + 'static) -> &'static dyn ColumnKind {
        Box::leak(Box::new(kind))
    }
    let kinds = [
        leaked(uid(UidKind { prefix: "thg_" })),
        leaked(created_at()),
        leaked(status("new")),
        leaked(revision()),
        leaked(SHAPE),
    ];
    for kind in kinds {
        let refused = InnerField::new("circle.f", Field::new("f", 1, kind)).expect_err("it has a meaning");
        assert!(refused.starts_with("field circle.f: a payload has no fields of the kind "), "{refused}");
    }
}

#[test]
fn the_discriminator_takes_the_name_of_every_member() {
    fn check(beside: Field) -> Result<(), String> {
        let mut fields = resource().fields;
        fields[1] = beside;
        check_discriminator(&fields[2], &fields)
    }
    static ALL: TextKind<OneOf> = one_of(&["circle", "square", "point", "sphere"]);
    static FEWER: TextKind<OneOf> = one_of(&["circle", "square"]);
    static NUMBER: IntegerKind = integer(0, 9);
    assert_eq!(check(Field::new("kind", 2, &ALL)), Ok(()));
    let why = "kind does not take point: must be one of circle, square";
    assert_eq!(check(Field::new("kind", 2, &FEWER)), Err(why.to_owned()));
    for field in [Field::new("kind", 2, &NUMBER), Field::new("kinds", 2, &ALL)] {
        assert_eq!(check(field), Err("the discriminator kind is no text column".to_owned()));
    }
}

#[test]
fn a_new_row_stores_the_object_alone() {
    let stored = |value: Option<&str>| {
        let (mut row, value) = (Vec::new(), value.map(|json| [b"\x01", json.as_bytes()].concat()));
        SHAPE.put_new(value.as_deref(), 0, &mut row);
        assert_eq!(row.len(), 4 + u32::from_be_bytes(row[..4].try_into().expect("a length")) as usize);
        assert_eq!(row[4], JSONB_VERSION);
        String::from_utf8(row[5..].to_vec()).expect("JSON is UTF-8")
    };
    assert_eq!(stored(None), "{}");
    assert_eq!(stored(Some(r#"{"point": {}}"#)), "{}");
    assert_eq!(stored(Some(r#"{"square": {"width": 5}}"#)), r#"{"width": 5}"#);
    let mut selected = Vec::new();
    SHAPE.put_selected(Some(b"\x01{\"point\": {}}"), 0, &mut selected);
    assert_eq!(selected[4..], *b"\x01{\"point\": {}}");
}
