//! Loads of new rows: they are not looked for, and a stored row among them is found all the same.

use std::time::Duration;

use orrery_proto::catalog::v1::Product;
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};

use super::Fixture;
use super::stream::{PRODUCTS, WriteStream, product, products};

/// How often the table of products was read.
async fn scans(fixture: &Fixture) -> i64 {
    let select =
        "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables where relid = 'catalog.product'::regclass";
    sqlx::query_scalar(select).fetch_one(&fixture.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_likely_to_be_new_are_not_looked_for() {
    const WRITTEN: &str = "select n_tup_ins from pg_stat_user_tables where relid = 'catalog.product'::regclass";
    let fixture = Fixture::new().await;
    let before = scans(&fixture).await;
    let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    for chunk in 0..20 {
        stream.send(chunk * 100, &products(chunk * 100..(chunk + 1) * 100)).await;
        assert_eq!(stream.acknowledged((chunk + 1) * 100).await.unwrap().created, 100);
    }
    // A server process reports what it did when it has been idle for a second.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if sqlx::query_scalar::<_, i64>(WRITTEN).fetch_one(&fixture.pool).await.unwrap() == 2_000 {
            break;
        }
    }
    // The first commit looks for its rows: by a scan of the empty table, or by its index for each row.
    let scans = scans(&fixture).await - before;
    assert!((1..=100).contains(&scans), "{scans} scans for 20 commits of 100 rows");
}

#[tokio::test]
async fn a_stored_row_among_them_is_found() {
    let fixture = Fixture::new().await;
    // Written by another program, and no uid that a new row may have.
    let foreign = "insert into catalog.product (uid, name) values ('Their Own!', 'Theirs')";
    sqlx::query(foreign).execute(&fixture.pool).await.unwrap();
    for mode in [WriteMode::Upsert, WriteMode::Create] {
        // The rows of one mode are not those of the other.
        let first = if mode == WriteMode::Upsert { 0 } else { 1_000 };
        let start =
            WriteStart { mode: mode.into(), on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
        let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, start).await.unwrap();
        let mut offset = 0;
        for chunk in 0..3 {
            let new = first + chunk * 10;
            stream.send(offset, &products(new..new + 10)).await;
            offset += 10;
            let counts = stream.acknowledged(offset).await.unwrap().counts();
            assert_eq!(counts, [10, 0, 0, 0, 0], "{mode:?}");
        }
        // Ten new rows, one that equals a stored one, one that differs, and the foreign one.
        let mut rows = products(first + 30..first + 40);
        rows.extend(products(first + 5..first + 6));
        rows.push(Product { name: "Changed".to_owned(), ..products(first + 7..first + 8).remove(0) });
        rows.push(Product { uid: "Their Own!".to_owned(), ..product("x", "Ours") });
        stream.send(offset, &rows).await;
        let counts = stream.acknowledged(offset + 13).await.unwrap().counts();
        let expected = if mode == WriteMode::Upsert { [10, 2, 1, 0, 0] } else { [10, 0, 0, 3, 0] };
        assert_eq!(counts, expected, "{mode:?}");
    }
}
