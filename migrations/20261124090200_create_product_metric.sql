-- migrate:up
create table catalog.product_metric (
    product_uid text        collate "C" not null,
    name        text        collate "C" not null,
    value       numeric     not null,
    unit        text        not null default '',
    as_of_ts    timestamptz not null default now(),
    primary key (product_uid, name)
);

grant select, insert, update, delete on catalog.product_metric to catalog_service;

comment on table catalog.product_metric is 'The latest value of one measure of one product. orrery.catalog.v1.ProductMetric.';
comment on column catalog.product_metric.product_uid is 'references catalog.product.uid on orphan delete';

-- migrate:down
drop table catalog.product_metric;
