//! Messages decoded by Orrery and by prost, and database rows encoded as messages.

use bytes::Bytes;
use orrery_catalog::store::product::PRODUCT;
use orrery_catalog::store::product_metric::PRODUCT_METRIC;
use orrery_kit::db::array::ElementType;
use orrery_kit::resource::Resource;
use orrery_kit::resource::decode::KeyPolicy;
use orrery_kit::resource::mask::{UpdateMask, update_mask};
use orrery_kit::resource::select::Selection;
use orrery_kit::resource::tuple::Columns;
use orrery_kit::write::chunk::{Chunk, RowForm};
use orrery_orders::store::order::ORDER;
use orrery_proto::catalog::v1::{Product, ProductMetric};
use orrery_proto::orders::v1::Order;
use orrery_proto::wire::{WriteChunk, WritePayload, WriteRequest};
use prost::Message;
use prost_types::FieldMask;

use super::{error_text, told};

pub(super) fn product(bytes: &[u8]) -> String {
    decoded::<Product>(&PRODUCT, bytes)
}

pub(super) fn product_metric(bytes: &[u8]) -> String {
    decoded::<ProductMetric>(&PRODUCT_METRIC, bytes)
}

pub(super) fn order(bytes: &[u8]) -> String {
    decoded::<Order>(&ORDER, bytes)
}

fn everything(resource: &Resource) -> UpdateMask {
    update_mask(resource, Some(&FieldMask { paths: vec!["*".to_owned()] }), "mask").unwrap()
}

/// An accepted message is valid for prost too, and encoded by prost it gives the same row.
fn decoded<M: Message + Default>(resource: &Resource, bytes: &[u8]) -> String {
    let before = b"what was there".to_vec();
    let mut tuple = before.clone();
    let mut summary = String::new();
    match resource.decode(bytes, KeyPolicy::New, None, &mut tuple) {
        Ok(decoded) => {
            // A field with another wire type than the contract's is an unknown field for most parsers; prost refuses
            // it.
            if let Ok(message) = M::decode(bytes) {
                let mut again = before.clone();
                let same = resource.decode(&message.encode_to_vec(), KeyPolicy::New, None, &mut again);
                assert_eq!(same, Ok(decoded));
                assert_eq!(again, tuple, "another encoding of the same message is another row");
            }
            for (field, column) in resource.inputs().zip(Columns::new(&tuple[before.len()..])) {
                summary.push(if column.is_some() { 'x' } else { '-' });
                can_be_stored(field.element_type(), column.unwrap_or_default());
            }
        }
        Err(violations) => {
            assert_eq!(tuple, before, "a refused message leaves something behind");
            summary.push_str(&told(violations));
        }
    }
    // The fields of an update are decoded as well.
    let update = everything(resource);
    let mut updated = Vec::new();
    let outcome = resource.decode(bytes, KeyPolicy::New, Some(&update), &mut updated);
    assert!(outcome.is_ok() || updated.is_empty());
    summary
}

/// Whether Postgres accepts the value of a column: text, or a version and JSON, without zero characters.
fn can_be_stored(element: ElementType, value: &[u8]) {
    fn has_zero(json: &serde_json::Value) -> bool {
        match json {
            serde_json::Value::String(text) => text.contains('\0'),
            serde_json::Value::Array(values) => values.iter().any(has_zero),
            serde_json::Value::Object(entries) => {
                entries.iter().any(|(key, value)| key.contains('\0') || has_zero(value))
            }
            _ => false,
        }
    }
    match element {
        ElementType::Text => assert!(!std::str::from_utf8(value).unwrap().contains('\0')),
        ElementType::Json if !value.is_empty() => {
            assert_eq!(value[0], 1);
            assert!(!has_zero(&serde_json::from_slice(&value[1..]).unwrap()), "{}", value.escape_ascii());
        }
        _ => {}
    }
}

