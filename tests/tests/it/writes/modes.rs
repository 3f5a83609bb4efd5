//! The effect of modes, masks and dry runs on existing and new rows.

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{RowErrorPolicy, Status as Phase, WriteMode, WriteStart};
use tonic::Code;

use super::Fixture;
use super::stream::{PRODUCTS, Totals, mask, named, product, write};

fn skipping(mode: WriteMode) -> WriteStart {
    WriteStart { mode: mode.into(), on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() }
}

fn codes(totals: &Totals) -> Vec<(i64, Code)> {
    totals.errors.iter().map(|error| (error.offset, Code::from_i32(error.code))).collect()
}

fn full(uid: &str) -> Product {
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Product {
        status: Some(Phase { phase: "retired".to_owned(), details: None }),
        labels: [text("season", "autumn"), text("colour", "red")].into(),
        annotations: [text("source/code", "A1"), text("note", "\"quoted\"\n")].into(),
        ..product(uid, "Full")
    }
}

#[tokio::test]
async fn each_mode_writes_its_rows_and_refuses_the_others() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let (_, end) = write(channel(), PRODUCTS, WriteStart::default(), &[product("old", "before")]).await;
    end.unwrap();

    let rows = [product("old", "create"), product("new1", "create")];
    let (totals, end) = write(channel(), PRODUCTS, skipping(WriteMode::Create), &rows).await;
    end.unwrap();
    assert_eq!((totals.counts(), codes(&totals)), ([1, 0, 0, 1, 0], vec![(0, Code::AlreadyExists)]));
    assert!(totals.errors[0].message.contains("prd_old"), "{:?}", totals.errors);
    assert_eq!(fixture.product("old", "name").await.unwrap(), "before");

    let rows = [product("new2", "update"), product("old", "update"), product("new1", "create")];
    let (totals, end) = write(channel(), PRODUCTS, skipping(WriteMode::Update), &rows).await;
    end.unwrap();
    assert_eq!((totals.counts(), codes(&totals)), ([0, 1, 1, 1, 0], vec![(0, Code::NotFound)]));
    assert_eq!(fixture.product("old", "name").await.unwrap(), "update");

    for mode in [WriteMode::Upsert, WriteMode::Unspecified] {
        let uid = format!("new{}", mode as i32 + 5);
        let rows = [product("old", &uid), product(&uid, "upsert"), product("new1", "create")];
        let (totals, end) = write(channel(), PRODUCTS, skipping(mode), &rows).await;
        end.unwrap();
        assert_eq!(totals.counts(), [1, 1, 1, 0, 0]);
    }
    assert_eq!(fixture.count("catalog.product").await, 4);
}

#[tokio::test]
async fn a_mask_says_what_is_overwritten_and_a_new_row_takes_everything() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let masked = |paths: &[&str]| WriteStart { update_mask: Some(mask(paths)), ..WriteStart::default() };
    let jsonb = "jsonb_build_array(name, status, labels, annotations)";
    let whole = r#"["Full", {"phase": "retired"}, {"colour": "red", "season": "autumn"}, {"note": "\"quoted\"\n", "source/code": "A1"}]"#;

    // Without a mask: all set fields. (A full row that is new is stored as it is.)
    let cases: &[(&str, Option<&[&str]>, Product, &str)] = &[
        (
            "unset",
            None,
            product("unset", "Renamed"),
            r#"["Renamed", {"phase": "retired"}, {"colour": "red", "season": "autumn"}, {"note": "\"quoted\"\n", "source/code": "A1"}]"#,
        ),
        ("empty", Some(&[]), product("empty", ""), whole),
        ("star", Some(&["*"]), product("star", ""), r#"[null, {"phase": "active"}, {}, {}]"#),
        (
            "paths",
            Some(&["name", "labels"]),
            Product { labels: [("a".to_owned(), "b".to_owned())].into(), ..full("paths") },
            r#"["Full", {"phase": "retired"}, {"a": "b"}, {"note": "\"quoted\"\n", "source/code": "A1"}]"#,
        ),
        (
            "keys",
            Some(&["labels.season", "annotations.source/code", "status.phase"]),
            Product { labels: [("season".to_owned(), "spring".to_owned())].into(), ..product("keys", "not this") },
            r#"["Full", {"phase": "active"}, {"colour": "red", "season": "spring"}, {"note": "\"quoted\"\n"}]"#,
        ),
    ];
    for (uid, paths, change, expected) in cases {
        let start = paths.map_or_else(WriteStart::default, masked);
        let (totals, end) = write(channel(), PRODUCTS, start.clone(), &[full(uid)]).await;
        end.unwrap();
        assert_eq!(totals.created, 1);
        assert_eq!(fixture.product(uid, jsonb).await.unwrap(), whole, "a new row takes everything, whatever the mask");
        let (totals, end) = write(channel(), PRODUCTS, start.clone(), std::slice::from_ref(change)).await;
        end.unwrap();
        let changes = i64::from(*expected != whole);
        assert_eq!(totals.counts(), [0, changes, 1 - changes, 0, 0], "{uid}");
        assert_eq!(&fixture.product(uid, jsonb).await.unwrap(), expected, "{uid}");
        let (totals, end) = write(channel(), PRODUCTS, start, std::slice::from_ref(change)).await;
        end.unwrap();
        assert_eq!(totals.counts(), [0, 0, 1, 0, 0], "{uid}: the second time");
    }
}

