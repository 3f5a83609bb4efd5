-- migrate:up
create table catalog.product (
    uid         text        collate "C" primary key,
    name        text,
    status      jsonb       not null default '{"phase": "active"}',
    labels      jsonb       not null default '{}',
    annotations jsonb       not null default '{}',
    create_ts   timestamptz not null default now(),
    update_ts   timestamptz not null default now()
);

create index product_create_ts_idx on catalog.product (create_ts, uid);
create index product_update_ts_idx on catalog.product (update_ts, uid);
create index product_phase_idx     on catalog.product ((status ->> 'phase'), uid);
-- Every search reads the whole list of entries that wait to be merged, and after a bulk load the planner would rather read a table of
-- 100,000 rows than 4 MiB of them, the default. With 1 MiB (in kB) loading costs no more; without a list it would cost three times as much.
create index product_labels_idx    on catalog.product using gin (labels) with (gin_pending_list_limit = 1024);

grant select, insert, update, delete on catalog.product to catalog_service;

comment on table catalog.product is 'Something that is or was for sale. orrery.catalog.v1.Product.';

-- migrate:down
drop table catalog.product;
