//! The migrated database has tables, indexes and views alone: nothing that acts by itself, and nothing that ties
//! tables together.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::harness::{Role, TestDatabase};

/// Objects outside of the system's own schemas that must not exist: kind and name.
const BANNED: &str = "with own as (
    select oid, nspname from pg_namespace
     where nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and nspname not like 'pg\\_%temp\\_%'
)
select 'foreign key', format('%s.%s', n.nspname, c.conname)
  from pg_constraint as c join own as n on n.oid = c.connamespace where c.contype = 'f'
union all
select case p.prokind when 'p' then 'procedure' else 'function' end, format('%s.%s', n.nspname, p.proname)
  from pg_proc as p join own as n on n.oid = p.pronamespace
union all
select 'trigger', t.tgname::text from pg_trigger as t where not t.tgisinternal
union all
select 'event trigger', e.evtname::text from pg_event_trigger as e
union all
select 'rule', r.rulename::text
  from pg_rewrite as r join pg_class as c on c.oid = r.ev_class join own as n on n.oid = c.relnamespace
 where r.rulename <> '_RETURN'
union all
select case c.relkind when 'S' then 'sequence' else 'materialized view' end, format('%s.%s', n.nspname, c.relname)
  from pg_class as c join own as n on n.oid = c.relnamespace where c.relkind in ('S', 'm')
union all
select 'enum type', format('%s.%s', n.nspname, t.typname)
  from pg_type as t join own as n on n.oid = t.typnamespace where t.typtype = 'e'";

async fn banned(connection: &mut PgConnection) -> BTreeSet<(String, String)> {
    let found: Vec<_> = sqlx::query_as(BANNED).fetch_all(connection).await.unwrap();
    found.into_iter().collect()
}

#[tokio::test]
async fn the_database_has_none_of_what_is_banned() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    assert_eq!(banned(&mut connection).await, BTreeSet::new());
}

#[tokio::test]
async fn each_kind_of_what_is_banned_is_found() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect(Role::Operator).await;
    let before = "create table orders.a (uid text primary key);
        create function orders.f() returns trigger language plpgsql as 'begin return null; end';
        create function orders.e() returns event_trigger language plpgsql as 'begin end';";
    sqlx::raw_sql(before).execute(&mut connection).await.unwrap();
    let mut known = banned(&mut connection).await;
    assert_eq!(known.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["function", "function"]);
    for (kind, name, sql) in [
        ("foreign key", "orders.fk", "alter table orders.a add constraint fk foreign key (uid) references orders.a"),
        ("function", "orders.one", "create function orders.one() returns int language sql as 'select 1'"),
        ("function", "orders.total", "create aggregate orders.total (int) (sfunc = int4pl, stype = int)"),
        ("procedure", "orders.p", "create procedure orders.p() language sql as 'select 1'"),
        ("trigger", "t", "create trigger t before insert on orders.a for each row execute function orders.f()"),
        ("event trigger", "e", "create event trigger e on ddl_command_end execute function orders.e()"),
        ("rule", "r", "create rule r as on insert to orders.a do also nothing"),
        ("sequence", "public.s", "create sequence public.s"),
        ("sequence", "orders.a_n_seq", "alter table orders.a add column n bigint generated always as identity"),
        ("materialized view", "records.m", "create materialized view records.m as select 1 as one"),
        ("enum type", "catalog.mood", "create type catalog.mood as enum ('a')"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        known.insert((kind.to_owned(), name.to_owned()));
        assert_eq!(banned(&mut connection).await, known, "{sql}");
    }
}
