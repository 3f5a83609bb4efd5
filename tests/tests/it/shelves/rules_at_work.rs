//! A resource's own rules: what they see and may do, and that single and chunked writes apply them alike.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::future::join_all;
use orrery_kit::resource::row::{Integer, Text};
use orrery_kit::resource::rules::Rules;
use orrery_kit::resource::{Description, Resource};
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode, WriteStart};
use tonic::{Code, Status};

use super::contract::{CreateShelfRequest, DeleteShelfRequest, Shelf, UpdateShelfRequest};
use super::descriptions::SHELF_DESCRIPTION;
use super::fixture::{SHELVES, Shelves, boxed, shelf, told};
use crate::harness::{assert_invalid, refusal};
use crate::resources::{in_mode, skipping};
use crate::writes::stream::{assert_status, mask, write};

async fn create(slice: &Shelves, shelf: Shelf, request_id: &str) -> Result<Shelf, Status> {
    let request = CreateShelfRequest { shelf: Some(shelf), request_id: request_id.to_owned(), ..Default::default() };
    Ok(slice.client().create_shelf(request).await?.into_inner())
}

async fn update(slice: &Shelves, shelf: Shelf, paths: &[&str]) -> Result<Shelf, Status> {
    let request = UpdateShelfRequest { shelf: Some(shelf), update_mask: Some(mask(paths)), ..Default::default() };
    Ok(slice.client().update_shelf(request).await?.into_inner())
}

fn hashed(slot: i32, hash: &str) -> Shelf {
    Shelf { content_hash: hash.to_owned(), ..shelf(slot) }
}

fn in_series(slot: i32, series: &str) -> Shelf {
    Shelf { series: series.to_owned(), ..shelf(slot) }
}

type RulesOf = fn(&Resource) -> Result<Box<dyn Rules>, String>;

fn text_in_an_integer(shelf: &Resource) -> Result<Box<dyn Rules>, String> {
    shelf.column::<Text>("capacity").and(Err(String::new()))
}

fn unknown_column(shelf: &Resource) -> Result<Box<dyn Rules>, String> {
    shelf.column::<Integer>("nonsense").and(Err(String::new()))
}

fn unknown_children(shelf: &Resource) -> Result<Box<dyn Rules>, String> {
    shelf.children("nonsense").and(Err(String::new()))
}

fn owners_column_of_children(shelf: &Resource) -> Result<Box<dyn Rules>, String> {
    shelf.children("boxes")?.column::<Text>("warehouse").and(Err(String::new()))
}

#[test]
fn a_wrong_name_or_type_in_rules_is_found_when_the_service_starts() {
    for (resolve, why) in [
        (text_in_an_integer as RulesOf, "orrery.test.v1.Shelf: column capacity of orrery.test.v1.Shelf is no Text"),
        (unknown_column, "orrery.test.v1.Shelf has no column nonsense that a rule can read"),
        (unknown_children, "orrery.test.v1.Shelf has no children nonsense"),
        (owners_column_of_children, "column warehouse of orrery.test.v1.Box belongs to the owner"),
    ] {
        let description: &'static Description = Box::leak(Box::new(Description {
            rules: resolve,
            descriptors: SHELF_DESCRIPTION.descriptors,
            key: SHELF_DESCRIPTION.key,
            fields: SHELF_DESCRIPTION.fields,
            children: SHELF_DESCRIPTION.children,
            ..Description::new(SHELF_DESCRIPTION.message, SHELF_DESCRIPTION.table)
        }));
        let panic = catch_unwind(AssertUnwindSafe(|| drop(Resource::compile(description, "shelves")))).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains(why), "{text}");
    }
}

#[tokio::test]
async fn a_rule_of_a_row_holds_for_every_write() {
    let slice = Shelves::new().await;
    let bad = Shelf { kind: "closed".to_owned(), boxes: vec![boxed(1, "bolts")], ..shelf(-1) };
    assert_invalid(create(&slice, bad.clone(), "").await, "FIELD_INVALID", "shelf.boxes");
    create(&slice, shelf(-1), "").await.unwrap();
    assert_invalid(update(&slice, bad.clone(), &["kind", "boxes"]).await, "FIELD_INVALID", "shelf.boxes");
    for mode in [WriteMode::Upsert, WriteMode::Update, WriteMode::Create] {
        let (totals, end) = write(slice.channel(), SHELVES, skipping(mode), std::slice::from_ref(&bad)).await;
        end.unwrap();
        assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "boxes")]);
    }
    // A delete reads only the key.
    let (totals, end) = write(slice.channel(), SHELVES, in_mode(WriteMode::Delete), &[bad]).await;
    end.unwrap();
    assert_eq!(totals.deleted, 1);
}

