//! Concurrent writers. Of several that replace the rows of one owner at once, the stored rows are always those of one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;

use super::super::contract::Stocktake;
use super::super::fixture::{STOCKTAKES, Shelves};
use super::{count, counts, none, replacing, stored};
use crate::harness::{Role, until_waiting};
use crate::writes::stream::{Totals, WriteStream, write};

const WRITERS: usize = 16;

/// The rows that a writer sends for a shelf: some that all send, and some of its own. Some writers send the same.
fn rows_of(writer: usize, round: usize, slot: i32) -> Vec<Stocktake> {
    let set = (writer + round) % 5;
    let common = (0..set).map(|at| format!("all-{at}"));
    let own = (0..3).map(|at| format!("set-{set}-{at}"));
    common.chain(own).map(|day| count(slot, &day, 1)).collect()
}

/// Rows as [`stored`] returns them.
fn shown(mut rows: Vec<Stocktake>) -> Vec<String> {
    rows.sort_by(|a, b| (a.slot, &a.day).cmp(&(b.slot, &b.day)));
    rows.iter().map(|row| format!("{} {} {}", row.slot, row.day, row.quantity)).collect()
}

async fn replaced(slice: &Shelves, rows: &[Stocktake]) -> Totals {
    let (totals, end) = write(slice.channel(), STOCKTAKES, replacing(), rows).await;
    end.unwrap();
    assert_eq!((totals.committed_offset, totals.rejected), (rows.len() as i64, 0));
    totals
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_of_one_owner_the_rows_are_always_those_of_one() {
    let slice = Shelves::new().await;
    let done = AtomicBool::new(false);
    let sets: HashSet<Vec<String>> =
        (0..5).map(|set| shown(rows_of(set, 0, 1))).chain(std::iter::once(Vec::new())).collect();
    let watch = async {
        let mut seen = HashSet::new();
        while !done.load(Ordering::Relaxed) {
            let stored = stored(&slice).await;
            assert!(sets.contains(&stored), "{stored:?} was sent by nobody");
            seen.insert(stored);
        }
        seen
    };
    let write = async {
        for round in 0..12 {
            // In every third round there are no rows at first.
            if round % 3 == 0 {
                replaced(&slice, &[none(1)]).await;
            }
            let rows: Vec<Vec<Stocktake>> = (0..WRITERS).map(|writer| rows_of(writer, round, 1)).collect();
            join_all(rows.iter().map(|rows| replaced(&slice, rows))).await;
            let stored = stored(&slice).await;
            assert!(rows.into_iter().any(|rows| shown(rows) == stored), "round {round}: {stored:?}");
        }
        done.store(true, Ordering::Relaxed);
    };
    let both = async { tokio::join!(watch, write).0 };
    let seen = tokio::time::timeout(Duration::from_secs(100), both).await.expect("nobody waits for ever");
    assert!(seen.len() > 1, "{seen:?}");
}

/// The race itself: both have read what is stored before one of them writes.
#[tokio::test]
async fn a_writer_that_waited_sees_what_the_other_one_wrote() {
    for before in [vec![], vec![count(1, "both", 1)]] {
        let slice = Shelves::new().await;
        let mut watcher = slice.database.connect(Role::Operator).await;
        if !before.is_empty() {
            replaced(&slice, &before).await;
        }
        let mut held = slice.pool.begin().await.unwrap();
        sqlx::raw_sql("lock table warehouse.stocktake in exclusive mode").execute(&mut *held).await.unwrap();
        let first = WriteStream::open(slice.channel(), STOCKTAKES, replacing()).await.unwrap();
        first.send(0, &[count(1, "both", 1), count(1, "first", 1)]).await;
        until_waiting(&mut watcher, Role::Catalog, 1).await;
        let second = WriteStream::open(slice.channel(), STOCKTAKES, replacing()).await.unwrap();
        second.send(0, &[count(1, "second", 1)]).await;
        until_waiting(&mut watcher, Role::Catalog, 2).await;
        held.rollback().await.unwrap();
        let ((one, end), (two, other_end)) = tokio::join!(first.finish(), second.finish());
        end.and(other_end).unwrap();
        assert_eq!(stored(&slice).await, ["1 second 1"]);
        let old = before.len() as i64;
        assert_eq!(counts(&one), [2 - old, 0, old, 0, 0, 0]);
        assert_eq!(counts(&two), [1, 0, 0, 0, 0, 2]);
    }
}

/// Many owners at once, in chunks of different sizes and in opposite orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_many_owners_neither_mix_nor_stop_each_other() {
    const OWNERS: i32 = 60;
    let slice = Shelves::new().await;
    let writers = (0..6_usize).map(|writer| {
        let slice = &slice;
        async move {
            for round in 0..4 {
                let mut slots: Vec<i32> = (0..OWNERS).collect();
                if writer % 2 == 1 {
                    slots.reverse();
                }
                let stream = WriteStream::open(slice.channel(), STOCKTAKES, replacing()).await.unwrap();
                let mut offset = 0;
                for slots in slots.chunks(7 + 9 * writer) {
                    let rows: Vec<Stocktake> = slots.iter().flat_map(|&slot| rows_of(writer, round, slot)).collect();
                    stream.send(offset, &rows).await;
                    offset += rows.len() as i64;
                }
                let (totals, end) = stream.finish().await;
                end.unwrap();
                assert_eq!((totals.committed_offset, totals.rejected), (offset, 0));
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(100), join_all(writers)).await.expect("nobody waits for ever");
    for slot in 0..OWNERS {
        let mut stored = stored(&slice).await;
        stored.retain(|row| row.starts_with(&format!("{slot} ")));
        let of_one = (0..5).any(|set| shown(rows_of(set, 0, slot)) == stored);
        assert!(of_one, "{stored:?}");
    }
}
