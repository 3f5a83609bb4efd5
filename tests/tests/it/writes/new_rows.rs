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
    // The first commit looks for its rows: by a scan of the empty table, or by its index for each row. Others ask for
    // the time alone, but the planner may look up the ends of the index for that. 20 looks would take 2,000 scans.
    let scans = scans(&fixture).await - before;
    assert!((1..=300).contains(&scans), "{scans} scans for 20 commits of 100 rows");
}

#[tokio::test]
async fn a_stored_row_among_them_is_found() {
    let fixture = Fixture::new().await;
    // Written by another program, with a uid that no new row may have.
    let foreign = "insert into catalog.product (uid, name) values ('Their Own!', 'Theirs')";
    sqlx::query(foreign).execute(&fixture.pool).await.unwrap();
    let ours = || Product { uid: "Their Own!".to_owned(), ..product("x", "Ours") };
    let changed = || Product { name: "Changed".to_owned(), ..products(7..8).remove(0) };
    for (last, expected) in [
        (vec![ours()], [10, 1, 0, 0, 0]),
        (products(5..6), [10, 0, 1, 0, 0]),
        (vec![changed()], [10, 1, 0, 0, 0]),
        (vec![changed(), ours(), products(5..6).remove(0)], [10, 0, 3, 0, 0]),
    ] {
        let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
        let new = write_new(&fixture, &mut stream).await;
        let rows: Vec<Product> = products(new..new + 10).into_iter().chain(last).collect();
        stream.send(30, &rows).await;
        assert_eq!(stream.acknowledged(30 + rows.len() as i64).await.unwrap().counts(), expected);
    }
    let start = WriteStart {
        mode: WriteMode::Create.into(),
        on_row_error: RowErrorPolicy::Skip.into(),
        ..WriteStart::default()
    };
    let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, start).await.unwrap();
    let new = write_new(&fixture, &mut stream).await;
    let rows: Vec<Product> = products(new..new + 10).into_iter().chain(products(5..7)).collect();
    stream.send(30, &rows).await;
    assert_eq!(stream.acknowledged(42).await.unwrap().counts(), [10, 0, 0, 2, 0]);
}

/// Writes three chunks of ten new rows each. Returns the number of the next new row.
async fn write_new(fixture: &Fixture, stream: &mut WriteStream) -> i64 {
    let first = fixture.count("catalog.product").await;
    for chunk in 0..3 {
        stream.send(chunk * 10, &products(first + chunk * 10..first + chunk * 10 + 10)).await;
        assert_eq!(stream.acknowledged(chunk * 10 + 10).await.unwrap().counts(), [10, 0, 0, 0, 0]);
    }
    first + 30
}

#[tokio::test]
async fn a_stored_row_that_another_server_refuses_is_found() {
    let fixture = Fixture::new().await;
    // What Citus passes on from another server: neither the SQLSTATE nor the constraint.
    for statement in [
        "create function catalog.refuse() returns trigger language plpgsql as $$
         begin
             if exists (select from catalog.product where uid = new.uid) then
                 raise exception 'duplicate key value violates unique constraint \"product_pkey_102097\"'
                       using errcode = 'XX000';
             end if;
             return new;
         end $$",
        "create trigger refuse before insert on catalog.product for each row execute function catalog.refuse()",
    ] {
        sqlx::query(statement).execute(&fixture.pool).await.unwrap();
    }
    let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
    let new = write_new(&fixture, &mut stream).await;
    let rows: Vec<Product> = products(new..new + 10).into_iter().chain(products(5..6)).collect();
    stream.send(30, &rows).await;
    assert_eq!(stream.acknowledged(41).await.unwrap().counts(), [10, 0, 1, 0, 0]);
}
