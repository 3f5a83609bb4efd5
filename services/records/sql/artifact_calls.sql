-- The statements of calls of RecordsService, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- CreateMacrodataCatalog
insert into records.macrodata_catalog as t (uid, name, labels, annotations, create_ts)
values ($1::text, $2::text, $3::jsonb, $4::jsonb, now())
returning t.uid, t.name, t.labels, t.annotations, t.create_ts, t.update_ts;
select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateArtifact, a design asset
insert into records.macrodata_artifact as t (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body)
values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::jsonb, $7::jsonb, $8::jsonb, now(), $9::jsonb)
returning t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body);
select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateArtifact with request_id
begin; set local statement_timeout = …;
insert into records.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
-- as CreateArtifact, a design asset, 1
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateArtifact of a design asset that is there
-- as CreateArtifact, a design asset, 1
begin; set local statement_timeout = …;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
select t.content_hash, t.uid
  from records.macrodata_artifact as t
 where case when t.kind = 'design_asset' then t.content_hash end = any ($1);
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateArtifact, a combo template in a catalog
begin; set local statement_timeout = …;
select t.uid
  from records.macrodata_catalog as t
 where t.uid = any ($1)
 order by t.uid
   for key share;
insert into records.identifier_series as t (name, last)
select i.name, i.count
  from unnest($1::text[], $2::integer[]) as i (name, count)
 order by i.name
    on conflict (name) do update set last = t.last + excluded.last
returning name, last;
-- as CreateArtifact, a design asset, 1
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateArtifact, a combo suggestion
begin; set local statement_timeout = …;
select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1)
 order by t.uid
   for key share;
select t.uid, coalesce(t.kind, ''), coalesce(t.identifier, ''), coalesce(t.content_hash, '')
  from records.macrodata_artifact as t
 where t.uid = any ($1);
-- as CreateArtifact, a design asset, 1
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- GetArtifact
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = any ($1);

-- GetArtifact of one field of the payload
select t.uid, (case when t.kind in ('combo_template') then jsonb_set('{}', array[t.kind], (select coalesce(jsonb_object_agg(e.key, e.value), '{}') from jsonb_each(case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end) as e where t.kind = 'combo_template' and e.key in ('audience'))) end)
  from records.macrodata_artifact as t
 where t.uid = $1;

-- UpdateArtifact of labels
begin; set local statement_timeout = …;
-- as CreateArtifact of a design asset that is there, 3
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           (case when i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) as labels,
           ((case when i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) is distinct from t.labels) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) with ordinality as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
), updated as (
    update records.macrodata_artifact as t
       set labels = i.labels,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UpdateArtifact without a mask
begin; set local statement_timeout = …;
-- as CreateArtifact of a design asset that is there, 3
-- as CreateArtifact, a combo suggestion, 3
select s.ordinal, s.value_1::text, s.value_2::text, s.value_3::text, t.uid
  from (select ordinal, identifier as value_1, kind as value_2, coalesce(catalog_uid, '') as value_3
          from (select n.ordinal, coalesce(n.identifier, o.identifier) as identifier, case when not n.no_kind then coalesce(n.kind, o.kind) end as kind, case when not n.no_catalog_uid then coalesce(n.catalog_uid, o.catalog_uid) end as catalog_uid
                  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[]) with ordinality as n (own_uid, identifier, kind, catalog_uid, no_kind, no_catalog_uid, ordinal)
                  left join records.macrodata_artifact as o on o.uid = n.own_uid) as i) as s
  left join (select uid, identifier as value_1, kind as value_2, coalesce(catalog_uid, '') as value_3 from records.macrodata_artifact) as t on t.value_1 = s.value_1 and t.value_2 = s.value_2 and t.value_3 = s.value_3;