/// A row's uid, the mask, whether unset fields are kept, the sent row, and the stored result.
type Bounded<'a> = (&'a str, Option<&'a [&'a str]>, bool, Product, &'a str);

/// Data that others have set on the rows of a write: what is kept and what is removed with each kind of mask.
#[tokio::test]
async fn a_mask_of_keys_leaves_the_labels_of_others() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let map = |entries: &[(&str, &str)]| {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let stored = |uid: &str| Product {
        labels: map(&[("season", "winter"), ("tag/old", "1"), ("tag/kept", "1"), ("tags", "3")]),
        annotations: map(&[("note", "by hand"), ("source/id", "7")]),
        ..full(uid)
    };
    let jsonb = "jsonb_build_array(name, status ->> 'phase', labels, annotations)";
    let without =
        |uid: &str| Product { labels: map(&[]), annotations: map(&[]), name: String::new(), ..product(uid, "") };
    let with = |uid: &str| Product { labels: map(&[("tag/kept", "1"), ("tag/new", "1")]), ..product(uid, "New") };
    let whole = r#"["Full", "retired", {"tags": "3", "season": "winter", "tag/old": "1", "tag/kept": "1"}, {"note": "by hand", "source/id": "7"}]"#;
    let keys: &[&str] = &["name", "labels.tag/*", "annotations.source/id"];
    let cases: &[Bounded<'_>] = &[
        ("none", None, false, without("none"), whole),
        (
            "set",
            None,
            false,
            with("set"),
            r#"["New", "retired", {"tag/new": "1", "tag/kept": "1"}, {"note": "by hand", "source/id": "7"}]"#,
        ),
        (
            "whole",
            Some(&["labels"]),
            false,
            without("whole"),
            r#"["Full", "retired", {}, {"note": "by hand", "source/id": "7"}]"#,
        ),
        (
            "keys",
            Some(keys),
            false,
            without("keys"),
            r#"[null, "retired", {"tags": "3", "season": "winter"}, {"note": "by hand"}]"#,
        ),
        (
            "kept",
            Some(keys),
            true,
            without("kept"),
            r#"["Full", "retired", {"tags": "3", "season": "winter"}, {"note": "by hand"}]"#,
        ),
        (
            "kept-new",
            Some(keys),
            true,
            with("kept-new"),
            r#"["New", "retired", {"tags": "3", "season": "winter", "tag/new": "1", "tag/kept": "1"}, {"note": "by hand"}]"#,
        ),
        ("kept-whole", Some(&["*"]), true, without("kept-whole"), whole),
        ("kept-phase", Some(&["status.phase", "status.details.note", "labels"]), true, without("kept-phase"), whole),
        ("kept-details", Some(&["status.phase", "status.details"]), true, without("kept-details"), whole),
        (
            "literal",
            Some(&["labels.`tag/*`", "labels.tags"]),
            false,
            with("literal"),
            r#"["Full", "retired", {"season": "winter", "tag/old": "1", "tag/kept": "1"}, {"note": "by hand", "source/id": "7"}]"#,
        ),
    ];
    for (uid, paths, keep_unset, change, expected) in cases {
        let start = WriteStart { update_mask: paths.map(mask), keep_unset: *keep_unset, ..WriteStart::default() };
        let (_, end) = write(channel(), PRODUCTS, start.clone(), &[stored(uid)]).await;
        end.unwrap();
        assert_eq!(fixture.product(uid, jsonb).await.unwrap(), whole, "{uid}: a new row takes everything");
        for (round, changes) in [(1, i64::from(*expected != whole)), (2, 0)] {
            let (totals, end) = write(channel(), PRODUCTS, start.clone(), std::slice::from_ref(change)).await;
            end.unwrap();
            assert_eq!(totals.counts(), [0, changes, 1 - changes, 0, 0], "{uid}, round {round}");
            assert_eq!(&fixture.product(uid, jsonb).await.unwrap(), expected, "{uid}, round {round}");
        }
    }
    for path in ["labels.a**", "name.*", "status.*"] {
        let start = WriteStart { update_mask: Some(mask(&[path])), ..WriteStart::default() };
        let (_, end) = write(channel(), PRODUCTS, start, &[product("x", "")]).await;
        let status = end.unwrap_err();
        assert_eq!((status.code(), path), (Code::InvalidArgument, path));
        assert!(status.message().contains("update_mask"), "{status:?}");
    }
}

