//! Rows that other programs wrote, with whatever jsonb can hold: readable everywhere, and what a write does not mean to change
//! stays byte for byte.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;

use orrery_proto::catalog::v1::write_products_request::{Chunk, Message};
use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, GetProductRequest, ListProductsRequest, Product, StreamProductsRequest,
    UpdateProductRequest, WriteProductsRequest, WriteProductsResponse,
};
use orrery_proto::r#type::v1::{Status, WriteMode, WriteStart};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use sqlx::{PgConnection, query, query_as};
use tokio_stream::StreamExt as _;

use crate::harness::{CatalogServer, Role, TestDatabase, run, timestamp};

/// What labels and annotations may hold: names, and JSON that stays what it is.
const MAPS: &[&str] = &[
    "{}",
    r#"{"season": "summer"}"#,
    r#"{"n": 1, "f": 1.10, "g": 1.1, "big": 12345678901234567890, "tiny": 0.000000000000000000012345, "neg": -7.00}"#,
    r#"{"null": null, "yes": true, "no": false, "text": "null", "number": "1.10"}"#,
    r#"{"list": [1, "two", null, {"three": [3.0]}], "object": {"a": {"b": {"c": 1.50}}}, "empty": {}, "none": []}"#,
    r#"{"quote": "\"", "backslash": "\\", "lines": "a\nb\r\n\tc", "control": "\u0001\u001f", "smile": "😀é", "slash": "/"}"#,
    r#"{"json": "{\"a\": 1}", "list": "[1]"}"#,
];

