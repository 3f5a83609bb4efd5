-- The statements of orrery.orders.v1.LineItem, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from orders.order_line_item as t
 where t.order_uid = $1 and t.uid = $2;

-- find the keys that are stored
select t.order_uid, t.uid
  from orders.order_line_item as t
 where (t.order_uid, t.uid) in (select * from unnest($1::text[], $2::text[]));

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
      join orders.order_line_item as t on t.order_uid = i.order_uid and t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- lock and read one row
select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from orders.order_line_item as t
 where t.order_uid = $1 and t.uid = $2
   for update;

-- lock and read rows
select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from orders.order_line_item as t
 where (t.order_uid, t.uid) in (select * from unnest($1::text[], $2::text[]))
 order by t.order_uid, t.uid
   for update;

-- lock and read rows, if the database is sharded
update orders.order_line_item as t
   set order_uid = t.order_uid
  from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
 where t.order_uid = i.order_uid and t.uid = i.uid
returning t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts;

-- create one row with its children
with created as (
    insert into orders.order_line_item as t (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts)
    select i.order_uid, i.uid, i.line_number, i.product_uid, i.sku, i.name, i.quantity, i.unit_price, i.discount, i.tax, i.status, i.labels, i.annotations, case i.create_ts when 'infinity' then now() else i.create_ts end
      from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::numeric[], $9::numeric[], $10::numeric[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts)
    returning t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
)
select (select count(*) from created) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, created.*
  from (select) as one
  left join created on true;

-- create many rows
copy orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts) from stdin (format binary);

-- create rows
insert into orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::numeric[], $9::numeric[], $10::numeric[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts);

-- update the rows that differ
with stored as materialized (
    select i.order_uid, i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.line_number, t.line_number) as line_number,
           coalesce(i.product_uid, t.product_uid) as product_uid,
           coalesce(i.sku, t.sku) as sku,
           coalesce(i.name, t.name) as name,
           coalesce(i.quantity, t.quantity) as quantity,
           coalesce(i.unit_price::numeric, t.unit_price) as unit_price,
           coalesce(i.discount::numeric, t.discount) as discount,
           coalesce(i.tax::numeric, t.tax) as tax,
           (case when i.status is null or i.status = t.status then t.status
                 when i.status - 'phase' = '{}'
                 then (case jsonb_typeof(t.status) when 'object' then t.status else '{}' end) || i.status
                 else (case when t.status -> 'phase' is null then '{}'
                            else jsonb_build_object('phase', t.status -> 'phase') end)
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
           (coalesce(i.line_number, t.line_number) is distinct from t.line_number
        or coalesce(i.product_uid, t.product_uid) is distinct from t.product_uid
        or coalesce(i.sku, t.sku) is distinct from t.sku
        or coalesce(i.name, t.name) is distinct from t.name
        or coalesce(i.quantity, t.quantity) is distinct from t.quantity
        or i.unit_price is not null and i.unit_price is distinct from t.unit_price::text
        or i.discount is not null and i.discount is distinct from t.discount::text
        or i.tax is not null and i.tax is distinct from t.tax::text
        or (case when i.status is null or i.status = t.status then t.status
                 when i.status - 'phase' = '{}'
                 then (case jsonb_typeof(t.status) when 'object' then t.status else '{}' end) || i.status
                 else (case when t.status -> 'phase' is null then '{}'
                            else jsonb_build_object('phase', t.status -> 'phase') end)
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
      from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) with ordinality as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts, ordinal)
      join orders.order_line_item as t on t.order_uid = i.order_uid and t.uid = i.uid
), updated as (
    update orders.order_line_item as t
       set line_number = i.line_number,
           product_uid = i.product_uid,
           sku = i.sku,
           name = i.name,
           quantity = i.quantity,
           unit_price = i.unit_price,
           discount = i.discount,
           tax = i.tax,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.order_uid, i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.line_number, t.line_number) as line_number,
           coalesce(i.product_uid, case when t.product_uid = '' then '' end) as product_uid,
           coalesce(i.sku, case when t.sku = '' then '' end) as sku,
           coalesce(i.name, case when t.name = '' then '' end) as name,
           coalesce(i.quantity, 0) as quantity,
           coalesce(i.unit_price, '0')::numeric as unit_price,
           coalesce(i.discount, '0')::numeric as discount,
           coalesce(i.tax, '0')::numeric as tax,
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
           (coalesce(i.line_number, t.line_number) is distinct from t.line_number
        or coalesce(i.product_uid, case when t.product_uid = '' then '' end) is distinct from t.product_uid
        or coalesce(i.sku, case when t.sku = '' then '' end) is distinct from t.sku
        or coalesce(i.name, case when t.name = '' then '' end) is distinct from t.name
        or coalesce(i.quantity, 0) is distinct from t.quantity
        or coalesce(i.unit_price, '0') is distinct from t.unit_price::text
        or coalesce(i.discount, '0') is distinct from t.discount::text
        or coalesce(i.tax, '0') is distinct from t.tax::text
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
      from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) with ordinality as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts, ordinal)
      join orders.order_line_item as t on t.order_uid = i.order_uid and t.uid = i.uid
), updated as (
    update orders.order_line_item as t
       set line_number = i.line_number,
           product_uid = i.product_uid,
           sku = i.sku,
           name = i.name,
           quantity = i.quantity,
           unit_price = i.unit_price,
           discount = i.discount,
           tax = i.tax,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
      join orders.order_line_item as t on t.order_uid = i.order_uid and t.uid = i.uid
     order by t.order_uid, t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update orders.order_line_item as t
       set order_uid = t.order_uid
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
     where t.order_uid = i.order_uid and t.uid = i.uid
    returning i.ordinal
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- delete rows
delete from orders.order_line_item as t
 using unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
 where t.order_uid = i.order_uid and t.uid = i.uid;
