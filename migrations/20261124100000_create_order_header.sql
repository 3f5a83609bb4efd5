-- migrate:up
create table orders.order_header (
    uid                text        collate "C" primary key,
    customer_id        text        collate "C",
    currency_code      text        collate "C" not null,
    revision           integer     not null default 1,
    status             jsonb       not null default '{"phase": "draft"}',
    labels             jsonb       not null default '{}',
    annotations        jsonb       not null default '{}',
    provision_timer_ts timestamptz,
    create_ts          timestamptz not null default now(),
    update_ts          timestamptz not null default now()
);

create index order_header_customer_id_idx     on orders.order_header (customer_id, uid);
create index order_header_phase_idx           on orders.order_header ((status ->> 'phase'), uid);
create index order_header_create_ts_idx       on orders.order_header (create_ts, uid);
create index order_header_update_ts_idx       on orders.order_header (update_ts, uid);
create index order_header_provision_timer_idx on orders.order_header (provision_timer_ts, uid) where provision_timer_ts is not null;
-- As on catalog.product: a short list of waiting entries keeps every search short.
create index order_header_labels_idx          on orders.order_header using gin (labels) with (gin_pending_list_limit = 1024);
create index order_header_annotations_idx     on orders.order_header using gin (annotations jsonb_path_ops) with (gin_pending_list_limit = 1024);

grant select, insert, update, delete on orders.order_header to orders_service;

comment on table orders.order_header is 'An order. orrery.orders.v1.Order.';
comment on column orders.order_header.customer_id is 'Who ordered, in whatever system keeps customers.';
comment on column orders.order_header.revision is 'Grows by one with every change of the order, its lines, addresses and summary.';
comment on column orders.order_header.provision_timer_ts is 'When the order is due for provisioning; the end of the lease while a worker holds it.';

-- migrate:down
drop table orders.order_header;
