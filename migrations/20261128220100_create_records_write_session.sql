-- migrate:up
create table records.write_session (
    resource         text        collate "C" not null,
    write_id         text        collate "C" not null,
    parameters       jsonb       not null,
    committed_offset bigint      not null default 0,
    fence            bigint      not null default 1,
    create_ts        timestamptz not null default now(),
    update_ts        timestamptz not null default now(),
    primary key (resource, write_id)
);

create index write_session_update_ts_idx on records.write_session (update_ts);

grant select, insert, update, delete on records.write_session to records_service;

comment on table records.write_session is 'How far each named chunked write has come. Moves in the transaction that writes the rows.';
comment on column records.write_session.parameters is 'What the write was begun with: mode, policy, mask, reference check; the uid on single creates.';
comment on column records.write_session.fence is 'Grows by one with each stream that takes the write over; only the newest may commit.';

create table records.write_commit (
    resource     text   collate "C" not null,
    write_id     text   collate "C" not null,
    first_offset bigint not null,
    row_count    bigint not null,
    row_hashes   bytea  not null,
    primary key (resource, write_id, first_offset)
);

grant select, insert, update, delete on records.write_commit to records_service;

comment on table records.write_commit is 'The content of the last commits of each write: 8 bytes of hash for every row, in order.';
comment on column records.write_commit.write_id is 'references records.write_session.write_id on orphan delete';

create table records.token_key (
    name      text        collate "C" primary key,
    key       bytea       not null,
    create_ts timestamptz not null default now()
);

grant select, insert, update, delete on records.token_key to records_service;

comment on table records.token_key is 'The key that seals page and resume tokens; made by the first process that needs it, shared by all replicas.';

-- migrate:down
drop table records.token_key;
drop table records.write_commit;
drop table records.write_session;
