//! What other programs have stored in the column of a payload.

use orrery_kit::resource::kind::{Change, UnsetPhase};
use orrery_kit::resource::mask::KeySet;
use orrery_proto::r#type::v1::WriteStart;

use super::*;
use crate::shelves::descriptions::SHELF;

#[tokio::test]
async fn stored_values_that_do_not_fit_are_unset() {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Pallet(pallet("00000001")))).await.unwrap();
    let empty = Some(Load::Pallet(Pallet::default()));
    for (body, load) in [
        (r#"{"fill": "0.1", "codes": "a", "sealed": 1, "size_bytes": 1.5, "packed_ts": "noon"}"#, empty.clone()),
        (r#"{"unit_price": "12.50", "attributes": [1], "note": {"a": 1}, "size": "double"}"#, empty.clone()),
        (r#"{"code_count": 4294967296, "size_bytes": 99999999999999999999, "content_hash": null}"#, empty.clone()),
        ("[1, 2]", empty.clone()),
        ("\"pallet\"", empty.clone()),
        ("7", empty.clone()),
        ("null", empty),
        (
            r#"{"codes": ["a", 1, null, {"b": 2}], "size_bytes": 5.0, "packed_ts": "1970-01-01T01:00:00+01:00"}"#,
            Some(Load::Pallet(Pallet {
                codes: ["a", "1", "null", r#"{"b": 2}"#].map(str::to_owned).to_vec(),
                size_bytes: 5,
                packed_ts: Some(Timestamp::default()),
                ..Pallet::default()
            })),
        ),
    ] {
        slice.store_load(1, "pallet", body).await;
        assert_eq!(slice.load_of(1).await, load, "{body}");
        for rows in [slice.listed(&["*"]).await, slice.streamed(&["*"]).await] {
            assert_eq!(rows[0].load, load, "{body}");
        }
        for paths in [&["pallet"][..], &["pallet.codes", "pallet.size_bytes", "pallet.packed_ts"]] {
            assert_eq!(slice.got(1, paths).await.unwrap().load, load, "{body}");
        }
        // An update that does not name it leaves it as it is, and so does one that sets nothing.
        slice.changed(Shelf { note: body.to_owned(), ..shelf(1) }, &["note"]).await.unwrap();
        slice.changed(Shelf { note: format!("{body} "), ..shelf(1) }, &[]).await.unwrap();
        slice.changed(holding(1, Load::Pallet(Pallet::default())), &[]).await.unwrap();
        let same = slice.value(&format!("'{body}'::jsonb")).await.unwrap();
        assert_eq!(slice.stored_load(1).await, stored("pallet", &same));
        // One that sets something does not fail.
        slice.changed(holding(1, Load::Pallet(pallet("00000001"))), &["pallet"]).await.unwrap();
        assert_eq!(slice.load_of(1).await, Some(Load::Pallet(pallet("00000001"))), "{body}");
    }
}

#[tokio::test]
async fn a_kind_that_is_no_member_is_no_payload() {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Tank(tank(7)))).await.unwrap();
    for kind in ["", "drum", "Tank", "a \"b\\", "body"] {
        slice.store_load(1, kind, r#"{"volume": 7}"#).await;
        let read = slice.got(1, &[]).await.unwrap();
        assert_eq!((read.load_kind.as_str(), read.load), (kind, None));
        assert_eq!(slice.got(1, &["tank", "pallet.note"]).await.unwrap().load, None);
        assert_eq!(slice.streamed(&["*"]).await[0].load, None);
        // Its object stays.
        slice.changed(Shelf { note: kind.to_owned(), ..shelf(1) }, &["note", "tank", "pallet"]).await.unwrap();
        assert_eq!(slice.stored_load(1).await, stored(kind, r#"{"volume": 7}"#));
    }
    // A switch from it begins anew.
    slice.add_keys(1, r#"{"foreign": 1}"#).await;
    let rows = [holding(1, Load::Pallet(pallet("00000001")))];
    slice.written(WriteStart::default(), &rows).await;
    assert_eq!(slice.stored_load(1).await, stored("pallet", r#"{"foreign": 1, "content_hash": "00000001"}"#));
}

/// An index takes immutable expressions only, and so does a sharded database in updates and in what they return.
#[tokio::test]
async fn what_is_computed_in_an_update_is_immutable() {
    let slice = Shelves::new().await;
    let create = "create table public.computed (load_kind text, body jsonb, sent jsonb)";
    sqlx::raw_sql(create).execute(&slice.pool).await.unwrap();
    let kind = SHELF.field("body").unwrap().kind;
    let names = ["tank", "pallet.note"].map(str::to_owned).to_vec();
    let keys = KeySet { names, beginnings: Vec::new() };
    let assignments =
        [Change::IfSet, Change::Whole, Change::Keys(&keys, UnsetPhase::Default), Change::Keys(&keys, UnsetPhase::Kept)]
            .map(|change| kind.assign("body", change).value.replace("i.body", "sent"));
    for expression in assignments.into_iter().chain([kind.select("t.body")]) {
        let index = format!("create index on public.computed (({}))", expression.replace("t.", ""));
        sqlx::raw_sql(AssertSqlSafe(index)).execute(&slice.pool).await.unwrap();
    }
    let volatile = sqlx::raw_sql("create index on public.computed ((jsonb_build_array(load_kind, body)))");
    volatile.execute(&slice.pool).await.unwrap_err();
}
