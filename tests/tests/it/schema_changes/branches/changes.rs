//! The statements that turn one schema into another lead exactly there, and back.

use orrery::migrate::{Branch, Folder};
use orrery::schema::{Dropped, Schema, difference};
use sqlx::Connection as _;

use super::{Branched, apply, assert_equal, first_migrations, migrator, operator_url, run, schema, statements};
use crate::harness::{Role, TestDatabase};

#[tokio::test]
async fn the_change_of_each_migration_is_found_and_leads_there_and_back() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let branch = Branched::new(Branch::create(&url, "follower").await.unwrap());
    let mut follower = sqlx::PgConnection::connect(&branch.url()).await.unwrap();
    let mut before = schema(&url).await;
    assert_equal(&Schema::default(), &before, "a new database");
    for count in 1..=Folder::compiled_in().unwrap().migrations.len() {
        let name = first_migrations(count).migrations[count - 1].file_name.clone();
        migrator(&url, first_migrations(count)).up(|_| ()).await.unwrap();
        let after = schema(&url).await;
        let (there, back) = (statements(&before, &after), statements(&after, &before));
        apply(&mut follower, &there).await;
        assert_equal(&schema(&branch.url()).await, &after, &name);
        apply(&mut follower, &back).await;
        assert_equal(&schema(&branch.url()).await, &before, &format!("{name}, rolled back"));
        apply(&mut follower, &there).await;
        before = after;
    }
    // All at once.
    let first = Schema::default();
    apply(&mut follower, &statements(&before, &first)).await;
    assert_equal(&schema(&branch.url()).await, &first, "everything rolled back");
    follower.close().await.unwrap();
}

/// A schema before a change and after it, and words of the statements.
const CHANGES: &[(&str, &str, &[&str])] = &[
    (
        "create table t (a integer, b text)",
        "create table t (a bigint not null default 7, b text collate \"C\")",
        &["alter table public.t alter column a type bigint using a::bigint", "set default 7", "set not null"],
    ),
    ("create table t (a integer, b integer)", "create table t (b integer, a integer)", &[]),
    ("create table t (a integer default 1)", "create table t (a text default 'x')", &["drop default"]),
    ("create table t (a integer)", "create table t (a integer, b text not null default 'x')", &["add column b text"]),
    (
        "create table t (a integer); create view v as select a from t",
        "create table t (a bigint); create view v as select a from t",
        &["drop view public.v", "create view public.v"],
    ),
    (
        "create table t (a integer); create view v as select a from t; create view w as select a from v",
        "create table t (a integer); create view v as select a, 1 as b from t; create view w as select a from v; \
         comment on view w is 'kept'; grant select on w to catalog_service",
        &["drop view public.w", "comment on view public.w is 'kept'", "grant select on table public.w"],
    ),
    (
        "create table t (a integer); create index i on t (a)",
        "create table t (a integer); create index i on t (a desc); create unique index j on t (a)",
        &["CREATE INDEX CONCURRENTLY i", "CREATE UNIQUE INDEX CONCURRENTLY j"],
    ),
    (
        "create table t (a integer); alter table t add constraint c check (a > 1) not valid",
        "create table t (a integer, constraint c check (a > 1))",
        &["alter table public.t validate constraint c"],
    ),
    (
        "create table t (a integer primary key, b integer)",
        "create table t (a integer, b integer primary key)",
        &["drop constraint t_pkey", "alter column a drop not null", "add constraint t_pkey PRIMARY KEY (b)"],
    ),
    (
        "create type e as enum ('a', 'c')",
        "create type e as enum ('0', 'a', 'b', 'c', 'd')",
        &["add value '0' before 'a'", "add value 'b' after 'a'", "add value 'd' after 'c'"],
    ),
    (
        "create type e as enum ('a', 'b', 'c'); create table t (a e default 'a', b e[]); create view v as \
         select a from t",
        "create type e as enum ('a', 'b'); create table t (a e default 'b', b e[]); create view v as select a from t",
        &["create type public.e as enum ('a', 'b')", "using b::text[]::public.e[]"],
    ),
    (
        "create domain d as integer check (value > 0)",
        "create domain d as integer default 3 not null constraint positive check (value > 1)",
        &["alter domain public.d drop constraint d_check"],
    ),
    ("create domain d as integer; create table t (a d)", "create domain d as bigint; create table t (a d)", &[]),
    (
        "create table t (a integer, b integer generated always as (a + 1) stored, c integer); create index i on t (b)",
        "create table t (a integer, b integer generated always as (a + 2) stored, c integer generated always as (1) \
         stored); create index i on t (b)",
        &["drop column b", "add column b integer generated always as ((a + 2)) stored"],
    ),
    (
        "create table t (a integer generated always as identity, b integer)",
        "create table t (a integer generated by default as identity (increment by 5), b integer generated always as \
         identity)",
        &["set generated by default", "add generated always as identity (sequence name public.t_b_seq"],
    ),
    ("create table t (a serial)", "create table t (a integer)", &["drop default", "drop sequence if exists"]),
    (
        "create function f(a integer) returns integer language sql as 'select a'; create table t (a integer \
         default f(1))",
        "create function f(a integer) returns integer language sql as 'select a + 1'; create table t (a integer \
         default f(2))",
        &["CREATE OR REPLACE FUNCTION public.f"],
    ),
    (
        "create function f(a integer) returns integer language sql immutable as 'select a'; create table t (a \
         integer); create index i on t (f(a))",
        "create function f(a integer) returns bigint language sql immutable as 'select a'; create table t (a integer); \
         create index i on t (f(a))",
        &["drop index public.i", "drop routine public.f(a integer)"],
    ),
    (
        "create table t (a integer); create function f(x t) returns integer language sql as 'select 1'",
        "create schema s",
        &["drop routine public.f(x public.t)", "create schema s"],
    ),
    (
        "create table t (a text) with (fillfactor = 50, autovacuum_enabled = off)",
        "create unlogged table t (a text) with (fillfactor = 70); alter table t alter a set storage external, alter a \
         set statistics 7, alter a set (n_distinct = 5), replica identity full, enable row level security; create \
         policy p on t for select to catalog_service using (a > '')",
        &["reset (autovacuum_enabled)", "set (fillfactor = '70')", "enable row level security", "create policy p"],
    ),
    (
        "create table t (a integer, b integer); grant select, insert on t to catalog_service; grant select (a) on t to \
         orders_service",
        "create table t (a integer, b integer); grant select on t to catalog_service with grant option; grant update \
         (b) on t to orders_service; alter table t owner to records_service",
        &[
            "revoke insert, select on table public.t from catalog_service",
            "grant update (b)",
            "owner to records_service",
        ],
    ),
    (
        "comment on schema public is null; create table t (a integer); comment on column t.a is 'it''s'",
        "create table t (a integer); comment on table t is e'two\\nlines\\\\'",
        &["comment on column public.t.a is null", "comment on table public.t is  E'two"],
    ),
    ("create table t (a integer)", "drop schema public", &["drop table public.t", "drop schema public"]),
    (
        "alter default privileges in schema public grant select on tables to catalog_service; create table t ()",
        "alter default privileges in schema public grant insert on tables to orders_service; alter default privileges \
         revoke execute on functions from public; create table t (); create table u (); revoke all on u from \
         orders_service",
        &["alter default privileges for role postgres in schema public grant insert on tables to orders_service"],
    ),
];

