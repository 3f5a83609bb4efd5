-- migrate:up
create unlogged table records.owner_lock (
    owner    text collate "C" not null,
    resource text collate "C" not null,
    primary key (owner, resource)
);

grant select, insert, update, delete on records.owner_lock to records_service;

comment on table records.owner_lock is 'Locks owners whose rows are being replaced, for example products whose tags are. Its rows are never committed.';

-- migrate:down
drop table records.owner_lock;
