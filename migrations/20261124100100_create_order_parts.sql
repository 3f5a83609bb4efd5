-- migrate:up
create table orders.order_line_item (
    order_uid   text        collate "C" not null,
    uid         text        collate "C" not null,
    line_number integer     not null,
    product_uid text        collate "C",
    sku         text        collate "C",
    name        text,
    quantity    integer     not null default 0,
    unit_price  numeric     not null default 0,
    discount    numeric     not null default 0,
    tax         numeric     not null default 0,
    status      jsonb       not null default '{"phase": "active"}',
    labels      jsonb       not null default '{}',
    annotations jsonb       not null default '{}',
    create_ts   timestamptz not null default now(),
    update_ts   timestamptz not null default now(),
    primary key (order_uid, uid)
);

-- Not unique: lines may trade places within one statement.
create index order_line_item_line_number_idx on orders.order_line_item (order_uid, line_number, uid);
create index order_line_item_product_uid_idx on orders.order_line_item (product_uid, order_uid) where product_uid is not null;
create index order_line_item_sku_idx         on orders.order_line_item (sku, order_uid) where sku is not null;

grant select, insert, update, delete on orders.order_line_item to orders_service;

comment on table orders.order_line_item is 'A line of an order. orrery.orders.v1.LineItem.';
comment on column orders.order_line_item.order_uid is 'references orders.order_header.uid on orphan delete';
comment on column orders.order_line_item.product_uid is 'references catalog.product.uid on orphan report';
comment on column orders.order_line_item.unit_price is 'Of one piece, in the currency of the order. As many digits after the point as were sent.';
comment on column orders.order_line_item.discount is 'Of the whole line.';
comment on column orders.order_line_item.tax is 'Of the whole line.';

create table orders.order_address (
    order_uid    text   collate "C" not null,
    kind         text   collate "C" not null,
    name         text,
    company      text,
    lines        jsonb not null default '[]',
    city         text,
    region       text,
    postal_code  text,
    country_code text,
    phone        text,
    email        text,
    primary key (order_uid, kind)
);

grant select, insert, update, delete on orders.order_address to orders_service;

comment on table orders.order_address is 'An address of an order. orrery.orders.v1.Address.';
comment on column orders.order_address.order_uid is 'references orders.order_header.uid on orphan delete';
comment on column orders.order_address.kind is 'billing or shipping';

create table orders.order_summary (
    order_uid  text    collate "C" primary key,
    line_count integer not null default 0,
    quantity   bigint  not null default 0,
    subtotal   numeric not null default 0,
    discount   numeric not null default 0,
    tax        numeric not null default 0,
    shipping   numeric not null default 0,
    total      numeric not null default 0
);

grant select, insert, update, delete on orders.order_summary to orders_service;

comment on table orders.order_summary is 'The sums of an order, computed by the orders service in the transaction that changes its lines. orrery.orders.v1.Summary.';
comment on column orders.order_summary.order_uid is 'references orders.order_header.uid on orphan delete';

-- migrate:down
drop table orders.order_summary;
drop table orders.order_address;
drop table orders.order_line_item;
