-- The statements of orrery.orders.v1.Order, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
  from orders.order_header as t
 where t.uid = $1;

-- find the keys that are stored
select t.uid
  from orders.order_header as t
 where t.uid = any ($1);

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join orders.order_header as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update orders.order_header as t
       set uid = t.uid
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
     where t.uid = i.uid
    returning i.ordinal
)
select count(*) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;

-- lock and read one row
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
  from orders.order_header as t
 where t.uid = $1
   for update;

-- lock and read rows
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
  from orders.order_header as t
 where t.uid = any ($1)
 order by t.uid
   for update;

-- lock and read rows, if the database is sharded
update orders.order_header as t
   set uid = t.uid
  from unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid
returning t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts;

-- create one row, with one child of each kind
with created as (
    insert into orders.order_header as t (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts)
    select i.uid, i.customer_id, i.currency_code, i.status, i.labels, i.annotations, case i.provision_timer_ts when 'infinity' then now() else i.provision_timer_ts end, case i.create_ts when 'infinity' then now() else i.create_ts end
      from (values ($1::text, $2::text, $3::text, $4::jsonb, $5::jsonb, $6::jsonb, $7::timestamptz, $8::timestamptz)) as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts)
      left join orders.order_line_item as c0 on c0.order_uid = i.uid
      left join orders.order_address as c1 on c1.order_uid = i.uid
      left join orders.order_summary as c2 on c2.order_uid = i.uid
     where c0.order_uid is null
       and c1.order_uid is null
       and c2.order_uid is null
    returning t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
), line_items as (
    insert into orders.order_line_item as t (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts)
    select i.order_uid, i.uid, i.line_number, i.product_uid, i.sku, i.name, i.quantity, i.unit_price, i.discount, i.tax, i.status, i.labels, i.annotations, case i.create_ts when 'infinity' then now() else i.create_ts end
      from (values ($9::text, $10::text, $11::integer, $12::text, $13::text, $14::text, $15::integer, $16::numeric, $17::numeric, $18::numeric, $19::jsonb, $20::jsonb, $21::jsonb, $22::timestamptz)) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts)
     where exists (select from created) and i.order_uid is not null
    returning 1
), addresses as (
    insert into orders.order_address as t (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email)
    select i.order_uid, i.kind, i.name, i.company, i.lines, i.city, i.region, i.postal_code, i.country_code, i.phone, i.email
      from (values ($23::text, $24::text, $25::text, $26::text, $27::jsonb, $28::text, $29::text, $30::text, $31::text, $32::text, $33::text)) as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email)
     where exists (select from created) and i.order_uid is not null
    returning 1
), summary as (
    insert into orders.order_summary as t (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
    select i.order_uid, i.line_count, i.quantity, i.subtotal, i.discount, i.tax, i.shipping, i.total
      from (values ($34::text, $35::integer, $36::bigint, $37::numeric, $38::numeric, $39::numeric, $40::numeric, $41::numeric)) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
     where exists (select from created) and i.order_uid is not null
    returning 1
)
select (select count(*) from created) + (select count(*) from line_items) + (select count(*) from addresses) + (select count(*) from summary) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, created.*
  from (select) as one
  left join created on true;

-- create one row, with many children
with created as (
    insert into orders.order_header as t (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts)
    select i.uid, i.customer_id, i.currency_code, i.status, i.labels, i.annotations, case i.provision_timer_ts when 'infinity' then now() else i.provision_timer_ts end, case i.create_ts when 'infinity' then now() else i.create_ts end
      from (values ($1::text, $2::text, $3::text, $4::jsonb, $5::jsonb, $6::jsonb, $7::timestamptz, $8::timestamptz)) as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts)
      left join orders.order_line_item as c0 on c0.order_uid = i.uid
      left join orders.order_address as c1 on c1.order_uid = i.uid
      left join orders.order_summary as c2 on c2.order_uid = i.uid
     where c0.order_uid is null
       and c1.order_uid is null
       and c2.order_uid is null
    returning t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
), line_items as (
    insert into orders.order_line_item as t (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts)
    select i.order_uid, i.uid, i.line_number, i.product_uid, i.sku, i.name, i.quantity, i.unit_price, i.discount, i.tax, i.status, i.labels, i.annotations, case i.create_ts when 'infinity' then now() else i.create_ts end
      from unnest($9::text[], $10::text[], $11::integer[], $12::text[], $13::text[], $14::text[], $15::integer[], $16::numeric[], $17::numeric[], $18::numeric[], $19::jsonb[], $20::jsonb[], $21::jsonb[], $22::timestamptz[]) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts)
     where exists (select from created) and i.order_uid is not null
    returning 1
), addresses as (
    insert into orders.order_address as t (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email)
    select i.order_uid, i.kind, i.name, i.company, i.lines, i.city, i.region, i.postal_code, i.country_code, i.phone, i.email
      from unnest($23::text[], $24::text[], $25::text[], $26::text[], $27::jsonb[], $28::text[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[]) as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email)
     where exists (select from created) and i.order_uid is not null
    returning 1
), summary as (
    insert into orders.order_summary as t (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
    select i.order_uid, i.line_count, i.quantity, i.subtotal, i.discount, i.tax, i.shipping, i.total
      from unnest($34::text[], $35::integer[], $36::bigint[], $37::numeric[], $38::numeric[], $39::numeric[], $40::numeric[], $41::numeric[]) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
     where exists (select from created) and i.order_uid is not null
    returning 1
)
select (select count(*) from created) + (select count(*) from line_items) + (select count(*) from addresses) + (select count(*) from summary) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, created.*
  from (select) as one
  left join created on true;

-- create many rows
copy orders.order_header (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts) from stdin (format binary);

-- create rows
insert into orders.order_header (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts) select * from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[]) as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts);

