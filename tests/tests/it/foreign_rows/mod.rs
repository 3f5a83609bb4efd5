//! Rows written by other programs, with any JSON: they can be read everywhere, and a write keeps everything that it
//! does not mean to change, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod keys;
pub(crate) mod random;
mod reading;
mod uids;

use orrery_proto::catalog::v1::write_products_request::{Chunk, Payload};
use orrery_proto::catalog::v1::{GetProductRequest, Product, UpdateProductRequest, WriteProductsRequest};
use orrery_proto::r#type::v1::{Status, WriteResponse, WriteStart};
use prost_types::FieldMask;
use sqlx::{PgConnection, query, query_as};
use tokio_stream::StreamExt as _;

use crate::harness::{CatalogServer, Role, TestDatabase, run};

/// Valid contents of labels and annotations: names with any JSON.
pub(crate) const MAPS: &[&str] = &[
    "{}",
    r#"{"season": "summer"}"#,
    r#"{"n": 1, "f": 1.10, "g": 1.1, "big": 12345678901234567890, "tiny": 0.000000000000000000012345, "neg": -7.00}"#,
    r#"{"null": null, "yes": true, "no": false, "text": "null", "number": "1.10"}"#,
    r#"{"list": [1, "two", null, {"three": [3.0]}], "object": {"a": {"b": {"c": 1.50}}}, "empty": {}, "none": []}"#,
    r#"{"quote": "\"", "backslash": "\\", "lines": "a\nb\r\n\tc", "control": "\u0001\u001f", "smile": "😀é", "slash": "/"}"#,
    r#"{"json": "{\"a\": 1}", "list": "[1]"}"#,
];

/// Keys outside of the contract's grammar. They can be read, but not written back as a whole.
pub(crate) const ODD_KEYS: &[&str] =
    &[r#"{"": "empty", " ": 1, "a b": "c", "é": true, "\"": "q", "a/b/c": {"x": 1}, "ok": "yes"}"#];

/// Values that are not objects: they have no entries.
pub(crate) const NO_OBJECTS: &[&str] =
    &["null", "[]", r#"["season"]"#, r#""season""#, "5", "true", r#"[{"phase": "x"}]"#];

pub(crate) const STATUSES: &[&str] = &[
    "{}",
    r#"{"phase": "active"}"#,
    r#"{"phase": ""}"#,
    r#"{"phase": null, "note": "n"}"#,
    r#"{"phase": 5}"#,
    r#"{"phase": {"deep": "x"}, "other": 1}"#,
    r#"{"phase": "Sold out!", "n": 1, "f": 1.10, "big": 12345678901234567890, "tiny": 0.000000000000000000012345}"#,
    r#"{"phase": "active", "nested": {"f": 2.50, "list": [1.10, "1.10", "12345678901234567890"]}}"#,
    r#"{"phase": "active", "digits": "12345678901234567890", "number": 12345678901234567890}"#,
    r#"{"phase": "active", "null": null, "yes": true, "list": [], "object": {}, "": "empty", "a.b": {"": null}}"#,
    r#"{"phase": "active", "quote": "\" \\ \n \u0001 😀", "details": {"phase": "inner"}}"#,
];

/// Whether the details of a status contain a key that is the name of a field, so that it cannot be sent.
pub(crate) fn is_unsendable(status: Option<&Status>) -> bool {
    let details = status.and_then(|status| status.details.as_ref());
    details.is_some_and(|details| ["phase", "details"].iter().any(|key| details.fields.contains_key(*key)))
}

pub(crate) fn deep(levels: usize) -> String {
    format!(r#"{{"phase": "active", "deep": {}1.10{}}}"#, "[".repeat(levels), "]".repeat(levels))
}

/// Rows with status, labels and annotations that contain each value of each column at least once.
pub(crate) fn documents() -> Vec<(String, String, String)> {
    let statuses: Vec<String> =
        STATUSES.iter().map(|&text| text.to_owned()).chain([deep(10), deep(28), deep(29), deep(60)]).collect();
    (0..statuses.len().max(MAPS.len()))
        .map(|row| {
            let map = |shift: usize| MAPS[(row + shift) % MAPS.len()].to_owned();
            (statuses[row % statuses.len()].clone(), map(0), map(3))
        })
        .collect()
}

async fn insert(connection: &mut PgConnection, uid: &str, status: &str, labels: &str, annotations: &str) {
    query(
        "insert into catalog.product (uid, status, labels, annotations, update_ts) \
         values ($1, $2::text::jsonb, $3::text::jsonb, $4::text::jsonb, '2026-01-01 00:00:00+00')",
    )
    .bind(uid)
    .bind(status)
    .bind(labels)
    .bind(annotations)
    .execute(connection)
    .await
    .unwrap();
}

/// A row in Postgres's output: status, labels, annotations, and the rest as one text.
async fn stored(connection: &mut PgConnection, uid: &str) -> (String, String, String, String) {
    query_as(
        "select status::text, labels::text, annotations::text, \
                concat_ws('|', coalesce(name, 'null'), create_ts, update_ts) from catalog.product where uid = $1",
    )
    .bind(uid)
    .fetch_one(connection)
    .await
    .unwrap()
}

async fn get(server: &CatalogServer, uid: &str) -> Product {
    let request = GetProductRequest { uid: uid.to_owned(), read_mask: None };
    server.client().get_product(request).await.unwrap().into_inner()
}

#[expect(clippy::unnecessary_wraps, reason = "as a request holds it")]
fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

async fn update(server: &CatalogServer, product: Product, update_mask: Option<FieldMask>) -> Product {
    let request = UpdateProductRequest {
        product: Some(product),
        update_mask,
        allow_missing: false,
        ..UpdateProductRequest::default()
    };
    server.client().update_product(request).await.unwrap().into_inner()
}

/// Writes one chunk, and returns the sums of the responses.
async fn write(server: &CatalogServer, products: Vec<Product>, update_mask: Option<FieldMask>) -> WriteResponse {
    write_with(server, WriteStart { update_mask, ..Default::default() }, products).await
}

async fn write_with(server: &CatalogServer, start: WriteStart, products: Vec<Product>) -> WriteResponse {
    let requests = [Payload::Start(start), Payload::Chunk(Chunk { offset: 0, products })]
        .map(|message| WriteProductsRequest { payload: Some(message) });
    let answers = server.client().write_products(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<WriteResponse> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 1);
    answers.into_iter().next().unwrap()
}

/// A catalog with [`documents`], their uids, and their rows in Postgres's output.
async fn catalog() -> (TestDatabase, PgConnection, CatalogServer, Vec<String>) {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut uids = Vec::new();
    for (number, (status, labels, annotations)) in documents().iter().enumerate() {
        let uid = format!("prd_{number:03}");
        insert(&mut operator, &uid, status, labels, annotations).await;
        uids.push(uid);
    }
    // Stored as null by other programs; it reads the same.
    run(&mut operator, "update catalog.product set name = '' where uid like '%5'").await;
    let server = CatalogServer::start(&database).await;
    (database, operator, server, uids)
}
