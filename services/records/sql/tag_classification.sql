-- The statements of orrery.records.v1.TagClassification, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts
  from records.tag_classification as t
 where t.tag_uid = $1;

-- find the keys that are stored
select t.tag_uid
  from records.tag_classification as t
 where t.tag_uid = any ($1);

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- lock and read one row
select t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts
  from records.tag_classification as t
 where t.tag_uid = $1
   for update;

-- lock and read rows
select t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts
  from records.tag_classification as t
 where t.tag_uid = any ($1)
 order by t.tag_uid
   for update;

-- lock and read rows, if the database is sharded
update records.tag_classification as t
   set tag_uid = t.tag_uid
  from unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
 where t.tag_uid = i.tag_uid
returning t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts;

-- lock what tag_uid refers to
select t.uid
  from records.tag as t
 where t.uid = any ($1)
 order by t.uid
   for key share;

-- lock what tag_uid refers to, if the database is sharded
update records.tag as t
   set uid = t.uid
 where t.uid = any ($1)
returning t.uid;

-- create one row
insert into records.tag_classification as t (tag_uid, category_name, tag_name, create_ts)
values ($1::text, $2::text, $3::text, now())
returning t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts;

-- create many rows
copy records.tag_classification (tag_uid, category_name, tag_name, create_ts) from stdin (format binary);

-- create rows
insert into records.tag_classification (tag_uid, category_name, tag_name, create_ts) select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as i (tag_uid, category_name, tag_name, create_ts);

-- update one row
update records.tag_classification as t
       set category_name =
               coalesce(i.category_name, t.category_name),
           update_ts = now()
  from (select $1::text as tag_uid, $2::text as category_name, $3::text as tag_name, $4::timestamptz as create_ts) as i
 where t.tag_uid = $1
   and (coalesce(i.category_name, t.category_name) is distinct from t.category_name)
returning t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts;

-- update the rows that differ
with stored as materialized (
    select i.tag_uid, i.ordinal, t.xmin as row_version,
           coalesce(i.category_name, t.category_name) as category_name,
           (coalesce(i.category_name, t.category_name) is distinct from t.category_name) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality as i (tag_uid, category_name, tag_name, create_ts, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
), updated as (
    update records.tag_classification as t
       set category_name = i.category_name,
           update_ts = now()
      from stored as i
     where i.differing and t.tag_uid = i.tag_uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded
with stored as materialized (
    select i.tag_uid, i.ordinal, t.category_name as old_category_name, t.tag_name as old_tag_name, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
           coalesce(i.category_name, t.category_name) as category_name,
           (coalesce(i.category_name, t.category_name) is distinct from t.category_name) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality as i (tag_uid, category_name, tag_name, create_ts, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
), updated as (
    update records.tag_classification as t
       set category_name = i.category_name,
           update_ts = now()
      from stored as i
     where i.differing and t.tag_uid = i.tag_uid and t.category_name is not distinct from i.old_category_name
       and t.tag_name is not distinct from i.old_tag_name
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.tag_uid, i.ordinal, t.xmin as row_version,
           i.category_name as category_name,
           (i.category_name is distinct from t.category_name) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality as i (tag_uid, category_name, tag_name, create_ts, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
), updated as (
    update records.tag_classification as t
       set category_name = i.category_name,
           update_ts = now()
      from stored as i
     where i.differing and t.tag_uid = i.tag_uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded, with a mask of every field
with stored as materialized (
    select i.tag_uid, i.ordinal, t.category_name as old_category_name, t.tag_name as old_tag_name, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
           i.category_name as category_name,
           (i.category_name is distinct from t.category_name) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality as i (tag_uid, category_name, tag_name, create_ts, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
), updated as (
    update records.tag_classification as t
       set category_name = i.category_name,
           update_ts = now()
      from stored as i
     where i.differing and t.tag_uid = i.tag_uid and t.category_name is not distinct from i.old_category_name
       and t.tag_name is not distinct from i.old_tag_name
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
     order by t.tag_uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update records.tag_classification as t
       set tag_uid = t.tag_uid
      from unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
     where t.tag_uid = i.tag_uid
    returning i.ordinal
)
select count(*) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- delete rows
delete from records.tag_classification as t
 using unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
 where t.tag_uid = i.tag_uid;