#[tokio::test]
async fn each_change_leads_there_and_back() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let one = Branched::new(Branch::create(&url, "one").await.unwrap());
    let other = Branched::new(Branch::create(&url, "other").await.unwrap());
    let mut connection = sqlx::PgConnection::connect(&one.url()).await.unwrap();
    let mut other_connection = sqlx::PgConnection::connect(&other.url()).await.unwrap();
    for (before_sql, after_sql, words) in CHANGES {
        run(&mut connection, before_sql).await;
        run(&mut other_connection, after_sql).await;
        let (before, after) = (schema(&one.url()).await, schema(&other.url()).await);
        let there = statements(&before, &after);
        let text = there.join(";\n");
        for words in *words {
            assert!(text.contains(words), "{before_sql} -> {after_sql}: {words} is missing in\n{text}");
        }
        assert_eq!(there.is_empty(), *after_sql == "create table t (b integer, a integer)", "{after_sql}: {text}");
        apply(&mut connection, &there).await;
        assert_equal(&schema(&one.url()).await, &after, &text);
        let back = statements(&after, &before);
        apply(&mut connection, &back).await;
        assert_equal(&schema(&one.url()).await, &before, &back.join(";\n"));
        apply(&mut connection, &statements(&before, &Schema::default())).await;
        apply(&mut other_connection, &statements(&after, &Schema::default())).await;
        assert_equal(&schema(&one.url()).await, &schema(&other.url()).await, "nothing left");
    }
    connection.close().await.unwrap();
    other_connection.close().await.unwrap();
}

#[tokio::test]
async fn what_holds_data_is_named_when_it_is_dropped() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    run(
        &mut connection,
        "create schema \"S\"; create table \"S\".\"a.b\" (\"C d\" integer, e integer); create table gone (a integer); \
         create index gone_idx on gone (a); create view v as select 1",
    )
    .await;
    let before = schema(&operator_url(&database)).await;
    run(&mut connection, "drop table gone; alter table \"S\".\"a.b\" drop column \"C d\"; drop view v").await;
    let after = schema(&operator_url(&database)).await;
    let changes = difference(&before, &after);
    let dropped: Vec<Dropped> = changes.iter().filter_map(|change| change.drops.clone()).collect();
    let name = |schema: &str, table: &str, column: Option<&str>| Dropped {
        schema: schema.to_owned(),
        table: table.to_owned(),
        column: column.map(str::to_owned),
    };
    assert_eq!(dropped.len(), 2, "{changes:?}");
    assert!(dropped.contains(&name("public", "gone", None)), "{changes:?}");
    assert!(dropped.contains(&name("S", "a.b", Some("C d"))), "{changes:?}");
    // An index goes with its table.
    assert_eq!(changes.len(), 3, "{changes:?}");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn an_invalid_index_is_no_index() {
    let database = TestDatabase::create_empty().await;
    let mut connection = database.connect(Role::Operator).await;
    run(&mut connection, "create table t (a integer); insert into t values (1), (1)").await;
    let without = schema(&operator_url(&database)).await;
    let failed = sqlx::raw_sql("create unique index concurrently i on t (a)").execute(&mut connection).await;
    assert!(failed.is_err());
    let invalid = schema(&operator_url(&database)).await;
    assert_eq!(invalid.left_out(), ["the invalid index public.i"]);
    assert_eq!(statements(&without, &invalid), [""; 0]);
    assert_eq!(statements(&invalid, &without), ["drop index public.i"]);
    run(&mut connection, "delete from t; reindex index i").await;
    let valid = schema(&operator_url(&database)).await;
    assert_eq!(statements(&valid, &invalid), ["drop index public.i"]);
    let expected = ["drop index public.i", "CREATE UNIQUE INDEX CONCURRENTLY i ON public.t USING btree (a)"];
    assert_eq!(statements(&invalid, &valid), expected);
    connection.close().await.unwrap();
}
