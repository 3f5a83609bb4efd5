//! Branches with rows.

use orrery::migrate::{Branch, BranchContents, Windows};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Branched, assert_equal, operator_url, run, schema};
use crate::harness::{Role, TestDatabase};

fn with_rows(rows: u64, bytes: u64) -> BranchContents {
    BranchContents { rows: Some(Windows { rows, bytes }), empty: false }
}

/// The number of rows of a table, and a hash of all of them.
async fn contents(connection: &mut PgConnection, table: &str) -> (i64, Option<String>) {
    let query = format!("select count(*), md5(string_agg(t::text, e'\\n' order by t::text)) from {table} t");
    sqlx::query_as(AssertSqlSafe(query)).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn rows_of_a_composite_key_are_copied_in_windows() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let mut source = database.connect(Role::Operator).await;
    // Keys that a comparison of texts or single columns would get wrong; values that need quoting.
    run(
        &mut source,
        r#"
        create table "T" (
            "group" text collate "C", number integer, at timestamptz default '2026-01-01T00:00:00.123456Z',
            value text, twice integer generated always as (number * 2) stored,
            id bigint generated always as identity,
            primary key ("group", number, at)
        );
        insert into "T" ("group", number, value)
            select e'it''s \\ ' || n % 7, n, case n % 3 when 0 then e'a\tb\nc\\d' when 1 then null else '\N' end
            from generate_series(-499, 500) n;
        create table ever (n integer primary key);
        create function refuse() returns trigger language plpgsql as 'begin raise exception ''a row''; end';
        create trigger refuse before insert on "T" for each row execute function refuse();
        alter table "T" add constraint old check (number > 0) not valid;
        create table loose (a integer);
        insert into loose select 1 from generate_series(1, 10);
        create materialized view counted as select count(*) as rows from "T";
        create table child (n integer primary key references ever);
        insert into ever values (1);
        insert into child values (1);
        create sequence numbers;
        select setval('numbers', 77);
        "#,
    )
    .await;
    let mut told = Vec::new();
    let contents_of = with_rows(150, 1 << 20);
    let branch = Branch::create_with(&url, "rows", contents_of, |line| told.push(line.to_owned())).await.unwrap();
    let branch = Branched::new(branch);
    assert_eq!(
        told,
        [
            "public.\"T\": 1000 rows in 7 windows",
            "public.child: 1 rows in 1 window",
            "public.ever: 1 rows in 1 window",
            "public.loose: 10 rows in 1 window",
        ]
    );
    assert_equal(&schema(&url).await, &schema(&branch.url()).await, "a branch with rows");
    let mut copy = PgConnection::connect(&branch.url()).await.unwrap();
    for (table, rows) in [("\"T\"", 1000), ("child", 1), ("ever", 1), ("loose", 10), ("counted", 1)] {
        let (of_source, of_copy) = (contents(&mut source, table).await, contents(&mut copy, table).await);
        assert_eq!((of_source.0, &of_source), (rows, &of_copy), "{table}");
    }
    for query in ["select nextval('numbers')", "select nextval(pg_get_serial_sequence('\"T\"', 'id'))"] {
        let next: i64 = sqlx::query_scalar(query).fetch_one(&mut copy).await.unwrap();
        assert_eq!(next, if query.contains("numbers") { 78 } else { 1001 });
    }
    source.close().await.unwrap();
    copy.close().await.unwrap();
}

#[tokio::test]
async fn windows_are_small_in_bytes_too() {
    let database = TestDatabase::create_empty().await;
    let mut source = database.connect(Role::Operator).await;
    run(
        &mut source,
        "create table wide (n integer primary key, value text); insert into wide select n, repeat('x', 10000) from \
         generate_series(1, 3000) n",
    )
    .await;
    let mut told = Vec::new();
    let url = operator_url(&database);
    let contents = with_rows(50_000, 1_000_000);
    let branch = Branch::create_with(&url, "wide", contents, |line| told.push(line.to_owned())).await.unwrap();
    // A thousand rows at first, as their size is not known, then about a hundred.
    let [line] = told.as_slice() else { unreachable!("{told:?}") };
    let windows: u64 = line.rsplit_once(" in ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
    assert!((20..=23).contains(&windows), "{line}");
    branch.drop().await.unwrap();
    source.close().await.unwrap();
}

#[tokio::test]
async fn a_large_table_without_a_key_is_refused_by_name() {
    let database = TestDatabase::create_empty().await;
    let mut source = database.connect(Role::Operator).await;
    run(
        &mut source,
        "create table small (n integer); insert into small select 1 from generate_series(1, 100000); create table \
         large (n integer); insert into large select 1 from generate_series(1, 100001)",
    )
    .await;
    let url = operator_url(&database);
    let error = Branch::create_with(&url, "no", with_rows(50_000, 1 << 25), |_| ()).await.unwrap_err().to_string();
    let expected = "cannot copy tables without a primary key and with more than 100000 rows: public.large";
    assert_eq!(error, expected);
    assert!(Branch::list(&url).await.unwrap().is_empty());
    // Without rows it is a table like others.
    Branch::create(&url, "yes").await.unwrap().drop().await.unwrap();
    source.close().await.unwrap();
}

#[tokio::test]
async fn the_rows_of_all_tables_of_the_migrations_are_copied() {
    let database = TestDatabase::create().await;
    let url = operator_url(&database);
    let mut source = database.connect(Role::Operator).await;
    run(
        &mut source,
        "insert into catalog.product (uid, labels) select 'prd_' || n, jsonb_build_object('n', n) from \
         generate_series(1, 3000) n; \
         insert into catalog.product_metric (product_uid, name, value) select 'prd_' || n, 'm' || n % 3, n / 3.0 from \
         generate_series(1, 3000) n; \
         insert into orders.order_header (uid, currency_code) select 'ord_' || n, 'EUR' from \
         generate_series(1, 2000) n; \
         insert into records.tag (uid, name) select 'tag_' || n, 'Tag ' || n from generate_series(1, 500) n",
    )
    .await;
    let branch = Branched::new(Branch::create_with(&url, "all", with_rows(700, 1 << 25), |_| ()).await.unwrap());
    let mut copy = PgConnection::connect(&branch.url()).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('catalog', 'orders', \
         'records', 'public')",
    )
    .fetch_all(&mut source)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        assert_eq!(contents(&mut source, &table).await, contents(&mut copy, &table).await, "{table}");
    }
    assert_eq!(contents(&mut copy, "catalog.product").await.0, 3000);
    source.close().await.unwrap();
    copy.close().await.unwrap();
}
