-- migrate:up
create table records.upload (
    upload_id        text        collate "C" primary key,
    object_key       text        collate "C" not null,
    content_hash     bytea       not null,
    part_bytes       bigint      not null,
    committed_offset bigint      not null default 0,
    multipart_id     text,
    part_ids         text[]      not null default '{}',
    hash_state       bytea,
    stored_bytes     bigint,
    fence            bigint      not null default 1,
    create_ts        timestamptz not null default now(),
    update_ts        timestamptz not null default now(),
    expire_ts        timestamptz not null default now()
);

create index upload_expire_ts_idx on records.upload (expire_ts);

grant select, insert, update, delete on records.upload to records_service;

comment on table records.upload is 'Uploads whose content is not yet that of a document. A row is written before its object, and deleted in the transaction that gives the object to a document.';
comment on column records.upload.upload_id is 'The caller''s name of the upload. The same name continues it.';
comment on column records.upload.object_key is 'The key of the object in the document storage.';
comment on column records.upload.content_hash is 'The SHA-256 that the whole content must have.';
comment on column records.upload.part_bytes is 'The size of every part but the last.';
comment on column records.upload.committed_offset is 'The number of bytes that are stored in parts.';
comment on column records.upload.multipart_id is 'The storage''s id of the unfinished object; null before the first part.';
comment on column records.upload.part_ids is 'The storage''s ids of the parts, in order.';
comment on column records.upload.hash_state is 'The state of SHA-256 at committed_offset.';
comment on column records.upload.stored_bytes is 'The size of the finished object; null before.';
comment on column records.upload.fence is 'Grows by one with each stream that takes the upload over; only the newest may change it.';
comment on column records.upload.expire_ts is 'When the upload is given up, unless another part arrives.';

create table records.object_removal (
    object_key   text        collate "C" primary key,
    multipart_id text,
    remove_ts    timestamptz not null default now(),
    create_ts    timestamptz not null default now()
);

create index object_removal_remove_ts_idx on records.object_removal (remove_ts);

grant select, insert, update, delete on records.object_removal to records_service;

comment on table records.object_removal is 'Objects in the document storage that belong to no document and no upload, and are to be removed.';
comment on column records.object_removal.multipart_id is 'The storage''s id of the unfinished object, if there is one.';
comment on column records.object_removal.remove_ts is 'When to remove it, or to try again.';

-- migrate:down
drop table records.object_removal;
drop table records.upload;
