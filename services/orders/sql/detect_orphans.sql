-- The statements of calls of detect_orphans, each once, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- detect_orphans
select (case when s.n_distinct >= 0 then s.n_distinct
             else -s.n_distinct * greatest(c.reltuples, 0) end)::bigint
  from pg_stats as s
  join pg_namespace as n on n.nspname = s.schemaname
  join pg_class as c on c.relnamespace = n.oid and c.relname = s.tablename
 where s.schemaname = $1
   and s.tablename = $2
   and s.attname = $3
   and not s.inherited;
select v.v, o.found is null
  from (select w.v
  from (with recursive w as (
            (select t."order_uid" as v from "orders"."order_address" as t where t."order_uid" > $1 order by t."order_uid" limit 1)
            union all
            select (select t."order_uid" from "orders"."order_address" as t where t."order_uid" > w.v order by t."order_uid" limit 1)
              from w
             where w.v is not null)
        select w.v from w where w.v is not null limit $2) as w) as v
  left join lateral (select true as found from "orders"."order_header" as o where o."uid" = v.v limit 1) as o on true;
with gone as (
    delete from orders.orphan as t
     where t.relation = $1
       and t.missing_uid = any (array(
        select o.missing_uid from orders.orphan as o
         where o.relation = $1 and o.execution_uid <> $2
         order by o.missing_uid
         limit 5000))
    returning 1)
select count(*) as written from gone;
select v.v, o.found is null
  from (select w.v
  from (with recursive w as (
            (select t."order_uid" as v from "orders"."order_line_item" as t where t."order_uid" > $1 order by t."order_uid" limit 1)
            union all
            select (select t."order_uid" from "orders"."order_line_item" as t where t."order_uid" > w.v order by t."order_uid" limit 1)
              from w
             where w.v is not null)
        select w.v from w where w.v is not null limit $2) as w) as v
  left join lateral (select true as found from "orders"."order_header" as o where o."uid" = v.v limit 1) as o on true;
select v.v, c.child
  from unnest($1::text[]) as v (v)
 cross join lateral (select t."uid"::text as child from "orders"."order_line_item" as t where t."order_uid" = v.v order by t."order_uid", t."order_uid", t."uid" limit 1)
       as c;
insert into orders.orphan as t (relation, missing_uid, child_uid, execution_uid, last_seen_ts)
select $1, i.missing_uid, i.child_uid, $4, now()
  from unnest($2::text[], $3::text[]) as i (missing_uid, child_uid)
    on conflict (relation, missing_uid) do update
   set child_uid = excluded.child_uid, execution_uid = excluded.execution_uid, last_seen_ts = excluded.last_seen_ts;
select w.v
  from (with recursive w as (
            (select t."product_uid" as v from "orders"."order_line_item" as t where t."product_uid" > $1 order by t."product_uid" limit 1)
            union all
            select (select t."product_uid" from "orders"."order_line_item" as t where t."product_uid" > w.v order by t."product_uid" limit 1)
              from w
             where w.v is not null)
        select w.v from w where w.v is not null limit $2) as w;
select v.v, c.child
  from unnest($1::text[]) as v (v)
 cross join lateral (select t."uid"::text as child from "orders"."order_line_item" as t where t."product_uid" = v.v order by t."product_uid", t."order_uid", t."uid" limit 1)
       as c;
select v.v, o.found is null
  from (select w.v
  from (with recursive w as (
            (select t."order_uid" as v from "orders"."order_summary" as t where t."order_uid" > $1 order by t."order_uid" limit 1)
            union all
            select (select t."order_uid" from "orders"."order_summary" as t where t."order_uid" > w.v order by t."order_uid" limit 1)
              from w
             where w.v is not null)
        select w.v from w where w.v is not null limit $2) as w) as v
  left join lateral (select true as found from "orders"."order_header" as o where o."uid" = v.v limit 1) as o on true;
select array[t."resource"::text, t."write_id"::text, t."first_offset"::text], concat_ws('/', t."resource"::text, t."write_id"::text, t."first_offset"::text), array[t."write_id"]
  from "orders"."write_commit" as t
 order by t."resource", t."write_id", t."first_offset"
 limit 1000;
select v.v
  from unnest($1::text[]) with ordinality as v (v, n)
  left join lateral (select true as found from "orders"."write_session" as o where o."write_id" = v.v limit 1) as o on true
 where o.found is null
 order by v.n;
select (extract(epoch from max(t.first_seen_ts) - now()) * 1000000)::bigint
  from orders.orphan as t
 where t.relation = any ($1)
   and t.confirm_ts is null;
select t.relation, t.missing_uid, coalesce(t.child_uid, '')
  from orders.orphan as t
 where t.relation = any ($1)
   and (t.relation, t.missing_uid) > ($2, $3)
   and t.confirm_ts is null
 order by t.relation, t.missing_uid
 limit 1000;
select v.v
  from unnest($1::text[]) with ordinality as v (v, n)
  left join lateral (select true as found from "orders"."order_header" as o where o."uid" = v.v limit 1) as o on true
 where o.found is null
 order by v.n;
update orders.orphan as t
   set confirm_ts = now(), last_seen_ts = now()
  from unnest($1::text[], $2::text[]) as i (relation, missing_uid)
 where t.relation = i.relation
   and t.missing_uid = i.missing_uid
   and t.confirm_ts is null;
select t.relation, t.missing_uid, coalesce(t.child_uid, '')
  from orders.orphan as t
 where t.relation = any ($1)
   and (t.relation, t.missing_uid) > ($2, $3)
   and t.confirm_ts is not null
 order by t.relation, t.missing_uid
 limit 100;
select array[t."order_uid"::text, t."uid"::text]
  from "orders"."order_line_item" as t
 where t."order_uid" = any (array['…']::text[])
 order by t."order_uid", t."uid"
 limit 501;
with done as (
    delete from "orders"."order_line_item" as t
     where (t."order_uid", t."uid") in (('…', 'oli_3')) and t."order_uid" = any (array['…']::text[]) and not exists (select from "orders"."order_header" as o where o."uid" = t."order_uid")
    returning 1)
select count(*) as written from done;
with gone as (
    delete from orders.orphan as t
     using unnest($1::text[], $2::text[]) as i (relation, missing_uid)
     where t.relation = i.relation
       and t.missing_uid = i.missing_uid
    returning 1)
select count(*) as written from gone;
select array[t."resource"::text, t."write_id"::text, t."first_offset"::text]
  from "orders"."write_commit" as t
 where t."write_id" = any (array['w']::text[])
 order by t."resource", t."write_id", t."first_offset"
 limit 501;
with done as (
    delete from "orders"."write_commit" as t
     where (t."resource", t."write_id", t."first_offset") in (('r', 'w', '0')) and t."write_id" = any (array['w']::text[]) and not exists (select from "orders"."write_session" as o where o."write_id" = t."write_id")
    returning 1)
select count(*) as written from done;
select t.relation, count(*)
  from orders.orphan as t
 where t.relation = any ($1)
   and t.confirm_ts is not null
 group by t.relation;
