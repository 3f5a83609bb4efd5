-- migrate:up
create table catalog.procedure_execution (
    uid              text        collate "C" primary key,
    procedure        text        collate "C" not null,
    parameters       jsonb       not null default '{}',
    request_id       text        collate "C",
    phase            text        collate "C" not null default 'pending',
    step             text        collate "C" not null default '',
    cursor           text        not null default '',
    processed        bigint      not null default 0,
    total            bigint      not null default 0,
    result           jsonb       not null default '{}',
    attempts         integer     not null default 0,
    error            text        not null default '',
    cancel_requested boolean     not null default false,
    fence            bigint      not null default 0,
    lease_ts         timestamptz,
    next_ts          timestamptz default now(),
    create_ts        timestamptz not null default now(),
    start_ts         timestamptz,
    update_ts        timestamptz not null default now(),
    finish_ts        timestamptz
);

-- At most one execution of a procedure runs at a time.
create unique index procedure_execution_running_idx    on catalog.procedure_execution (procedure) where phase = 'running';
create unique index procedure_execution_request_id_idx on catalog.procedure_execution (request_id) where request_id is not null;
create index procedure_execution_next_ts_idx           on catalog.procedure_execution (next_ts, uid) where phase in ('pending', 'running');
create index procedure_execution_procedure_idx         on catalog.procedure_execution (procedure, uid);
create index procedure_execution_create_ts_idx         on catalog.procedure_execution (create_ts, uid);
create index procedure_execution_finish_ts_idx         on catalog.procedure_execution (finish_ts, uid) where finish_ts is not null;

grant select, insert, update, delete on catalog.procedure_execution to catalog_service;

comment on table catalog.procedure_execution is 'One run of a procedure. Its cursor moves in the transaction that writes what the step did. orrery.procedures.v1.ProcedureExecution.';
comment on column catalog.procedure_execution.request_id is 'The caller''s name of the request that asked for it. The same name finds it again.';
comment on column catalog.procedure_execution.phase is 'pending, running, succeeded, failed or cancelled';
comment on column catalog.procedure_execution.cursor is 'Where the step continues, in the words of the procedure.';
comment on column catalog.procedure_execution.attempts is 'How many attempts in a row have failed at the present step.';
comment on column catalog.procedure_execution.fence is 'Grows by one with each worker that takes the execution; only the newest may commit.';
comment on column catalog.procedure_execution.lease_ts is 'Until when its worker holds it; null if no worker does.';
comment on column catalog.procedure_execution.next_ts is 'When a worker may next take it.';

create table catalog.procedure_schedule (
    procedure       text        collate "C" primary key,
    interval_micros bigint,
    jitter_micros   bigint      not null default 0,
    parameters      jsonb       not null default '{}',
    next_ts         timestamptz,
    create_ts       timestamptz not null default now(),
    update_ts       timestamptz not null default now()
);

grant select, insert, update, delete on catalog.procedure_schedule to catalog_service;

comment on table catalog.procedure_schedule is 'When procedures run by themselves. orrery.procedures.v1.ProcedureSchedule.';
comment on column catalog.procedure_schedule.interval_micros is 'Microseconds from one start to the next; null if the procedure does not run by itself.';
comment on column catalog.procedure_schedule.jitter_micros is 'Each start is later by a random part of so many microseconds.';
comment on column catalog.procedure_schedule.next_ts is 'When the next run starts.';

create table catalog.orphan (
    relation      text        collate "C" not null,
    missing_uid   text        collate "C" not null,
    child_uid     text        collate "C",
    execution_uid text        collate "C" not null,
    first_seen_ts timestamptz not null default now(),
    last_seen_ts  timestamptz,
    confirm_ts    timestamptz,
    primary key (relation, missing_uid)
);

grant select, insert, update, delete on catalog.orphan to catalog_service;

comment on table catalog.orphan is 'Uids that rows refer to although nothing has them; written by the procedure detect_orphans. orrery.procedures.v1.Orphan.';
comment on column catalog.orphan.relation is 'The column that refers to it: SCHEMA.TABLE.COLUMN, and the key in it if it holds documents.';
comment on column catalog.orphan.missing_uid is 'no reference: nothing has this uid';
comment on column catalog.orphan.child_uid is 'no reference: one of the rows that refer to it, in the table of the relation';
comment on column catalog.orphan.execution_uid is 'no reference: the execution that saw it last, which may be deleted before it';
comment on column catalog.orphan.confirm_ts is 'When it was seen again after the grace period; null for a candidate.';

-- migrate:down
drop table catalog.orphan;
drop table catalog.procedure_schedule;
drop table catalog.procedure_execution;
