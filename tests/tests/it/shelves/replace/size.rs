//! Owners with more stored rows than one statement may read or delete.

use orrery_kit::config::ServiceConfig;

use super::super::fixture::{SHELVES, Shelves, shelf};
use super::{count, counts, none, replacing, run, stored, written};
use crate::harness::TestDatabase;
use crate::harness::wire::WireLimits;
use crate::writes::stream::write;

/// Most rows of one statement, and of one chunk: the fewest that a service takes.
const MOST: usize = 1_000;

/// The slice, with a proxy that breaks connections whose statements touch more rows.
async fn slice() -> Shelves {
    let database = TestDatabase::limited(WireLimits::default()).await;
    let bound = |config: &mut ServiceConfig| {
        (config.limits.max_statement_rows, config.limits.max_query_rows) = (MOST, MOST);
        config.stream.write_batch_rows = MOST / 2;
    };
    Shelves::with(database, bound).await
}

#[tokio::test]
async fn thousands_of_rows_are_deleted_in_bounded_statements() {
    let slice = slice().await;
    run(
        &slice,
        "insert into warehouse.stocktake select 'north', 'a', 1, 'day-' || n, n from generate_series(1, 3500) n; \
         insert into warehouse.stocktake select 'north', 'a', 2, 'day-' || n, n from generate_series(1, 1000) n; \
         insert into warehouse.stocktake select 'north', 'a', slot, 'mon', 0 from generate_series(3, 1500) slot",
    )
    .await;
    let sent = [count(1, "day-2000", 2_000), count(1, "day-7", 8), count(1, "new", 9), none(2), count(3, "mon", 0)];
    assert_eq!(counts(&written(&slice, replacing(), &sent).await), [1, 1, 2, 0, 0, 3_498 + 1_000]);
    let stored = stored(&slice).await;
    assert_eq!(stored[..4], ["1 day-2000 2000", "1 day-7 8", "1 new 9", "3 mon 0"]);
    assert_eq!(stored.len(), 4 + 1_497);
    // As many owners as a chunk may name, each with a row to delete.
    let sent: Vec<_> = (3..3 + MOST as i32).map(|slot| count(slot, "tue", slot)).collect();
    let rows = MOST as i64;
    assert_eq!(counts(&written(&slice, replacing(), &sent).await), [rows, 0, 0, 0, 0, rows]);
    assert_eq!(slice.count("stocktake where day = 'tue'").await, rows);
    assert_eq!(counts(&written(&slice, replacing(), &sent).await), [0, 0, rows, 0, 0, 0]);
}

#[tokio::test]
async fn what_belongs_to_thousands_of_rows_goes_with_them() {
    let slice = slice().await;
    run(
        &slice,
        "insert into warehouse.shelf (warehouse, aisle, slot, kind, weight) \
             select 'north', 'a', slot, 'open', 1 from generate_series(1, 2500) slot; \
         insert into warehouse.box select 'north', 'a', slot, n, 'bolts' \
             from generate_series(1, 2500) slot, generate_series(1, 3) n; \
         insert into warehouse.stocktake select 'north', 'a', slot, 'day-' || n, n \
             from generate_series(1, 2500) slot, generate_series(1, 2) n",
    )
    .await;
    let (totals, end) = write(slice.channel(), SHELVES, replacing(), &[shelf(77), shelf(2_501)]).await;
    end.unwrap();
    assert_eq!(counts(&totals), [1, 1, 0, 0, 0, 2_499]);
    let left = [slice.count("shelf").await, slice.count("box").await, slice.count("stocktake").await];
    assert_eq!(left, [2, 3, 2]);
}
