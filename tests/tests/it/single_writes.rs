//! Create, update and delete of one product: results, errors and retries.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use orrery_proto::catalog::v1::{
    CreateProductRequest, DeleteProductRequest, GetProductRequest, Product, UpdateProductRequest,
};
use orrery_proto::r#type::v1::Status;
use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Timestamp, Value};
use sqlx::{PgConnection, query_scalar};
use tonic::{Code, Status as Refused};
use tonic_types::StatusExt as _;

use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, product, refusal, run, timestamp};

/// The expected change of a product.
type Change = fn(&mut Product);

async fn start() -> (TestDatabase, PgConnection, CatalogServer) {
    let database = TestDatabase::create().await;
    let operator = database.connect(Role::Operator).await;
    let server = CatalogServer::start(&database).await;
    (database, operator, server)
}

async fn create(server: &CatalogServer, product: Product, request_id: &str) -> Result<Product, Refused> {
    let request = CreateProductRequest {
        product: Some(product),
        request_id: request_id.to_owned(),
        ..CreateProductRequest::default()
    };
    Ok(server.client().create_product(request).await?.into_inner())
}

async fn update(server: &CatalogServer, product: Product, paths: &[&str]) -> Result<Product, Refused> {
    let update_mask =
        (!paths.is_empty()).then(|| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let request = UpdateProductRequest {
        product: Some(product),
        update_mask,
        allow_missing: false,
        ..UpdateProductRequest::default()
    };
    Ok(server.client().update_product(request).await?.into_inner())
}

async fn delete(server: &CatalogServer, uid: &str, etag: &str, allow_missing: bool) -> Result<(), Refused> {
    let request = DeleteProductRequest { uid: uid.to_owned(), etag: etag.to_owned(), allow_missing };
    server.client().delete_product(request).await.map(drop)
}

async fn get(server: &CatalogServer, uid: &str) -> Result<Product, Refused> {
    let request = GetProductRequest { uid: uid.to_owned(), read_mask: None };
    Ok(server.client().get_product(request).await?.into_inner())
}

async fn count(operator: &mut PgConnection) -> i64 {
    query_scalar("select count(*) from catalog.product").fetch_one(operator).await.unwrap()
}

/// Checks the code and reason of an error about a product as a whole, and that it names the product.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Refused>, code: Code, reason: &str, uid: &str) {
    let status = answer.unwrap_err();
    let refused = refusal(&status);
    assert_eq!((refused.code, refused.reason.as_str()), (code, reason), "{status:?}");
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("orrery.catalog.v1.Product", uid));
}

