//! The tables of the slice, in a schema of the test's database.

use crate::harness::{Role, TestDatabase, run};

/// The slice's schema.
pub(crate) const SCHEMA: &str = "warehouse";

/// Its tables. It uses the ledgers of the catalog, and runs with the role of the catalog.
const TABLES: &str = r#"
create schema warehouse;
grant usage on schema warehouse to catalog_service;

create table warehouse.write_session (like catalog.write_session including all);
create table warehouse.write_commit (like catalog.write_commit including all);
create table warehouse.token_key (like catalog.token_key including all);

create unlogged table warehouse.owner_lock (
    owner    text collate "C" not null,
    resource text collate "C" not null,
    primary key (owner, resource)
);

create table warehouse.keeper (uid text collate "C" primary key);
create table warehouse.site (name text collate "C" primary key, is_cooled boolean not null);
create table warehouse.series (name text collate "C" primary key, last integer not null);

create table warehouse.shelf (
    warehouse    text        collate "C" not null,
    aisle        text        collate "C" not null,
    slot         integer     not null,
    label        text,
    zone         text,
    code         text,
    content_hash text        collate "C",
    series       text,
    number       integer,
    keeper_uid   text        collate "C",
    kind         text        not null,
    country_code text,
    note         text        not null default '',
    tags         jsonb       not null default '[]',
    weight       numeric     not null,
    price        numeric     not null default 0,
    capacity     integer     not null default 0,
    moved        bigint,
    revision     integer     not null default 1,
    status       jsonb       not null default '{"phase": "open"}',
    labels       jsonb       not null default '{}',
    annotations  jsonb       not null default '{}',
    checked_ts   timestamptz,
    create_ts    timestamptz not null default now(),
    update_ts    timestamptz not null default now(),
    load_kind    text,
    body         jsonb       not null default '{}',
    primary key (warehouse, aisle, slot)
);
create unique index shelf_label_idx on warehouse.shelf (lower(label));
create unique index shelf_zone_code_idx on warehouse.shelf (zone, code);
create unique index shelf_content_hash_idx on warehouse.shelf (content_hash);
create unique index shelf_load_idx on warehouse.shelf (load_kind, (body ->> 'content_hash'));
create unique index shelf_liquid_idx on warehouse.shelf ((body ->> 'liquid'), (body ->> 'volume'));
create index shelf_create_ts_idx on warehouse.shelf (create_ts, warehouse, aisle, slot);

create table warehouse.box (
    warehouse  text    collate "C" not null,
    aisle      text    collate "C" not null,
    slot       integer not null,
    position   integer not null,
    content    text,
    keeper_uid text    collate "C",
    primary key (warehouse, aisle, slot, position)
);

create table warehouse.inspection (
    warehouse text    collate "C" not null,
    aisle     text    collate "C" not null,
    slot      integer not null,
    inspector text,
    primary key (warehouse, aisle, slot)
);

create table warehouse.stocktake (
    warehouse    text    collate "C" not null,
    aisle        text    collate "C" not null,
    slot         integer not null,
    day          text    collate "C" not null,
    quantity     integer not null default 0,
    finding_kind text,
    finding      jsonb   not null default '{}',
    primary key (warehouse, aisle, slot, day)
);

grant select, insert, update, delete on all tables in schema warehouse to catalog_service;
insert into warehouse.keeper select 'kpr_' || n from generate_series(1, 9) n;
insert into warehouse.site values ('north', true), ('south', false);
"#;

/// Makes the tables.
pub(crate) async fn create(database: &TestDatabase) {
    run(&mut database.connect(Role::Operator).await, TABLES).await;
}
