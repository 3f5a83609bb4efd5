//! Every method on rows with a payload.

use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::*;
use crate::harness::{assert_invalid, refusal};
use crate::resources::{in_mode, skipping};
use crate::shelves::contract::{BatchGetShelvesRequest, ShelfKey};
use crate::shelves::fixture::told;
use crate::writes::stream::assert_status;

#[tokio::test]
async fn a_payload_is_written_and_read_by_every_method() {
    let slice = Shelves::new().await;
    let load = Load::Pallet(full_pallet());
    let made = slice.made(holding(1, load.clone())).await.unwrap();
    assert_eq!((made.load_kind.as_str(), &made.load), ("pallet", &Some(load.clone())));
    assert_eq!(slice.stored_load(1).await, stored("pallet", FULL_PALLET));
    assert_eq!(slice.got(1, &[]).await.unwrap(), made);
    let of_chunk = [holding(2, Load::Tank(tank(7))), shelf(3), holding(4, Load::Pallet(pallet("00000004")))];
    assert_eq!(slice.written(WriteStart::default(), &of_chunk).await.counts(), [3, 0, 0, 0, 0]);
    let key = |slot| ShelfKey { warehouse: "north".to_owned(), aisle: "a".to_owned(), slot };
    let request = BatchGetShelvesRequest { keys: (1..5).map(key).collect(), ..Default::default() };
    let batch = slice.client().batch_get_shelves(request).await.unwrap().into_inner().shelves;
    let loads: Vec<_> = batch.iter().map(|shelf| (shelf.load_kind.as_str(), shelf.load.clone())).collect();
    let expected = [
        ("pallet", Some(load)),
        ("tank", Some(Load::Tank(tank(7)))),
        ("", None),
        ("pallet", Some(Load::Pallet(pallet("00000004")))),
    ];
    assert_eq!(loads, expected);
    assert_eq!(slice.listed(&["*"]).await, slice.streamed(&["*"]).await);
    let listed: Vec<_> = slice.listed(&["*"]).await.into_iter().map(|shelf| shelf.load).collect();
    assert_eq!(listed, expected.map(|(_, load)| load));
    assert_eq!(slice.stored_load(3).await, stored("", "{}"));
}

#[tokio::test]
async fn a_set_member_without_fields_is_no_unset_one() {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Pallet(pallet("00000001")))).await.unwrap();
    slice.changed(holding(1, Load::Pallet(Pallet::default())), &[]).await.unwrap();
    assert_eq!(slice.load_of(1).await, Some(Load::Pallet(pallet("00000001"))));
    slice.store_load(1, "pallet", "{}").await;
    assert_eq!(slice.load_of(1).await, Some(Load::Pallet(Pallet::default())));
}

#[tokio::test]
async fn bad_input_names_the_inner_path() {
    let slice = Shelves::new().await;
    let load = |pallet: Pallet| holding(1, Load::Pallet(pallet));
    let (good, long) = (full_pallet(), "x".repeat(65));
    for (field, bad) in [
        ("content_hash", Pallet { content_hash: String::new(), ..good.clone() }),
        ("content_hash", Pallet { content_hash: "xyz".to_owned(), ..good.clone() }),
        ("size_bytes", Pallet { size_bytes: -1, ..good.clone() }),
        ("codes[1]", Pallet { codes: vec!["a".to_owned(), long], ..good.clone() }),
        ("unit_price", Pallet { unit_price: "1e3".to_owned(), ..good.clone() }),
        ("fill", Pallet { fill: f64::NAN, ..good.clone() }),
        ("packed_ts", Pallet { packed_ts: Some(Timestamp { seconds: 0, nanos: -1 }), ..good.clone() }),
        ("note", Pallet { note: "a\0".to_owned(), ..good.clone() }),
        ("size", Pallet { size: 7, ..good.clone() }),
    ] {
        let path = format!("pallet.{field}");
        let refused = slice.made(load(bad.clone())).await;
        assert_invalid(refused, "FIELD_INVALID", &format!("shelf.{path}"));
        let totals = slice.written(skipping(WriteMode::Upsert), &[load(bad)]).await;
        assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", path.as_str())]);
    }
    let two = load(Pallet { size_bytes: -1, note: "\0".to_owned(), ..good });
    let refused = refusal(&slice.made(two).await.unwrap_err());
    assert_eq!(refused.fields, ["shelf.pallet.note", "shelf.pallet.size_bytes"]);
    assert_invalid(slice.made(holding(1, Load::Tank(tank(0)))).await, "FIELD_INVALID", "shelf.tank.volume");
    assert_eq!(slice.count("shelf").await, 0);
}