#[tokio::test]
async fn a_created_product_is_returned_as_it_is_stored() {
    let (_database, mut operator, server) = start().await;
    let created = create(&server, product("prd_a"), "").await.unwrap();
    let mut expected = product("prd_a");
    expected.create_ts = created.create_ts;
    expected.update_ts = created.update_ts;
    expected.etag = created.etag.clone();
    assert_eq!(created, expected);
    assert!(created.create_ts.is_some() && created.create_ts == created.update_ts && created.etag.len() == 16);
    assert_eq!(get(&server, "prd_a").await.unwrap(), created);
    let stored: String = query_scalar("select concat_ws('|', name, status, labels, annotations) from catalog.product")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(stored, r#"Name of prd_a|{"phase": "draft"}|{"season": "summer"}|{"source/code": "prd_a"}"#);
}

#[tokio::test]
async fn a_product_that_says_nothing_gets_what_is_usual() {
    let (_database, mut operator, server) = start().await;
    let created = create(&server, Product::default(), "").await.unwrap();
    // prd_ and a lower-case ULID.
    assert_eq!(created.uid.len(), 30);
    assert!(
        created
            .uid
            .strip_prefix("prd_")
            .unwrap()
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    );
    assert_eq!(created.status, Some(Status { phase: "active".to_owned(), details: None }));
    let second = create(&server, Product::default(), "").await.unwrap();
    assert!(second.uid > created.uid, "uids sort by time");
    let nulls: i64 = query_scalar(
        "select count(*) from catalog.product where name is null and labels = '{}' and annotations = '{}'",
    )
    .fetch_one(&mut operator)
    .await
    .unwrap();
    assert_eq!(nulls, 2);
    // Imported history keeps its time.
    let old = Product { create_ts: Some(Timestamp { seconds: 1_000, nanos: 123_456_789 }), ..Product::default() };
    let created = create(&server, old, "").await.unwrap();
    assert_eq!(created.create_ts, Some(Timestamp { seconds: 1_000, nanos: 123_456_000 }));
    assert!(created.update_ts.unwrap().seconds > 1_000_000);
}

#[tokio::test]
async fn a_taken_uid_is_told() {
    let (_database, mut operator, server) = start().await;
    let first = create(&server, product("prd_a"), "").await.unwrap();
    let other = Product { name: "Other".to_owned(), ..product("prd_a") };
    assert_refused(create(&server, other, "").await, Code::AlreadyExists, "RESOURCE_EXISTS", "prd_a");
    assert_eq!(get(&server, "prd_a").await.unwrap(), first);
    assert_eq!(count(&mut operator).await, 1);
}

#[tokio::test]
async fn what_is_new_has_no_etag_and_its_own_time_of_change() {
    let (_database, mut operator, server) = start().await;
    let with_etag = Product { etag: "0123456789abcdef".to_owned(), ..product("prd_a") };
    assert_invalid(create(&server, with_etag, "").await, "FIELD_INVALID", "product.etag");
    let none = CreateProductRequest { product: None, request_id: String::new(), ..CreateProductRequest::default() };
    assert_invalid(server.client().create_product(none).await, "FIELD_INVALID", "product");
    assert_eq!(count(&mut operator).await, 0);
    let with_time = Product { update_ts: Some(timestamp(1)), ..product("prd_a") };
    assert!(create(&server, with_time, "").await.unwrap().update_ts.unwrap().seconds > 1_000_000);
}

#[tokio::test]
async fn a_retry_with_a_request_id_returns_what_the_first_call_made() {
    let (_database, mut operator, server) = start().await;
    let nameless = Product { uid: String::new(), ..product("") };
    let first = create(&server, nameless.clone(), "retry-1").await.unwrap();
    assert_eq!(create(&server, nameless.clone(), "retry-1").await.unwrap(), first);
    // Also after the product was changed, and on another process.
    let changed =
        update(&server, Product { uid: first.uid.clone(), name: "New".to_owned(), ..Product::default() }, &[]);
    let changed = changed.await.unwrap();
    assert_eq!(create(&server, nameless.clone(), "retry-1").await.unwrap(), changed);
    assert_eq!(count(&mut operator).await, 1);
    // Without an id, or with another one, it is another product.
    create(&server, nameless.clone(), "").await.unwrap();
    create(&server, nameless.clone(), "retry-2").await.unwrap();
    assert_eq!(count(&mut operator).await, 3);
    // The same id with other content is an error.
    let other = Product { name: "Other".to_owned(), ..nameless.clone() };
    assert_invalid(create(&server, other, "retry-1").await, "WRITE_SESSION_MISMATCH", "request_id");
    // Maps have no order, and a retry may be encoded differently.
    let many =
        Product { labels: (0..30).map(|label| (format!("l{label}"), "x".to_owned())).collect(), ..nameless.clone() };
    let first = create(&server, many.clone(), "retry-3").await.unwrap();
    for _ in 0..5 {
        let again = Product {
            labels: many.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            ..many.clone()
        };
        assert_eq!(create(&server, again, "retry-3").await.unwrap(), first);
    }
    // A call that failed has not used its id.
    create(&server, product("prd_a"), "").await.unwrap();
    assert_refused(create(&server, product("prd_a"), "retry-4").await, Code::AlreadyExists, "RESOURCE_EXISTS", "prd_a");
    create(&server, product("prd_b"), "retry-4").await.unwrap();
    for request_id in ["with space", "é", "\u{1}", &"x".repeat(129)] {
        assert_invalid(create(&server, product("prd_c"), request_id).await, "FIELD_INVALID", "request_id");
    }
    create(&server, product("prd_c"), &"x".repeat(128)).await.unwrap();
}

#[tokio::test]
async fn retries_at_the_same_time_create_one_product() {
    let (database, mut operator, server) = start().await;
    let replica = CatalogServer::start(&database).await;
    for round in 0..5 {
        let request_id = format!("at-once-{round}");
        let calls = (0..16).map(|call| {
            let server = if call % 2 == 0 { &server } else { &replica };
            create(server, Product { name: "Once".to_owned(), ..Product::default() }, &request_id)
        });
        let made: BTreeSet<String> =
            futures::future::join_all(calls).await.into_iter().map(|product| product.unwrap().uid).collect();
        assert_eq!(made.len(), 1);
        assert_eq!(count(&mut operator).await, round + 1);
    }
    // Sixteen with the same uid and no request_id: one creates it, the others get an error.
    let calls = (0..16).map(|_| create(&server, product("prd_race"), ""));
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_refused(refused, Code::AlreadyExists, "RESOURCE_EXISTS", "prd_race");
    }
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names() {
    let (_database, _operator, server) = start().await;
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let details = |entries: &[(&str, &str)]| {
        Some(Struct { fields: entries.iter().map(|(key, value)| ((*key).to_owned(), text(value))).collect() })
    };
    let mut current = product("prd_a");
    current.labels.insert("tier".to_owned(), "gold".to_owned());
    current.status = Some(Status { phase: "draft".to_owned(), details: details(&[("note", "n"), ("by", "b")]) });
    let mut current = create(&server, current, "").await.unwrap();

    // All sent values are new; only fields in the mask may change.
    let sent = Product {
        uid: "prd_a".to_owned(),
        name: "New".to_owned(),
        status: Some(Status { phase: "new".to_owned(), details: details(&[("note", "new"), ("more", "new")]) }),
        labels: [("season".to_owned(), "new".to_owned()), ("more".to_owned(), "new".to_owned())].into(),
        annotations: [("more".to_owned(), "new".to_owned())].into(),
        ..Product::default()
    };
    let steps: &[(&[&str], Change)] = &[
        (&["name"], |product| product.name = "New".to_owned()),
        (&["labels.season"], |product| drop(product.labels.insert("season".to_owned(), "new".to_owned()))),
        (&["status.phase"], |product| product.status.as_mut().unwrap().phase = "new".to_owned()),
        (&["status.details.note"], |product| {
            let details = product.status.as_mut().unwrap().details.as_mut().unwrap();
            details.fields.insert("note".to_owned(), Value { kind: Some(Kind::StringValue("new".to_owned())) });
        }),
        // Fields in the mask that are not sent are cleared.
        (&["labels.tier", "status.details.by"], |product| {
            product.labels.remove("tier");
            product.status.as_mut().unwrap().details.as_mut().unwrap().fields.remove("by");
        }),
        (&["labels.absent"], |_| ()),
        (&["annotations"], |product| product.annotations = [("more".to_owned(), "new".to_owned())].into()),
        (&["status.details"], |product| {
            let value = Value { kind: Some(Kind::StringValue("new".to_owned())) };
            let fields = [("note".to_owned(), value.clone()), ("more".to_owned(), value)];
            product.status.as_mut().unwrap().details = Some(Struct { fields: fields.into() });
        }),
        (&["labels"], |product| drop(product.labels.insert("more".to_owned(), "new".to_owned()))),
    ];
    for (paths, change) in steps {
        let before = current.clone();
        let after = update(&server, sent.clone(), paths).await.unwrap();
        change(&mut current);
        let changed = current != before;
        assert_eq!(after.update_ts != before.update_ts, changed, "{paths:?}");
        assert_eq!(after.etag != before.etag, changed, "{paths:?}");
        (current.update_ts, current.etag) = (after.update_ts, after.etag.clone());
        assert_eq!(after, current, "{paths:?}");
        assert_eq!(get(&server, "prd_a").await.unwrap(), current);
        assert_eq!(update(&server, sent.clone(), paths).await.unwrap(), current, "again, {paths:?}");
    }

    // A star replaces everything that can be replaced: fields that are not sent are cleared, and a status gets the
    // default phase.
    let cleared = update(&server, Product { uid: "prd_a".to_owned(), ..Product::default() }, &["*"]).await.unwrap();
    let expected = Product {
        uid: "prd_a".to_owned(),
        status: Some(Status { phase: "active".to_owned(), details: None }),
        create_ts: current.create_ts,
        update_ts: cleared.update_ts,
        etag: cleared.etag.clone(),
        ..Product::default()
    };
    assert_eq!(cleared, expected);
}

#[tokio::test]
async fn without_a_mask_what_is_set_is_changed() {
    let (_database, _operator, server) = start().await;
    let created = create(&server, product("prd_a"), "").await.unwrap();
    let sent = Product {
        uid: "prd_a".to_owned(),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        // A client cannot change them; they are ignored if they are sent as read.
        create_ts: Some(timestamp(5)),
        update_ts: Some(timestamp(5)),
        ..Product::default()
    };
    let updated = update(&server, sent, &[]).await.unwrap();
    let expected = Product {
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        update_ts: updated.update_ts,
        etag: updated.etag.clone(),
        ..created
    };
    assert_eq!(updated, expected);
}

#[tokio::test]
async fn an_update_refuses_what_it_cannot_do() {
    let (_database, _operator, server) = start().await;
    create(&server, product("prd_a"), "").await.unwrap();
    for path in ["uid", "create_ts", "update_ts", "etag", "nope", "", "name.x", "labels.", "status.x", "*,name"] {
        assert_invalid(update(&server, product("prd_a"), &[path]).await, "FIELD_INVALID", "update_mask");
    }
    assert_invalid(update(&server, product("prd_a"), &["name", "*"]).await, "FIELD_INVALID", "update_mask");
    assert_refused(update(&server, product("prd_b"), &[]).await, Code::NotFound, "RESOURCE_NOT_FOUND", "prd_b");
    assert_invalid(update(&server, product(""), &[]).await, "FIELD_INVALID", "product.uid");
    let none = UpdateProductRequest::default();
    assert_invalid(server.client().update_product(none).await, "FIELD_INVALID", "product");
}

#[tokio::test]
async fn an_etag_that_is_not_the_present_one_stops_a_write() {
    let (_database, mut operator, server) = start().await;
    let created = create(&server, product("prd_a"), "").await.unwrap();
    let with_etag = |etag: &str, name: &str| Product {
        etag: etag.to_owned(),
        name: name.to_owned(),
        uid: "prd_a".to_owned(),
        ..Product::default()
    };
    let updated = update(&server, with_etag(&created.etag, "B"), &[]).await.unwrap();
    assert_ne!(updated.etag, created.etag);
    for etag in [created.etag.as_str(), "x", "0000000000000000", &"e".repeat(10_000)] {
        let refused = update(&server, with_etag(etag, "C"), &["name"]).await;
        assert_refused(refused, Code::Aborted, "ETAG_MISMATCH", "prd_a");
        assert_refused(delete(&server, "prd_a", etag, false).await, Code::Aborted, "ETAG_MISMATCH", "prd_a");
        assert_refused(delete(&server, "prd_a", etag, true).await, Code::Aborted, "ETAG_MISMATCH", "prd_a");
    }
    assert_eq!(get(&server, "prd_a").await.unwrap(), updated);
    // A change by another program to a part that messages do not show changes the etag as well.
    run(&mut operator, "update catalog.product set labels = '{\"season\": {\"x\": 1}}'").await;
    assert_refused(update(&server, with_etag(&updated.etag, "C"), &[]).await, Code::Aborted, "ETAG_MISMATCH", "prd_a");
    let present = get(&server, "prd_a").await.unwrap();
    delete(&server, "prd_a", &present.etag, false).await.unwrap();
    assert_eq!(count(&mut operator).await, 0);
    // A write with an etag does not create a missing product.
    let request = UpdateProductRequest {
        product: Some(with_etag("x", "D")),
        update_mask: None,
        allow_missing: true,
        ..UpdateProductRequest::default()
    };
    assert_refused(server.client().update_product(request).await, Code::Aborted, "ETAG_MISMATCH", "prd_a");
}

#[tokio::test]
async fn of_updates_with_the_same_etag_one_succeeds() {
    let (_database, _operator, server) = start().await;
    let created = create(&server, product("prd_a"), "").await.unwrap();
    let calls = (0..16).map(|call| update(&server, Product { name: format!("N{call}"), ..created.clone() }, &["name"]));
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_refused(refused, Code::Aborted, "ETAG_MISMATCH", "prd_a");
    }
    // Without etags all succeed, and all keys are written.
    let calls = (0..16).map(|call| {
        let labels = [(format!("l{call}"), "x".to_owned())].into();
        let path = format!("labels.l{call}");
        let server = &server;
        async move { update(server, Product { uid: "prd_a".to_owned(), labels, ..Product::default() }, &[&path]).await }
    });
    futures::future::join_all(calls).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(get(&server, "prd_a").await.unwrap().labels.len(), 17);
}

