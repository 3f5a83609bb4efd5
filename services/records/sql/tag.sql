-- The statements of orrery.records.v1.Tag, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag as t
 where t.uid = $1;

-- find the keys that are stored
select t.uid
  from records.tag as t
 where t.uid = any ($1);

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.tag as t on t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- lock and read one row
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag as t
 where t.uid = $1
   for update;

-- lock and read rows
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag as t
 where t.uid = any ($1)
 order by t.uid
   for update;

-- lock and read rows, if the database is sharded
update records.tag as t
   set uid = t.uid
  from unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid
returning t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts;

-- find who holds name
select s.ordinal, s.value_1::text, t.uid
  from (select ordinal, lower(name) as value_1
          from (select n.ordinal, coalesce(n.name, o.name) as name
                  from unnest($1::text[], $2::text[]) with ordinality as n (own_uid, name, ordinal)
                  left join records.tag as o on o.uid = n.own_uid) as i) as s
  left join (select uid, lower(name) as value_1 from records.tag) as t on t.value_1 = s.value_1;

-- create one row
insert into records.tag as t (uid, name, status, labels, annotations, create_ts)
values ($1::text, $2::text, $3::jsonb, $4::jsonb, $5::jsonb, now())
returning t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts;

-- create many rows
copy records.tag (uid, name, status, labels, annotations, create_ts) from stdin (format binary);

-- create rows
insert into records.tag (uid, name, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) as i (uid, name, status, labels, annotations, create_ts);

-- update the rows that differ
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.name, t.name) as name,
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
           (coalesce(i.name, t.name) is distinct from t.name
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
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations) as differing
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join records.tag as t on t.uid = i.uid
), updated as (
    update records.tag as t
       set name = i.name,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded
with stored as materialized (
    select i.uid, i.ordinal, t.name as old_name, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
           coalesce(i.name, t.name) as name,
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
           (coalesce(i.name, t.name) is distinct from t.name
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
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations) as differing
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join records.tag as t on t.uid = i.uid
), updated as (
    update records.tag as t
       set name = i.name,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.name is not distinct from i.old_name
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           i.name as name,
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
           (i.name is distinct from t.name
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
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations) as differing
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join records.tag as t on t.uid = i.uid
), updated as (
    update records.tag as t
       set name = i.name,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded, with a mask of every field
with stored as materialized (
    select i.uid, i.ordinal, t.name as old_name, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
           i.name as name,
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
           (i.name is distinct from t.name
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
                         from jsonb_each(i.annotations) as n) end) is distinct from t.annotations) as differing
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join records.tag as t on t.uid = i.uid
), updated as (
    update records.tag as t
       set name = i.name,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.name is not distinct from i.old_name
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.tag as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update records.tag as t
       set uid = t.uid
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
     where t.uid = i.uid
    returning i.ordinal
)
select count(*) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- delete rows
delete from records.tag as t
 using unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid;
