-- migrate:up
create table records.tag_performance_refresh (
    generation bigint      primary key,
    phase      text        collate "C" not null,
    step       text        collate "C" not null,
    cursor     text        not null default '',
    day_as_of  text        collate "C" not null,
    time_zone  text        collate "C" not null,
    fence      bigint      not null default 1,
    processed  bigint      not null default 0,
    create_ts  timestamptz not null default now(),
    update_ts  timestamptz not null default now(),
    finish_ts  timestamptz
);

grant select, insert, update, delete on records.tag_performance_refresh to records_service;

comment on table records.tag_performance_refresh is 'How far each rebuild of the performance of tags has come. Its cursor moves in the transaction that writes the rows.';
comment on column records.tag_performance_refresh.phase is 'running, current, retired or abandoned; readers see the current one';
comment on column records.tag_performance_refresh.fence is 'Grows by one with each call that continues the rebuild; only the newest may commit.';

create table records.product_performance (
    product_uid   text    collate "C" not null,
    generation    bigint  not null,
    currency_code text    collate "C" not null default '',
    metric_name   text    collate "C" not null default '',
    units         numeric not null default 0,
    gross         numeric not null default 0,
    units_7d      numeric not null default 0,
    gross_7d      numeric not null default 0,
    units_30d     numeric not null default 0,
    gross_30d     numeric not null default 0,
    units_90d     numeric not null default 0,
    gross_90d     numeric not null default 0,
    value         numeric not null default 0,
    primary key (product_uid, generation, currency_code, metric_name)
);

grant select, insert, update, delete on records.product_performance to records_service;

comment on table records.product_performance is 'What a rebuild found out about each product: its sales by currency, and the latest value of each metric.';
comment on column records.product_performance.product_uid is 'references catalog.product.uid on orphan delete';

create table records.tag_performance_aggregate (
    tag_uid       text    collate "C" not null,
    generation    bigint  not null,
    currency_code text    collate "C" not null default '',
    metric_name   text    collate "C" not null default '',
    product_count bigint  not null default 0,
    units         numeric not null default 0,
    gross         numeric not null default 0,
    units_7d      numeric not null default 0,
    gross_7d      numeric not null default 0,
    units_30d     numeric not null default 0,
    gross_30d     numeric not null default 0,
    units_90d     numeric not null default 0,
    gross_90d     numeric not null default 0,
    value         numeric not null default 0,
    primary key (tag_uid, generation, currency_code, metric_name)
);

grant select, insert, update, delete on records.tag_performance_aggregate to records_service;

comment on table records.tag_performance_aggregate is 'The sums of product_performance over the products of each tag. orrery.records.v1.TagPerformance.';
comment on column records.tag_performance_aggregate.tag_uid is 'references records.tag.uid on orphan delete';
comment on column records.tag_performance_aggregate.product_count is 'The products that have the tag; in rows with a currency or metric those that were sold in it or have it.';

-- migrate:down
drop table records.tag_performance_aggregate;
drop table records.product_performance;
drop table records.tag_performance_refresh;
