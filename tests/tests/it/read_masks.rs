//! `read_mask`: fields outside of it are neither returned nor selected, and unknown paths are refused.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;

use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, GetProductMetricsRequest, GetProductRequest, ListProductsRequest, Product, ProductMetric,
    StreamProductMetricsRequest, StreamProductsRequest,
};
use orrery_proto::r#type::v1::Status;
use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, refusal, run, timestamp};

#[expect(clippy::unnecessary_wraps, reason = "as a request holds it")]
fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

/// One product with content in all fields.
async fn catalog() -> (TestDatabase, CatalogServer) {
    let database = TestDatabase::create().await;
    run(
        &mut database.connect(Role::Operator).await,
        r#"insert into catalog.product values (
               'prd_a', 'A', '{"phase": "active", "note": "n", "deep": {"x": [1]}, "a.b": true}',
               '{"season": "summer", "tier": "gold", "example.com/x.y": "z"}', '{"source/code": "7", "text": "t"}',
               '2026-01-01 00:00:00+00', '2026-01-02 00:00:00+00');
           insert into catalog.product_metric values ('prd_a', 'sales', 1.50, 'GBP', '2026-01-01 00:00:00+00')"#,
    )
    .await;
    let server = CatalogServer::start(&database).await;
    (database, server)
}

/// The product from each of the four read methods, which must agree.
async fn read(server: &CatalogServer, read_mask: Option<FieldMask>) -> Product {
    let mut client = server.client();
    let get = GetProductRequest { uid: "prd_a".to_owned(), read_mask: read_mask.clone() };
    let got = client.get_product(get).await.unwrap().into_inner();
    let batch = BatchGetProductsRequest { uids: vec!["prd_a".to_owned()], read_mask: read_mask.clone() };
    assert_eq!(client.batch_get_products(batch).await.unwrap().into_inner().products, std::slice::from_ref(&got));
    let list = ListProductsRequest { read_mask: read_mask.clone(), ..Default::default() };
    assert_eq!(client.list_products(list).await.unwrap().into_inner().products, std::slice::from_ref(&got));
    let list = ListProductsRequest {
        read_mask: read_mask.clone(),
        order_by: "update_ts desc".to_owned(),
        ..Default::default()
    };
    assert_eq!(client.list_products(list).await.unwrap().into_inner().products, std::slice::from_ref(&got));
    let stream = StreamProductsRequest { read_mask, ..Default::default() };
    let pages: Vec<_> =
        client.stream_products(stream).await.unwrap().into_inner().map(|page| page.unwrap().products).collect().await;
    assert_eq!(pages, [vec![got.clone()]]);
    got
}

