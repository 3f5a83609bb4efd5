use prost::Message as _;

use super::*;

fn to_struct(json: &str) -> prost_types::Struct {
    let mut out = Vec::new();
    for (key, value) in entries(json.as_bytes()) {
        put_entry(&mut out, &key.text(), value);
    }
    prost_types::Struct::decode(&out[..]).expect("a Struct")
}

fn to_json(value: &prost_types::Struct) -> Result<String, StructError> {
    let mut out = Vec::new();
    let mut json = JsonText::new(&mut out);
    put_object(&mut json, &read_entries(&value.encode_to_vec())?)?;
    json.finish().expect("it is short");
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

#[test]
fn json_goes_there_and_back() {
    let json = r#"{"a": [1, 2.5, "x", null, true, {}], "b": {"c": {"d": []}}, "e": -0.001, "f": "\"\\é"}"#;
    assert_eq!(to_json(&to_struct(json)).expect("storable"), json);
}

#[test]
fn a_number_that_no_double_holds_is_given_out_as_its_digits() {
    let json = r#"{"a": 12345678901234567890, "b": 1.10, "c": 0.1000000000000000055}"#;
    assert_eq!(
        to_json(&to_struct(json)).expect("storable"),
        r#"{"a": "12345678901234567890", "b": 1.1, "c": "0.1000000000000000055"}"#
    );
}

#[test]
fn a_struct_that_is_long_as_json_is_refused_with_both_sizes() {
    let values = vec![prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(5e-324)) }; 20_000];
    let kind = Some(prost_types::value::Kind::ListValue(prost_types::ListValue { values }));
    let list = prost_types::Struct { fields: [("a".to_owned(), prost_types::Value { kind })].into() };
    let (encoded, mut out) = (list.encode_to_vec(), Vec::new());
    let mut json = JsonText::new(&mut out);
    put_object(&mut json, &read_entries(&encoded).expect("a Struct")).expect("storable");
    let why = json.finish().expect_err("it is too long");
    assert!(why.contains("6560007") && why.contains("524288"), "{why}");
    assert!(out.len() < 20_000 * 8, "{}", out.len());
}

#[test]
fn depth_is_bounded_both_ways() {
    let json = format!("{{\"a\": {}1{}}}", "[".repeat(500), "]".repeat(500));
    let shown = to_struct(&json);
    assert!(to_json(&shown).is_ok(), "what is given out can be written back");
    let mut deep = prost_types::Struct::default();
    for _ in 0..40 {
        let kind = Some(prost_types::value::Kind::StructValue(deep));
        deep = prost_types::Struct { fields: [("a".to_owned(), prost_types::Value { kind })].into() };
    }
    assert_eq!(to_json(&deep), Err(StructError::TooDeep));
}
