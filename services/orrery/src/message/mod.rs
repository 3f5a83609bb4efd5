//! Converts messages to JSON and back by protobuf's JSON mapping, with the original field names (`create_ts`;
//! `createTs` is read as well). Supports what the contract uses: no bytes, no `Any`, no durations.

mod read;
mod write;

pub(crate) use read::from_json;
pub(crate) use write::{write_field, write_json};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const STRUCT: &str = "google.protobuf.Struct";
const LIST: &str = "google.protobuf.ListValue";
const VALUE: &str = "google.protobuf.Value";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, HashMap};

    use orrery_proto::catalog::v1::Product;
    use orrery_proto::r#type::v1::Status;
    use proptest::prelude::*;
    use prost::Message as _;
    use prost_reflect::DynamicMessage;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Timestamp, Value};

    use super::*;
    use crate::resource::PRODUCTS;

    fn to_json(product: &Product) -> String {
        let message =
            DynamicMessage::decode(PRODUCTS.descriptor().unwrap(), product.encode_to_vec().as_slice()).unwrap();
        let mut json = Vec::new();
        write_json(&message, &mut json);
        String::from_utf8(json).unwrap()
    }

    fn read(json: &str) -> Result<Product, String> {
        let value = serde_json::from_str(json).unwrap();
        let message = from_json(&PRODUCTS.descriptor().unwrap(), &value).map_err(|refusal| refusal.to_string())?;
        Ok(Product::decode(message.encode_to_vec().as_slice()).unwrap())
    }

    #[test]
    fn json_is_as_protobuf_has_it_with_sorted_keys() {
        let details = BTreeMap::from([
            ("n".to_owned(), Value { kind: Some(Kind::NumberValue(12.0)) }),
            ("f".to_owned(), Value { kind: Some(Kind::NumberValue(0.5)) }),
            ("z".to_owned(), Value { kind: Some(Kind::NullValue(0)) }),
            (
                "l".to_owned(),
                Value {
                    kind: Some(Kind::ListValue(ListValue {
                        values: vec![Value { kind: Some(Kind::BoolValue(true)) }],
                    })),
                },
            ),
        ]);
        let product = Product {
            uid: "prd_1".into(),
            name: "a \"b\" £\n".into(),
            status: Some(Status { phase: "active".into(), details: Some(Struct { fields: details }) }),
            labels: HashMap::from([("b".into(), "2".into()), ("a".into(), String::new())]),
            create_ts: Some(Timestamp { seconds: 1_300_000_000, nanos: 120_000_000 }),
            ..Product::default()
        };
        let json = concat!(
            r#"{"uid":"prd_1","name":"a \"b\" £\n","status":{"phase":"active","details":{"f":0.5,"l":[true],"n":12,"z":null}},"#,
            r#""labels":{"a":"","b":"2"},"create_ts":"2011-03-13T07:06:40.120Z"}"#
        );
        assert_eq!(to_json(&product), json);
        assert_eq!(read(json).unwrap(), product);
        assert_eq!(read(&json.replace("create_ts", "createTs")).unwrap(), product);
    }

    #[test]
    fn what_is_no_such_message_is_refused_with_its_path() {
        for (json, error) in [
            ("[]", "is not a JSON object"),
            (r#"{"colour":"red"}"#, "colour: is not a field of Product"),
            (r#"{"uid":1}"#, "uid: is not text: \"1\""),
            (r#"{"status":{"fase":"x"}}"#, "status.fase: is not a field of Status"),
            (r#"{"labels":{"a":1}}"#, "labels.a: is not text: \"1\""),
            (r#"{"labels":["a"]}"#, "labels: is not a JSON object"),
            (r#"{"create_ts":"yesterday"}"#, "create_ts: is not a time in RFC 3339 format: \"yesterday\""),
            (
                r#"{"status":{"details":{"n":[9007199254740993]}}}"#,
                "status.details.n.0: is a number that does not fit into a double; write it as \
                 text: \"9007199254740993\"",
            ),
        ] {
            assert_eq!(read(json), Err(error.to_owned()), "{json}");
        }
        assert_eq!(read(r#"{"uid":"prd_1","name":null}"#).unwrap().uid, "prd_1");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Kind::NullValue(0)),
            any::<bool>().prop_map(Kind::BoolValue),
            any::<i32>().prop_map(|n| Kind::NumberValue(f64::from(n) / 8.0)),
            any::<String>().prop_map(Kind::StringValue),
        ]
        .prop_map(|kind| Value { kind: Some(kind) });
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|values| Value { kind: Some(Kind::ListValue(ListValue { values })) }),
                prop::collection::btree_map(any::<String>(), inner, 0..3)
                    .prop_map(|fields| Value { kind: Some(Kind::StructValue(Struct { fields })) }),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_product_survives_json(
            name in any::<String>(),
            labels in prop::collection::hash_map(any::<String>(), any::<String>(), 0..4),
            details in prop::option::of(prop::collection::btree_map(any::<String>(), json_value(), 0..4)),
            // Years 1 to 9999, the range of timestamps.
            seconds in -62_135_596_800_i64..253_402_300_799,
            nanos in 0..1_000_000_000,
        ) {
            let product = Product {
                uid: "prd_1".into(),
                name,
                status: details.map(|fields| Status { phase: "active".into(), details: Some(Struct { fields }) }),
                labels,
                create_ts: Some(Timestamp { seconds, nanos }),
                ..Product::default()
            };
            prop_assert_eq!(read(&to_json(&product)).unwrap(), product);
        }
    }
}