-- line_items: keys of some owners' children, first page
select t.order_uid, t.uid
  from orders.order_line_item as t
 where t.order_uid = any ($1)
 order by t.order_uid, t.uid
 limit $2;

-- line_items: keys of some owners' children, next page
select t.order_uid, t.uid
  from orders.order_line_item as t
 where t.order_uid = any ($1)
   and (t.order_uid, t.uid) > ($2, $3)
 order by t.order_uid, t.uid
 limit $4;

-- line_items: delete
delete from orders.order_line_item as t
 using unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
 where t.order_uid = i.order_uid and t.uid = i.uid;

-- line_items: create many rows
copy orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts) from stdin (format binary);

-- line_items: create rows
insert into orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::numeric[], $9::numeric[], $10::numeric[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts);

-- line_items: update the rows that differ
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
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- line_items: update the rows that differ, if the database is sharded
with stored as materialized (
    select i.order_uid, i.uid, i.ordinal, t.line_number as old_line_number, t.product_uid as old_product_uid, t.sku as old_sku, t.name as old_name, t.quantity as old_quantity, t.unit_price as old_unit_price, t.discount as old_discount, t.tax as old_tax, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
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
     where i.differing and t.order_uid = i.order_uid and t.uid = i.uid and t.line_number is not distinct from i.old_line_number
       and t.product_uid is not distinct from i.old_product_uid
       and t.sku is not distinct from i.old_sku
       and t.name is not distinct from i.old_name
       and t.quantity is not distinct from i.old_quantity
       and t.unit_price is not distinct from i.old_unit_price
       and t.discount is not distinct from i.old_discount
       and t.tax is not distinct from i.old_tax
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- addresses: keys of some owners' children, first page
select t.order_uid, t.kind
  from orders.order_address as t
 where t.order_uid = any ($1)
 order by t.order_uid, t.kind
 limit $2;

-- addresses: keys of some owners' children, next page
select t.order_uid, t.kind
  from orders.order_address as t
 where t.order_uid = any ($1)
   and (t.order_uid, t.kind) > ($2, $3)
 order by t.order_uid, t.kind
 limit $4;

-- addresses: delete
delete from orders.order_address as t
 using unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
 where t.order_uid = i.order_uid and t.kind = i.kind;

-- addresses: create many rows
copy orders.order_address (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email) from stdin (format binary);

-- addresses: create rows
insert into orders.order_address (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email);

-- addresses: update the rows that differ
with stored as materialized (
    select i.order_uid, i.kind, i.ordinal, t.xmin as row_version,
           coalesce(i.name, case when t.name = '' then '' end) as name,
           coalesce(i.company, case when t.company = '' then '' end) as company,
           (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case when jsonb_typeof(t.lines) = 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else coalesce(i.lines, '[]') end) as lines,
           coalesce(i.city, case when t.city = '' then '' end) as city,
           coalesce(i.region, case when t.region = '' then '' end) as region,
           coalesce(i.postal_code, case when t.postal_code = '' then '' end) as postal_code,
           coalesce(i.country_code, case when t.country_code = '' then '' end) as country_code,
           coalesce(i.phone, case when t.phone = '' then '' end) as phone,
           coalesce(i.email, case when t.email = '' then '' end) as email,
           (coalesce(i.name, case when t.name = '' then '' end) is distinct from t.name
        or coalesce(i.company, case when t.company = '' then '' end) is distinct from t.company
        or (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case when jsonb_typeof(t.lines) = 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else coalesce(i.lines, '[]') end) is distinct from t.lines
        or coalesce(i.city, case when t.city = '' then '' end) is distinct from t.city
        or coalesce(i.region, case when t.region = '' then '' end) is distinct from t.region
        or coalesce(i.postal_code, case when t.postal_code = '' then '' end) is distinct from t.postal_code
        or coalesce(i.country_code, case when t.country_code = '' then '' end) is distinct from t.country_code
        or coalesce(i.phone, case when t.phone = '' then '' end) is distinct from t.phone
        or coalesce(i.email, case when t.email = '' then '' end) is distinct from t.email) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) with ordinality as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email, ordinal)
      join orders.order_address as t on t.order_uid = i.order_uid and t.kind = i.kind
), updated as (
    update orders.order_address as t
       set name = i.name,
           company = i.company,
           lines = i.lines,
           city = i.city,
           region = i.region,
           postal_code = i.postal_code,
           country_code = i.country_code,
           phone = i.phone,
           email = i.email
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.kind = i.kind and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- addresses: update the rows that differ, if the database is sharded
with stored as materialized (
    select i.order_uid, i.kind, i.ordinal, t.name as old_name, t.company as old_company, t.lines as old_lines, t.city as old_city, t.region as old_region, t.postal_code as old_postal_code, t.country_code as old_country_code, t.phone as old_phone, t.email as old_email,
           coalesce(i.name, case when t.name = '' then '' end) as name,
           coalesce(i.company, case when t.company = '' then '' end) as company,
           (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case when jsonb_typeof(t.lines) = 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else coalesce(i.lines, '[]') end) as lines,
           coalesce(i.city, case when t.city = '' then '' end) as city,
           coalesce(i.region, case when t.region = '' then '' end) as region,
           coalesce(i.postal_code, case when t.postal_code = '' then '' end) as postal_code,
           coalesce(i.country_code, case when t.country_code = '' then '' end) as country_code,
           coalesce(i.phone, case when t.phone = '' then '' end) as phone,
           coalesce(i.email, case when t.email = '' then '' end) as email,
           (coalesce(i.name, case when t.name = '' then '' end) is distinct from t.name
        or coalesce(i.company, case when t.company = '' then '' end) is distinct from t.company
        or (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case when jsonb_typeof(t.lines) = 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else coalesce(i.lines, '[]') end) is distinct from t.lines
        or coalesce(i.city, case when t.city = '' then '' end) is distinct from t.city
        or coalesce(i.region, case when t.region = '' then '' end) is distinct from t.region
        or coalesce(i.postal_code, case when t.postal_code = '' then '' end) is distinct from t.postal_code
        or coalesce(i.country_code, case when t.country_code = '' then '' end) is distinct from t.country_code
        or coalesce(i.phone, case when t.phone = '' then '' end) is distinct from t.phone
        or coalesce(i.email, case when t.email = '' then '' end) is distinct from t.email) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) with ordinality as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email, ordinal)
      join orders.order_address as t on t.order_uid = i.order_uid and t.kind = i.kind
), updated as (
    update orders.order_address as t
       set name = i.name,
           company = i.company,
           lines = i.lines,
           city = i.city,
           region = i.region,
           postal_code = i.postal_code,
           country_code = i.country_code,
           phone = i.phone,
           email = i.email
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.kind = i.kind and t.name is not distinct from i.old_name
       and t.company is not distinct from i.old_company
       and t.lines is not distinct from i.old_lines
       and t.city is not distinct from i.old_city
       and t.region is not distinct from i.old_region
       and t.postal_code is not distinct from i.old_postal_code
       and t.country_code is not distinct from i.old_country_code
       and t.phone is not distinct from i.old_phone
       and t.email is not distinct from i.old_email
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- summary: keys of some owners' children, first page
select t.order_uid
  from orders.order_summary as t
 where t.order_uid = any ($1)
 order by t.order_uid
 limit $2;

-- summary: keys of some owners' children, next page
select t.order_uid
  from orders.order_summary as t
 where t.order_uid = any ($1)
   and (t.order_uid) > ($2)
 order by t.order_uid
 limit $3;

-- summary: delete
delete from orders.order_summary as t
 using unnest($1::text[]) with ordinality as i (order_uid, ordinal)
 where t.order_uid = i.order_uid;

-- summary: create many rows
copy orders.order_summary (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total) from stdin (format binary);

-- summary: create rows
insert into orders.order_summary (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total) select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[]) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total);

