-- The statements of orrery.records.v1.Artifact, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = $1;

-- find the keys that are stored
select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1);

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- lock and read one row
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = $1
   for update;

-- lock and read rows
select t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body)
  from records.macrodata_artifact as t
 where t.uid = any ($1)
 order by t.uid
   for update;

-- lock and read rows, if the database is sharded
update records.macrodata_artifact as t
   set uid = t.uid
  from unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid
returning t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body);

-- lock what catalog_uid refers to
select t.uid
  from records.macrodata_catalog as t
 where t.uid = any ($1)
 order by t.uid
   for key share;

-- lock what catalog_uid refers to, if the database is sharded
update records.macrodata_catalog as t
   set uid = t.uid
 where t.uid = any ($1)
returning t.uid;

-- lock what combo_suggestion.template_uid refers to
select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1)
 order by t.uid
   for key share;

-- lock what combo_suggestion.template_uid refers to, if the database is sharded
update records.macrodata_artifact as t
   set uid = t.uid
 where t.uid = any ($1)
returning t.uid;

-- find who holds identifier, kind, catalog_uid
select s.ordinal, s.value_1::text, s.value_2::text, s.value_3::text, t.uid
  from (select ordinal, identifier as value_1, kind as value_2, coalesce(catalog_uid, '') as value_3
          from (select n.ordinal, coalesce(n.identifier, o.identifier) as identifier, case when not n.no_kind then coalesce(n.kind, o.kind) end as kind, case when not n.no_catalog_uid then coalesce(n.catalog_uid, o.catalog_uid) end as catalog_uid
                  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[]) with ordinality as n (own_uid, identifier, kind, catalog_uid, no_kind, no_catalog_uid, ordinal)
                  left join records.macrodata_artifact as o on o.uid = n.own_uid) as i) as s
  left join (select uid, identifier as value_1, kind as value_2, coalesce(catalog_uid, '') as value_3 from records.macrodata_artifact) as t on t.value_1 = s.value_1 and t.value_2 = s.value_2 and t.value_3 = s.value_3;

-- find who holds content_hash, kind
select s.ordinal, s.value_1::text, t.uid
  from (select ordinal, case when kind = 'design_asset' then content_hash end as value_1
          from (select n.ordinal, coalesce(n.content_hash, o.content_hash) as content_hash, case when not n.no_kind then coalesce(n.kind, o.kind) end as kind
                  from unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) with ordinality as n (own_uid, content_hash, kind, no_kind, ordinal)
                  left join records.macrodata_artifact as o on o.uid = n.own_uid) as i) as s
  left join (select uid, case when kind = 'design_asset' then content_hash end as value_1 from records.macrodata_artifact) as t on t.value_1 = s.value_1;

-- create one row
insert into records.macrodata_artifact as t (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body)
values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::jsonb, $7::jsonb, $8::jsonb, now(), $9::jsonb)
returning t.uid, t.catalog_uid, t.kind, t.identifier, t.content_hash, t.revision, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, jsonb_set('{}', array[coalesce(t.kind, '')], t.body);

-- create many rows
copy records.macrodata_artifact (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body) from stdin (format binary);

-- create rows
insert into records.macrodata_artifact (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::jsonb[]) as i (uid, catalog_uid, kind, identifier, content_hash, status, labels, annotations, create_ts, body);

-- update the rows that differ
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