/// Keys that the contract's grammar does not know; read they are, written back whole they are not.
const ODD_KEYS: &[&str] =
    &[r#"{"": "empty", " ": 1, "a b": "c", "é": true, "\"": "q", "a/b/c": {"x": 1}, "ok": "yes"}"#];

/// What is there although it is no object: it has no entries.
const NO_OBJECTS: &[&str] = &["null", "[]", r#"["season"]"#, r#""season""#, "5", "true", r#"[{"phase": "x"}]"#];

const STATUSES: &[&str] = &[
    "{}",
    r#"{"phase": "active"}"#,
    r#"{"phase": ""}"#,
    r#"{"phase": null, "note": "n"}"#,
    r#"{"phase": 5}"#,
    r#"{"phase": {"deep": "x"}, "other": 1}"#,
    r#"{"phase": "Sold out!", "n": 1, "f": 1.10, "big": 12345678901234567890, "tiny": 0.000000000000000000012345}"#,
    r#"{"phase": "active", "nested": {"big": 12345678901234567890, "f": 2.50, "list": [12345678901234567890, 1.10, "1.10"]}}"#,
    r#"{"phase": "active", "digits": "12345678901234567890", "both": ["12345678901234567890", 12345678901234567890]}"#,
    r#"{"phase": "active", "null": null, "yes": true, "list": [], "object": {}, "": "empty", "a.b": {"": null}}"#,
    r#"{"phase": "active", "quote": "\" \\ \n \u0001 😀", "details": {"phase": "inner"}}"#,
];

fn deep(levels: usize) -> String {
    format!(r#"{{"phase": "active", "deep": {}1.10{}}}"#, "[".repeat(levels), "]".repeat(levels))
}

/// Every value of every column at least once, as rows: status, labels, annotations.
fn documents() -> Vec<(String, String, String)> {
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

/// A row as Postgres prints it: status, labels, annotations, and the rest in one.
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
    let request = UpdateProductRequest { product: Some(product), update_mask, allow_missing: false };
    server.client().update_product(request).await.unwrap().into_inner()
}

/// One chunk, written; the sums of what was answered.
async fn write(
    server: &CatalogServer,
    products: Vec<Product>,
    update_mask: Option<FieldMask>,
) -> WriteProductsResponse {
    write_with(server, WriteStart { update_mask, ..Default::default() }, products).await
}

async fn write_with(server: &CatalogServer, start: WriteStart, products: Vec<Product>) -> WriteProductsResponse {
    let requests = [Message::Start(start), Message::Chunk(Chunk { offset: 0, products })]
        .map(|message| WriteProductsRequest { message: Some(message) });
    let answers = server.client().write_products(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<WriteProductsResponse> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 1);
    answers.into_iter().next().unwrap()
}

/// A catalog of [`documents`], their uids, and what Postgres prints of them.
async fn catalog() -> (TestDatabase, PgConnection, CatalogServer, Vec<String>) {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut uids = Vec::new();
    for (number, (status, labels, annotations)) in documents().iter().enumerate() {
        let uid = format!("prd_{number:03}");
        insert(&mut operator, &uid, status, labels, annotations).await;
        uids.push(uid);
    }
    // Not null, which is how we store it; it reads the same.
    run(&mut operator, "update catalog.product set name = '' where uid like '%5'").await;
    let server = CatalogServer::start(&database).await;
    (database, operator, server, uids)
}

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
         ('prd_time1', 'infinity', '-infinity'), ('prd_time2', '4714-11-24 00:00:00+00 BC', '294276-12-31 23:59:59+00'); \
         insert into catalog.product (uid, name) values ('', 'no uid'), ('another program''s uid', null), ('prd_é', '')",
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
        // By uid only what has one of ours; lists and streams are there for the others.
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
}

#[tokio::test]
async fn what_is_written_back_as_it_was_read_changes_nothing() {
    let (_database, mut operator, server, uids) = catalog().await;
    for uid in &uids {
        let before = stored(&mut operator, uid).await;
        let read = get(&server, uid).await;
        for update_mask in [None, mask(&["labels", "annotations", "name"])] {
            assert_eq!(update(&server, read.clone(), update_mask).await, read);
            assert_eq!(stored(&mut operator, uid).await, before);
        }
        if read.status.as_ref().is_some_and(|status| !status.phase.is_empty()) {
            // A status without a phase gets the default one when it is replaced as a whole.
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
    let answer = write(&server, read, None).await;
    assert_eq!((answer.unchanged, answer.updated, answer.created), (uids.len() as i64, 0, 0), "{answer:?}");
    for (uid, before) in uids.iter().zip(before) {
        assert_eq!(stored(&mut operator, uid).await, before);
    }
}

/// Sets one key by SQL, as the contract says that a write does: in the object, or in a new one where there is none.
async fn set_by_sql(connection: &mut PgConnection, uid: &str, column: &str, key: &str, value: &str) {
    run(
        connection,
        &format!(
            "update catalog.product set update_ts = now(), {column} = \
             case jsonb_typeof({column}) when 'object' then {column} else '{{}}' end \
             || jsonb_build_object('{key}', '{value}'::text) where uid = '{uid}'"
        ),
    )
    .await;
}

#[tokio::test]
async fn one_key_is_written_and_every_other_stays_byte_for_byte() {
    let (_database, mut operator, server, mut uids) = catalog().await;
    for (number, odd) in NO_OBJECTS.iter().chain(ODD_KEYS).enumerate() {
        let uid = format!("prd_odd{number}");
        insert(&mut operator, &uid, odd, odd, odd).await;
        uids.push(uid);
    }
    let new = |uid: &str| {
        let details =
            Struct { fields: [("k".to_owned(), Value { kind: Some(Kind::StringValue("new".to_owned())) })].into() };
        Product {
            uid: uid.to_owned(),
            status: Some(Status { phase: "new".to_owned(), details: Some(details) }),
            labels: [("season".to_owned(), "new".to_owned())].into(),
            annotations: [("x/y".to_owned(), "new".to_owned())].into(),
            ..Product::default()
        }
    };
    // Path, column, key.
    let parts = [
        ("labels.season", "labels", "season"),
        ("annotations.x/y", "annotations", "x/y"),
        ("status.phase", "status", "phase"),
        ("status.details.k", "status", "k"),
    ];
    for (path, column, key) in parts {
        for bulk in [false, true] {
            for uid in &uids {
                run(&mut operator, &format!("delete from catalog.product where uid = '{uid}-copy'")).await;
                run(
                    &mut operator,
                    &format!("insert into catalog.product select '{uid}-copy', name, status, labels, annotations from catalog.product where uid = '{uid}'"),
                )
                .await;
                let copy = format!("{uid}-copy");
                let before = stored(&mut operator, &copy).await;
                if bulk {
                    let answer = write(&server, vec![new(&copy)], mask(&[path])).await;
                    assert_eq!(answer.updated, 1);
                } else {
                    update(&server, new(&copy), mask(&[path])).await;
                }
                let after = stored(&mut operator, &copy).await;
                set_by_sql(&mut operator, uid, column, key, "new").await;
                let expected = stored(&mut operator, uid).await;
                assert_eq!(
                    (&after.0, &after.1, &after.2),
                    (&expected.0, &expected.1, &expected.2),
                    "{path} {before:?}"
                );
                // And back, for the next turn.
                run(
                    &mut operator,
                    &format!(
                        "update catalog.product set status = '{}', labels = '{}', annotations = '{}' where uid = '{uid}'",
                        before.0.replace('\'', "''"),
                        before.1.replace('\'', "''"),
                        before.2.replace('\'', "''"),
                    ),
                )
                .await;
                // The same again changes nothing.
                let answer = write(&server, vec![new(&copy)], mask(&[path])).await;
                assert_eq!((answer.unchanged, answer.updated), (1, 0), "{path} {before:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_product_with_keys_that_no_rule_allows_is_read_changed_in_one_key_and_sent_back() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let server = CatalogServer::start(&database).await;
    let large = format!(r#"{{"a b": "{}", "": 1, "ok": "yes", "season": 1.10}}"#, "x".repeat(2_000));
    let odd = [ODD_KEYS[0], &large];
    let status = format!(r#"{{"phase": "{}", "note": 1.10, "list": [1.10]}}"#, "p".repeat(100));
    for (number, odd) in odd.into_iter().enumerate() {
        let uid = format!("prd_{number}");
        insert(&mut operator, &uid, &status, odd, odd).await;
        run(&mut operator, &format!("update catalog.product set name = repeat('n', 3000) where uid = '{uid}'")).await;
        let mut read = get(&server, &uid).await;
        assert!(read.name.len() == 3_000 && read.labels.contains_key("a b"));
        read.labels.insert("season".to_owned(), "winter".to_owned());
        let details = read.status.as_mut().unwrap().details.as_mut().unwrap();
        details.fields.insert("note".to_owned(), Value { kind: Some(Kind::StringValue("new".to_owned())) });
        let before = stored(&mut operator, &uid).await;
        let written = update(&server, read.clone(), mask(&["labels.season", "status.details.note"])).await;
        assert_eq!((&written.labels, &written.status), (&read.labels, &read.status));
        let expected: (String, String) = query_as(
            "select ($1::text::jsonb || '{\"note\": \"new\"}')::text, ($2::text::jsonb || '{\"season\": \"winter\"}')::text",
        )
        .bind(before.0)
        .bind(before.1)
        .fetch_one(&mut operator)
        .await
        .unwrap();
        let after = stored(&mut operator, &uid).await;
        assert_eq!(((after.0, after.1), after.2), (expected, before.2));

        // And by the chunked write that only updates.
        read.labels.insert("season".to_owned(), "spring".to_owned());
        read.etag.clear();
        let start = WriteStart {
            mode: WriteMode::Update.into(),
            update_mask: mask(&["labels.season"]),
            ..WriteStart::default()
        };
        let answer = write_with(&server, start, vec![read.clone()]).await;
        assert_eq!((answer.updated, answer.rejected), (1, 0), "{answer:?}");
        assert_eq!(get(&server, &uid).await.labels, read.labels);

        // What the mask names follows the rules.
        for path in ["labels", "name", "status.phase", "status"] {
            let request =
                UpdateProductRequest { product: Some(read.clone()), update_mask: mask(&[path]), allow_missing: false };
            let refused = server.client().update_product(request).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{path}");
        }
    }
}

#[tokio::test]
async fn a_key_is_taken_away_and_every_other_stays_byte_for_byte() {
    let (_database, mut operator, server, uids) = catalog().await;
    for uid in &uids {
        run(
            &mut operator,
            &format!(
                "update catalog.product set labels = labels || '{{\"gone\": {{\"x\": 1.10}}}}', \
                 annotations = annotations || '{{\"gone\": 1.10}}', status = status || '{{\"gone\": [1.10]}}' where uid = '{uid}'"
            ),
        )
        .await;
        let before = stored(&mut operator, uid).await;
        let product = Product { uid: uid.clone(), ..Product::default() };
        update(&server, product, mask(&["labels.gone", "annotations.gone", "status.details.gone"])).await;
        let after = stored(&mut operator, uid).await;
        let expected: (String, String, String) = query_as(
            "select ($1::text::jsonb - 'gone')::text, ($2::text::jsonb - 'gone')::text, ($3::text::jsonb - 'gone')::text",
        )
        .bind(before.0)
        .bind(before.1)
        .bind(before.2)
        .fetch_one(&mut operator)
        .await
        .unwrap();
        assert_eq!((after.0, after.1, after.2), expected);
    }
}

#[tokio::test]
async fn a_changed_value_replaces_a_foreign_one_and_its_neighbours_stay() {
    let (_database, mut operator, server, uids) = catalog().await;
    for uid in &uids {
        let before = stored(&mut operator, uid).await;
        let mut read = get(&server, uid).await;
        read.etag.clear();
        read.labels.insert("season".to_owned(), "winter".to_owned());
        let details = read.status.get_or_insert_default().details.get_or_insert_default();
        details.fields.insert("season".to_owned(), Value { kind: Some(Kind::StringValue("winter".to_owned())) });
        update(&server, read, None).await;
        let after = stored(&mut operator, uid).await;
        let (status, labels): (String, String) = query_as(
            "select ($1::text::jsonb || '{\"season\": \"winter\"}')::text, ($2::text::jsonb || '{\"season\": \"winter\"}')::text",
        )
        .bind(&before.0)
        .bind(&before.1)
        .fetch_one(&mut operator)
        .await
        .unwrap();
        assert_eq!(after.0, status);
        assert_eq!(after.1, labels);
        assert_eq!(after.2, before.2);
    }
}

/// A JSON text. Texts that look like numbers, like JSON or like pieces of it are frequent: they are what could be mistaken.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i32>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,2}\\.[0-9]{1,3}0?",
        "-?[1-9][0-9]{14,40}(\\.[0-9]{1,9}0)?",
        "0\\.0{0,9}[0-9]{10,30}",
    ];
    let text = prop_oneof![
        "[a-z \\\\\"{}\\[\\]:,0-9]{0,24}",
        "\\PC{0,8}",
        "(-?0?[0-9]{14,20}(\\.[0-9]{1,4})?)",
        "(\\\\|\"|: |, )\"?[1-9][0-9]{15,18}\"?",
    ]
    .prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf =
        prop_oneof![number, text.clone(), select(&["null", "true", "false", "{}", "[]"][..]).prop_map(str::to_owned)];
    leaf.prop_recursive(4, 16, 4, move |inner| {
        let key = prop_oneof![text.clone(), "\"[1-9][0-9]{16,17}\""];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            vec((key, inner), 0..4).prop_map(|entries| object(&entries)),
        ]
    })
}

fn object(entries: &[(String, String)]) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", entries.join(","))
}

fn random_objects(runner: &mut TestRunner, key: &'static str, count: usize) -> Vec<String> {
    let entries = vec((key.prop_map(|key: String| format!("\"{key}\"")), json()), 0..5);
    (0..count).map(|_| object(&entries.new_tree(runner).unwrap().current())).collect()
}

#[tokio::test]
async fn any_json_survives_being_read_and_written_back() {
    const ROWS: usize = 400;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut runner = TestRunner::default();
    let statuses = random_objects(&mut runner, "[a-z ]{1,6}|[1-9]{17}", ROWS);
    let labels = random_objects(&mut runner, "[a-z]{1,6}", ROWS);
    let annotations = random_objects(&mut runner, "[a-z]{1,6}", ROWS);
    for row in 0..ROWS {
        insert(&mut operator, &format!("prd_{row}"), &statuses[row], &labels[row], &annotations[row]).await;
    }
    run(&mut operator, "create table public.before as select * from catalog.product").await;
    let server = CatalogServer::start(&database).await;
    let request = ListProductsRequest { page_size: 1_000, ..Default::default() };
    let products = server.client().list_products(request).await.unwrap().into_inner().products;
    assert_eq!(products.len(), ROWS);
    let compare = "select b.status::text, p.status::text, b.labels::text, p.labels::text, b.annotations::text, p.annotations::text \
                   from catalog.product p join public.before b using (uid) where b::text <> p::text";
    let answer = write(&server, products.clone(), None).await;
    let changes: Vec<(String, String, String, String, String, String)> =
        query_as(compare).fetch_all(&mut operator).await.unwrap();
    assert_eq!(changes, []);
    assert_eq!((answer.unchanged, answer.updated), (ROWS as i64, 0));
    // The same with the mask that replaces a status as a whole, where the stored one names a phase.
    run(
        &mut operator,
        "update catalog.product set status = status || '{\"phase\": \"active\"}'; drop table public.before; \
         create table public.before as select * from catalog.product",
    )
    .await;
    let request = ListProductsRequest { page_size: 1_000, ..Default::default() };
    let products = server.client().list_products(request).await.unwrap().into_inner().products;
    let answer = write(&server, products, mask(&["status", "labels", "annotations"])).await;
    let changes: Vec<(String, String, String, String, String, String)> =
        query_as(compare).fetch_all(&mut operator).await.unwrap();
    assert_eq!(changes, []);
    assert_eq!((answer.unchanged, answer.updated), (ROWS as i64, 0));
}
