//! Keys with an integer: of children, of rows that another program stored, and in requests.

use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use tonic::Code;

use super::contract::{
    BatchGetShelvesRequest, CreateShelfRequest, DeleteShelfRequest, GetShelfRequest, Shelf, ShelfKey, ShelfView,
    UpdateShelfRequest,
};
use super::fixture::{SHELVES, Shelves, boxed, shelf, told};
use crate::harness::{assert_invalid, refusal};
use crate::resources::{in_mode, skipping};
use crate::writes::stream::{assert_status, mask, write};

fn get(slot: i32) -> GetShelfRequest {
    let (warehouse, aisle) = ("north".to_owned(), "a".to_owned());
    GetShelfRequest { warehouse, aisle, slot, view: ShelfView::Full.into(), read_mask: None }
}

fn update(shelf: Shelf, paths: &[&str]) -> UpdateShelfRequest {
    UpdateShelfRequest { shelf: Some(shelf), update_mask: Some(mask(paths)), ..Default::default() }
}

#[tokio::test]
async fn children_may_be_sent_with_the_key_of_their_owner_and_no_other() {
    let slice = Shelves::new().await;
    let sent = Shelf { boxes: vec![boxed(1, "bolts"), boxed(2, "nuts")], ..shelf(-7) };
    slice.client().create_shelf(CreateShelfRequest { shelf: Some(sent), ..Default::default() }).await.unwrap();
    let mut read = slice.client().get_shelf(get(-7)).await.unwrap().into_inner();
    // Children are read without their owner's key, but may be sent with it.
    assert_eq!(read.boxes, [boxed(1, "bolts"), boxed(2, "nuts")]);
    for each in &mut read.boxes {
        (each.warehouse, each.aisle, each.slot) = (read.warehouse.clone(), read.aisle.clone(), read.slot);
    }
    let (totals, end) = write(slice.channel(), SHELVES, WriteStart::default(), &[read.clone()]).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 0, 1, 0, 0]);
    let mut other = read.clone();
    other.boxes[1].slot = 7;
    assert_invalid(
        slice.client().update_shelf(update(other.clone(), &["boxes"])).await,
        "FIELD_INVALID",
        "shelf.boxes[1].slot",
    );
    let (totals, _) = write(slice.channel(), SHELVES, skipping(WriteMode::Upsert), &[other]).await;
    assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "boxes[1].slot")]);
    // One child is deleted, one is added, one is changed.
    let changed = Shelf { boxes: vec![boxed(2, "nails"), boxed(3, "pins")], ..read };
    slice.client().update_shelf(update(changed, &["boxes"])).await.unwrap();
    let read = slice.client().get_shelf(get(-7)).await.unwrap().into_inner();
    let boxes: Vec<_> = read.boxes.iter().map(|each| (each.position, each.content.as_str())).collect();
    assert_eq!(boxes, [(2, "nails"), (3, "pins")]);
}

#[tokio::test]
async fn a_key_beyond_the_bounds_is_for_rows_that_another_program_stored() {
    let slice = Shelves::new().await;
    let create = CreateShelfRequest { shelf: Some(shelf(-5_000)), ..Default::default() };
    assert_invalid(slice.client().create_shelf(create).await, "FIELD_INVALID", "shelf.slot");
    let (totals, _) = write(slice.channel(), SHELVES, skipping(WriteMode::Upsert), &[shelf(-5_000)]).await;
    assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "slot")]);
    sqlx::raw_sql("insert into warehouse.shelf (warehouse, aisle, slot, kind, weight) values ('north', 'a', -5000, 'open', 1), ('Über', 'A 1', -5001, 'open', 1)")
        .execute(&slice.pool)
        .await
        .unwrap();
    let changed = |slot| Shelf { note: "changed".to_owned(), ..shelf(slot) };
    let updated = slice.client().update_shelf(update(changed(-5_000), &["note"])).await.unwrap().into_inner();
    assert_eq!((updated.slot, updated.note.as_str()), (-5_000, "changed"));
    let odd = Shelf { warehouse: "Über".to_owned(), aisle: "A 1".to_owned(), ..changed(-5_001) };
    let start = WriteStart { update_mask: Some(mask(&["note"])), ..in_mode(WriteMode::Update) };
    let (totals, end) = write(slice.channel(), SHELVES, start, &[odd.clone(), changed(-5_000)]).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 1, 1, 0, 0]);
    let (totals, end) = write(slice.channel(), SHELVES, in_mode(WriteMode::Delete), &[odd]).await;
    end.unwrap();
    assert_eq!(totals.deleted, 1);
    let request =
        DeleteShelfRequest { warehouse: "north".to_owned(), aisle: "a".to_owned(), slot: -5_000, ..Default::default() };
    slice.client().delete_shelf(request).await.unwrap();
    assert_eq!(slice.count("shelf").await, 0);
}

#[tokio::test]
async fn each_column_of_a_key_is_told_that_no_row_can_have() {
    let slice = Shelves::new().await;
    let bad = GetShelfRequest { warehouse: "a\0".to_owned(), aisle: String::new(), ..get(1) };
    let refused = refusal(&slice.client().get_shelf(bad).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.fields),
        (Code::InvalidArgument, vec!["warehouse".to_owned(), "aisle".to_owned()])
    );
    let key = |aisle: &str| ShelfKey { warehouse: "north".to_owned(), aisle: aisle.to_owned(), slot: i32::MIN };
    let batch = BatchGetShelvesRequest { keys: vec![key("a"), key(""), key("\0")], ..Default::default() };
    let refused = refusal(&slice.client().batch_get_shelves(batch).await.unwrap_err());
    assert_eq!(refused.fields, ["keys[1].aisle", "keys[2].aisle"]);
    let missing = slice.client().get_shelf(get(i32::MIN)).await.unwrap_err();
    assert_status(&missing, Code::NotFound, "RESOURCE_NOT_FOUND");
}
