//! Concurrent writers of the same rows.

use std::time::Duration;

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};

use super::Fixture;
use super::stream::{PRODUCTS, Totals, WriteStream, product};

const KEYS: i64 = 600;
const CHUNK: usize = 60;

/// Writes these rows in chunks without waiting for acknowledgements.
async fn run(fixture: &Fixture, start: WriteStart, rows: Vec<Product>) -> Result<Totals, tonic::Status> {
    let (requests, mut answers) = WriteStream::open(fixture.server.channel(), PRODUCTS, start).await?.split();
    let sender = async move {
        for (at, chunk) in rows.chunks(CHUNK).enumerate() {
            let _ = requests.send(super::stream::chunk((at * CHUNK) as i64, chunk)).await;
        }
    };
    let receiver = async {
        let mut totals = Totals::default();
        while let Some(answer) = answers.message().await? {
            totals.add(answer);
        }
        Ok(totals)
    };
    tokio::join!(sender, receiver).1
}

fn rows(writer: usize, round: i64, backwards: bool) -> Vec<Product> {
    let mut keys: Vec<i64> = (0..KEYS).collect();
    if backwards {
        keys.reverse();
    }
    keys.into_iter().map(|key| product(&format!("{key:05}"), &format!("writer {writer} round {round}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_in_opposite_orders_do_not_stop_each_other() {
    // Small statements, so that each chunk needs several, and half of the rows exist: updates and inserts are mixed.
    let fixture = Fixture::with(|config| config.stream.write_batch_rows = 25).await;
    let half: Vec<Product> = rows(9, 0, false).into_iter().step_by(2).collect();
    run(&fixture, WriteStart::default(), half).await.unwrap();
    let writers = (0..4).map(|writer| {
        let fixture = &fixture;
        async move {
            for round in 0..3 {
                let totals = run(fixture, WriteStart::default(), rows(writer, round, writer % 2 == 1)).await.unwrap();
                assert_eq!((totals.committed_offset, totals.rows(), totals.rejected), (KEYS, KEYS, 0));
            }
        }
    });
    let all = futures::future::join_all(writers);
    tokio::time::timeout(Duration::from_secs(40), all).await.expect("nobody waits for ever");
    assert_eq!(fixture.count("catalog.product").await, KEYS);
    assert_eq!(fixture.count("catalog.product where name not like 'writer _ round 2'").await, 0);
}

/// Of several writers that create the same rows, exactly one creates each row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_created_by_exactly_one_of_those_who_try() {
    let fixture = Fixture::new().await;
    let start = WriteStart {
        mode: WriteMode::Create.into(),
        on_row_error: RowErrorPolicy::Skip.into(),
        ..WriteStart::default()
    };
    let writers = (0..4).map(|writer| run(&fixture, start.clone(), rows(writer, 0, writer % 2 == 1)));
    let totals: Vec<Totals> = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).collect();
    let created: i64 = totals.iter().map(|totals| totals.created).sum();
    let rejected: i64 = totals.iter().map(|totals| totals.rejected).sum();
    assert_eq!((created, rejected), (KEYS, 3 * KEYS));
    for (writer, totals) in totals.iter().enumerate() {
        let rows = fixture.count(&format!("catalog.product where name = 'writer {writer} round 0'")).await;
        assert_eq!(rows, totals.created, "what a writer was told it created is what it created");
    }
}

/// A row that is deleted while it is written is created again: the write comes after the delete.
#[tokio::test]
async fn a_row_that_is_deleted_under_a_write_is_created_again() {
    let fixture = Fixture::new().await;
    run(&fixture, WriteStart::default(), vec![product("a", "before"), product("b", "before")]).await.unwrap();
    let mut deleting = fixture.pool.begin().await.unwrap();
    sqlx::raw_sql("delete from catalog.product where uid = 'prd_a'").execute(&mut *deleting).await.unwrap();
    let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    stream.send(0, &[product("a", "after"), product("b", "after")]).await;
    fixture.until_blocked().await;
    deleting.commit().await.unwrap();
    let (totals, end) = stream.finish().await;
    end.unwrap();
    assert_eq!(totals.counts(), [1, 1, 0, 0, 0]);
    assert_eq!(fixture.product("a", "name").await.unwrap(), "after");
}