#[tokio::test]
async fn a_rule_that_looks_into_the_database_holds_for_every_write() {
    let slice = Shelves::new().await;
    let cold = |warehouse: &str| Shelf { warehouse: warehouse.to_owned(), kind: "cold".to_owned(), ..shelf(1) };
    assert_invalid(create(&slice, cold("south"), "").await, "FIELD_INVALID", "shelf.kind");
    create(&slice, Shelf { kind: "open".to_owned(), ..cold("south") }, "").await.unwrap();
    assert_invalid(update(&slice, cold("south"), &["kind"]).await, "FIELD_INVALID", "shelf.kind");
    create(&slice, cold("north"), "").await.unwrap();
    let rows = [cold("north"), cold("south"), cold("west")];
    let (totals, end) = write(slice.channel(), SHELVES, skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    let invalid = "ERROR_REASON_FIELD_INVALID";
    assert_eq!(told(&totals.errors), [(1, invalid, "kind"), (2, invalid, "kind")]);
    assert_eq!(totals.unchanged, 1);
}

#[tokio::test]
async fn a_rule_of_deletes_holds_for_single_and_chunked_ones() {
    let slice = Shelves::new().await;
    create(&slice, Shelf { kind: "fixed".to_owned(), ..shelf(1) }, "").await.unwrap();
    create(&slice, shelf(2), "").await.unwrap();
    let request =
        DeleteShelfRequest { warehouse: "north".to_owned(), aisle: "a".to_owned(), slot: 1, ..Default::default() };
    let refused = refusal(&slice.client().delete_shelf(request).await.unwrap_err());
    assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec!["kind".to_owned()]));
    let (totals, end) = write(slice.channel(), SHELVES, skipping(WriteMode::Delete), &[shelf(1), shelf(2)]).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "kind")]);
    assert_eq!((totals.deleted, slice.count("shelf").await), (1, 1));
}

#[tokio::test]
async fn references_of_rows_and_of_children_hold_for_every_write() {
    let slice = Shelves::new().await;
    let keeper = |uid: &str| uid.to_owned();
    let of_row = Shelf { keeper_uid: keeper("kpr_77"), ..shelf(1) };
    let mut of_child = shelf(2);
    of_child.boxes = vec![boxed(1, "bolts"), super::contract::Box { keeper_uid: keeper("kpr_78"), ..boxed(2, "nuts") }];
    let good = Shelf { keeper_uid: keeper("kpr_1"), ..shelf(3) };
    for (row, field) in [(&of_row, "keeper_uid"), (&of_child, "boxes[1].keeper_uid")] {
        let refused = create(&slice, row.clone(), "").await.unwrap_err();
        assert_status(&refused, Code::FailedPrecondition, "REFERENCE_MISSING");
        assert_eq!(refusal(&refused).fields, [format!("shelf.{field}")]);
        create(&slice, Shelf { boxes: Vec::new(), keeper_uid: String::new(), ..row.clone() }, "").await.unwrap();
        let refused = update(&slice, row.clone(), &["keeper_uid", "boxes"]).await.unwrap_err();
        assert_eq!(refusal(&refused).fields, [format!("shelf.{field}")]);
    }
    let rows = [of_row, of_child, good];
    let reject = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..skipping(WriteMode::Upsert) };
    let (totals, end) = write(slice.channel(), SHELVES, reject, &rows).await;
    end.unwrap();
    let missing = "ERROR_REASON_REFERENCE_MISSING";
    assert_eq!(told(&totals.errors), [(0, missing, "keeper_uid"), (1, missing, "boxes[1].keeper_uid")]);
    assert_eq!(totals.counts(), [1, 0, 0, 2, 0]);
    // By default a chunked write accepts missing targets.
    let (totals, end) = write(slice.channel(), SHELVES, WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 2, 1, 0, 0]);
}

