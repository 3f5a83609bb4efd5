//! What belongs to the deleted rows, and what is free after them.

use orrery_proto::r#type::v1::WriteStart;

use super::super::contract::{Inspection, Shelf};
use super::super::fixture::{SHELVES, Shelves, boxed, shelf};
use super::{count, counts, replacing, shelf_of, shelves, stored, written};
use crate::writes::stream::write;

fn full(shelf: Shelf) -> Shelf {
    let inspection = Some(Inspection { inspector: "Ada".to_owned(), ..Inspection::default() });
    Shelf { boxes: vec![boxed(1, "bolts"), boxed(2, "nuts")], inspection, ..shelf }
}

async fn replaced(slice: &Shelves, rows: &[Shelf]) -> [i64; 6] {
    let (totals, end) = write(slice.channel(), SHELVES, replacing(), rows).await;
    end.unwrap();
    counts(&totals)
}

#[tokio::test]
async fn rows_go_with_their_children_and_dependents() {
    let slice = Shelves::new().await;
    let rows = [full(shelf(1)), full(shelf(2)), full(shelf(3)), full(shelf_of("south", 1))];
    write(slice.channel(), SHELVES, WriteStart::default(), &rows).await.1.unwrap();
    written(&slice, WriteStart::default(), &[count(1, "mon", 1), count(2, "mon", 2), count(3, "mon", 3)]).await;
    // Of shelf 2 one box changes, and one goes.
    let changed = Shelf { boxes: vec![boxed(1, "nails")], ..shelf(2) };
    assert_eq!(replaced(&slice, &[changed, full(shelf(4))]).await, [1, 1, 0, 0, 0, 2]);
    assert_eq!(shelves(&slice).await, ["north 2", "north 4", "south 1"]);
    let boxes = "select string_agg(concat_ws(' ', warehouse, slot, content), ',' order by warehouse, slot, position) \
                 from warehouse.box";
    assert_eq!(
        slice.value(boxes).await.unwrap(),
        "north 2 nails,north 4 bolts,north 4 nuts,south 1 bolts,south 1 nuts"
    );
    let inspected = "select string_agg(concat_ws(' ', warehouse, slot), ',' order by warehouse, slot) \
                     from warehouse.inspection";
    assert_eq!(slice.value(inspected).await.unwrap(), "north 2,north 4,south 1");
    assert_eq!(stored(&slice).await, ["2 mon 2"]);
}

#[tokio::test]
async fn a_value_of_a_deleted_row_is_free() {
    let slice = Shelves::new().await;
    let labelled = |slot, label: &str| Shelf { label: label.to_owned(), ..shelf(slot) };
    let rows = [labelled(1, "Bolts"), labelled(5, "Nuts")];
    write(slice.channel(), SHELVES, WriteStart::default(), &rows).await.1.unwrap();
    // The row that has the value stands before the one that takes it, or behind it.
    assert_eq!(replaced(&slice, &[labelled(2, "NUTS"), labelled(3, "bolts")]).await, [2, 0, 0, 0, 0, 2]);
    assert_eq!(replaced(&slice, &[labelled(7, "nuts")]).await, [1, 0, 0, 0, 0, 2]);
    assert_eq!(shelves(&slice).await, ["north 7"]);
}

/// A rule may use an existing row in place of one that is sent.
#[tokio::test]
async fn a_row_that_stands_for_one_that_is_sent_is_one_that_stays() {
    let slice = Shelves::new().await;
    let hashed = |slot, hash: &str| Shelf { content_hash: hash.to_owned(), ..shelf(slot) };
    write(slice.channel(), SHELVES, WriteStart::default(), &[hashed(1, "one"), hashed(2, "two")]).await.1.unwrap();
    assert_eq!(replaced(&slice, &[hashed(1, "one"), hashed(3, "one")]).await, [0, 0, 2, 0, 0, 1]);
    assert_eq!(shelves(&slice).await, ["north 1"]);
    // What was not sent stands for nothing.
    assert_eq!(replaced(&slice, &[hashed(4, "one")]).await, [1, 0, 0, 0, 0, 1]);
    assert_eq!(shelves(&slice).await, ["north 4"]);
}