fn texts(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

#[expect(clippy::unnecessary_wraps, reason = "as a status holds it")]
fn details(entries: &[(&str, Kind)]) -> Option<Struct> {
    let fields = entries.iter().map(|(key, kind)| ((*key).to_owned(), value(kind.clone()))).collect();
    Some(Struct { fields })
}

fn deep() -> Kind {
    let list = Kind::ListValue(prost_types::ListValue { values: vec![value(Kind::NumberValue(1.0))] });
    Kind::StructValue(Struct { fields: [("x".to_owned(), value(list))].into() })
}

#[tokio::test]
async fn a_mask_returns_what_it_names() {
    let (_database, server) = catalog().await;
    let whole = read(&server, None).await;
    let status = |phase: &str, entries: &[(&str, Kind)]| {
        Some(Status { phase: phase.to_owned(), details: details(entries).filter(|details| !details.fields.is_empty()) })
    };
    let note = ("note", Kind::StringValue("n".to_owned()));
    let point = ("a.b", Kind::BoolValue(true));
    let all_details = [note.clone(), ("deep", deep()), point.clone()];
    let expected = Product {
        uid: "prd_a".to_owned(),
        name: "A".to_owned(),
        status: status("active", &all_details),
        labels: texts(&[("season", "summer"), ("tier", "gold"), ("example.com/x.y", "z")]),
        annotations: texts(&[("source/code", "7"), ("text", "t")]),
        create_ts: Some(timestamp(1_767_225_600)),
        update_ts: Some(timestamp(1_767_312_000)),
        etag: whole.etag.clone(),
    };
    assert_eq!(whole, expected);
    assert_eq!(whole.etag.len(), 16);
    for all in [mask(&[]), mask(&["*"])] {
        assert_eq!(read(&server, all).await, whole);
    }

    let empty = Product::default;
    let cases: &[(&[&str], Product)] = &[
        (&["uid"], Product { uid: whole.uid.clone(), ..empty() }),
        (&["name"], Product { name: whole.name.clone(), ..empty() }),
        (&["name", "uid", "name"], Product { uid: whole.uid.clone(), name: whole.name.clone(), ..empty() }),
        (&["create_ts", "update_ts"], Product { create_ts: whole.create_ts, update_ts: whole.update_ts, ..empty() }),
        (&["labels"], Product { labels: whole.labels.clone(), ..empty() }),
        (&["labels.season"], Product { labels: texts(&[("season", "summer")]), ..empty() }),
        (&["labels.example.com/x.y"], Product { labels: texts(&[("example.com/x.y", "z")]), ..empty() }),
        (&["labels.`example.com/x.y`"], Product { labels: texts(&[("example.com/x.y", "z")]), ..empty() }),
        (
            &["labels.tier", "labels.season"],
            Product { labels: texts(&[("season", "summer"), ("tier", "gold")]), ..empty() },
        ),
        (&["labels.tier", "labels"], Product { labels: whole.labels.clone(), ..empty() }),
        (&["labels.none"], empty()),
        (&["labels.example.com/*"], Product { labels: texts(&[("example.com/x.y", "z")]), ..empty() }),
        (
            &["labels.t*", "labels.season"],
            Product { labels: texts(&[("season", "summer"), ("tier", "gold")]), ..empty() },
        ),
        (&["labels.*"], Product { labels: whole.labels.clone(), ..empty() }),
        (&["labels.`t*`", "labels.none*"], empty()),
        (&["annotations.source/code"], Product { annotations: texts(&[("source/code", "7")]), ..empty() }),
        (&["status"], Product { status: whole.status.clone(), ..empty() }),
        (&["status.phase"], Product { status: status("active", &[]), ..empty() }),
        (&["status.details"], Product { status: status("", &all_details), ..empty() }),
        (&["status.details.note"], Product { status: status("", std::slice::from_ref(&note)), ..empty() }),
        (&["status.details.a.b"], Product { status: status("", std::slice::from_ref(&point)), ..empty() }),
        (&["status.details.deep"], Product { status: status("", &[("deep", deep())]), ..empty() }),
        (
            &["status.phase", "status.details.note"],
            Product { status: status("active", std::slice::from_ref(&note)), ..empty() },
        ),
        (&["status.phase", "status.details"], Product { status: whole.status.clone(), ..empty() }),
        (&["etag"], Product { etag: whole.etag.clone(), ..empty() }),
        (
            &["etag", "labels.season", "status.phase", "name"],
            Product {
                etag: whole.etag.clone(),
                labels: texts(&[("season", "summer")]),
                status: status("active", &[]),
                name: whole.name.clone(),
                ..empty()
            },
        ),
    ];
    for (paths, expected) in cases {
        let mut got = read(&server, mask(paths)).await;
        // A status with nothing left is there, and empty.
        got.status = got.status.filter(|status| *status != Status::default());
        assert_eq!(got, *expected, "{paths:?}");
    }
}

#[tokio::test]
async fn metrics_have_masks_too() {
    let (_database, server) = catalog().await;
    let expected = ProductMetric { value: "1.50".to_owned(), unit: "GBP".to_owned(), ..ProductMetric::default() };
    let request = GetProductMetricsRequest { product_uid: "prd_a".to_owned(), read_mask: mask(&["value", "unit"]) };
    let got = server.client().get_product_metrics(request).await.unwrap().into_inner();
    assert_eq!(got.product_metrics, std::slice::from_ref(&expected));
    let request = StreamProductMetricsRequest { read_mask: mask(&["unit", "value"]), ..Default::default() };
    let pages = server.client().stream_product_metrics(request).await.unwrap().into_inner();
    let metrics: Vec<_> = pages.map(|page| page.unwrap().product_metrics).collect().await;
    assert_eq!(metrics, [vec![expected]]);
}

#[tokio::test]
async fn a_path_that_names_nothing_is_refused_wherever_it_stands() {
    let (_database, server) = catalog().await;
    let mut client = server.client();
    let wrong = [
        "",
        " ",
        ".",
        "nope",
        "Name",
        "name.x",
        "uid.",
        "labels.",
        "labels.``",
        "labels.a**",
        "status.",
        "status.x",
        "status.phase.x",
        "status.details.",
        "status.details.phase",
        "create_ts.seconds",
        "etag.x",
        "*",
        "products.name",
        "product.name",
        "labels.a\0b",
        "\0",
    ];
    for path in wrong {
        // With a valid path beside it: one invalid path makes the mask invalid. A single star is valid.
        let read_mask = mask(&["uid", path]);
        let get = GetProductRequest { uid: "prd_a".to_owned(), read_mask: read_mask.clone() };
        assert_invalid(client.get_product(get).await, "FIELD_INVALID", "read_mask");
        let batch = BatchGetProductsRequest { uids: vec!["prd_a".to_owned()], read_mask: read_mask.clone() };
        assert_invalid(client.batch_get_products(batch).await, "FIELD_INVALID", "read_mask");
        let list = ListProductsRequest { read_mask: read_mask.clone(), ..Default::default() };
        assert_invalid(client.list_products(list).await, "FIELD_INVALID", "read_mask");
        let stream = StreamProductsRequest { read_mask: read_mask.clone(), ..Default::default() };
        assert_invalid(client.stream_products(stream).await.map(drop), "FIELD_INVALID", "read_mask");
        let get = GetProductMetricsRequest { product_uid: "prd_a".to_owned(), read_mask: read_mask.clone() };
        assert_invalid(client.get_product_metrics(get).await, "FIELD_INVALID", "read_mask");
        let stream = StreamProductMetricsRequest { read_mask, ..Default::default() };
        assert_invalid(client.stream_product_metrics(stream).await.map(drop), "FIELD_INVALID", "read_mask");
    }
    let many: Vec<String> = (0..257).map(|number| format!("labels.l{number}")).collect();
    let request = GetProductRequest { uid: "prd_a".to_owned(), read_mask: Some(FieldMask { paths: many }) };
    assert_invalid(client.get_product(request).await, "FIELD_INVALID", "read_mask");
}

#[tokio::test]
async fn nothing_but_what_is_asked_for_is_selected() {
    let (database, server) = catalog().await;
    // From now on the service can only read these columns; a statement with others fails.
    run(
        &mut database.connect(Role::Operator).await,
        "revoke select on catalog.product from catalog_service; \
         grant select (uid, labels, update_ts) on catalog.product to catalog_service",
    )
    .await;
    // Listing by update_ts, as `read` does, reads update_ts.
    for paths in [&["uid"][..], &["labels"], &["labels.season"], &["uid", "labels", "update_ts"]] {
        let product = read(&server, mask(paths)).await;
        assert_eq!(product.name, "");
    }
    for paths in [&["name"][..], &["status.phase"], &["etag"], &["annotations.x"], &["create_ts"], &[]] {
        let list = ListProductsRequest { read_mask: mask(paths), ..Default::default() };
        let refused = refusal(&server.client().list_products(list).await.unwrap_err());
        assert_eq!(refused.code, Code::Internal, "{paths:?}");
        let get = GetProductRequest { uid: "prd_a".to_owned(), read_mask: mask(paths) };
        let refused = refusal(&server.client().get_product(get).await.unwrap_err());
        assert_eq!(refused.code, Code::Internal, "{paths:?}");
    }
}
