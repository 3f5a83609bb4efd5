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
create index product_labels_idx    on catalog.product using gin (labels);

grant select, insert, update, delete on catalog.product to catalog_service;

comment on table catalog.product is 'Something that is or was for sale. orrery.catalog.v1.Product.';

-- migrate:down
drop table catalog.product;
