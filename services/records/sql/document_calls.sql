-- The statements of calls of RecordsService about documents, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- UploadDocument of a new document
select parameters ->> 'content', parameters ->> 'uid' from records.write_session where resource = $1 and write_id = $2;
update records.upload as t
   set fence = t.fence + 1, update_ts = now(), expire_ts = now() + $3 * interval '1 microsecond'
 where t.upload_id = $1 and t.content_hash = $2
returning t.fence, t.object_key, t.part_bytes, t.committed_offset, t.multipart_id, t.part_ids, t.hash_state,
          t.stored_bytes;
select t.content_hash = $2 from records.upload as t where t.upload_id = $1;
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
update records.upload as t
   set stored_bytes = $3, update_ts = now(), expire_ts = now() + $4 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is null
returning 1;
begin; set local statement_timeout = …;
insert into records.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
insert into records.macrodata_artifact as t (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body)
values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::jsonb, $7::jsonb, $8::jsonb, now(), $9::jsonb)
returning t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body);
delete from records.upload as t
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is not null
returning 1;
with changed as materialized (
    select t.uid, (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end) || $3::jsonb as body
      from records.macrodata_artifact as t
     where t.uid = $1
)
update records.macrodata_artifact as t
   set content_hash = $2,
       body = changed.body
  from changed
 where t.uid = $1 and changed.uid = t.uid;
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
delete from records.upload as t
 where t.upload_id = $1 and t.fence = $2
returning t.object_key, t.multipart_id;
commit;

-- UploadDocument, repeated
select parameters ->> 'content', parameters ->> 'uid' from records.write_session where resource = $1 and write_id = $2;
begin; set local statement_timeout = …;
insert into records.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
select parameters ->> 'content', parameters ->> 'uid' from records.write_session where resource = $1 and write_id = $2;
-- as UploadDocument of a new document, 12
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UploadDocument of a stored document
select parameters ->> 'content', parameters ->> 'uid' from records.write_session where resource = $1 and write_id = $2;
select t.uid, t.kind, (case when t.kind in ('document') then jsonb_set('{}', array[t.kind], t.body) end)
  from records.macrodata_artifact as t
 where t.uid = $1;
-- as UploadDocument of a new document, 2
select t.content_hash = $2 from records.upload as t where t.upload_id = $1;
-- as UploadDocument of a new document, 4
-- as UploadDocument of a new document, 5
-- as UploadDocument of a new document, 6
begin; set local statement_timeout = …;
insert into records.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = $1
   for update;
insert into records.object_removal (object_key)
select i.object_key
  from unnest($1::text[]) as i (object_key)
on conflict (object_key) do nothing
returning 1;
-- as UploadDocument of a new document, 10
with changed as materialized (
    select t.uid, (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end) || $3::jsonb as body
      from records.macrodata_artifact as t
     where t.uid = $1
)
update records.macrodata_artifact as t
   set content_hash = $2,
       body = changed.body,
       update_ts = now(),
       revision = t.revision + 1
  from changed
 where t.uid = $1 and changed.uid = t.uid;
-- as UploadDocument of a new document, 12
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as UploadDocument of a new document, 15
commit;

-- QueryDocumentUpload of what is done
select parameters ->> 'content', parameters ->> 'uid' from records.write_session where resource = $1 and write_id = $2;

-- QueryDocumentUpload
select parameters ->> 'content', parameters ->> 'uid' from records.write_session where resource = $1 and write_id = $2;
select coalesce(t.stored_bytes, t.committed_offset), t.stored_bytes is not null
  from records.upload as t
 where t.upload_id = $1;

-- DownloadDocument
-- as UploadDocument of a stored document, 2

-- DeleteArtifact with force
begin; set local statement_timeout = …;
-- as UploadDocument of a stored document, 10
select t.product_uid
  from records.link_product_macrodata_artifact as t
 where t.artifact_uid = $1
 order by t.product_uid
 limit $2;
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as UploadDocument of a stored document, 10
select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1)
   and t.kind = 'combo_report'
   and (t.status ->> 'phase' = 'final' or t.body ->> 'final_ts' is not null);
select t.artifact_uid, count(*)
  from records.link_product_macrodata_artifact as t
 where t.artifact_uid = any ($1)
 group by t.artifact_uid;
select t.body ->> 'bearer_key'
  from records.macrodata_artifact as t
 where t.uid = any ($1)
   and t.kind = 'document'
   and t.body ->> 'bearer_key' is not null;
-- as UploadDocument of a stored document, 11
delete from records.macrodata_artifact as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
