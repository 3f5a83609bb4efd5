-- The statements of orrery.orders.v1.Summary, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text
  from orders.order_summary as t
 where t.order_uid = $1;

-- find the keys that are stored
select t.order_uid
  from orders.order_summary as t
 where t.order_uid = any ($1);

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (order_uid, ordinal)
      join orders.order_summary as t on t.order_uid = i.order_uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- lock and read one row
select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text
  from orders.order_summary as t
 where t.order_uid = $1
   for update;

-- lock and read rows
select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text
  from orders.order_summary as t
 where t.order_uid = any ($1)
 order by t.order_uid
   for update;

-- lock and read rows, if the database is sharded
update orders.order_summary as t
   set order_uid = t.order_uid
  from unnest($1::text[]) with ordinality as i (order_uid, ordinal)
 where t.order_uid = i.order_uid
returning t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text;

-- create one row with its children
with created as (
    insert into orders.order_summary as t (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
    select i.order_uid, i.line_count, i.quantity, i.subtotal, i.discount, i.tax, i.shipping, i.total
      from unnest($1::text[], $2::integer[], $3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[]) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
    returning t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text
)
select (select count(*) from created) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, created.*
  from (select) as one
  left join created on true;

-- create many rows
copy orders.order_summary (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total) from stdin (format binary);

-- create rows
insert into orders.order_summary (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total) select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[]) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total);

-- update the rows that differ
with stored as materialized (
    select i.order_uid, i.ordinal, t.xmin as row_version,
           coalesce(i.shipping::numeric, t.shipping) as shipping,
           (i.shipping is not null and i.shipping is distinct from t.shipping::text) as differing
      from unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) with ordinality as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total, ordinal)
      join orders.order_summary as t on t.order_uid = i.order_uid
), updated as (
    update orders.order_summary as t
       set shipping = i.shipping
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (order_uid, ordinal)
      join orders.order_summary as t on t.order_uid = i.order_uid
     order by t.order_uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update orders.order_summary as t
       set order_uid = t.order_uid
      from unnest($1::text[]) with ordinality as i (order_uid, ordinal)
     where t.order_uid = i.order_uid
    returning i.ordinal
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- delete rows
delete from orders.order_summary as t
 using unnest($1::text[]) with ordinality as i (order_uid, ordinal)
 where t.order_uid = i.order_uid;