select s.ordinal, s.value_1::text, t.uid
  from (select ordinal, case when kind = 'design_asset' then content_hash end as value_1
          from (select n.ordinal, coalesce(n.content_hash, o.content_hash) as content_hash, case when not n.no_kind then coalesce(n.kind, o.kind) end as kind
                  from unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) with ordinality as n (own_uid, content_hash, kind, no_kind, ordinal)
                  left join records.macrodata_artifact as o on o.uid = n.own_uid) as i) as s
  left join (select uid, case when kind = 'design_asset' then content_hash end as value_1 from records.macrodata_artifact) as t on t.value_1 = s.value_1;
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.catalog_uid, t.catalog_uid) as catalog_uid,
           coalesce(i.kind, t.kind) as kind,
           coalesce(i.identifier, t.identifier) as identifier,
           (case when i.status is null or i.status = t.status then t.status
                 when i.status - 'phase' = '{}'
                 then (case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || i.status
                 else (case when t.status -> 'phase' is null then '{}'
                            else jsonb_set('{}', '{phase}', t.status -> 'phase') end)
                   || (select coalesce(jsonb_object_agg(n.key, case
                                when t.status -> n.key = n.value then t.status -> n.key
                                when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                                 and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                                else n.value end), '{}')
                         from jsonb_each(i.status) as n) end) as status,
           (case when i.labels is null or i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) as labels,
           (case when i.annotations is null or i.annotations = t.annotations then t.annotations
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.annotations ->> n.key = n.value #>> '{}' then t.annotations -> n.key
                                when t.annotations -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.annotations) as n) end) as annotations,
           (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> coalesce(i.kind, t.kind), '{}') = '{}' then t.body
                 when i.body -> coalesce(i.kind, t.kind) is not null and t.kind = coalesce(i.kind, t.kind)
                 then (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                   || (i.body -> coalesce(i.kind, t.kind))
                 when i.body -> coalesce(i.kind, t.kind) is not null
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                               'content_hash', 'design_url', 'final_ts', 'impressions',
                               'media_type', 'metric_name', 'notes', 'product_codes',
                               'product_count', 'product_uids', 'purchases', 'ran_from',
                               'ran_to', 'rationale', 'report_uid', 'score',
                               'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                               'template_uid', 'thresholds', 'title', 'type']::text[])
                   || (i.body -> coalesce(i.kind, t.kind))
                 else t.body end) as body,
           (coalesce(i.catalog_uid, t.catalog_uid) is distinct from t.catalog_uid
        or coalesce(i.kind, t.kind) is distinct from t.kind
        or coalesce(i.identifier, t.identifier) is distinct from t.identifier
        or (case when i.status is null or i.status = t.status then t.status
                 when i.status - 'phase' = '{}'
                 then (case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || i.status
                 else (case when t.status -> 'phase' is null then '{}'
                            else jsonb_set('{}', '{phase}', t.status -> 'phase') end)
                   || (select coalesce(jsonb_object_agg(n.key, case
                                when t.status -> n.key = n.value then t.status -> n.key
                                when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                                 and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                                else n.value end), '{}')
                         from jsonb_each(i.status) as n) end) is distinct from t.status
        or (case when i.labels is null or i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) is distinct from t.labels
        or (case when i.annotations is null or i.annotations = t.annotations then t.annotations
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.annotations ->> n.key = n.value #>> '{}' then t.annotations -> n.key
                                when t.annotations -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations
        or (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> coalesce(i.kind, t.kind), '{}') = '{}' then t.body
                 when i.body -> coalesce(i.kind, t.kind) is not null and t.kind = coalesce(i.kind, t.kind)
                 then (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                   || (i.body -> coalesce(i.kind, t.kind))
                 when i.body -> coalesce(i.kind, t.kind) is not null
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                               'content_hash', 'design_url', 'final_ts', 'impressions',
                               'media_type', 'metric_name', 'notes', 'product_codes',
                               'product_count', 'product_uids', 'purchases', 'ran_from',
                               'ran_to', 'rationale', 'report_uid', 'score',
                               'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                               'template_uid', 'thresholds', 'title', 'type']::text[])
                   || (i.body -> coalesce(i.kind, t.kind))
                 else t.body end) is distinct from t.body) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) with ordinality as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
), updated as (
    update records.macrodata_artifact as t
       set catalog_uid = i.catalog_uid,
           kind = i.kind,
           identifier = i.identifier,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           body = i.body,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UpdateArtifact of one field of a combo suggestion
begin; set local statement_timeout = …;
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = $1
   for update;
-- as CreateArtifact of a design asset that is there, 3
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> t.kind, '{}') = '{}' then t.body
                 when t.kind = 'combo_suggestion' and (i.body is null or i.body ? 'combo_suggestion')
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['score']::text[])
                   || (coalesce(i.body -> 'combo_suggestion', '{}')
                       - array['template_uid', 'product_uids', 'rationale', 'report_uid']::text[])
                 else t.body end) as body,
           ((case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> t.kind, '{}') = '{}' then t.body
                 when t.kind = 'combo_suggestion' and (i.body is null or i.body ? 'combo_suggestion')
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['score']::text[])
                   || (coalesce(i.body -> 'combo_suggestion', '{}')
                       - array['template_uid', 'product_uids', 'rationale', 'report_uid']::text[])
                 else t.body end) is distinct from t.body) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) with ordinality as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
), updated as (
    update records.macrodata_artifact as t
       set body = i.body,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ListArtifacts
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body) from records.macrodata_artifact as t where t.kind = 'combo_suggestion' and t.uid in (select p.artifact_uid from records.link_product_macrodata_artifact as p where p.product_uid = '…') and t.body ->> 'template_uid' = '…' order by t.uid limit 51) to stdout (format binary);
commit;

