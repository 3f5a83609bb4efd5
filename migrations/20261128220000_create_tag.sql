-- migrate:up
create table records.tag (
    uid         text        collate "C" primary key,
    name        text        not null,
    status      jsonb       not null default '{"phase": "active"}',
    labels      jsonb       not null default '{}',
    annotations jsonb       not null default '{}',
    create_ts   timestamptz not null default now(),
    update_ts   timestamptz not null default now()
);

create unique index tag_name_idx on records.tag (lower(name));
create index tag_name_order_idx  on records.tag (left(name, 128) collate "C", uid);
create index tag_create_ts_idx   on records.tag (create_ts, uid);
create index tag_update_ts_idx   on records.tag (update_ts, uid);

grant select, insert, update, delete on records.tag to records_service;

comment on table records.tag is 'What products are tagged with. orrery.records.v1.Tag.';

create table records.tag_classification (
    tag_uid       text        collate "C" primary key,
    category_name text        collate "C" not null,
    tag_name      text,
    create_ts     timestamptz not null default now(),
    update_ts     timestamptz not null default now()
);

create unique index tag_classification_category_name_idx on records.tag_classification (category_name, tag_name);
create index tag_classification_category_order_idx       on records.tag_classification (category_name, tag_uid);

grant select, insert, update, delete on records.tag_classification to records_service;

comment on table records.tag_classification is 'The category of a tag, at most one. orrery.records.v1.TagClassification.';
comment on column records.tag_classification.tag_uid is 'references records.tag.uid on orphan delete';
comment on column records.tag_classification.tag_name is 'The name of the tag, changed in the transaction that renames it. Null while there is no such tag.';

create table records.tag_group (
    uid         text        collate "C" primary key,
    name        text        not null,
    description text        not null default '',
    tag_uids    jsonb       not null default '[]',
    labels      jsonb       not null default '{}',
    annotations jsonb       not null default '{}',
    create_ts   timestamptz not null default now(),
    update_ts   timestamptz not null default now()
);

create unique index tag_group_name_idx on records.tag_group (lower(name));
create index tag_group_tag_uids_idx    on records.tag_group using gin (tag_uids);

grant select, insert, update, delete on records.tag_group to records_service;

comment on table records.tag_group is 'A named set of tags. orrery.records.v1.TagGroup.';
comment on column records.tag_group.tag_uids is 'A list of texts, each a records.tag.uid.';

create table records.link_product_tag (
    product_uid text        collate "C" not null,
    tag_uid     text        collate "C" not null,
    create_ts   timestamptz not null default now(),
    primary key (product_uid, tag_uid)
);

create index link_product_tag_tag_uid_idx on records.link_product_tag (tag_uid, product_uid);

grant select, insert, update, delete on records.link_product_tag to records_service;

comment on table records.link_product_tag is 'A tag of a product. orrery.records.v1.ProductTag.';
comment on column records.link_product_tag.product_uid is 'references catalog.product.uid on orphan delete';
comment on column records.link_product_tag.tag_uid is 'references records.tag.uid on orphan delete';

-- migrate:down
drop table records.link_product_tag;
drop table records.tag_group;
drop table records.tag_classification;
drop table records.tag;
