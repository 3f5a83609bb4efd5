//! What is written, deleted and counted.

use orrery_proto::r#type::v1::{ErrorReason, WriteMode, WriteStart};
use rand::RngExt as _;
use tonic::Code;

use super::super::contract::Stocktake;
use super::super::fixture::{STOCKTAKES, Shelves};
use super::{count, counts, none, replacing, skipping, stored, written};
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase, order, order_uid, product, uid, until_waiting};
use crate::resources::in_mode;
use crate::writes::stream::{
    METRICS, ORDERS, PRODUCTS, WriteStream, assert_status, mask, metric, named, violated, write,
};

#[tokio::test]
async fn the_rows_of_an_owner_become_those_that_are_sent() {
    let slice = Shelves::new().await;
    let before = [count(1, "mon", 1), count(1, "tue", 2), count(1, "wed", 3), count(2, "mon", 4), count(3, "mon", 5)];
    written(&slice, WriteStart::default(), &before).await;
    // The owners come in any order, with their rows in any order.
    let sent = [count(4, "sun", 9), count(1, "wed", 3), count(3, "tue", 6), count(1, "sat", 8), count(1, "mon", 7)];
    assert_eq!(counts(&written(&slice, replacing(), &sent).await), [3, 1, 1, 0, 0, 2]);
    // Shelf 2 was not named.
    assert_eq!(stored(&slice).await, ["1 mon 7", "1 sat 8", "1 wed 3", "2 mon 4", "3 tue 6", "4 sun 9"]);
}

#[tokio::test]
async fn what_is_stored_already_is_neither_written_nor_locked() {
    let database = TestDatabase::limited(crate::harness::wire::WireLimits::default()).await;
    database.record_statements();
    let slice = Shelves::on(database).await;
    let rows = [count(1, "mon", 1), count(1, "tue", 2), count(2, "mon", 3)];
    assert_eq!(counts(&written(&slice, replacing(), &rows).await), [3, 0, 0, 0, 0, 0]);
    let locks =
        |statements: Vec<String>| statements.iter().filter(|sql| sql.contains("into warehouse.owner_lock")).count();
    assert_eq!(locks(slice.database.take_statements()), 1);
    let versions =
        "select string_agg(xmin::text || ' ' || xmax::text, ',' order by slot, day) from warehouse.stocktake";
    let before = slice.value(versions).await;
    assert_eq!(counts(&written(&slice, replacing(), &rows).await), [0, 0, 3, 0, 0, 0]);
    // A changed value changes no set of rows.
    let statements = slice.database.take_statements();
    assert_eq!((slice.value(versions).await, locks(statements)), (before, 0));
    let changed = [count(1, "mon", 7), count(1, "tue", 2), count(2, "mon", 3)];
    assert_eq!(counts(&written(&slice, replacing(), &changed).await), [0, 1, 2, 0, 0, 0]);
    assert_eq!(locks(slice.database.take_statements()), 0);
    // Nobody sees the rows that locked the owners.
    assert_eq!(slice.count("owner_lock").await, 0);
}

#[tokio::test]
async fn a_row_of_which_only_the_owner_is_set_says_that_there_are_none() {
    let slice = Shelves::new().await;
    let before = [count(1, "mon", 1), count(1, "tue", 2), count(2, "mon", 3), count(3, "mon", 4)];
    written(&slice, WriteStart::default(), &before).await;
    // It is unchanged if there were none. Of two that say the same one counts.
    let sent = [none(1), none(8), none(1), count(2, "tue", 5)];
    assert_eq!(counts(&written(&slice, replacing(), &sent).await), [1, 0, 1, 0, 1, 3]);
    assert_eq!(stored(&slice).await, ["2 tue 5", "3 mon 4"]);
    assert_eq!(counts(&written(&slice, replacing(), &[none(1)]).await), [0, 0, 1, 0, 0, 0]);
    // A value of its own, or a part of the rest of the key, makes it a row without its key.
    let (totals, end) = write(slice.channel(), STOCKTAKES, replacing(), &[count(3, "", 7)]).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!((totals.errors[0].field.as_str(), totals.errors[0].reason()), ("day", ErrorReason::FieldInvalid));
    // In the other modes it is one, too.
    for mode in [WriteMode::Upsert, WriteMode::Update, WriteMode::Create, WriteMode::Delete] {
        let (totals, end) = write(slice.channel(), STOCKTAKES, in_mode(mode), &[none(3)]).await;
        assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
        assert_eq!(totals.errors[0].field, "day");
    }
    assert_eq!(stored(&slice).await, ["2 tue 5", "3 mon 4"]);
}

