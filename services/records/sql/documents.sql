-- The statements of calls of the document storage, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- Begin an upload
select exists (select from pg_catalog.pg_extension where extname = 'citus');
update records.upload as t
   set fence = t.fence + 1, update_ts = now(), expire_ts = now() + $3 * interval '1 microsecond'
 where t.upload_id = $1 and t.content_hash = $2
returning t.fence, t.object_key, t.part_bytes, t.committed_offset, t.multipart_id, t.part_ids, t.hash_state,
          t.stored_bytes;
select t.content_hash = $2 from records.upload as t where t.upload_id = $1;

-- Store the first part
insert into records.upload
       (upload_id, object_key, content_hash, part_bytes, multipart_id, fence, expire_ts)
values ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 microsecond')
on conflict (upload_id) do nothing
returning 1;
update records.upload as t
   set committed_offset = $4, part_ids = array_append(t.part_ids, $5), hash_state = $6, update_ts = now(),
       expire_ts = now() + $7 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.committed_offset = $3 and t.stored_bytes is null
returning 1;

-- Store another part
-- as Store the first part, 2

-- Continue an upload
-- as Begin an upload, 2

-- Finish an upload
update records.upload as t
   set stored_bytes = $3, update_ts = now(), expire_ts = now() + $4 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is null
returning 1;

-- Give the content to a document
begin; set local statement_timeout = …;
delete from records.upload as t
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is not null
returning 1;
commit;

-- Store small content
-- as Store the first part, 1
-- as Finish an upload, 1

-- Store another part after the parts are gone
update records.upload as t
   set multipart_id = $3, committed_offset = 0, part_ids = '{}', hash_state = null, update_ts = now(),
       expire_ts = now() + $4 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is null
returning 1;

-- Store the first part again
-- as Store another part after the parts are gone, 1
-- as Store the first part, 2

-- Give an upload up
begin; set local statement_timeout = …;
delete from records.upload as t
 where t.upload_id = $1 and t.fence = $2
returning t.object_key, t.multipart_id;
insert into records.object_removal (object_key, multipart_id, remove_ts, create_ts)
select i.object_key, nullif(i.multipart_id, ''), coalesce($3, now()), coalesce($3, now())
  from unnest($1::text[], $2::text[]) as i (object_key, multipart_id)
on conflict (object_key) do nothing
returning 1;
commit;

-- Release the content of a document
begin; set local statement_timeout = …;
insert into records.object_removal (object_key)
select i.object_key
  from unnest($1::text[]) as i (object_key)
on conflict (object_key) do nothing
returning 1;
commit;

-- The time of a sweep
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint;

-- Sweep, with expired uploads and objects to remove once more
select t.upload_id
  from records.upload as t
 where t.expire_ts <= $1
 order by t.expire_ts
 limit 100;
begin; set local statement_timeout = …;
delete from records.upload as t
 where t.upload_id = any ($1) and t.expire_ts <= $2
returning t.object_key, t.multipart_id;
-- as Give an upload up, 3
commit;
select t.object_key, t.multipart_id, t.create_ts <= $2
  from records.object_removal as t
 where t.remove_ts <= $1
 order by t.remove_ts
 limit 100;
delete from records.object_removal as t where t.object_key = any ($1) returning 1;
update records.object_removal as t set remove_ts = $2 where t.object_key = any ($1) returning 1;

-- Sweep, with objects that were removed
-- as Sweep, with expired uploads and objects to remove once more, 1
-- as Sweep, with expired uploads and objects to remove once more, 6
delete from records.object_removal as t where t.object_key = any ($1) returning 1;