-- StreamArtifacts
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body) from records.macrodata_artifact as t where true order by t.uid limit 501) to stdout (format binary);
commit;
begin; set local statement_timeout = …;
insert into records.token_key (name, key) values ('page', $1) on conflict (name) do nothing;
select key from records.token_key where name = 'page';
commit;

-- AcceptSuggestion
begin; set local statement_timeout = …;
-- as UpdateArtifact of one field of a combo suggestion, 2
-- as UpdateArtifact of one field of a combo suggestion, 2
-- as CreateArtifact, a combo template in a catalog, 3
select i.ordinal
  from unnest($1::text[], $2::text[], $3::text[]) with ordinality as i (identifier, kind, catalog_uid, ordinal)
  join records.macrodata_artifact as t
    on t.identifier = i.identifier and t.kind = i.kind and coalesce(t.catalog_uid, '') = i.catalog_uid;
insert into records.macrodata_artifact as t (uid, catalog_uid, kind, identifier, body)
values ($1, $2, 'combo_report', $3, $4::jsonb);
with decided as materialized (
    select t.uid, (case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || $2::jsonb as status, (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end) || $3::jsonb as body
      from records.macrodata_artifact as t
     where t.uid = $1
)
update records.macrodata_artifact as t
   set status = decided.status,
       body = decided.body,
       update_ts = now(),
       revision = t.revision + 1
  from decided
 where t.uid = $1 and decided.uid = t.uid;
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- AcceptSuggestion, repeated, with request_id
begin; set local statement_timeout = …;
insert into records.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
-- as UpdateArtifact of one field of a combo suggestion, 2
update records.write_session set parameters = parameters || jsonb_build_object('uid', $3::text) where resource = $1 and write_id = $2;
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- RejectSuggestion
begin; set local statement_timeout = …;
-- as UpdateArtifact of one field of a combo suggestion, 2
-- as AcceptSuggestion, 7
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- FinalizeComboReport
begin; set local statement_timeout = …;
-- as UpdateArtifact of one field of a combo suggestion, 2
-- as AcceptSuggestion, 7
-- as CreateArtifact of a design asset that is there, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteArtifacts, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = any ($1)
 order by t.uid
   for update;
-- as CreateArtifact of a design asset that is there, 3
-- as CreateArtifact of a design asset that is there, 4
-- as CreateArtifact, a combo template in a catalog, 3
-- as AcceptSuggestion, 5
-- as UpdateArtifact without a mask, 4
-- as UpdateArtifact without a mask, 5
insert into records.macrodata_artifact (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductLinks, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
      join records.link_product_macrodata_artifact as t on t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
insert into records.link_product_macrodata_artifact (product_uid, artifact_uid, create_ts) select * from unnest($1::text[], $2::text[], $3::timestamptz[]) as i (product_uid, artifact_uid, create_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteArtifacts, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteArtifacts, WRITE_MODE_CREATE, 9
-- as CreateArtifact of a design asset that is there, 3
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductLinks, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteProductLinks, WRITE_MODE_CREATE, 9
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteArtifacts, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteArtifacts, WRITE_MODE_CREATE, 9
-- as CreateArtifact of a design asset that is there, 3
-- as CreateArtifact of a design asset that is there, 4
-- as CreateArtifact, a combo template in a catalog, 3
-- as AcceptSuggestion, 5
-- as UpdateArtifact without a mask, 4
insert into records.macrodata_artifact (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductLinks, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteProductLinks, WRITE_MODE_CREATE, 9
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteArtifacts, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductLinks, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
      join records.link_product_macrodata_artifact as t on t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid
     order by t.product_uid, t.artifact_uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
delete from records.link_product_macrodata_artifact as t
 using unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
 where t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- LinkProducts
begin; set local statement_timeout = …;
select t.uid
  from records.macrodata_artifact as t
 where t.uid = $1
   for key share;
insert into records.link_product_macrodata_artifact as t (product_uid, artifact_uid)
select i.product_uid, $2
  from unnest($1::text[]) as i (product_uid)
 order by i.product_uid
    on conflict do nothing
returning 1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UnlinkProducts
begin; set local statement_timeout = …;
delete from records.link_product_macrodata_artifact as t
 where t.product_uid = any ($1)
   and t.artifact_uid = $2
returning 1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- StreamProductLinks by artifact_uid
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.product_uid, t.artifact_uid, t.create_ts from records.link_product_macrodata_artifact as t where true order by t.artifact_uid, t.product_uid limit 501) to stdout (format binary);
commit;

-- ImportComboReports of new reports
select t.uid
  from records.macrodata_catalog as t
 where t.uid = $1;
select t.identifier, t.uid
  from records.macrodata_artifact as t
 where t.identifier = any ($1)
   and t.kind = $2
   and coalesce(t.catalog_uid, '') = $3;
-- as ImportComboReports of new reports, 2
select t.uid, coalesce(t.identifier, '')
  from records.macrodata_artifact as t
 where t.uid = any ($1);
begin; set local statement_timeout = …;
-- as WriteArtifacts, WRITE_MODE_CREATE, 9
-- as CreateArtifact of a design asset that is there, 3
-- as CreateArtifact, a combo template in a catalog, 2
-- as CreateArtifact, a combo suggestion, 2
-- as CreateArtifact, a combo suggestion, 3
insert into records.identifier_series as t (name, last)
select i.name, i.last
  from unnest($1::text[], $2::integer[]) as i (name, last)
 order by i.name
    on conflict (name) do update set last = greatest(t.last, excluded.last)
returning 1;
-- as CreateArtifact, a combo template in a catalog, 3
-- as AcceptSuggestion, 5
-- as UpdateArtifact without a mask, 4
insert into records.macrodata_artifact (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ImportComboReports of stored reports
-- as ImportComboReports of new reports, 1
-- as ImportComboReports of new reports, 2
-- as ImportComboReports of new reports, 2
-- as ImportComboReports of new reports, 4
begin; set local statement_timeout = …;
-- as WriteArtifacts, WRITE_MODE_CREATE, 9
-- as CreateArtifact of a design asset that is there, 3
-- as CreateArtifact, a combo template in a catalog, 2
-- as CreateArtifact, a combo suggestion, 2
-- as CreateArtifact, a combo suggestion, 3
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> t.kind, '{}') = '{}' then t.body
                 when t.kind = 'combo_report' and (i.body is null or i.body ? 'combo_report')
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['template_uid', 'notes']::text[])
                   || (coalesce(i.body -> 'combo_report', '{}')
                       - array['type', 'product_codes', 'product_count', 'audience',
                               'ran_from', 'ran_to', 'product_uids', 'spend',
                               'impressions', 'clicks', 'purchases', 'suggestion_uid',
                               'final_ts']::text[])
                 else t.body end) as body,
           ((case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> t.kind, '{}') = '{}' then t.body
                 when t.kind = 'combo_report' and (i.body is null or i.body ? 'combo_report')
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['template_uid', 'notes']::text[])
                   || (coalesce(i.body -> 'combo_report', '{}')
                       - array['type', 'product_codes', 'product_count', 'audience',
                               'ran_from', 'ran_to', 'product_uids', 'spend',
                               'impressions', 'clicks', 'purchases', 'suggestion_uid',
                               'final_ts']::text[])
                 else t.body end) is distinct from t.body) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) with ordinality as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
), updated as (
    update records.macrodata_artifact as t
       set body = i.body,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ExportComboReports of a catalog
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.kind, t.identifier, jsonb_set('{}', array[coalesce(t.kind, '')], t.body) from records.macrodata_artifact as t where t.kind = 'combo_report' and t.catalog_uid = any(array['…']::text[]) order by t.uid limit 501) to stdout (format binary);
commit;
-- as ImportComboReports of new reports, 4