#[tokio::test]
async fn an_owner_cannot_have_no_rows_and_rows() {
    let slice = Shelves::new().await;
    written(&slice, WriteStart::default(), &[count(1, "mon", 1), count(2, "mon", 2)]).await;
    let sent = [count(2, "tue", 3), none(1), count(1, "tue", 4)];
    let (totals, end) = write(slice.channel(), STOCKTAKES, replacing(), &sent).await;
    let refused = end.unwrap_err();
    assert_status(&refused, Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!((violated(&refused).as_str(), totals.errors[0].offset), ("chunk.stocktakes[1].day", 1));
    assert_eq!(stored(&slice).await, ["1 mon 1", "2 mon 2"]);
    // If the day was forgotten, any stored row may have been meant.
    let totals = written(&slice, skipping(), &sent).await;
    assert_eq!(counts(&totals), [2, 0, 0, 1, 0, 1]);
    assert!(totals.errors[0].message.contains("north/a/1"), "{:?}", totals.errors);
    assert_eq!(stored(&slice).await, ["1 mon 1", "1 tue 4", "2 tue 3"]);
}

#[tokio::test]
async fn a_mask_limits_what_changes_and_not_which_rows_there_are() {
    let slice = Shelves::new().await;
    written(&slice, WriteStart::default(), &[count(1, "mon", 1), count(1, "tue", 2)]).await;
    let start = WriteStart { update_mask: Some(mask(&["quantity"])), ..replacing() };
    assert_eq!(counts(&written(&slice, start.clone(), &[count(1, "mon", 0)]).await), [0, 1, 0, 0, 0, 1]);
    assert_eq!(stored(&slice).await, ["1 mon 0"]);
    let start = WriteStart { keep_unset: true, ..start };
    written(&slice, WriteStart::default(), &[count(1, "mon", 5)]).await;
    assert_eq!(counts(&written(&slice, start, &[count(1, "mon", 0), count(1, "wed", 3)]).await), [1, 0, 1, 0, 0, 0]);
    assert_eq!(stored(&slice).await, ["1 mon 5", "1 wed 3"]);
    let unknown = WriteStart { update_mask: Some(mask(&["colour"])), ..replacing() };
    let (_, end) = write(slice.channel(), STOCKTAKES, unknown, &[count(1, "mon", 0)]).await;
    assert_eq!(violated(&end.unwrap_err()), "start.update_mask");
}

#[tokio::test]
async fn what_is_only_validated_stays() {
    let slice = Shelves::new().await;
    written(&slice, WriteStart::default(), &[count(1, "mon", 1), count(1, "tue", 2), count(2, "mon", 3)]).await;
    let start = WriteStart { validate_only: true, write_id: "dry".to_owned(), ..replacing() };
    let (mut stream, _) = WriteStream::resume(slice.channel(), STOCKTAKES, start).await.unwrap();
    stream.send(0, &[count(1, "mon", 7), count(1, "wed", 8), none(2)]).await;
    assert_eq!(counts(&stream.acknowledged(3).await.unwrap()), [1, 1, 0, 0, 0, 2]);
    stream.finish().await.1.unwrap();
    assert_eq!(stored(&slice).await, ["1 mon 1", "1 tue 2", "2 mon 3"]);
    assert_eq!(slice.count("write_session").await, 0);
}

/// Chunks that wait share a commit, but not if they name the same owner.
#[tokio::test]
async fn of_chunks_that_name_an_owner_the_later_one_wins() {
    let slice = Shelves::new().await;
    let mut watcher = slice.database.connect(Role::Operator).await;
    written(&slice, WriteStart::default(), &[count(1, "mon", 1), count(2, "mon", 2)]).await;
    let mut held = slice.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table warehouse.stocktake in exclusive mode").execute(&mut *held).await.unwrap();
    let start = WriteStart { write_id: "shared".to_owned(), ..replacing() };
    let (stream, _) = WriteStream::resume(slice.channel(), STOCKTAKES, start).await.unwrap();
    stream.send(0, &[count(9, "mon", 1)]).await;
    until_waiting(&mut watcher, Role::Catalog, 1).await;
    // Two commits: a new owner, and then the same one again.
    stream.send(1, &[count(5, "mon", 5), count(1, "tue", 3)]).await;
    stream.send(3, &[count(4, "mon", 4)]).await;
    stream.send(4, &[none(2)]).await;
    stream.send(5, &[count(1, "wed", 6)]).await;
    stream.send(6, &[none(5)]).await;
    // And a third one.
    stream.send(7, &[count(5, "tue", 7)]).await;
    held.rollback().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!((totals.committed_offset, counts(&totals)), (8, [6, 0, 0, 0, 0, 4]));
    assert_eq!(stored(&slice).await, ["1 wed 6", "4 mon 4", "5 tue 7", "9 mon 1"]);
    let commits = "select string_agg(row_count::text, ',' order by first_offset) from warehouse.write_commit";
    assert_eq!(slice.value(commits).await.unwrap(), "1,4,2,1");
}

#[tokio::test]
async fn resources_without_an_owner_do_not_know_the_mode() {
    let database = TestDatabase::create().await;
    let (catalog, orders) = (CatalogServer::start(&database).await, OrdersServer::start(&database).await);
    let answers = [
        write(catalog.channel(), PRODUCTS, replacing(), &[product(&uid(1))]).await,
        write(catalog.channel(), METRICS, replacing(), &[metric("1", "stock", "7")]).await,
        write(orders.channel(), ORDERS, replacing(), &[order(&order_uid(1))]).await,
    ];
    for ((_, end), noun) in
        answers.into_iter().zip(["catalog.v1.Product", "catalog.v1.ProductMetric", "orders.v1.Order"])
    {
        let refused = end.unwrap_err();
        assert_status(&refused, Code::InvalidArgument, "FIELD_INVALID");
        assert_eq!(violated(&refused), "start.mode");
        assert!(refused.message().contains(&format!("the rows of orrery.{noun} have no owner")), "{refused:?}");
    }
}

#[tokio::test]
async fn a_write_is_resumed_in_its_own_mode() {
    let slice = Shelves::new().await;
    let start = WriteStart { write_id: "once".to_owned(), ..replacing() };
    let (mut stream, _) = WriteStream::resume(slice.channel(), STOCKTAKES, start).await.unwrap();
    stream.send(0, &[count(1, "mon", 1)]).await;
    stream.acknowledged(1).await.unwrap();
    drop(stream);
    let upserting = WriteStream::resume(slice.channel(), STOCKTAKES, named("once")).await;
    assert_status(&upserting.err().unwrap(), Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
}

/// The key of a lock holds more than the owner's columns, which alone may fill an entry of an index.
#[tokio::test]
async fn owners_whose_names_fill_an_index_are_replaced() {
    let slice = Shelves::new().await;
    let mut random = rand::rng();
    let [warehouse, aisle, other] =
        [(); 3].map(|()| (0..1_333).map(|_| char::from(random.random_range(b'A'..=b'z'))).collect::<String>());
    for aisle in [&aisle, &other] {
        let insert = "insert into warehouse.stocktake values ($1, $2, 1, 'mon', 1)";
        sqlx::query(insert).bind(&warehouse).bind(aisle).execute(&slice.pool).await.unwrap();
    }
    let of = |aisle: &str, row: Stocktake| Stocktake { warehouse: warehouse.clone(), aisle: aisle.to_owned(), ..row };
    let sent = [of(&aisle, none(1)), of(&other, count(1, "mon", 2))];
    assert_eq!(counts(&written(&slice, replacing(), &sent).await), [0, 1, 0, 0, 0, 1]);
    assert_eq!(stored(&slice).await, ["1 mon 2"]);
}
