-- migrate:up
create table records.macrodata_catalog (
    uid         text        collate "C" primary key,
    name        text        not null,
    labels      jsonb       not null default '{}',
    annotations jsonb       not null default '{}',
    create_ts   timestamptz not null default now(),
    update_ts   timestamptz not null default now()
);

create unique index macrodata_catalog_name_idx on records.macrodata_catalog (lower(name));
create index macrodata_catalog_name_order_idx  on records.macrodata_catalog (left(name, 128) collate "C", uid);
create index macrodata_catalog_create_ts_idx   on records.macrodata_catalog (create_ts, uid);
create index macrodata_catalog_update_ts_idx   on records.macrodata_catalog (update_ts, uid);
create index macrodata_catalog_labels_idx      on records.macrodata_catalog using gin (labels) with (gin_pending_list_limit = 1024);

grant select, insert, update, delete on records.macrodata_catalog to records_service;

comment on table records.macrodata_catalog is 'A namespace for artifacts. orrery.records.v1.MacrodataCatalog.';

create table records.macrodata_artifact (
    uid          text        collate "C" primary key,
    catalog_uid  text        collate "C",
    kind         text        collate "C",
    identifier   text        collate "C",
    content_hash text        collate "C",
    revision     integer     not null default 1,
    status       jsonb       not null default '{"phase": "active"}',
    labels       jsonb       not null default '{}',
    annotations  jsonb       not null default '{}',
    create_ts    timestamptz not null default now(),
    update_ts    timestamptz not null default now(),
    body         jsonb       not null default '{}'
);

-- Artifacts without a catalog are in one namespace.
create unique index macrodata_artifact_identifier_idx on records.macrodata_artifact (identifier, kind, coalesce(catalog_uid, ''));
-- A design asset is its content; documents may have the same.
create unique index macrodata_artifact_design_asset_idx on records.macrodata_artifact ((case when kind = 'design_asset' then content_hash end));
create index macrodata_artifact_content_hash_idx on records.macrodata_artifact (content_hash, uid) where content_hash is not null;
create index macrodata_artifact_catalog_uid_idx  on records.macrodata_artifact (catalog_uid, uid) where catalog_uid is not null;
create index macrodata_artifact_kind_idx         on records.macrodata_artifact (kind, uid);
create index macrodata_artifact_template_uid_idx on records.macrodata_artifact ((body ->> 'template_uid'), uid) where (body ->> 'template_uid') is not null;
create index macrodata_artifact_phase_idx        on records.macrodata_artifact ((status ->> 'phase'), uid);
create index macrodata_artifact_create_ts_idx    on records.macrodata_artifact (create_ts, uid);
create index macrodata_artifact_update_ts_idx    on records.macrodata_artifact (update_ts, uid);
-- As on catalog.product: a short list of waiting entries keeps every search short.
create index macrodata_artifact_labels_idx       on records.macrodata_artifact using gin (labels) with (gin_pending_list_limit = 1024);

grant select, insert, update, delete on records.macrodata_artifact to records_service;

comment on table records.macrodata_artifact is 'What people and pipelines record about products. orrery.records.v1.Artifact.';
comment on column records.macrodata_artifact.catalog_uid is 'references records.macrodata_catalog.uid on orphan report';
comment on column records.macrodata_artifact.kind is 'design_asset, combo_template, combo_suggestion, combo_report, classification_spec or document';
comment on column records.macrodata_artifact.identifier is 'What people call it. TYPE-PRODUCTS-COUNT-AUDIENCE-SEQ for combo templates and combo reports.';
comment on column records.macrodata_artifact.content_hash is 'The content_hash in the body of a design asset or document: SHA-256, hexadecimal, in lower case.';
comment on column records.macrodata_artifact.body is 'The fields of the message of the kind. template_uid, report_uid and suggestion_uid are each a records.macrodata_artifact.uid, product_uids a list of catalog.product.uid.';

create table records.link_product_macrodata_artifact (
    product_uid  text        collate "C" not null,
    artifact_uid text        collate "C" not null,
    create_ts    timestamptz not null default now(),
    primary key (product_uid, artifact_uid)
);

create index link_product_macrodata_artifact_artifact_uid_idx on records.link_product_macrodata_artifact (artifact_uid, product_uid);

grant select, insert, update, delete on records.link_product_macrodata_artifact to records_service;

comment on table records.link_product_macrodata_artifact is 'A product that an artifact denotes. orrery.records.v1.ProductLink.';
comment on column records.link_product_macrodata_artifact.product_uid is 'references catalog.product.uid on orphan delete';
comment on column records.link_product_macrodata_artifact.artifact_uid is 'references records.macrodata_artifact.uid on orphan delete';

create table records.identifier_series (
    name text    collate "C" primary key,
    last integer not null
);

grant select, insert, update, delete on records.identifier_series to records_service;

comment on table records.identifier_series is 'The last number given to an identifier, for each beginning of identifiers. Its row is the lock under which numbers are given, in the transaction that stores the artifact, so that they have no gaps.';
comment on column records.identifier_series.name is 'CATALOG_UID/KIND/PREFIX, for example /combo_template/SP-IPH-2-WOMEN; without a catalog it begins with the slash.';

-- migrate:down
drop table records.identifier_series;
drop table records.link_product_macrodata_artifact;
drop table records.macrodata_artifact;
drop table records.macrodata_catalog;
