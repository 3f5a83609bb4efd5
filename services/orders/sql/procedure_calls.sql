-- The statements of calls of ProceduresService, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- ListProcedures
select t.procedure, t.interval_micros, t.jitter_micros, t.parameters::text,
       (extract(epoch from t.next_ts - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint,
       (extract(epoch from t.update_ts - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint
  from orders.procedure_schedule as t
 where t.procedure = any ($1);

-- RunProcedure
begin; set local statement_timeout = …;
insert into orders.procedure_execution as t (uid, procedure, parameters, request_id)
values ($1, $2, $3::text::jsonb, nullif($4, ''))
    on conflict (request_id) where request_id is not null do nothing
returning uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
select t.uid, t.procedure, t.parameters, t.phase, t.step, t.processed, t.total, t.result, t.attempts, t.error, t.cancel_requested, t.create_ts, t.start_ts, t.next_ts, t.update_ts, t.finish_ts
  from orders.procedure_execution as t
 where t.uid = $1;

-- RunProcedure, again
begin; set local statement_timeout = …;
-- as RunProcedure, 2
select t.uid, t.procedure = $2 and t.parameters = $3::text::jsonb
  from orders.procedure_execution as t
 where t.request_id = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
-- as RunProcedure, 4

-- GetProcedureExecution
select t.uid, t.procedure, t.parameters, t.phase, t.step, t.processed, t.total, t.result, t.attempts, t.error, t.cancel_requested, t.create_ts, t.start_ts, t.next_ts, t.update_ts, t.finish_ts
  from orders.procedure_execution as t
 where t.uid = any ($1);

-- ListProcedureExecutions
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.procedure, t.parameters, t.phase, t.step, t.processed, t.total, t.result, t.attempts, t.error, t.cancel_requested, t.create_ts, t.start_ts, t.next_ts, t.update_ts, t.finish_ts, t.create_ts from orders.procedure_execution as t where true order by t.create_ts, t.uid limit 51) to stdout (format binary);
commit;

-- CancelProcedureExecution
begin; set local statement_timeout = …;
update orders.procedure_execution as t
   set phase = 'cancelled', cancel_requested = true, fence = t.fence + 1, lease_ts = null, next_ts = null,
       finish_ts = now(), update_ts = now()
 where t.uid = $1
   and t.phase in ('pending', 'running')
   and (t.lease_ts is null or t.lease_ts <= now())
returning 1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
-- as RunProcedure, 4

-- WatchProcedureExecution
-- as RunProcedure, 4

-- SetProcedureSchedule
begin; set local statement_timeout = …;
insert into orders.procedure_schedule as s (procedure, interval_micros, jitter_micros, parameters, next_ts)
values ($1, $2, $3, $4::text::jsonb, now() + $5 * interval '1 microsecond')
    on conflict (procedure) do update
   set interval_micros = excluded.interval_micros, jitter_micros = excluded.jitter_micros,
       parameters = excluded.parameters, next_ts = excluded.next_ts, update_ts = excluded.update_ts;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
-- as ListProcedures, 1

-- ListOrphans
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.relation, t.missing_uid, t.child_uid, t.first_seen_ts, t.last_seen_ts, t.confirm_ts from orders.orphan as t where t.confirm_ts is not null order by t.relation, t.missing_uid limit 51) to stdout (format binary);
commit;

-- StreamOrphans
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.relation, t.missing_uid, t.child_uid, t.first_seen_ts, t.last_seen_ts, t.confirm_ts from orders.orphan as t where t.confirm_ts is not null order by t.relation, t.missing_uid limit 501) to stdout (format binary);
commit;