#[tokio::test]
async fn a_missing_product_is_created_where_that_is_allowed() {
    let (_database, _operator, server) = start().await;
    let request = UpdateProductRequest {
        product: Some(product("prd_a")),
        update_mask: Some(FieldMask { paths: vec!["name".to_owned()] }),
        allow_missing: true,
        ..UpdateProductRequest::default()
    };
    let created = server.client().update_product(request.clone()).await.unwrap().into_inner();
    // It takes all its fields, whatever the mask.
    assert_eq!((&created.name, &created.labels), (&product("prd_a").name, &product("prd_a").labels));
    assert_eq!(created.status, product("prd_a").status);
    assert_eq!(server.client().update_product(request).await.unwrap().into_inner(), created);
}

#[tokio::test]
async fn a_deleted_product_takes_its_metrics_along() {
    let (_database, mut operator, server) = start().await;
    for uid in ["prd_a", "prd_b"] {
        create(&server, product(uid), "").await.unwrap();
    }
    run(
        &mut operator,
        "insert into catalog.product_metric (product_uid, name, value) \
         select uid, 'm' || n, n from unnest(array['prd_a', 'prd_b', 'prd_c']) uid, generate_series(1, 20000) n",
    )
    .await;
    delete(&server, "prd_a", "", false).await.unwrap();
    let left: Vec<String> = query_scalar("select distinct product_uid from catalog.product_metric order by 1")
        .fetch_all(&mut operator)
        .await
        .unwrap();
    assert_eq!(left, ["prd_b", "prd_c"]);
    assert_refused(get(&server, "prd_a").await, Code::NotFound, "RESOURCE_NOT_FOUND", "prd_a");
    assert_refused(delete(&server, "prd_a", "", false).await, Code::NotFound, "RESOURCE_NOT_FOUND", "prd_a");
    delete(&server, "prd_a", "", true).await.unwrap();
    delete(&server, "prd_a", "some-etag", true).await.unwrap();
    assert_eq!(count(&mut operator).await, 1);
    for uid in ["", "prd_\0", &"x".repeat(256 * 1024 + 1)] {
        assert_invalid(delete(&server, uid, "", true).await, "FIELD_INVALID", "uid");
        assert_invalid(get(&server, uid).await, "FIELD_INVALID", "uid");
    }
}