#[tokio::test]
async fn equal_rows_are_unchanged() {
    let slice = Shelves::new().await;
    let rows = [holding(1, Load::Pallet(full_pallet())), holding(2, Load::Tank(tank(7)))];
    slice.written(WriteStart::default(), &rows).await;
    let read = slice.listed(&["*"]).await;
    // Numbers are compared by value, and keys that no field has are not compared.
    let numbers = r#"{"unit_price": 123456789012345678901234567890.12345678900, "size_bytes": 1152921504606846976.0, "note2": 1}"#;
    slice.add_keys(1, numbers).await;
    slice.add_keys(2, r#"{"volume": 7.0}"#).await;
    for start in [
        WriteStart::default(),
        in_mode(WriteMode::Update),
        WriteStart { update_mask: Some(mask(&["pallet", "tank"])), ..WriteStart::default() },
        WriteStart { update_mask: Some(mask(&["*"])), ..WriteStart::default() },
        WriteStart { update_mask: Some(mask(&["load_kind", "tank", "pallet.note"])), ..in_mode(WriteMode::Update) },
        WriteStart { update_mask: Some(mask(&["pallet"])), keep_unset: true, ..in_mode(WriteMode::Update) },
    ] {
        for rows in [&rows, &read[..]] {
            // The etags that were read are those of the rows before.
            let rows: Vec<Shelf> =
                rows.iter().map(|row| Shelf { etag: String::new(), create_ts: None, ..row.clone() }).collect();
            assert_eq!(slice.written(start.clone(), &rows).await.counts(), [0, 0, 2, 0, 0], "{start:?}");
        }
    }
    let revisions: Vec<i32> = slice.listed(&["*"]).await.iter().map(|shelf| shelf.revision).collect();
    assert_eq!(revisions, [1, 1]);
    let other = Pallet { fill: 0.2, ..full_pallet() };
    let rows = [holding(1, Load::Pallet(other)), holding(2, Load::Tank(tank(7)))];
    assert_eq!(slice.written(WriteStart::default(), &rows).await.counts(), [0, 1, 1, 0, 0]);
}

#[tokio::test]
async fn an_upsert_switches_the_member() {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Pallet(full_pallet()))).await.unwrap();
    slice.add_keys(1, r#"{"foreign": {"a": [1.50]}}"#).await;
    let to_tank = holding(1, Load::Tank(Tank { codes: vec!["b".to_owned(), "a".to_owned()], ..tank(7) }));
    assert_eq!(slice.written(WriteStart::default(), std::slice::from_ref(&to_tank)).await.counts(), [0, 1, 0, 0, 0]);
    // Nothing of the pallet is left, also of the fields that both have.
    let expected = r#"{"codes": ["a", "b"], "volume": 7, "foreign": {"a": [1.50]}}"#;
    assert_eq!(slice.stored_load(1).await, stored("tank", expected));
    assert_eq!(slice.written(WriteStart::default(), &[to_tank]).await.counts(), [0, 0, 1, 0, 0]);
    let back = slice.changed(holding(1, Load::Pallet(pallet("00000001"))), &[]).await.unwrap();
    assert_eq!(back.load, Some(Load::Pallet(pallet("00000001"))));
    let expected = r#"{"foreign": {"a": [1.50]}, "content_hash": "00000001"}"#;
    assert_eq!(slice.stored_load(1).await, stored("pallet", expected));
}

