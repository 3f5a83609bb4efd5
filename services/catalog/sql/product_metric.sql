-- The statements of orrery.catalog.v1.ProductMetric, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts
  from catalog.product_metric as t
 where t.product_uid = $1 and t.name = $2;

-- find the keys that are stored
select t.product_uid, t.name
  from catalog.product_metric as t
 where (t.product_uid, t.name) in (select * from unnest($1::text[], $2::text[]));

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- lock and read one row
select t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts
  from catalog.product_metric as t
 where t.product_uid = $1 and t.name = $2
   for update;

-- lock and read rows
select t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts
  from catalog.product_metric as t
 where (t.product_uid, t.name) in (select * from unnest($1::text[], $2::text[]))
 order by t.product_uid, t.name
   for update;

-- lock and read rows, if the database is sharded
update catalog.product_metric as t
   set product_uid = t.product_uid
  from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
 where t.product_uid = i.product_uid and t.name = i.name
returning t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts;

-- lock what product_uid refers to
select t.uid
  from catalog.product as t
 where t.uid = any ($1)
 order by t.uid
   for key share;

-- lock what product_uid refers to, if the database is sharded
update catalog.product as t
   set uid = t.uid
 where t.uid = any ($1)
returning t.uid;

-- create one row
insert into catalog.product_metric as t (product_uid, name, value, unit, as_of_ts)
values ($1::text, $2::text, $3::numeric, $4::text, now())
returning t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts;

-- create many rows
copy catalog.product_metric (product_uid, name, value, unit, as_of_ts) from stdin (format binary);

-- create rows
insert into catalog.product_metric (product_uid, name, value, unit, as_of_ts) select * from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::timestamptz[]) as i (product_uid, name, value, unit, as_of_ts);

-- update one row
update catalog.product_metric as t
       set value =
               coalesce(i.value::numeric, t.value),
           unit =
               coalesce(i.unit, t.unit),
           as_of_ts =
               coalesce(i.as_of_ts, now())
  from (select $1::text as product_uid, $2::text as name, $3::text as value, $4::text as unit, $5::timestamptz as as_of_ts) as i
 where t.product_uid = $1 and t.name = $2
   and ((i.value is not null and i.value is distinct from t.value::text
        or coalesce(i.unit, t.unit) is distinct from t.unit
        or i.as_of_ts is not null and i.as_of_ts is distinct from t.as_of_ts) and coalesce(i.as_of_ts, now()) >= t.as_of_ts)
returning t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts;

-- update the rows that differ
with stored as materialized (
    select i.product_uid, i.name, i.ordinal, t.xmin as row_version,
           coalesce(i.value::numeric, t.value) as value,
           coalesce(i.unit, t.unit) as unit,
           coalesce(i.as_of_ts, now()) as as_of_ts,
           ((i.value is not null and i.value is distinct from t.value::text
        or coalesce(i.unit, t.unit) is distinct from t.unit
        or i.as_of_ts is not null and i.as_of_ts is distinct from t.as_of_ts) and coalesce(i.as_of_ts, now()) >= t.as_of_ts) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) with ordinality as i (product_uid, name, value, unit, as_of_ts, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
), updated as (
    update catalog.product_metric as t
       set value = i.value,
           unit = i.unit,
           as_of_ts = i.as_of_ts
      from stored as i
     where i.differing and t.product_uid = i.product_uid and t.name = i.name and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded
with stored as materialized (
    select i.product_uid, i.name, i.ordinal, t.value as old_value, t.unit as old_unit, t.as_of_ts as old_as_of_ts,
           coalesce(i.value::numeric, t.value) as value,
           coalesce(i.unit, t.unit) as unit,
           coalesce(i.as_of_ts, now()) as as_of_ts,
           ((i.value is not null and i.value is distinct from t.value::text
        or coalesce(i.unit, t.unit) is distinct from t.unit
        or i.as_of_ts is not null and i.as_of_ts is distinct from t.as_of_ts) and coalesce(i.as_of_ts, now()) >= t.as_of_ts) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) with ordinality as i (product_uid, name, value, unit, as_of_ts, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
), updated as (
    update catalog.product_metric as t
       set value = i.value,
           unit = i.unit,
           as_of_ts = i.as_of_ts
      from stored as i
     where i.differing and t.product_uid = i.product_uid and t.name = i.name and t.value is not distinct from i.old_value
       and t.unit is not distinct from i.old_unit
       and t.as_of_ts is not distinct from i.old_as_of_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.product_uid, i.name, i.ordinal, t.xmin as row_version,
           coalesce(i.value::numeric, t.value) as value,
           coalesce(i.unit, '') as unit,
           coalesce(i.as_of_ts, now()) as as_of_ts,
           ((i.value is not null and i.value is distinct from t.value::text
        or coalesce(i.unit, '') is distinct from t.unit
        or i.as_of_ts is not null and i.as_of_ts is distinct from t.as_of_ts) and coalesce(i.as_of_ts, now()) >= t.as_of_ts) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) with ordinality as i (product_uid, name, value, unit, as_of_ts, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
), updated as (
    update catalog.product_metric as t
       set value = i.value,
           unit = i.unit,
           as_of_ts = i.as_of_ts
      from stored as i
     where i.differing and t.product_uid = i.product_uid and t.name = i.name and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded, with a mask of every field
with stored as materialized (
    select i.product_uid, i.name, i.ordinal, t.value as old_value, t.unit as old_unit, t.as_of_ts as old_as_of_ts,
           coalesce(i.value::numeric, t.value) as value,
           coalesce(i.unit, '') as unit,
           coalesce(i.as_of_ts, now()) as as_of_ts,
           ((i.value is not null and i.value is distinct from t.value::text
        or coalesce(i.unit, '') is distinct from t.unit
        or i.as_of_ts is not null and i.as_of_ts is distinct from t.as_of_ts) and coalesce(i.as_of_ts, now()) >= t.as_of_ts) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) with ordinality as i (product_uid, name, value, unit, as_of_ts, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
), updated as (
    update catalog.product_metric as t
       set value = i.value,
           unit = i.unit,
           as_of_ts = i.as_of_ts
      from stored as i
     where i.differing and t.product_uid = i.product_uid and t.name = i.name and t.value is not distinct from i.old_value
       and t.unit is not distinct from i.old_unit
       and t.as_of_ts is not distinct from i.old_as_of_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
     order by t.product_uid, t.name
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update catalog.product_metric as t
       set product_uid = t.product_uid
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
     where t.product_uid = i.product_uid and t.name = i.name
    returning i.ordinal
)
select count(*) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- delete rows
delete from catalog.product_metric as t
 using unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
 where t.product_uid = i.product_uid and t.name = i.name;
