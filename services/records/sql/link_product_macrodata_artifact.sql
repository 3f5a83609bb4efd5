-- The statements of orrery.records.v1.ProductLink, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.product_uid, t.artifact_uid, t.create_ts
  from records.link_product_macrodata_artifact as t
 where t.product_uid = $1 and t.artifact_uid = $2;

-- find the keys that are stored
select t.product_uid, t.artifact_uid
  from records.link_product_macrodata_artifact as t
 where (t.product_uid, t.artifact_uid) in (select * from unnest($1::text[], $2::text[]));

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
      join records.link_product_macrodata_artifact as t on t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- lock and read one row
select t.product_uid, t.artifact_uid, t.create_ts
  from records.link_product_macrodata_artifact as t
 where t.product_uid = $1 and t.artifact_uid = $2
   for update;

-- lock and read rows
select t.product_uid, t.artifact_uid, t.create_ts
  from records.link_product_macrodata_artifact as t
 where (t.product_uid, t.artifact_uid) in (select * from unnest($1::text[], $2::text[]))
 order by t.product_uid, t.artifact_uid
   for update;

-- lock and read rows, if the database is sharded
update records.link_product_macrodata_artifact as t
   set product_uid = t.product_uid
  from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
 where t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid
returning t.product_uid, t.artifact_uid, t.create_ts;

-- lock what artifact_uid refers to
select t.uid
  from records.macrodata_artifact as t
 where t.uid = any ($1)
 order by t.uid
   for key share;

-- lock what artifact_uid refers to, if the database is sharded
update records.macrodata_artifact as t
   set uid = t.uid
 where t.uid = any ($1)
returning t.uid;

-- create one row
insert into records.link_product_macrodata_artifact as t (product_uid, artifact_uid, create_ts)
values ($1::text, $2::text, now())
returning t.product_uid, t.artifact_uid, t.create_ts;

-- create many rows
copy records.link_product_macrodata_artifact (product_uid, artifact_uid, create_ts) from stdin (format binary);

-- create rows
insert into records.link_product_macrodata_artifact (product_uid, artifact_uid, create_ts) select * from unnest($1::text[], $2::text[], $3::timestamptz[]) as i (product_uid, artifact_uid, create_ts);

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
      join records.link_product_macrodata_artifact as t on t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid
     order by t.product_uid, t.artifact_uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update records.link_product_macrodata_artifact as t
       set product_uid = t.product_uid
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
     where t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid
    returning i.ordinal
)
select count(*) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- delete rows
delete from records.link_product_macrodata_artifact as t
 using unnest($1::text[], $2::text[]) with ordinality as i (product_uid, artifact_uid, ordinal)
 where t.product_uid = i.product_uid and t.artifact_uid = i.artifact_uid;
