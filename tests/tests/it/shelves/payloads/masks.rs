//! Masks that name members and their fields, and what other programs' keys become under each write.

use orrery_proto::r#type::v1::{WriteMode, WriteStart};

use super::*;
use crate::harness::assert_invalid;
use crate::resources::in_mode;

/// A shelf whose object has keys of another program.
async fn with_foreign_keys() -> Shelves {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Tank(Tank { liquid: "milk".to_owned(), ..tank(7) }))).await.unwrap();
    slice.add_keys(1, FOREIGN).await;
    slice
}

const FOREIGN: &str = r#"{"a": [1.50, {"b": null}], "note": "not of a tank", "Volume": 12345678901234567890.1}"#;

/// The object with these keys, and those of the other program.
async fn beside_foreign(slice: &Shelves, keys: &str) -> (String, String) {
    let object = format!("'{keys}'::jsonb || '{FOREIGN}'::jsonb");
    (if keys.contains("content_hash") { "pallet" } else { "tank" }.to_owned(), slice.value(&object).await.unwrap())
}

#[tokio::test]
async fn keys_of_other_programs_survive_every_write() {
    let slice = with_foreign_keys().await;
    let row = |tank: Tank| holding(1, Load::Tank(tank));
    let update = |paths: &[&str]| WriteStart { update_mask: Some(mask(paths)), ..in_mode(WriteMode::Update) };
    slice.changed(row(Tank { volume: 8, ..Tank::default() }), &[]).await.unwrap();
    assert_eq!(slice.stored_load(1).await, beside_foreign(&slice, r#"{"liquid": "milk", "volume": 8}"#).await);
    slice.changed(row(tank(9)), &["tank"]).await.unwrap();
    assert_eq!(slice.stored_load(1).await, beside_foreign(&slice, r#"{"volume": 9}"#).await);
    slice.changed(row(Tank { liquid: "oil".to_owned(), ..tank(1) }), &["tank.liquid"]).await.unwrap();
    assert_eq!(slice.stored_load(1).await, beside_foreign(&slice, r#"{"liquid": "oil", "volume": 9}"#).await);
    slice.changed(row(tank(3)), &["*"]).await.unwrap();
    assert_eq!(slice.stored_load(1).await, beside_foreign(&slice, r#"{"volume": 3}"#).await);
    for (start, volume) in [
        (WriteStart::default(), 4),
        (in_mode(WriteMode::Update), 5),
        (update(&["tank"]), 6),
        (update(&["tank.volume"]), 7),
        (update(&["load_kind", "tank", "pallet"]), 8),
        (WriteStart { keep_unset: true, ..update(&["tank"]) }, 9),
        (WriteStart { update_mask: Some(mask(&["tank.volume"])), ..WriteStart::default() }, 10),
    ] {
        assert_eq!(slice.written(start.clone(), &[row(tank(volume))]).await.counts(), [0, 1, 0, 0, 0], "{start:?}");
        let expected = beside_foreign(&slice, &format!(r#"{{"volume": {volume}}}"#)).await;
        assert_eq!(slice.stored_load(1).await, expected, "{start:?}");
    }
    // A row that may be new is sent as a whole; of a stored one the mask alone is written.
    let whole = row(Tank { liquid: "oil".to_owned(), ..tank(11) });
    let masked = WriteStart { update_mask: Some(mask(&["tank.volume"])), ..WriteStart::default() };
    slice.written(masked, &[whole]).await;
    assert_eq!(slice.stored_load(1).await, beside_foreign(&slice, r#"{"volume": 11}"#).await);
    slice.changed(row(tank(10)), &["tank.volume"]).await.unwrap();
    // Fields that are not named stay as they are, and so does the whole object.
    slice.changed(Shelf { note: "x".to_owned(), ..shelf(1) }, &[]).await.unwrap();
    slice.changed(Shelf { note: "y".to_owned(), ..row(tank(1)) }, &["note"]).await.unwrap();
    assert_eq!(slice.stored_load(1).await, beside_foreign(&slice, r#"{"volume": 10}"#).await);
    // A pallet has a note: the key of another program becomes its field, unless the member changes.
    slice.changed(holding(1, Load::Pallet(pallet("00000001"))), &["load_kind", "pallet"]).await.unwrap();
    let left = r#"{"a": [1.50, {"b": null}], "Volume": 12345678901234567890.1, "content_hash": "00000001"}"#;
    assert_eq!(slice.stored_load(1).await, stored("pallet", left));
}

#[tokio::test]
async fn a_mask_replaces_what_it_names_and_nothing_else() {
    let slice = Shelves::new().await;
    let milk = Tank { liquid: "milk".to_owned(), content_hash: "h".to_owned(), ..tank(7) };
    let row = |tank: Tank| holding(1, Load::Tank(tank));
    slice.made(row(milk.clone())).await.unwrap();
    let load = |shelf: Shelf| shelf.load.unwrap();
    // A field that is unset is removed.
    let changed = slice.changed(row(Tank { volume: 1, ..Tank::default() }), &["tank.liquid"]).await.unwrap();
    assert_eq!(load(changed), Load::Tank(Tank { liquid: String::new(), ..milk.clone() }));
    let changed =
        slice.changed(row(Tank { volume: 8, ..milk.clone() }), &["tank.liquid", "tank.volume"]).await.unwrap();
    assert_eq!(load(changed), Load::Tank(Tank { volume: 8, ..milk.clone() }));
    // Also if the member is not sent, unless it is required.
    let changed = slice.changed(shelf(1), &["tank.liquid", "pallet.note"]).await.unwrap();
    assert_eq!(load(changed), Load::Tank(Tank { volume: 8, liquid: String::new(), ..milk.clone() }));
    assert_invalid(slice.changed(shelf(1), &["tank.volume"]).await, "FIELD_INVALID", "shelf.tank.volume");
    assert_invalid(slice.changed(row(Tank::default()), &["tank"]).await, "FIELD_INVALID", "shelf.tank.volume");
    // Paths of another member do nothing.
    slice.changed(row(milk.clone()), &["tank"]).await.unwrap();
    let same = Load::Tank(milk.clone());
    for paths in [&["pallet"][..], &["pallet.note", "pallet.content_hash"]] {
        let sent = holding(1, Load::Pallet(pallet("00000001")));
        assert_eq!(load(slice.changed(sent, paths).await.unwrap()), same);
    }
    assert_eq!(load(slice.changed(shelf(1), &["pallet"]).await.unwrap()), same);
    let sent = holding(1, Load::Pallet(pallet("00000001")));
    assert_eq!(load(slice.changed(sent, &["pallet", "tank"]).await.unwrap()), same);
    // A member that is unset is cleared, but its kind stays.
    let kept = slice.changed(shelf(1), &["tank"]).await.unwrap();
    assert_eq!((kept.load_kind.as_str(), kept.load), ("tank", Some(Load::Tank(Tank::default()))));
    let cleared = slice.changed(shelf(1), &["load_kind", "tank"]).await.unwrap();
    assert_eq!((cleared.load_kind.as_str(), cleared.load), ("", None));
}

#[tokio::test]
async fn a_chunk_may_keep_what_it_leaves_out() {
    let slice = Shelves::new().await;
    let milk = Tank { liquid: "milk".to_owned(), ..tank(7) };
    slice.made(holding(1, Load::Tank(milk.clone()))).await.unwrap();
    let start =
        |paths: &[&str]| WriteStart { update_mask: Some(mask(paths)), keep_unset: true, ..in_mode(WriteMode::Update) };
    for paths in [&["tank"][..], &["tank.liquid"], &["tank.volume"], &["*"]] {
        let totals = slice.written(start(paths), &[Shelf { kind: "open".to_owned(), ..shelf(1) }]).await;
        assert_eq!(totals.counts(), [0, 0, 1, 0, 0], "{paths:?}");
    }
    // A member that is sent says which fields it has.
    let rows = [holding(1, Load::Tank(Tank { volume: 8, ..Tank::default() }))];
    assert_eq!(slice.written(start(&["tank"]), &rows).await.counts(), [0, 1, 0, 0, 0]);
    assert_eq!(slice.load_of(1).await, Some(Load::Tank(tank(8))));
    slice.add_keys(1, r#"{"liquid": "milk"}"#).await;
    assert_eq!(slice.written(start(&["*"]), &rows).await.counts(), [0, 1, 0, 0, 0]);
    assert_eq!(slice.load_of(1).await, Some(Load::Tank(tank(8))));
}

#[tokio::test]
async fn read_masks_select_members_and_their_fields() {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Pallet(full_pallet()))).await.unwrap();
    slice.made(holding(2, Load::Tank(Tank { liquid: "milk".to_owned(), ..tank(7) }))).await.unwrap();
    slice.made(shelf(3)).await.unwrap();
    let some = Pallet { note: full_pallet().note, codes: full_pallet().codes, ..Pallet::default() };
    let milk = Tank { liquid: "milk".to_owned(), ..Tank::default() };
    for (paths, of_pallet, of_tank) in [
        (&["pallet"][..], Some(full_pallet()), None),
        (&["tank.liquid"], None, Some(milk.clone())),
        (&["pallet.note", "pallet.codes"], Some(some.clone()), None),
        (&["pallet.note", "tank", "pallet.codes"], Some(some), Some(Tank { volume: 7, ..milk })),
        (&["tank", "tank.liquid"], None, Some(Tank { liquid: "milk".to_owned(), ..tank(7) })),
        (
            &["pallet.size_bytes", "pallet.code_count"],
            Some(Pallet { size_bytes: 1 << 60, code_count: 2, ..Pallet::default() }),
            None,
        ),
        (&["load_kind"], None, None),
    ] {
        let loads = [of_pallet.map(Load::Pallet), of_tank.map(Load::Tank), None];
        for rows in [slice.listed(paths).await, slice.streamed(paths).await] {
            let read: Vec<_> = rows.into_iter().map(|shelf| shelf.load).collect();
            assert_eq!(read, loads, "{paths:?}");
        }
        for (slot, load) in (1..).zip(loads) {
            assert_eq!(slice.got(slot, paths).await.unwrap().load, load, "{paths:?}");
        }
    }
    // With the etag, every column is read as a whole besides.
    let whole = slice.got(1, &[]).await.unwrap();
    let part = slice.got(1, &["etag", "pallet.note"]).await.unwrap();
    let note = Pallet { note: full_pallet().note, ..Pallet::default() };
    assert_eq!((part.etag, part.load), (whole.etag, Some(Load::Pallet(note))));
    let answer = UpdateShelfRequest {
        shelf: Some(holding(2, Load::Tank(tank(9)))),
        update_mask: Some(mask(&["tank"])),
        read_mask: Some(mask(&["tank.volume"])),
        ..Default::default()
    };
    let answer = slice.client().update_shelf(answer).await.unwrap().into_inner();
    assert_eq!(answer.load, Some(Load::Tank(tank(9))));
}

#[tokio::test]
async fn paths_that_name_nothing_are_refused() {
    let slice = Shelves::new().await;
    slice.made(holding(1, Load::Tank(tank(7)))).await.unwrap();
    for path in ["body", "load", "body.tank", "tank.", "tank.depth", "tank.liquid.x", "tank.*", "drum"] {
        assert_invalid(slice.got(1, &[path]).await, "FIELD_INVALID", "read_mask");
        let refused = slice.changed(holding(1, Load::Tank(tank(8))), &[path]).await;
        let why = refused.as_ref().unwrap_err().message().to_owned();
        assert_invalid(refused, "FIELD_INVALID", "update_mask");
        let known =
            if path.starts_with("tank.") { " of tank; there are codes, liquid, volume" } else { "; there are " };
        assert!(why.contains(&format!("path {path:?} names no field{known}")), "{why}");
    }
}