#[tokio::test]
async fn the_etag_is_that_of_the_payload_too() {
    let slice = Shelves::new().await;
    let first = slice.made(holding(1, Load::Tank(tank(7)))).await.unwrap();
    let second = slice.changed(Shelf { etag: first.etag.clone(), ..holding(1, Load::Tank(tank(8))) }, &["tank"]).await;
    let second = second.unwrap();
    assert_ne!(first.etag, second.etag);
    slice.add_keys(1, r#"{"foreign": 1}"#).await;
    let third = slice.got(1, &[]).await.unwrap();
    assert_ne!(third.etag, second.etag);
    // A kind that the contract does not know counts too.
    slice.store_load(1, "drum", r#"{"volume": 8, "foreign": 1}"#).await;
    assert_ne!(slice.got(1, &["etag"]).await.unwrap().etag, third.etag);
    let stale = slice.changed(Shelf { etag: third.etag, ..shelf(1) }, &["note"]).await.unwrap_err();
    assert_status(&stale, Code::Aborted, "ETAG_MISMATCH");
    let now = slice.got(1, &["etag"]).await.unwrap().etag;
    let kept = slice.changed(Shelf { etag: now, note: "x".to_owned(), ..shelf(1) }, &["note"]).await.unwrap();
    assert_eq!((kept.note.as_str(), kept.load), ("x", None));
}

#[tokio::test]
async fn fields_of_a_member_can_be_unique() {
    let slice = Shelves::new().await;
    let hashed = |slot, hash: &str| holding(slot, Load::Pallet(pallet(hash)));
    slice.made(hashed(1, "00000001")).await.unwrap();
    slice.made(hashed(2, "00000002")).await.unwrap();
    let taken = [slice.made(hashed(3, "00000001")).await, slice.changed(hashed(2, "00000001"), &[]).await];
    for refused in taken {
        let status = refused.unwrap_err();
        let told = refusal(&status);
        assert_eq!((told.reason.as_str(), &told.fields[..]), ("RESOURCE_EXISTS", &["shelf.load".to_owned()][..]));
        assert_eq!(status.get_details_resource_info().unwrap().resource_name, "north/a/1");
    }
    // The same hash of another member is another value.
    let of_tank = Tank { content_hash: "00000001".to_owned(), ..tank(7) };
    slice.made(holding(4, Load::Tank(of_tank))).await.unwrap();
    // What is not sent keeps its value.
    let note = |slot| holding(slot, Load::Pallet(Pallet { note: "x".to_owned(), ..Pallet::default() }));
    slice.changed(note(2), &[]).await.unwrap();
    slice.changed(note(1), &["pallet.note"]).await.unwrap();
    assert_eq!(slice.written(in_mode(WriteMode::Update), &[note(1), note(2)]).await.counts(), [0, 0, 2, 0, 0]);
    let rows = [hashed(5, "00000005"), hashed(6, "00000002"), hashed(7, "00000005")];
    let totals = slice.written(skipping(WriteMode::Upsert), &rows).await;
    assert_eq!(told(&totals.errors), [1, 2].map(|at| (at, "ERROR_REASON_RESOURCE_EXISTS", "load")));
    // Of two fields one alone may change and meet what is stored in the other.
    let milk = |slot, volume| holding(slot, Load::Tank(Tank { liquid: "milk".to_owned(), ..tank(volume) }));
    slice.written(WriteStart::default(), &[milk(11, 7), milk(12, 8)]).await;
    for paths in [&[][..], &["tank.volume"]] {
        let status = slice.changed(holding(12, Load::Tank(tank(7))), paths).await.unwrap_err();
        assert_eq!(status.get_details_resource_info().unwrap().resource_name, "north/a/11", "{status:?}");
    }
    slice.changed(holding(12, Load::Tank(tank(9))), &[]).await.unwrap();
    // A value that a switch gives up is free.
    slice.changed(holding(1, Load::Tank(tank(8))), &[]).await.unwrap();
    slice.made(hashed(8, "00000001")).await.unwrap();
}

#[tokio::test]
async fn a_payload_that_is_only_validated_is_not_written() {
    let slice = Shelves::new().await;
    let validate = WriteStart { validate_only: true, ..WriteStart::default() };
    let rows = [holding(1, Load::Pallet(full_pallet()))];
    assert_eq!(slice.written(validate.clone(), &rows).await.counts(), [1, 0, 0, 0, 0]);
    assert_eq!(slice.count("shelf").await, 0);
    slice.written(WriteStart::default(), &[holding(1, Load::Tank(tank(7)))]).await;
    assert_eq!(slice.written(validate, &rows).await.counts(), [0, 1, 0, 0, 0]);
    assert_eq!(slice.load_of(1).await, Some(Load::Tank(tank(7))));
}

#[tokio::test]
async fn rows_that_come_by_copy_are_like_those_of_an_insert() {
    let slice = Shelves::new().await;
    let note = "x".repeat(2_000);
    let row = |slot| {
        let pallet = Pallet { content_hash: format!("{slot:08x}"), note: note.clone(), ..full_pallet() };
        holding(slot, Load::Pallet(pallet))
    };
    // More than is written by an insert.
    let rows: Vec<Shelf> = (0..400).map(row).collect();
    assert_eq!(slice.written(WriteStart::default(), &rows).await.counts(), [400, 0, 0, 0, 0]);
    let read: Vec<_> = slice.streamed(&["pallet", "tank"]).await.into_iter().map(|shelf| shelf.load).collect();
    assert!(read == rows.iter().map(|shelf| shelf.load.clone()).collect::<Vec<_>>());
    assert_eq!(slice.written(WriteStart::default(), &rows).await.counts(), [0, 0, 400, 0, 0]);
}
