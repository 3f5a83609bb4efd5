//! `WRITE_MODE_REPLACE`: the rows of the owners that are named become exactly those that are sent. A stocktake belongs
//! to its shelf, a shelf to its warehouse.

mod belongings;
mod refusals;
mod resumed;
mod rows;
mod size;
mod writers;

use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};
use sqlx::AssertSqlSafe;

use super::contract::{Shelf, Stocktake};
use super::fixture::{STOCKTAKES, Shelves, shelf};
use crate::resources::in_mode;
use crate::writes::stream::{Totals, write};

/// A start message with the mode.
fn replacing() -> WriteStart {
    in_mode(WriteMode::Replace)
}

/// The same, with the policy SKIP.
fn skipping() -> WriteStart {
    WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..replacing() }
}

/// A count of the goods on a shelf of the aisle `north/a`.
fn count(slot: i32, day: &str, quantity: i32) -> Stocktake {
    let (warehouse, aisle) = ("north".to_owned(), "a".to_owned());
    Stocktake { warehouse, aisle, slot, day: day.to_owned(), quantity, ..Stocktake::default() }
}

/// The row that says that a shelf has no stocktakes.
fn none(slot: i32) -> Stocktake {
    count(slot, "", 0)
}

/// A shelf of another warehouse.
fn shelf_of(warehouse: &str, slot: i32) -> Shelf {
    Shelf { warehouse: warehouse.to_owned(), ..shelf(slot) }
}

/// Writes stocktakes in one chunk, which must be committed.
async fn written(slice: &Shelves, start: WriteStart, rows: &[Stocktake]) -> Totals {
    let (totals, end) = write(slice.channel(), STOCKTAKES, start, rows).await;
    end.unwrap();
    assert_eq!(totals.committed_offset, rows.len() as i64);
    totals
}

/// created, updated, unchanged, rejected, superseded, deleted
fn counts(totals: &Totals) -> [i64; 6] {
    let [created, updated, unchanged, rejected, superseded] = totals.counts();
    [created, updated, unchanged, rejected, superseded, totals.deleted]
}

/// The stored stocktakes: the slot, the day and the quantity of each.
async fn stored(slice: &Shelves) -> Vec<String> {
    let select = "select concat_ws(' ', slot, day, quantity) from warehouse.stocktake order by slot, day";
    sqlx::query_scalar(select).fetch_all(&slice.pool).await.unwrap()
}

/// The stored shelves: the warehouse and the slot of each.
async fn shelves(slice: &Shelves) -> Vec<String> {
    let select = "select concat_ws(' ', warehouse, slot) from warehouse.shelf order by warehouse, slot";
    sqlx::query_scalar(select).fetch_all(&slice.pool).await.unwrap()
}

/// Runs statements of another program.
async fn run(slice: &Shelves, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&slice.pool).await.unwrap();
}
