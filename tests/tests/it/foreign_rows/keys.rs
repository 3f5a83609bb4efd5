//! Changes of one key keep all others.

use orrery_proto::catalog::v1::{Product, UpdateProductRequest};
use orrery_proto::r#type::v1::{RowErrorPolicy, Status, WriteMode, WriteStart};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use sqlx::{PgConnection, query_as};

use super::{NO_OBJECTS, ODD_KEYS, catalog, get, insert, is_unsendable, mask, stored, update, write, write_with};
use crate::harness::{CatalogServer, Role, TestDatabase, assert_invalid, run};

/// Sets one key with SQL as the contract describes: in the object, or in a new one if there is none.
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
                    &format!(
                        "insert into catalog.product select '{uid}-copy', name, status, labels, annotations from \
                        catalog.product where uid = '{uid}'"
                    ),
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
                // And back for the next iteration.
                run(
                    &mut operator,
                    &format!(
                        "update catalog.product set status = '{}', labels = '{}', annotations = '{}' where uid = \
                         '{uid}'",
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
            "select ($1::text::jsonb || '{\"note\": \"new\"}')::text, ($2::text::jsonb || \
             '{\"season\": \"winter\"}')::text",
        )
        .bind(before.0)
        .bind(before.1)
        .fetch_one(&mut operator)
        .await
        .unwrap();
        let after = stored(&mut operator, &uid).await;
        assert_eq!(((after.0, after.1), after.2), (expected, before.2));

        // And with a chunked write that only updates.
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

        // Fields named by the mask must be valid.
        for path in ["labels", "name", "status.phase", "status"] {
            let request = UpdateProductRequest {
                product: Some(read.clone()),
                update_mask: mask(&[path]),
                allow_missing: false,
                ..UpdateProductRequest::default()
            };
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
                 annotations = annotations || '{{\"gone\": 1.10}}', status = status || '{{\"gone\": [1.10]}}' where \
                 uid = '{uid}'"
            ),
        )
        .await;
        let before = stored(&mut operator, uid).await;
        let product = Product { uid: uid.clone(), ..Product::default() };
        update(&server, product, mask(&["labels.gone", "annotations.gone", "status.details.gone"])).await;
        let after = stored(&mut operator, uid).await;
        let expected: (String, String, String) = query_as(
            "select ($1::text::jsonb - 'gone')::text, ($2::text::jsonb - 'gone')::text, ($3::text::jsonb - \
             'gone')::text",
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
        if is_unsendable(read.status.as_ref()) {
            continue;
        }
        read.etag.clear();
        read.labels.insert("season".to_owned(), "winter".to_owned());
        let details = read.status.get_or_insert_default().details.get_or_insert_default();
        details.fields.insert("season".to_owned(), Value { kind: Some(Kind::StringValue("winter".to_owned())) });
        update(&server, read, None).await;
        let after = stored(&mut operator, uid).await;
        let (status, labels): (String, String) = query_as(
            "select ($1::text::jsonb || '{\"season\": \"winter\"}')::text, ($2::text::jsonb || \
             '{\"season\": \"winter\"}')::text",
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

/// A key in the details that is the name of a field is refused by each mask that includes it, and accepted with others.
/// If another program stored such a key, it stays until it is replaced.
#[tokio::test]
async fn a_field_of_a_status_is_no_key_of_its_details() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let server = CatalogServer::start(&database).await;
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    for theirs in [r#"{"phase": 5, "note": "n"}"#, r#"{"phase": "active", "details": {"a": 1}, "note": "n"}"#] {
        run(&mut operator, "delete from catalog.product").await;
        insert(&mut operator, "prd_1", theirs, "{}", "{}").await;
        let mut read = get(&server, "prd_1").await;
        read.etag.clear();
        let status = read.status.as_mut().unwrap();
        "sold".clone_into(&mut status.phase);
        status.details.as_mut().unwrap().fields.insert("note".to_owned(), text("new"));
        let key = if theirs.contains('5') { "phase" } else { "details" };
        let refusing = [
            None,
            mask(&["*"]),
            mask(&["status"]),
            mask(&["status.details"]),
            mask(&["status.phase", "status.details"]),
            mask(&["status.details", "status.details.note"]),
        ];
        for update_mask in refusing {
            for allow_missing in [false, true] {
                let (product, update_mask) = (Some(read.clone()), update_mask.clone());
                let request =
                    UpdateProductRequest { product, update_mask, allow_missing, ..UpdateProductRequest::default() };
                let refused = server.client().update_product(request).await;
                assert_invalid(refused, "FIELD_INVALID", &format!("product.status.details.{key}"));
            }
            for mode in [WriteMode::Upsert, WriteMode::Update] {
                let skip = RowErrorPolicy::Skip.into();
                let (mode, update_mask) = (mode.into(), update_mask.clone());
                let start = WriteStart { mode, update_mask, on_row_error: skip, ..WriteStart::default() };
                let answer = write_with(&server, start, vec![read.clone()]).await;
                assert_eq!(answer.row_errors[0].field, format!("status.details.{key}"));
            }
        }
        assert_eq!(stored(&mut operator, "prd_1").await.0, jsonb(&mut operator, theirs).await);
        // A mask of a part keeps the rest, and a valid phase replaces an invalid one.
        let written = update(&server, read.clone(), mask(&["status.details.note", "name"])).await;
        assert_eq!(written.status.unwrap().details.unwrap().fields["note"], text("new"));
        let expected = theirs.replace(r#""n""#, r#""new""#);
        assert_eq!(stored(&mut operator, "prd_1").await.0, jsonb(&mut operator, &expected).await);
        update(&server, read.clone(), mask(&["status.phase"])).await;
        let expected = expected.replace('5', r#""sold""#).replace("active", "sold");
        assert_eq!(stored(&mut operator, "prd_1").await.0, jsonb(&mut operator, &expected).await);
    }
    // A key of another program can be cleared by its name, and not set.
    let mask_of_it = mask(&["status.details.details"]);
    let mut product = Product { uid: "prd_1".to_owned(), ..Product::default() };
    let details = Struct { fields: [("details".to_owned(), text("x"))].into() };
    product.status = Some(Status { phase: String::new(), details: Some(details) });
    let request =
        UpdateProductRequest { product: Some(product), update_mask: mask_of_it.clone(), ..Default::default() };
    let refused = server.client().update_product(request).await;
    assert_invalid(refused, "FIELD_INVALID", "product.status.details.details");
    update(&server, Product { uid: "prd_1".to_owned(), ..Product::default() }, mask_of_it).await;
    let expected = jsonb(&mut operator, r#"{"phase": "sold", "note": "new"}"#).await;
    assert_eq!(stored(&mut operator, "prd_1").await.0, expected);
}

/// A document in Postgres's output.
async fn jsonb(connection: &mut PgConnection, text: &str) -> String {
    sqlx::query_scalar("select $1::text::jsonb::text").bind(text).fetch_one(connection).await.unwrap()
}