#[tokio::test]
async fn a_change_returns_the_fields_that_its_caller_asks_for() {
    let (_database, mut operator, server) = start().await;
    let only = |paths: &[&str]| Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let mut client = server.client();
    let create = |read_mask| CreateProductRequest { product: Some(product("prd_1")), read_mask, ..Default::default() };
    assert_invalid(client.create_product(create(only(&["nme"]))).await, "FIELD_INVALID", "read_mask");
    assert_eq!(count(&mut operator).await, 0);
    let created = client.create_product(create(only(&["uid", "status.phase"]))).await.unwrap().into_inner();
    let expected = Product {
        uid: "prd_1".to_owned(),
        status: Some(Status { phase: "draft".to_owned(), details: None }),
        ..Product::default()
    };
    assert_eq!(created, expected);
    let change = Product { name: "A lamp".to_owned(), ..product("prd_1") };
    let update = |read_mask| UpdateProductRequest { product: Some(change.clone()), read_mask, ..Default::default() };
    assert_invalid(client.update_product(update(only(&["etag.x"]))).await, "FIELD_INVALID", "read_mask");
    let updated = client.update_product(update(only(&["name"]))).await.unwrap().into_inner();
    assert_eq!(updated, Product { name: "A lamp".to_owned(), ..Product::default() });
}
