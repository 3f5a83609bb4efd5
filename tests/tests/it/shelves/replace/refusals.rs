//! Rows that are refused, and stored rows that cannot be deleted.

use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, WriteStart};
use prost::Message as _;
use tonic::Code;

use super::super::contract::Shelf;
use super::super::fixture::{SHELVES, STOCKTAKES, Shelves, shelf, told};
use super::{count, counts, none, replacing, run, shelf_of, shelves, skipping, stored, written};
use crate::writes::stream::{Totals, WriteStream, assert_status, write};

/// Shelves 1 to 3 of the north, and shelf 1 of the south.
async fn slice() -> Shelves {
    let slice = Shelves::new().await;
    let rows = [shelf(1), shelf(2), shelf(3), shelf_of("south", 1)];
    write(slice.channel(), SHELVES, WriteStart::default(), &rows).await.1.unwrap();
    slice
}

/// Replaces shelves in one chunk, which must be committed.
async fn replaced(slice: &Shelves, start: WriteStart, rows: &[Shelf]) -> Totals {
    let (totals, end) = write(slice.channel(), SHELVES, start, rows).await;
    end.unwrap();
    totals
}

fn invalid(shelf: Shelf) -> Shelf {
    Shelf { kind: "nonsense".to_owned(), ..shelf }
}

#[tokio::test]
async fn what_is_stored_under_the_key_of_a_refused_row_stays() {
    let slice = slice().await;
    let changed = Shelf { note: "changed".to_owned(), ..shelf(2) };
    let missing = Shelf { keeper_uid: "kpr_77".to_owned(), ..shelf(3) };
    let stale = Shelf { etag: "stale".to_owned(), ..shelf_of("south", 1) };
    let sent = [invalid(shelf(1)), changed, shelf(4), missing, shelf(-5_000), stale, shelf_of("south", 2)];
    let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..skipping() };
    let totals = replaced(&slice, start, &sent).await;
    assert_eq!(counts(&totals), [2, 1, 0, 4, 0, 0]);
    let invalid_field = "ERROR_REASON_FIELD_INVALID";
    let expected = [
        (0, invalid_field, "kind"),
        (3, "ERROR_REASON_REFERENCE_MISSING", "keeper_uid"),
        (4, invalid_field, "slot"),
        (5, "ERROR_REASON_ETAG_MISMATCH", "etag"),
    ];
    assert_eq!(told(&totals.errors), expected);
    let all = ["north 1", "north 2", "north 3", "north 4", "south 1", "south 2"];
    assert_eq!(shelves(&slice).await, all);
    // Rows of the same owner that were not sent are deleted, also if all that was sent is refused.
    let totals = replaced(&slice, skipping(), &[invalid(shelf(1)), invalid(shelf_of("south", 7))]).await;
    assert_eq!(counts(&totals), [0, 0, 0, 2, 0, 5]);
    assert_eq!(shelves(&slice).await, ["north 1"]);
}

#[tokio::test]
async fn a_row_whose_key_cannot_be_read_keeps_all_of_its_owner() {
    let slice = slice().await;
    let nameless = Shelf { aisle: String::new(), ..shelf(3) };
    let totals = replaced(&slice, skipping(), &[nameless, shelf(4), shelf_of("south", 2)]).await;
    assert_eq!(counts(&totals), [2, 0, 0, 1, 0, 1]);
    assert_eq!(shelves(&slice).await, ["north 1", "north 2", "north 3", "north 4", "south 2"]);
    // Bytes that end in the middle of a field, and bytes that are no row of anybody.
    let cut =
        [Shelf { warehouse: "north".to_owned(), ..Shelf::default() }.encode_to_vec(), vec![0x12, 9, b'a']].concat();
    let rows = vec![cut.into(), vec![0xff].into(), shelf_of("south", 3).encode_to_vec().into()];
    let stream = WriteStream::open(slice.channel(), SHELVES, skipping()).await.unwrap();
    stream.send_bytes(0, rows).await;
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(counts(&totals), [1, 0, 0, 2, 0, 1]);
    assert_eq!(shelves(&slice).await, ["north 1", "north 2", "north 3", "north 4", "south 3"]);
}