#[tokio::test]
async fn a_create_of_a_content_that_exists_returns_what_has_it() {
    let slice = Shelves::new().await;
    let first = create(&slice, hashed(-1, "h1"), "first").await.unwrap();
    let second = create(&slice, hashed(2, "h1"), "second").await.unwrap();
    assert_eq!(second, first);
    // A retry returns it too, even if it has changed since.
    update(&slice, Shelf { note: "newer".to_owned(), ..shelf(-1) }, &["note"]).await.unwrap();
    let retried = create(&slice, hashed(2, "h1"), "second").await.unwrap();
    assert_eq!((retried.slot, retried.note.as_str()), (-1, "newer"));
    assert_eq!(slice.count("shelf").await, 1);
}

#[tokio::test]
async fn of_rows_of_one_content_in_a_chunk_one_is_created() {
    let slice = Shelves::new().await;
    create(&slice, hashed(-1, "h1"), "").await.unwrap();
    let rows = [hashed(5, "h1"), hashed(6, "h2"), hashed(7, "h2"), hashed(8, "h3")];
    for created in [2, 0] {
        let (totals, end) = write(slice.channel(), SHELVES, WriteStart::default(), &rows).await;
        end.unwrap();
        assert_eq!(totals.counts(), [created, 0, 4 - created, 0, 0]);
        assert_eq!(slice.count("shelf").await, 3);
    }
}

#[tokio::test]
async fn of_32_creates_of_one_content_one_is_made_and_all_return_it() {
    let slice = Shelves::new().await;
    let ids: Vec<String> = (1..=32).map(|slot| format!("request-{slot}")).collect();
    let racing = |slot: i32| create(&slice, hashed(slot, "h1"), &ids[slot as usize - 1]);
    let first: Vec<i32> = join_all((1..=32).map(racing)).await.into_iter().map(|made| made.unwrap().slot).collect();
    assert_eq!(slice.count("shelf").await, 1);
    assert!(first.iter().all(|slot| *slot == first[0]), "{first:?}");
    let again: Vec<i32> = join_all((1..=32).map(racing)).await.into_iter().map(|made| made.unwrap().slot).collect();
    assert_eq!(again, first);
}

#[tokio::test]
async fn numbers_of_a_series_have_no_gaps_whoever_races() {
    let slice = Shelves::new().await;
    let singles = join_all((1..=16).map(|slot| create(&slice, in_series(slot, "a"), ""))).await;
    let mut numbers: Vec<i32> = singles.into_iter().map(|made| made.unwrap().number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    // A row that is refused later, or exists, takes no number.
    create(&slice, in_series(1, "a"), "").await.unwrap_err();
    create(&slice, Shelf { label: "bolts".to_owned(), ..shelf(99) }, "").await.unwrap();
    create(&slice, Shelf { label: "bolts".to_owned(), ..in_series(98, "a") }, "").await.unwrap_err();
    let writes = (0..4).map(|writer| {
        let slice = &slice;
        async move {
            let rows: Vec<Shelf> = (0..50).map(|n| in_series(1_000 + writer * 100 + n, "a")).collect();
            write(slice.separate_channel(), SHELVES, WriteStart::default(), &rows).await.1.unwrap();
        }
    });
    join_all(writes).await;
    // Children without an owner are in the way of a create in one statement. What the rules wrote for it is undone.
    let left = "insert into warehouse.box (warehouse, aisle, slot, position) values ('north', 'a', 17, 1)";
    sqlx::raw_sql(left).execute(&slice.pool).await.unwrap();
    assert_eq!(create(&slice, in_series(17, "left"), "").await.unwrap().number, 1);
    assert_eq!(create(&slice, in_series(18, "left"), "").await.unwrap().number, 2);
    let told = "select count(*) || ' ' || count(distinct number) || ' ' || max(number) \
                  from warehouse.shelf where series = 'a'";
    assert_eq!(slice.value(told).await.unwrap(), "216 216 216");
    // A caller cannot set a value that a rule computes.
    let kept = update(&slice, Shelf { number: 7_000, note: "x".to_owned(), ..shelf(1) }, &["note"]).await.unwrap();
    assert!((1..=16).contains(&kept.number));
    assert_eq!(kept.moved, 1 << 40);
}
