//! Invalid input gives INVALID_ARGUMENT with the field, in single and in chunked writes, and writes nothing. Valid
//! values at a limit are accepted.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;

use bytes::Bytes;
use orrery_proto::catalog::v1::write_products_request::{Chunk, Payload};
use orrery_proto::catalog::v1::{
    CreateProductRequest, GetProductRequest, Product, UpdateProductRequest, WriteProductsRequest,
};
use orrery_proto::r#type::v1::{Status, WriteResponse, WriteStart};
use prost::Message as _;
use prost_types::{FieldDescriptorProto, Timestamp};
use sqlx::query_scalar;
use tonic::Code;

use crate::harness::contract::{Contract, field};
use crate::harness::raw::{call, methods};
use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, product, refusal, values};

/// A path below a field of the product.
fn below(field: &str, key: Option<&str>) -> String {
    key.map_or(field.to_owned(), |key| format!("{field}.{key}"))
}

/// Products with one invalid field each, and that field.
fn broken() -> Vec<(Product, String)> {
    let a = || product("prd_a");
    let mut cases = vec![
        (Product { name: "n".repeat(2_049), ..a() }, "name".to_owned()),
        (Product { name: "a\0b".to_owned(), ..a() }, "name".to_owned()),
    ];
    let statuses = values::invalid_statuses().into_iter();
    cases.extend(
        statuses.map(|(status, field)| (Product { status: Some(status), ..a() }, below("status", Some(field)))),
    );
    let labels = values::invalid_labels().into_iter();
    cases.extend(labels.map(|(labels, key)| (Product { labels, ..a() }, below("labels", key))));
    let annotations = values::invalid_annotations().into_iter();
    cases.extend(annotations.map(|(annotations, key)| (Product { annotations, ..a() }, below("annotations", key))));
    let times = values::invalid_times().into_iter();
    cases.extend(times.map(|time| (Product { create_ts: Some(time), ..a() }, "create_ts".to_owned())));
    cases.extend(values::invalid_uids("prd_").into_iter().map(|uid| (Product { uid, ..a() }, "uid".to_owned())));
    cases
}

/// Valid products at a limit.
fn kept() -> Vec<Product> {
    let a = || product("prd_a");
    let mut products = vec![
        Product { name: "n".repeat(2_048), ..a() },
        Product { name: "\u{1}\u{7f}\u{feff}😀\u{202e}\r\n\t".to_owned(), ..a() },
        Product { name: "'; drop table catalog.product; -- \\ \" $1".to_owned(), ..a() },
    ];
    let statuses = values::valid_phases().into_iter().chain(values::valid_statuses());
    products.extend(statuses.map(|status| Product { status: Some(status), ..a() }));
    products.extend(values::valid_labels().into_iter().map(|labels| Product { labels, ..a() }));
    products.extend(values::valid_annotations().into_iter().map(|annotations| Product { annotations, ..a() }));
    products.extend(values::valid_times().into_iter().map(|time| Product { create_ts: Some(time), ..a() }));
    products.extend(values::valid_uids("prd_").iter().map(|uid| product(uid)));
    products
}