pub(super) fn write_request(bytes: &[u8]) -> String {
    let request = match WriteRequest::decode(bytes) {
        Ok(request) => request,
        Err(error) => return error_text(&error.to_string()),
    };
    assert_eq!(WriteRequest::decode(request.encode_to_vec().as_slice()).as_ref(), Ok(&request));
    let Some(WritePayload::Chunk(WriteChunk { offset, rows })) = request.payload else { return "start".to_owned() };
    let offset = offset.clamp(0, i64::MAX / 2);
    let encoded: Vec<&[u8]> = rows.iter().map(AsRef::as_ref).collect();
    let mut summary = String::new();
    for resource in [&*PRODUCT, &*PRODUCT_METRIC, &*ORDER] {
        let form = RowForm { keys: KeyPolicy::Any, update: None, replaces: false };
        let mut chunk = Chunk::decode(resource, form, offset, &encoded);
        holds_together(&chunk, &rows, offset);
        let counts = [chunk.rows.len(), chunk.refusals.count(), chunk.superseded].map(|count| count.min(9));
        summary.extend(counts.map(|count| count.to_string()));
        // Rows that another stream committed are removed.
        let half = rows.len() / 2;
        let (end, hashes) = (chunk.end_offset(), chunk.hashes.clone());
        let taken = chunk.take_before(offset + half as i64);
        assert_eq!((taken.as_slice(), chunk.hashes.as_slice()), hashes.split_at(half));
        assert_eq!(chunk.end_offset(), end);
        holds_together(&chunk, &rows[half..], offset + half as i64);
    }
    summary
}

/// Each row of a chunk is counted once, in key order.
fn holds_together(chunk: &Chunk, rows: &[Bytes], offset: i64) {
    assert_eq!((chunk.sent_rows(), chunk.first_offset), (rows.len(), offset));
    assert_eq!(chunk.rows.len() + chunk.refusals.count() + chunk.superseded, rows.len());
    assert!(chunk.rows.windows(2).all(|pair| Columns::new(chunk.key(&pair[0])).lt(Columns::new(chunk.key(&pair[1])))));
    assert!(chunk.rows.iter().all(|row| (offset..chunk.end_offset()).contains(&row.offset)));
}

/// Data of other programs: any JSON becomes a message, and what can be written back is the same.
pub(super) fn jsonb(bytes: &[u8]) -> String {
    let valid = serde_json::from_slice::<serde_json::Value>(bytes);
    let selection = Selection::whole(&PRODUCT);
    let mut tuple = Vec::new();
    let mut column = |value: &[u8]| {
        tuple.extend_from_slice(&(value.len() as i32).to_be_bytes());
        tuple.extend_from_slice(value);
    };
    let json = [b"\x01", bytes].concat();
    for value in [&b"prd_a"[..], b"name", &json, &json, &json, &[0; 8], &[0; 8]] {
        column(value);
    }
    let mut message = Vec::new();
    selection.put_message(&tuple, &mut message);
    let Ok(value) = valid else { return "no json".to_owned() };
    let product = Product::decode(message.as_slice()).expect("a stored row is no message");
    let status = product.status.clone().unwrap_or_default();
    if let serde_json::Value::Object(object) = &value {
        assert_eq!(product.labels.len(), object.len());
        let details = status.details.as_ref().map_or(0, |details| details.fields.len());
        assert!(details == object.len() || details + 1 == object.len(), "{details} of {}", object.len());
    } else {
        assert!(product.labels.is_empty() && product.annotations.is_empty());
    }
    // Data that was written back as read is the same the next time.
    let mut first = Vec::new();
    match PRODUCT.decode(&message, KeyPolicy::New, None, &mut first) {
        Ok(_) => {
            let mut second = Vec::new();
            PRODUCT.decode(&product.encode_to_vec(), KeyPolicy::New, None, &mut second).unwrap();
            assert_eq!(first, second);
            "written back".to_owned()
        }
        Err(violations) => told(violations),
    }
}