-- update the rows that differ, if the database is sharded
with stored as materialized (
    select i.uid, i.ordinal, t.catalog_uid as old_catalog_uid, t.kind as old_kind, t.identifier as old_identifier, t.content_hash as old_content_hash, t.revision as old_revision, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.create_ts as old_create_ts, t.update_ts as old_update_ts, t.body as old_body,
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
     where i.differing and t.uid = i.uid and t.catalog_uid is not distinct from i.old_catalog_uid
       and t.kind is not distinct from i.old_kind
       and t.identifier is not distinct from i.old_identifier
       and t.content_hash is not distinct from i.old_content_hash
       and t.revision is not distinct from i.old_revision
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
       and t.body is not distinct from i.old_body
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.catalog_uid, case when t.catalog_uid = '' then '' end) as catalog_uid,
           coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) as kind,
           coalesce(i.identifier, case when t.identifier = '' then '' end) as identifier,
           (case when '{"phase": "active"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "active"}'::jsonb
                   || (select coalesce(jsonb_object_agg(n.key, case
                                when t.status -> n.key = n.value then t.status -> n.key
                                when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                                 and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                                else n.value end), '{}')
                         from jsonb_each(i.status) as n) end) as status,
           (case when i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) as labels,
           (case when i.annotations = t.annotations then t.annotations
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.annotations ->> n.key = n.value #>> '{}' then t.annotations -> n.key
                                when t.annotations -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.annotations) as n) end) as annotations,
           (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end), '{}') = '{}' then t.body
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'design_asset' and (i.body is null or i.body ? 'design_asset')
                 then (case when t.kind = 'design_asset'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['content_hash', 'bearer_key', 'bearer_url', 'media_type',
                                          'size_bytes', 'source_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'design_asset', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_template' and (i.body is null or i.body ? 'combo_template')
                 then (case when t.kind = 'combo_template'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['type', 'product_codes', 'product_count', 'audience',
                                          'design_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'combo_template', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_suggestion' and (i.body is null or i.body ? 'combo_suggestion')
                 then (case when t.kind = 'combo_suggestion'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'product_uids', 'rationale', 'score']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_suggestion', '{}')
                       - array['report_uid']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_report' and (i.body is null or i.body ? 'combo_report')
                 then (case when t.kind = 'combo_report'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'type', 'product_codes', 'product_count',
                                          'audience', 'ran_from', 'ran_to', 'product_uids',
                                          'spend', 'impressions', 'clicks', 'purchases',
                                          'notes']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_report', '{}')
                       - array['suggestion_uid', 'final_ts']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'classification_spec' and (i.body is null or i.body ? 'classification_spec')
                 then (case when t.kind = 'classification_spec'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['metric_name', 'thresholds']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'classification_spec', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'document' and (i.body is null or i.body ? 'document')
                 then (case when t.kind = 'document'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['title', 'media_type']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'document', '{}')
                       - array['size_bytes', 'content_hash', 'bearer_key']::text[])
                 else t.body end) as body,
           (coalesce(i.catalog_uid, case when t.catalog_uid = '' then '' end) is distinct from t.catalog_uid
        or coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) is distinct from t.kind
        or coalesce(i.identifier, case when t.identifier = '' then '' end) is distinct from t.identifier
        or (case when '{"phase": "active"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "active"}'::jsonb
                   || (select coalesce(jsonb_object_agg(n.key, case
                                when t.status -> n.key = n.value then t.status -> n.key
                                when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                                 and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                                else n.value end), '{}')
                         from jsonb_each(i.status) as n) end) is distinct from t.status
        or (case when i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) is distinct from t.labels
        or (case when i.annotations = t.annotations then t.annotations
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.annotations ->> n.key = n.value #>> '{}' then t.annotations -> n.key
                                when t.annotations -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations
        or (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end), '{}') = '{}' then t.body
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'design_asset' and (i.body is null or i.body ? 'design_asset')
                 then (case when t.kind = 'design_asset'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['content_hash', 'bearer_key', 'bearer_url', 'media_type',
                                          'size_bytes', 'source_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'design_asset', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_template' and (i.body is null or i.body ? 'combo_template')
                 then (case when t.kind = 'combo_template'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['type', 'product_codes', 'product_count', 'audience',
                                          'design_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'combo_template', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_suggestion' and (i.body is null or i.body ? 'combo_suggestion')
                 then (case when t.kind = 'combo_suggestion'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'product_uids', 'rationale', 'score']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_suggestion', '{}')
                       - array['report_uid']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_report' and (i.body is null or i.body ? 'combo_report')
                 then (case when t.kind = 'combo_report'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'type', 'product_codes', 'product_count',
                                          'audience', 'ran_from', 'ran_to', 'product_uids',
                                          'spend', 'impressions', 'clicks', 'purchases',
                                          'notes']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_report', '{}')
                       - array['suggestion_uid', 'final_ts']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'classification_spec' and (i.body is null or i.body ? 'classification_spec')
                 then (case when t.kind = 'classification_spec'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['metric_name', 'thresholds']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'classification_spec', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'document' and (i.body is null or i.body ? 'document')
                 then (case when t.kind = 'document'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['title', 'media_type']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'document', '{}')
                       - array['size_bytes', 'content_hash', 'bearer_key']::text[])
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

-- update the rows that differ, if the database is sharded, with a mask of every field
with stored as materialized (
    select i.uid, i.ordinal, t.catalog_uid as old_catalog_uid, t.kind as old_kind, t.identifier as old_identifier, t.content_hash as old_content_hash, t.revision as old_revision, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.create_ts as old_create_ts, t.update_ts as old_update_ts, t.body as old_body,
           coalesce(i.catalog_uid, case when t.catalog_uid = '' then '' end) as catalog_uid,
           coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) as kind,
           coalesce(i.identifier, case when t.identifier = '' then '' end) as identifier,
           (case when '{"phase": "active"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "active"}'::jsonb
                   || (select coalesce(jsonb_object_agg(n.key, case
                                when t.status -> n.key = n.value then t.status -> n.key
                                when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                                 and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                                else n.value end), '{}')
                         from jsonb_each(i.status) as n) end) as status,
           (case when i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) as labels,
           (case when i.annotations = t.annotations then t.annotations
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.annotations ->> n.key = n.value #>> '{}' then t.annotations -> n.key
                                when t.annotations -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.annotations) as n) end) as annotations,
           (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end), '{}') = '{}' then t.body
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'design_asset' and (i.body is null or i.body ? 'design_asset')
                 then (case when t.kind = 'design_asset'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['content_hash', 'bearer_key', 'bearer_url', 'media_type',
                                          'size_bytes', 'source_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'design_asset', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_template' and (i.body is null or i.body ? 'combo_template')
                 then (case when t.kind = 'combo_template'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['type', 'product_codes', 'product_count', 'audience',
                                          'design_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'combo_template', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_suggestion' and (i.body is null or i.body ? 'combo_suggestion')
                 then (case when t.kind = 'combo_suggestion'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'product_uids', 'rationale', 'score']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_suggestion', '{}')
                       - array['report_uid']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_report' and (i.body is null or i.body ? 'combo_report')
                 then (case when t.kind = 'combo_report'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'type', 'product_codes', 'product_count',
                                          'audience', 'ran_from', 'ran_to', 'product_uids',
                                          'spend', 'impressions', 'clicks', 'purchases',
                                          'notes']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_report', '{}')
                       - array['suggestion_uid', 'final_ts']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'classification_spec' and (i.body is null or i.body ? 'classification_spec')
                 then (case when t.kind = 'classification_spec'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['metric_name', 'thresholds']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'classification_spec', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'document' and (i.body is null or i.body ? 'document')
                 then (case when t.kind = 'document'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['title', 'media_type']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'document', '{}')
                       - array['size_bytes', 'content_hash', 'bearer_key']::text[])
                 else t.body end) as body,
           (coalesce(i.catalog_uid, case when t.catalog_uid = '' then '' end) is distinct from t.catalog_uid
        or coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) is distinct from t.kind
        or coalesce(i.identifier, case when t.identifier = '' then '' end) is distinct from t.identifier
        or (case when '{"phase": "active"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "active"}'::jsonb
                   || (select coalesce(jsonb_object_agg(n.key, case
                                when t.status -> n.key = n.value then t.status -> n.key
                                when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                                 and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                                else n.value end), '{}')
                         from jsonb_each(i.status) as n) end) is distinct from t.status
        or (case when i.labels = t.labels then t.labels
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                                when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.labels) as n) end) is distinct from t.labels
        or (case when i.annotations = t.annotations then t.annotations
                 else (select coalesce(jsonb_object_agg(n.key, case
                                when t.annotations ->> n.key = n.value #>> '{}' then t.annotations -> n.key
                                when t.annotations -> n.key = 'null' and n.value = '"null"' then 'null'
                                else n.value end), '{}')
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations
        or (case when jsonb_typeof(t.body) <> 'object'
                  and coalesce(i.body -> coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end), '{}') = '{}' then t.body
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'design_asset' and (i.body is null or i.body ? 'design_asset')
                 then (case when t.kind = 'design_asset'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['content_hash', 'bearer_key', 'bearer_url', 'media_type',
                                          'size_bytes', 'source_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'design_asset', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_template' and (i.body is null or i.body ? 'combo_template')
                 then (case when t.kind = 'combo_template'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['type', 'product_codes', 'product_count', 'audience',
                                          'design_url']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'combo_template', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_suggestion' and (i.body is null or i.body ? 'combo_suggestion')
                 then (case when t.kind = 'combo_suggestion'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'product_uids', 'rationale', 'score']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_suggestion', '{}')
                       - array['report_uid']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'combo_report' and (i.body is null or i.body ? 'combo_report')
                 then (case when t.kind = 'combo_report'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['template_uid', 'type', 'product_codes', 'product_count',
                                          'audience', 'ran_from', 'ran_to', 'product_uids',
                                          'spend', 'impressions', 'clicks', 'purchases',
                                          'notes']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'combo_report', '{}')
                       - array['suggestion_uid', 'final_ts']::text[])
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'classification_spec' and (i.body is null or i.body ? 'classification_spec')
                 then (case when t.kind = 'classification_spec'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['metric_name', 'thresholds']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || coalesce(i.body -> 'classification_spec', '{}')
                 when coalesce(i.kind, case when t.kind <> all (array['design_asset', 'combo_template', 'combo_suggestion', 'combo_report', 'classification_spec', 'document']::text[]) then t.kind end) = 'document' and (i.body is null or i.body ? 'document')
                 then (case when t.kind = 'document'
                            then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['title', 'media_type']::text[])
                            else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                                  - array['audience', 'bearer_key', 'bearer_url', 'clicks',
                                          'content_hash', 'design_url', 'final_ts', 'impressions',
                                          'media_type', 'metric_name', 'notes', 'product_codes',
                                          'product_count', 'product_uids', 'purchases', 'ran_from',
                                          'ran_to', 'rationale', 'report_uid', 'score',
                                          'size_bytes', 'source_url', 'spend', 'suggestion_uid',
                                          'template_uid', 'thresholds', 'title', 'type']::text[]) end)
                   || (coalesce(i.body -> 'document', '{}')
                       - array['size_bytes', 'content_hash', 'bearer_key']::text[])
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
     where i.differing and t.uid = i.uid and t.catalog_uid is not distinct from i.old_catalog_uid
       and t.kind is not distinct from i.old_kind
       and t.identifier is not distinct from i.old_identifier
       and t.content_hash is not distinct from i.old_content_hash
       and t.revision is not distinct from i.old_revision
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
       and t.body is not distinct from i.old_body
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.macrodata_artifact as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update records.macrodata_artifact as t
       set uid = t.uid
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
     where t.uid = i.uid
    returning i.ordinal
)
select count(*) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- delete rows
delete from records.macrodata_artifact as t
 using unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid;