async fn chunk(server: &CatalogServer, products: Vec<Product>) -> (Vec<WriteResponse>, Option<tonic::Status>) {
    let requests = [Payload::Start(WriteStart::default()), Payload::Chunk(Chunk { offset: 0, products })]
        .map(|message| WriteProductsRequest { payload: Some(message) });
    let mut answers = server.client().write_products(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => seen.push(answer),
            Ok(None) => return (seen, None),
            Err(status) => return (seen, Some(status)),
        }
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_field() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    for (broken, field) in broken() {
        let full = format!("product.{field}");
        let request = CreateProductRequest {
            product: Some(broken.clone()),
            request_id: String::new(),
            ..CreateProductRequest::default()
        };
        assert_invalid(server.client().create_product(request).await, "FIELD_INVALID", &full);
        let request = UpdateProductRequest {
            product: Some(broken.clone()),
            update_mask: None,
            allow_missing: true,
            ..UpdateProductRequest::default()
        };
        assert_invalid(server.client().update_product(request).await, "FIELD_INVALID", &full);

        // In a chunk it costs the chunk, and the error has the offset.
        let (answers, status) = chunk(&server, vec![product("prd_good"), broken.clone(), product("prd_also")]).await;
        assert_invalid::<()>(Err(status.unwrap()), "ROW_REJECTED", &format!("chunk.products[1].{field}"));
        let [answer] = &answers[..] else { unreachable!("{answers:?}") };
        let [error] = &answer.row_errors[..] else { unreachable!("{answers:?}") };
        assert_eq!((error.offset, error.code, &error.field), (1, 3, &field));
        assert!(!error.message.is_empty() && error.message.chars().count() <= 512);
    }
    // A chunked write does not create uids.
    let (_, status) = chunk(&server, vec![product("")]).await;
    assert_invalid::<()>(Err(status.unwrap()), "ROW_REJECTED", "chunk.products[0].uid");
    let mut operator = database.connect(Role::Operator).await;
    let count: i64 = query_scalar("select count(*) from catalog.product").fetch_one(&mut operator).await.unwrap();
    assert_eq!(count, 0, "nothing was written");
}

#[tokio::test]
async fn what_keeps_every_rule_is_stored_and_read_back() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    for kept in kept() {
        let (answers, status) = chunk(&server, vec![kept.clone()]).await;
        assert!(status.is_none(), "{status:?}");
        assert_eq!((answers[0].committed_offset, answers[0].rejected), (1, 0));
        let get = GetProductRequest { uid: kept.uid.clone(), read_mask: None };
        let written = server.client().get_product(get.clone()).await.unwrap().into_inner();
        let mut expected = kept.clone();
        expected.status.get_or_insert_default();
        if expected.status.as_ref().is_some_and(|status| status.phase.is_empty()) {
            expected.status.as_mut().unwrap().phase = written.status.clone().unwrap().phase;
        }
        expected.create_ts = written.create_ts;
        if let Some(sent) = kept.create_ts {
            // To the microsecond, as in Postgres. `create_ts` does not change later, so this is visible on the first
            // write only.
            let first = CreateProductRequest {
                product: Some(Product { uid: String::new(), ..kept.clone() }),
                ..Default::default()
            };
            let created = server.client().create_product(first).await.unwrap().into_inner();
            let nanos = sent.nanos / 1_000 * 1_000;
            assert_eq!(created.create_ts, Some(Timestamp { seconds: sent.seconds, nanos }));
        }
        (expected.update_ts, expected.etag) = (written.update_ts, written.etag.clone());
        // Details of a status that are not in the row are kept by a write without a mask.
        if kept.status.as_ref().is_some_and(|status| status.details.is_none()) {
            expected.status.as_mut().unwrap().details = written.status.clone().unwrap().details;
        }
        assert_eq!(written, expected);
        // The single write takes it as well, and sees no difference.
        let request = UpdateProductRequest {
            product: Some(kept),
            update_mask: None,
            allow_missing: false,
            ..UpdateProductRequest::default()
        };
        assert_eq!(server.client().update_product(request).await.unwrap().into_inner(), written);
    }
}