-- ExportComboReports
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.kind, t.identifier, jsonb_set('{}', array[coalesce(t.kind, '')], t.body) from records.macrodata_artifact as t where t.kind = 'combo_report' and coalesce(t.catalog_uid, '') = '' order by t.uid limit 501) to stdout (format binary);
commit;
-- as ImportComboReports of new reports, 4

-- DeleteArtifact
begin; set local statement_timeout = …;
-- as UpdateArtifact of one field of a combo suggestion, 2
-- as CreateArtifact of a design asset that is there, 3
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           ((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end)
            || jsonb_build_object('phase', coalesce(i.status -> 'phase', '"active"'))) as status,
           (((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end)
            || jsonb_build_object('phase', coalesce(i.status -> 'phase', '"active"'))) is distinct from t.status) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) with ordinality as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
), updated as (
    update records.macrodata_artifact as t
       set status = i.status,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
select t.uid
  from records.macrodata_artifact as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- DeleteArtifact with force
begin; set local statement_timeout = …;
-- as UpdateArtifact of one field of a combo suggestion, 2
select t.product_uid
  from records.link_product_macrodata_artifact as t
 where t.artifact_uid = $1
 order by t.product_uid
 limit $2;
-- as UnlinkProducts, 2
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as UpdateArtifact of one field of a combo suggestion, 2
select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1)
   and t.kind = 'combo_report'
   and (t.status ->> 'phase' = 'final' or t.body ->> 'final_ts' is not null);
select t.artifact_uid, count(*)
  from records.link_product_macrodata_artifact as t
 where t.artifact_uid = any ($1)
 group by t.artifact_uid;
delete from records.link_product_macrodata_artifact as t
 where t.artifact_uid = any ($1);
select t.body ->> 'bearer_key'
  from records.macrodata_artifact as t
 where t.uid = any ($1)
   and t.kind = 'document'
   and t.body ->> 'bearer_key' is not null;
delete from records.macrodata_artifact as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- DeleteMacrodataCatalog
begin; set local statement_timeout = …;
select t.uid, t.name, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.macrodata_catalog as t
 where t.uid = $1
   for update;
select t.uid
  from records.macrodata_artifact as t
 where t.catalog_uid = $1
 limit 1;
delete from records.macrodata_catalog as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