-- summary: update the rows that differ
with stored as materialized (
    select i.order_uid, i.ordinal, t.xmin as row_version,
           coalesce(i.line_count, 0) as line_count,
           coalesce(i.quantity, 0) as quantity,
           coalesce(i.subtotal::numeric, t.subtotal) as subtotal,
           coalesce(i.discount::numeric, t.discount) as discount,
           coalesce(i.tax::numeric, t.tax) as tax,
           coalesce(i.shipping::numeric, t.shipping) as shipping,
           coalesce(i.total::numeric, t.total) as total,
           (coalesce(i.line_count, 0) is distinct from t.line_count
        or coalesce(i.quantity, 0) is distinct from t.quantity
        or i.subtotal is not null and i.subtotal is distinct from t.subtotal::text
        or i.discount is not null and i.discount is distinct from t.discount::text
        or i.tax is not null and i.tax is distinct from t.tax::text
        or i.shipping is not null and i.shipping is distinct from t.shipping::text
        or i.total is not null and i.total is distinct from t.total::text) as differing
      from unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) with ordinality as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total, ordinal)
      join orders.order_summary as t on t.order_uid = i.order_uid
), updated as (
    update orders.order_summary as t
       set line_count = i.line_count,
           quantity = i.quantity,
           subtotal = i.subtotal,
           discount = i.discount,
           tax = i.tax,
           shipping = i.shipping,
           total = i.total
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- summary: update the rows that differ, if the database is sharded
with stored as materialized (
    select i.order_uid, i.ordinal, t.line_count as old_line_count, t.quantity as old_quantity, t.subtotal as old_subtotal, t.discount as old_discount, t.tax as old_tax, t.shipping as old_shipping, t.total as old_total,
           coalesce(i.line_count, 0) as line_count,
           coalesce(i.quantity, 0) as quantity,
           coalesce(i.subtotal::numeric, t.subtotal) as subtotal,
           coalesce(i.discount::numeric, t.discount) as discount,
           coalesce(i.tax::numeric, t.tax) as tax,
           coalesce(i.shipping::numeric, t.shipping) as shipping,
           coalesce(i.total::numeric, t.total) as total,
           (coalesce(i.line_count, 0) is distinct from t.line_count
        or coalesce(i.quantity, 0) is distinct from t.quantity
        or i.subtotal is not null and i.subtotal is distinct from t.subtotal::text
        or i.discount is not null and i.discount is distinct from t.discount::text
        or i.tax is not null and i.tax is distinct from t.tax::text
        or i.shipping is not null and i.shipping is distinct from t.shipping::text
        or i.total is not null and i.total is distinct from t.total::text) as differing
      from unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) with ordinality as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total, ordinal)
      join orders.order_summary as t on t.order_uid = i.order_uid
), updated as (
    update orders.order_summary as t
       set line_count = i.line_count,
           quantity = i.quantity,
           subtotal = i.subtotal,
           discount = i.discount,
           tax = i.tax,
           shipping = i.shipping,
           total = i.total
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.line_count is not distinct from i.old_line_count
       and t.quantity is not distinct from i.old_quantity
       and t.subtotal is not distinct from i.old_subtotal
       and t.discount is not distinct from i.old_discount
       and t.tax is not distinct from i.old_tax
       and t.shipping is not distinct from i.old_shipping
       and t.total is not distinct from i.old_total
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- update the rows that differ
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.customer_id, t.customer_id) as customer_id,
           coalesce(i.currency_code, t.currency_code) as currency_code,
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
           coalesce(i.provision_timer_ts, t.provision_timer_ts) as provision_timer_ts,
           (coalesce(i.customer_id, t.customer_id) is distinct from t.customer_id
        or coalesce(i.currency_code, t.currency_code) is distinct from t.currency_code
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
        or coalesce(i.provision_timer_ts, t.provision_timer_ts) is distinct from t.provision_timer_ts
        or i.touched <> 0) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[], $9::integer[]) with ordinality as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts, touched, ordinal)
      join orders.order_header as t on t.uid = i.uid
), updated as (
    update orders.order_header as t
       set customer_id = i.customer_id,
           currency_code = i.currency_code,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           provision_timer_ts = i.provision_timer_ts,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded
with stored as materialized (
    select i.uid, i.ordinal, t.customer_id as old_customer_id, t.currency_code as old_currency_code, t.revision as old_revision, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.provision_timer_ts as old_provision_timer_ts, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
           coalesce(i.customer_id, t.customer_id) as customer_id,
           coalesce(i.currency_code, t.currency_code) as currency_code,
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
           coalesce(i.provision_timer_ts, t.provision_timer_ts) as provision_timer_ts,
           (coalesce(i.customer_id, t.customer_id) is distinct from t.customer_id
        or coalesce(i.currency_code, t.currency_code) is distinct from t.currency_code
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
        or coalesce(i.provision_timer_ts, t.provision_timer_ts) is distinct from t.provision_timer_ts
        or i.touched <> 0) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[], $9::integer[]) with ordinality as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts, touched, ordinal)
      join orders.order_header as t on t.uid = i.uid
), updated as (
    update orders.order_header as t
       set customer_id = i.customer_id,
           currency_code = i.currency_code,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           provision_timer_ts = i.provision_timer_ts,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.customer_id is not distinct from i.old_customer_id
       and t.currency_code is not distinct from i.old_currency_code
       and t.revision is not distinct from i.old_revision
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.provision_timer_ts is not distinct from i.old_provision_timer_ts
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.customer_id, case when t.customer_id = '' then '' end) as customer_id,
           i.currency_code as currency_code,
           (case when '{"phase": "draft"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "draft"}'::jsonb
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
           i.provision_timer_ts as provision_timer_ts,
           (coalesce(i.customer_id, case when t.customer_id = '' then '' end) is distinct from t.customer_id
        or i.currency_code is distinct from t.currency_code
        or (case when '{"phase": "draft"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "draft"}'::jsonb
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
        or i.provision_timer_ts is distinct from t.provision_timer_ts
        or i.touched <> 0) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[], $9::integer[]) with ordinality as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts, touched, ordinal)
      join orders.order_header as t on t.uid = i.uid
), updated as (
    update orders.order_header as t
       set customer_id = i.customer_id,
           currency_code = i.currency_code,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           provision_timer_ts = i.provision_timer_ts,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, if the database is sharded, with a mask of every field
with stored as materialized (
    select i.uid, i.ordinal, t.customer_id as old_customer_id, t.currency_code as old_currency_code, t.revision as old_revision, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.provision_timer_ts as old_provision_timer_ts, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
           coalesce(i.customer_id, case when t.customer_id = '' then '' end) as customer_id,
           i.currency_code as currency_code,
           (case when '{"phase": "draft"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "draft"}'::jsonb
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
           i.provision_timer_ts as provision_timer_ts,
           (coalesce(i.customer_id, case when t.customer_id = '' then '' end) is distinct from t.customer_id
        or i.currency_code is distinct from t.currency_code
        or (case when '{"phase": "draft"}'::jsonb || i.status = t.status then t.status
                 else '{"phase": "draft"}'::jsonb
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
        or i.provision_timer_ts is distinct from t.provision_timer_ts
        or i.touched <> 0) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[], $9::integer[]) with ordinality as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts, touched, ordinal)
      join orders.order_header as t on t.uid = i.uid
), updated as (
    update orders.order_header as t
       set customer_id = i.customer_id,
           currency_code = i.currency_code,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           provision_timer_ts = i.provision_timer_ts,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.customer_id is not distinct from i.old_customer_id
       and t.currency_code is not distinct from i.old_currency_code
       and t.revision is not distinct from i.old_revision
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.provision_timer_ts is not distinct from i.old_provision_timer_ts
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- line_items: update the rows that differ, with a mask of every field
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
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- line_items: update the rows that differ, if the database is sharded, with a mask of every field
with stored as materialized (
    select i.order_uid, i.uid, i.ordinal, t.line_number as old_line_number, t.product_uid as old_product_uid, t.sku as old_sku, t.name as old_name, t.quantity as old_quantity, t.unit_price as old_unit_price, t.discount as old_discount, t.tax as old_tax, t.status as old_status, t.labels as old_labels, t.annotations as old_annotations, t.create_ts as old_create_ts, t.update_ts as old_update_ts,
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
     where i.differing and t.order_uid = i.order_uid and t.uid = i.uid and t.line_number is not distinct from i.old_line_number
       and t.product_uid is not distinct from i.old_product_uid
       and t.sku is not distinct from i.old_sku
       and t.name is not distinct from i.old_name
       and t.quantity is not distinct from i.old_quantity
       and t.unit_price is not distinct from i.old_unit_price
       and t.discount is not distinct from i.old_discount
       and t.tax is not distinct from i.old_tax
       and t.status is not distinct from i.old_status
       and t.labels is not distinct from i.old_labels
       and t.annotations is not distinct from i.old_annotations
       and t.create_ts is not distinct from i.old_create_ts
       and t.update_ts is not distinct from i.old_update_ts
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing), (select array_agg(ordinal) from updated) from stored;

-- delete rows
delete from orders.order_header as t
 using unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid;
