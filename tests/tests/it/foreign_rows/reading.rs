//! Everything that is stored can be read, and writing it back changes nothing.

use std::collections::HashMap;

use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, ListProductsRequest, Product, StreamProductsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::{RowErrorPolicy, Status, WriteStart};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio_stream::StreamExt as _;

use super::{NO_OBJECTS, ODD_KEYS, catalog, get, insert, is_unsendable, mask, stored, update, write_with};
use crate::harness::{CatalogServer, Role, TestDatabase, run, timestamp};
use crate::writes::stream::violated;

#[tokio::test]
async fn whatever_is_stored_can_be_read() {
    let (_database, mut operator, server, mut uids) = catalog().await;
    for (number, odd) in NO_OBJECTS.iter().chain(ODD_KEYS).enumerate() {
        let uid = format!("prd_odd{number}");
        insert(&mut operator, &uid, odd, odd, odd).await;
        uids.push(uid);
    }
    run(
        &mut operator,
        "insert into catalog.product (uid, create_ts, update_ts) values \
         ('prd_time1', 'infinity', '-infinity'), ('prd_time2', '4714-11-24 00:00:00+00 BC', '294276-12-31 \
         23:59:59+00'); \
         insert into catalog.product (uid, name) values ('', 'no uid'), ('another program''s uid', null), ('prd_é', \
         '')",
    )
    .await;
    uids.extend(["prd_time1", "prd_time2", "", "another program's uid", "prd_é"].map(str::to_owned));
    uids.sort();
    let stream = server.client().stream_products(StreamProductsRequest { page_size: 3, ..Default::default() }).await;
    let streamed: Vec<Product> =
        stream.unwrap().into_inner().map(|page| page.unwrap().products).collect::<Vec<_>>().await.concat();
    assert_eq!(streamed.iter().map(|product| product.uid.clone()).collect::<Vec<_>>(), uids);
    let listed = ListProductsRequest { page_size: 1_000, ..Default::default() };
    assert_eq!(server.client().list_products(listed).await.unwrap().into_inner().products, streamed);
    for product in &streamed {
        // Only rows with a valid uid can be read by uid; lists and streams return all.
        if product.uid.starts_with("prd_") && product.uid.is_ascii() {
            assert_eq!(get(&server, &product.uid).await, *product);
            let request = BatchGetProductsRequest { uids: vec![product.uid.clone()], read_mask: None };
            let batch = server.client().batch_get_products(request).await.unwrap().into_inner();
            assert_eq!(batch.products, std::slice::from_ref(product));
        }
    }
    let time = streamed.iter().find(|product| product.uid == "prd_time1").unwrap();
    assert_eq!(time.create_ts.unwrap(), prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_000 });
    assert_eq!(time.update_ts.unwrap(), timestamp(-62_135_596_800));
}

#[tokio::test]
async fn values_read_as_what_they_are() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let map = r#"{"s": "x", "n": 1.10, "big": 12345678901234567890, "null": null, "yes": true, "list": [1, "a"], "o": {"k": "v"}, "": "e"}"#;
    let status = r#"{"phase": "active", "s": "x", "n": 1.10, "big": 12345678901234567890, "null": null, "yes": true,
                     "list": [1, "a"], "o": {"k": "v", "big": 12345678901234567890}}"#;
    insert(&mut operator, "prd_a", status, map, map).await;
    let server = CatalogServer::start(&database).await;
    let product = get(&server, "prd_a").await;
    let texts = [
        ("s", "x"),
        ("n", "1.10"),
        ("big", "12345678901234567890"),
        ("null", "null"),
        ("yes", "true"),
        ("list", r#"[1, "a"]"#),
        ("o", r#"{"k": "v"}"#),
        ("", "e"),
    ];
    let texts: HashMap<String, String> = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!((&product.labels, &product.annotations), (&texts, &texts));

    let value = |kind: Kind| Value { kind: Some(kind) };
    let text = |text: &str| value(Kind::StringValue(text.to_owned()));
    let structure = |fields: Vec<(&str, Value)>| Struct {
        fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    };
    let list = prost_types::ListValue { values: vec![value(Kind::NumberValue(1.0)), text("a")] };
    let inner = structure(vec![("k", text("v")), ("big", text("12345678901234567890"))]);
    let details = structure(vec![
        ("s", text("x")),
        ("n", value(Kind::NumberValue(1.1))),
        ("big", text("12345678901234567890")),
        ("null", value(Kind::NullValue(0))),
        ("yes", value(Kind::BoolValue(true))),
        ("list", value(Kind::ListValue(list))),
        ("o", value(Kind::StructValue(inner))),
    ]);
    assert_eq!(product.status, Some(Status { phase: "active".to_owned(), details: Some(details) }));
    // Written back, the long number that is a whole value stays one; the one inside an object becomes what it reads as.
    update(&server, product, mask(&["status"])).await;
    let (status, ..) = stored(&mut operator, "prd_a").await;
    for kept in [r#""n": 1.10"#, r#""big": 12345678901234567890"#, r#""o": {"k": "v", "big": "12345678901234567890"}"#]
    {
        assert!(status.contains(kept), "{status}");
    }
}

#[tokio::test]
async fn what_is_written_back_as_it_was_read_changes_nothing() {
    let (_database, mut operator, server, uids) = catalog().await;
    for uid in &uids {
        let before = stored(&mut operator, uid).await;
        let read = get(&server, uid).await;
        let unsendable = is_unsendable(read.status.as_ref());
        if unsendable {
            for path in [None, mask(&["status"]), mask(&["status.details"])] {
                let request = UpdateProductRequest {
                    product: Some(read.clone()),
                    update_mask: path,
                    allow_missing: false,
                    ..UpdateProductRequest::default()
                };
                let refused = server.client().update_product(request).await.unwrap_err();
                assert!(violated(&refused).starts_with("product.status.details."), "{refused:?}");
            }
            assert_eq!(stored(&mut operator, uid).await, before);
        }
        for update_mask in [None, mask(&["labels", "annotations", "name"])] {
            if unsendable && update_mask.is_none() {
                continue;
            }
            assert_eq!(update(&server, read.clone(), update_mask).await, read);
            assert_eq!(stored(&mut operator, uid).await, before);
        }
        if !unsendable && read.status.as_ref().is_some_and(|status| !status.phase.is_empty()) {
            // A status without a phase gets the default phase when it is replaced as a whole.
            for update_mask in [mask(&["*"]), mask(&["status"]), mask(&["status.phase", "status.details"])] {
                assert_eq!(update(&server, read.clone(), update_mask).await, read);
                assert_eq!(stored(&mut operator, uid).await, before);
            }
        }
    }
    let mut before = Vec::new();
    let mut read = Vec::new();
    for uid in &uids {
        before.push(stored(&mut operator, uid).await);
        read.push(get(&server, uid).await);
    }
    let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
    let answer = write_with(&server, start, read).await;
    let rejected = answer.row_errors.iter().filter(|error| error.field.starts_with("status.details.")).count() as i64;
    assert_eq!((rejected, answer.rejected), (4, 4), "{answer:?}");
    assert_eq!((answer.unchanged, answer.updated, answer.created), (uids.len() as i64 - 4, 0, 0), "{answer:?}");
    for (uid, before) in uids.iter().zip(before) {
        assert_eq!(stored(&mut operator, uid).await, before);
    }
}