#[tokio::test]
async fn several_mistakes_are_all_told() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let product = Product {
        uid: "x".to_owned(),
        name: "\0".to_owned(),
        labels: HashMap::from([("a b".to_owned(), String::new())]),
        create_ts: Some(Timestamp { seconds: 0, nanos: -1 }),
        ..Product::default()
    };
    let request =
        CreateProductRequest { product: Some(product), request_id: String::new(), ..CreateProductRequest::default() };
    let refused = refusal(&server.client().create_product(request).await.unwrap_err());
    assert_eq!(refused.fields, ["product.uid", "product.name", "product.labels", "product.create_ts"]);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_told_by_its_field() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let channel = server.channel();
    let path = |method: &str| format!("/orrery.catalog.v1.CatalogService/{method}");
    let bad = b"a\xff";
    let uid = field(1, b"prd_a");
    // The product's fields by number: name 2, status 3 (phase 1), labels 4 (key 1, value 2).
    let products = [
        (field(1, bad), "uid"),
        ([uid.clone(), field(2, bad)].concat(), "name"),
        ([uid.clone(), field(3, &field(1, bad))].concat(), "status.phase"),
        ([uid.clone(), field(4, &[field(1, b"a"), field(2, bad)].concat())].concat(), "labels.a"),
        ([uid.clone(), field(4, &[field(1, bad), field(2, b"a")].concat())].concat(), "labels"),
        ([uid.clone(), field(8, bad)].concat(), "etag"),
    ];
    for (product, name) in products {
        let refused = call(&channel, &path("CreateProduct"), vec![field(1, &product).into()]).await.map(drop);
        assert_invalid(refused, "FIELD_INVALID", &format!("product.{name}"));
        let write = vec![field(1, b"").into(), field(2, &field(2, &product)).into()];
        let refused = call(&channel, &path("WriteProducts"), write).await.map(drop);
        assert_invalid(refused, "ROW_REJECTED", &format!("chunk.products[0].{name}"));
    }
    let refused = call(&channel, &path("GetProduct"), vec![field(1, bad).into()]).await.unwrap_err();
    let refused = refusal(&refused);
    assert_eq!((refused.code, refused.fields.as_slice()), (Code::InvalidArgument, &["uid".to_owned()][..]));
}

#[tokio::test]
async fn a_message_over_the_limit_is_the_callers_mistake() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start_with(&database, |config| config.stream.max_message_bytes = 1024 * 1024).await;
    let large = Bytes::from(vec![0; 1024 * 1024 + 1]);
    for method in methods(orrery_catalog::SERVICE_NAMES[0]) {
        let refused = call(&server.channel(), &method.path, vec![large.clone()]).await.unwrap_err();
        let refused = refusal(&refused);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::InvalidArgument, "MESSAGE_MALFORMED"),
            "{}",
            method.name
        );
    }
    // A row in a message below the limit may still be too large.
    let server = CatalogServer::start(&database).await;
    let row = field(2, &field(2, &[field(1, b"prd_a"), field(200, &vec![b'x'; 1024 * 1024])].concat()));
    let write = vec![field(1, b"").into(), row.into()];
    let path = "/orrery.catalog.v1.CatalogService/WriteProducts";
    assert_invalid(call(&server.channel(), path, write).await.map(drop), "ROW_REJECTED", "chunk.products[0]");
}