/// Details of a status in a mask: unset keys are kept, named keys are removed.
#[tokio::test]
async fn a_mask_that_keeps_what_is_unset_reaches_into_a_status() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let details = |entries: &[(&str, &str)]| {
        let value =
            |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.to_owned())) };
        let fields = entries.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect();
        prost_types::Struct { fields }
    };
    let row = |uid: &str, phase: &str, entries: &[(&str, &str)]| Product {
        status: Some(Phase { phase: phase.to_owned(), details: (!entries.is_empty()).then(|| details(entries)) }),
        ..product(uid, "")
    };
    let cases: &[(&str, &[&str], Product, &str)] = &[
        ("p1", &["status.phase"], row("p1", "", &[("a", "2")]), r#"{"a": "1", "b": "1", "phase": "retired"}"#),
        ("p2", &["status.phase"], row("p2", "sold", &[("a", "2")]), r#"{"a": "1", "b": "1", "phase": "sold"}"#),
        ("d1", &["status.details"], row("d1", "sold", &[]), r#"{"a": "1", "b": "1", "phase": "retired"}"#),
        ("d2", &["status.details"], row("d2", "sold", &[("a", "2")]), r#"{"a": "2", "phase": "retired"}"#),
        ("k1", &["status.details.a"], row("k1", "sold", &[("b", "2")]), r#"{"b": "1", "phase": "retired"}"#),
        ("w1", &["status"], row("w1", "sold", &[]), r#"{"a": "1", "b": "1", "phase": "sold"}"#),
        ("b1", &["status.phase", "status.details"], row("b1", "sold", &[]), r#"{"a": "1", "b": "1", "phase": "sold"}"#),
        ("b2", &["status.phase", "status.details"], row("b2", "", &[("c", "2")]), r#"{"c": "2", "phase": "retired"}"#),
        (
            "b3",
            &["status.phase", "status.details.a"],
            row("b3", "", &[("c", "2")]),
            r#"{"b": "1", "phase": "retired"}"#,
        ),
    ];
    for (uid, paths, change, expected) in cases {
        let start = WriteStart { update_mask: Some(mask(paths)), keep_unset: true, ..WriteStart::default() };
        let (_, end) =
            write(channel(), PRODUCTS, start.clone(), &[row(uid, "retired", &[("a", "1"), ("b", "1")])]).await;
        end.unwrap();
        for mode in [WriteMode::Upsert, WriteMode::Update] {
            let start = WriteStart { mode: mode.into(), ..start.clone() };
            let (_, end) = write(channel(), PRODUCTS, start, std::slice::from_ref(change)).await;
            end.unwrap();
            assert_eq!(&fixture.product(uid, "status").await.unwrap(), expected, "{uid}, {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_counts_as_if_and_keeps_nothing() {
    let fixture = Fixture::new().await;
    let channel = || fixture.server.channel();
    let (_, end) = write(channel(), PRODUCTS, WriteStart::default(), &[product("a", "A"), product("b", "B")]).await;
    end.unwrap();
    let before = fixture.product("a", "xmin").await;

    let start = WriteStart { validate_only: true, on_row_error: RowErrorPolicy::Skip.into(), ..named("dry") };
    let rows = [
        product("a", "changed"),
        product("b", "B"),
        product("c", "C"),
        Product { etag: "stale".to_owned(), ..product("d", "D") },
        product("bad uid", ""),
    ];
    for _ in 0..2 {
        let (totals, end) = write(channel(), PRODUCTS, start.clone(), &rows).await;
        end.unwrap();
        assert_eq!((totals.committed_offset, totals.counts()), (5, [1, 1, 1, 2, 0]));
        assert_eq!(codes(&totals), [(3, Code::Aborted), (4, Code::InvalidArgument)]);
    }
    assert_eq!(fixture.product("a", "xmin").await, before, "nothing was kept");
    assert_eq!(fixture.count("catalog.product").await, 2);
    assert_eq!(fixture.count("catalog.write_session").await, 0, "the write_id neither");
    assert_eq!(fixture.count("catalog.write_commit").await, 0);
}