#[tokio::test]
async fn a_refused_row_that_ends_the_stream_leaves_all_as_it_was() {
    let slice = slice().await;
    let missing = Shelf { keeper_uid: "kpr_77".to_owned(), ..shelf(3) };
    for bad in [invalid(shelf(1)), missing] {
        let start = WriteStart { reference_check: ReferenceCheck::Reject.into(), ..replacing() };
        let (totals, end) = write(slice.channel(), SHELVES, start, &[shelf(9), bad, shelf_of("south", 2)]).await;
        assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
        assert_eq!((counts(&totals), totals.errors[0].offset), ([0, 0, 0, 1, 0, 0], 1));
        assert_eq!(shelves(&slice).await, ["north 1", "north 2", "north 3", "south 1"]);
    }
}

/// The rule of deletes holds here, too: fixed shelves stay.
#[tokio::test]
async fn an_owner_with_a_row_that_a_rule_keeps_is_refused_whole() {
    let slice = slice().await;
    let fixed = Shelf { kind: "fixed".to_owned(), ..shelf_of("west", 5) };
    write(slice.channel(), SHELVES, WriteStart::default(), &[fixed, shelf_of("west", 6)]).await.1.unwrap();
    let sent = [shelf(2), shelf(9), shelf_of("south", 2), shelf_of("west", 6), shelf_of("west", 7)];
    let (totals, end) = write(slice.channel(), SHELVES, replacing(), &sent).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    let expected = [(3, "ERROR_REASON_FIELD_INVALID", ""), (4, "ERROR_REASON_FIELD_INVALID", "")];
    assert_eq!((counts(&totals), told(&totals.errors)), ([0, 0, 0, 2, 0, 0], expected.to_vec()));
    let all = ["north 1", "north 2", "north 3", "south 1", "west 5", "west 6"];
    assert_eq!(shelves(&slice).await, all);
    // The other owners are replaced.
    let totals = replaced(&slice, skipping(), &sent).await;
    assert_eq!((counts(&totals), told(&totals.errors)), ([2, 0, 1, 2, 0, 3], expected.to_vec()));
    let message = &totals.errors[0].message;
    assert!(
        message.contains("west/a/5 is stored and was not sent") && message.contains("the shelf stays"),
        "{message}"
    );
    assert_eq!(shelves(&slice).await, ["north 2", "north 9", "south 2", "west 5", "west 6"]);
    // So is the row that says that there are none.
    let nothing = |warehouse: &str| Shelf { warehouse: warehouse.to_owned(), ..Shelf::default() };
    let totals = replaced(&slice, skipping(), &[nothing("north"), nothing("west"), nothing("east")]).await;
    assert_eq!((counts(&totals), told(&totals.errors)), ([0, 0, 1, 1, 0, 2], vec![(1, expected[0].1, "")]));
    assert_eq!(shelves(&slice).await, ["south 2", "west 5", "west 6"]);
}

/// Another program may have added a foreign key, which shows only in the database.
#[tokio::test]
async fn an_owner_with_a_row_that_the_database_keeps_is_refused_whole() {
    let slice = Shelves::new().await;
    let before: Vec<_> = (1..=40).flat_map(|slot| [count(slot, "mon", 1), count(slot, "tue", 2)]).collect();
    written(&slice, WriteStart::default(), &before).await;
    run(
        &slice,
        "create table warehouse.audit (warehouse text, aisle text, slot integer, day text, \
             foreign key (warehouse, aisle, slot, day) references warehouse.stocktake); \
         insert into warehouse.audit values ('north', 'a', 7, 'mon'), ('north', 'a', 31, 'tue'); \
         grant select on warehouse.audit to catalog_service",
    )
    .await;
    let mut sent: Vec<_> = (1..=39).map(|slot| count(slot, "wed", 3)).collect();
    sent.push(none(40));
    let (totals, end) = write(slice.channel(), STOCKTAKES, replacing(), &sent).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    let reason = ErrorReason::ResourceReferenced.as_str_name();
    assert_eq!(told(&totals.errors), [(6, reason, ""), (30, reason, "")]);
    assert_eq!(stored(&slice).await.len(), 80);
    let totals = written(&slice, skipping(), &sent).await;
    assert_eq!(
        (counts(&totals), told(&totals.errors)),
        ([37, 0, 0, 2, 0, 76], vec![(6, reason, ""), (30, reason, "")])
    );
    assert!(totals.errors[0].message.contains("a row of north/a/7 is stored and was not sent"), "{:?}", totals.errors);
    let kept = ["31 mon 1", "31 tue 2", "7 mon 1", "7 tue 2"];
    let mut rest = stored(&slice).await;
    rest.retain(|row| !row.ends_with("wed 3"));
    rest.sort();
    assert_eq!(rest, kept);
    assert_eq!(slice.count("stocktake").await, 41);
}