#[tokio::test]
async fn no_message_and_too_many_are_the_callers_mistake() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    for method in methods(orrery_catalog::SERVICE_NAMES[0]).into_iter().filter(|method| !method.streams_in) {
        let refused = refusal(&call(&server.channel(), &method.path, vec![]).await.unwrap_err());
        assert_eq!(refused.code, Code::InvalidArgument, "{}", method.name);
    }
    let start = WriteProductsRequest { payload: Some(Payload::Start(WriteStart::default())) }.encode_to_vec();
    let empty = WriteProductsRequest { payload: None }.encode_to_vec();
    let chunk = |products: Vec<Product>, offset: i64| {
        WriteProductsRequest { payload: Some(Payload::Chunk(Chunk { offset, products })) }.encode_to_vec()
    };
    let path = "/orrery.catalog.v1.CatalogService/WriteProducts";
    let send = |messages: Vec<Vec<u8>>| {
        let channel = server.channel();
        async move { call(&channel, path, messages.into_iter().map(Bytes::from).collect()).await }
    };
    assert_invalid(send(vec![]).await, "FIELD_INVALID", "start");
    assert_invalid(send(vec![empty.clone()]).await, "FIELD_INVALID", "start");
    assert_invalid(send(vec![chunk(vec![product("prd_a")], 0)]).await, "FIELD_INVALID", "start");
    assert_invalid(send(vec![start.clone(), start.clone()]).await, "FIELD_INVALID", "start");
    assert_invalid(send(vec![start.clone(), empty]).await, "FIELD_INVALID", "chunk");
    assert_invalid(send(vec![start.clone(), chunk(vec![], 0)]).await, "FIELD_INVALID", "chunk.products");
    assert_invalid(send(vec![start.clone(), chunk(vec![product("prd_a")], -1)]).await, "FIELD_INVALID", "chunk.offset");
    assert_invalid(
        send(vec![start.clone(), chunk(vec![product("prd_a")], i64::MAX)]).await,
        "FIELD_INVALID",
        "chunk.offset",
    );
    let gap = refusal(&send(vec![start, chunk(vec![product("prd_a")], 1)]).await.unwrap_err());
    assert_eq!((gap.code, gap.reason.as_str()), (Code::OutOfRange, "OFFSET_GAP"));
    for (start, field) in [
        (WriteStart { mode: 99, ..Default::default() }, "start.mode"),
        (WriteStart { on_row_error: -1, ..Default::default() }, "start.on_row_error"),
        (WriteStart { reference_check: i32::MAX, ..Default::default() }, "start.reference_check"),
        (WriteStart { write_id: "with space".to_owned(), ..Default::default() }, "start.write_id"),
        (WriteStart { write_id: "x".repeat(129), ..Default::default() }, "start.write_id"),
        (
            WriteStart {
                update_mask: Some(prost_types::FieldMask { paths: vec!["nope".to_owned()] }),
                ..Default::default()
            },
            "start.update_mask",
        ),
    ] {
        let start = WriteProductsRequest { payload: Some(Payload::Start(start)) }.encode_to_vec();
        assert_invalid(send(vec![start]).await, "FIELD_INVALID", field);
    }
}

/// A value that is nested deeper than protobuf parsers accept is reported with its keys and the rule, like one that is
/// slightly too deep.
#[tokio::test]
async fn what_nests_too_deep_is_named_by_its_keys_however_deep_it_is() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    for levels in [29, 32, 33, 60] {
        let mut details = prost_types::Struct::default();
        for level in (0..levels).rev() {
            let kind = Some(prost_types::value::Kind::StructValue(details));
            details = prost_types::Struct { fields: [(format!("k{level}"), prost_types::Value { kind })].into() };
        }
        let status = Status { phase: String::new(), details: Some(details) };
        let product = Product { status: Some(status), ..product("prd_a") };
        let request = CreateProductRequest { product: Some(product), ..CreateProductRequest::default() };
        let refused = server.client().create_product(request).await.unwrap_err();
        let field = "product.status.details.k0.k1.k2.k3.k4.k5.k6.k7...";
        assert_eq!(refused.message(), format!("{field}: must not nest deeper than 28 levels"), "{levels}");
        assert_invalid::<()>(Err(refused), "FIELD_INVALID", field);
    }
}

/// Other resources' requests, or later ones, have more fields: here those mean nothing, whatever they hold.
#[tokio::test]
async fn a_field_that_a_request_does_not_have_says_nothing() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    let messages = Contract::new().into_messages();
    for method in methods("orrery.catalog.v1.CatalogService") {
        if !["CreateProduct", "UpdateProduct"].contains(&method.name.as_str()) {
            continue;
        }
        let known: Vec<i32> = messages[&method.input].field.iter().map(FieldDescriptorProto::number).collect();
        let mut request = field(1, &product("prd_a").encode_to_vec());
        for number in (1..=15).filter(|number| !known.contains(number)) {
            prost::encoding::int32::encode(number as u32, &99, &mut request);
        }
        let answers = call(&server.channel(), &method.path, vec![request.into()]).await.unwrap();
        assert_eq!(Product::decode(answers.concat().as_slice()).unwrap().uid, "prd_a", "{}", method.name);
    }
}
