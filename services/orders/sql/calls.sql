-- The statements of calls of OrdersService, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- CreateOrder
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
), summary as (
    insert into orders.order_summary as t (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
    select i.order_uid, i.line_count, i.quantity, i.subtotal, i.discount, i.tax, i.shipping, i.total
      from (values ($23::text, $24::integer, $25::bigint, $26::numeric, $27::numeric, $28::numeric, $29::numeric, $30::numeric)) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total)
     where exists (select from created) and i.order_uid is not null
    returning 1
)
select (select count(*) from created) + (select count(*) from line_items) + (select count(*) from summary) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, created.*
  from (select) as one
  left join created on true;
select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateOrder with request_id
begin; set local statement_timeout = …;
insert into orders.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
-- as CreateOrder, 1
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- GetOrder, ORDER_VIEW_FULL
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where t.uid = '…' order by t.uid) to stdout (format binary);
copy (select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, t.line_number from orders.order_line_item as t where t.order_uid = '…' order by t.order_uid, t.line_number, t.uid limit 20000) to stdout (format binary);
copy (select t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email from orders.order_address as t where t.order_uid = '…' order by t.order_uid, t.kind limit 20000) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- GetOrder, ORDER_VIEW_BASIC
begin isolation level repeatable read read only; set local statement_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where t.uid = '…' order by t.uid) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- BatchGetOrders
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where t.uid = any (array['…', '…']::text[]) order by t.uid limit 501) to stdout (format binary);
copy (select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from orders.order_line_item as t where t.order_uid = any (array['…', '…']::text[]) order by t.order_uid, t.line_number, t.uid limit 20000) to stdout (format binary);
copy (select t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email from orders.order_address as t where t.order_uid = any (array['…', '…']::text[]) order by t.order_uid, t.kind limit 20000) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = any (array['…', '…']::text[]) order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- UpdateOrder of a field
begin; set local statement_timeout = …;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join orders.order_header as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.customer_id, case when t.customer_id = '' then '' end) as customer_id,
           (coalesce(i.customer_id, case when t.customer_id = '' then '' end) is distinct from t.customer_id
        or i.touched <> 0) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[], $9::integer[]) with ordinality as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts, touched, ordinal)
      join orders.order_header as t on t.uid = i.uid
), updated as (
    update orders.order_header as t
       set customer_id = i.customer_id,
           revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
  from orders.order_header as t
 where t.uid = $1;
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UpdateOrder of the lines
begin; set local statement_timeout = …;
-- as UpdateOrder of a field, 2
select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text
  from orders.order_summary as t
 where t.order_uid = any ($1)
 order by t.order_uid
 limit $2;
select t.order_uid, t.uid
  from orders.order_line_item as t
 where t.order_uid = any ($1)
 order by t.order_uid, t.uid
 limit $2;
insert into orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::numeric[], $9::numeric[], $10::numeric[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts);
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
select t.order_uid
  from orders.order_summary as t
 where t.order_uid = any ($1)
 order by t.order_uid
 limit $2;
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
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           (i.touched <> 0) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[], $9::integer[]) with ordinality as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts, touched, ordinal)
      join orders.order_header as t on t.uid = i.uid
), updated as (
    update orders.order_header as t
       set revision = t.revision + 1,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
-- as UpdateOrder of a field, 4
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ListOrders
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where true order by t.uid limit 2) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- ListOrders, next page
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where true and (t.uid) > ('…') order by t.uid limit 2) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- ListOrders by provision_timer_ts
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts, coalesce(provision_timer_ts, 'infinity') from orders.order_header as t where true order by coalesce(provision_timer_ts, 'infinity'), t.uid limit 51) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = any (array['…', '…']::text[]) order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- StreamOrders, ORDER_VIEW_FULL
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where true order by t.uid limit 501) to stdout (format binary);
copy (select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from orders.order_line_item as t where t.order_uid between '…' and '…' order by t.order_uid, t.line_number, t.uid limit 20000) to stdout (format binary);
copy (select t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email from orders.order_address as t where t.order_uid between '…' and '…' order by t.order_uid, t.kind limit 20000) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid between '…' and '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- CheckOrders
select t.uid
  from orders.order_header as t
 where t.uid = any ($1);

-- TransitionOrder
begin; set local statement_timeout = …;
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
  from orders.order_header as t
 where t.uid = $1
   for update;
with moved as materialized (
    select t.uid, ((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || jsonb_build_object('phase', $3::text, 'transitions', case when coalesce((t.status -> 'transitions'), 'null') = 'null' then '[]' when jsonb_typeof((t.status -> 'transitions')) <> 'array' then jsonb_build_array((t.status -> 'transitions')) when jsonb_array_length((t.status -> 'transitions')) <= 31 then (t.status -> 'transitions') else (select jsonb_agg(e.entry order by e.place) from jsonb_array_elements((t.status -> 'transitions')) with ordinality as e (entry, place) where e.place > jsonb_array_length((t.status -> 'transitions')) - 31) end || jsonb_build_object('at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'from', $2::text, 'to', $3::text, 'reason', $4::text))) as status
      from orders.order_header as t
     where t.uid = $1
)
update orders.order_header as t
   set status = moved.status,
       update_ts = now(),
       revision = t.revision + 1
  from moved
 where t.uid = $1 and moved.uid = t.uid;
-- as UpdateOrder of a field, 4
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- TransitionOrder with request_id
begin; set local statement_timeout = …;
insert into orders.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
-- as TransitionOrder, 2
-- as TransitionOrder, 3
-- as UpdateOrder of a field, 4
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- SetProvisionTimer
begin; set local statement_timeout = …;
-- as TransitionOrder, 2
update orders.order_header as t
   set provision_timer_ts = '1970-01-01 00:16:40.000000+00'::timestamptz,
       update_ts = now(),
       revision = t.revision + 1
 where t.uid = $1
   and t.provision_timer_ts is distinct from '1970-01-01 00:16:40.000000+00'::timestamptz;
-- as UpdateOrder of a field, 4
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ClaimDueOrders, the first
begin; set local statement_timeout = …;
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts
  from orders.order_header as t
 where t.provision_timer_ts <= now()
   and t.status ->> 'phase' in ('confirmed', 'provisioning')
 order by t.provision_timer_ts, t.uid
 limit $1
   for update skip locked;
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
with claimed as materialized (
    select t.uid, case when t.status ->> 'phase' = 'confirmed' then ((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || jsonb_build_object('phase', 'provisioning'::text, 'transitions', case when coalesce((t.status -> 'transitions'), 'null') = 'null' then '[]' when jsonb_typeof((t.status -> 'transitions')) <> 'array' then jsonb_build_array((t.status -> 'transitions')) when jsonb_array_length((t.status -> 'transitions')) <= 31 then (t.status -> 'transitions') else (select jsonb_agg(e.entry order by e.place) from jsonb_array_elements((t.status -> 'transitions')) with ordinality as e (entry, place) where e.place > jsonb_array_length((t.status -> 'transitions')) - 31) end || jsonb_build_object('at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'from', 'confirmed'::text, 'to', 'provisioning'::text, 'reason', 'claimed'::text))) else t.status end as status
      from orders.order_header as t
     where t.uid = any ($1)
)
update orders.order_header as t
   set status = claimed.status,
       provision_timer_ts = now() + $2 * interval '1 microsecond',
       update_ts = now(),
       revision = t.revision + 1
  from claimed
 where t.uid = claimed.uid
returning t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts, t.uid, t.revision;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ClaimDueOrders
begin; set local statement_timeout = …;
with due as materialized (
select t.uid
  from orders.order_header as t
 where t.provision_timer_ts <= now()
   and t.status ->> 'phase' in ('confirmed', 'provisioning')
 order by t.provision_timer_ts, t.uid
 limit $1
   for update skip locked
)
update orders.order_header as t
   set status = case when t.status ->> 'phase' = 'confirmed' then ((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || jsonb_build_object('phase', 'provisioning'::text, 'transitions', case when coalesce((t.status -> 'transitions'), 'null') = 'null' then '[]' when jsonb_typeof((t.status -> 'transitions')) <> 'array' then jsonb_build_array((t.status -> 'transitions')) when jsonb_array_length((t.status -> 'transitions')) <= 31 then (t.status -> 'transitions') else (select jsonb_agg(e.entry order by e.place) from jsonb_array_elements((t.status -> 'transitions')) with ordinality as e (entry, place) where e.place > jsonb_array_length((t.status -> 'transitions')) - 31) end || jsonb_build_object('at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'from', 'confirmed'::text, 'to', 'provisioning'::text, 'reason', 'claimed'::text))) else t.status end,
       provision_timer_ts = now() + $2 * interval '1 microsecond',
       update_ts = now(),
       revision = t.revision + 1
 where t.uid = any (array(select uid from due))
returning t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts, t.uid, t.revision;
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ClaimDueOrders with request_id
begin; set local statement_timeout = …;
insert into orders.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
-- as ClaimDueOrders, 2
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
update orders.write_session set parameters = parameters || jsonb_build_object('uid', $3::text) where resource = $1 and write_id = $2;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ClaimDueOrders, repeated
begin; set local statement_timeout = …;
insert into orders.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
select parameters ->> 'content', parameters ->> 'uid' from orders.write_session where resource = $1 and write_id = $2;
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts, t.uid
  from orders.order_header as t
  join unnest($1::text[], $2::integer[]) as c (uid, revision) on c.uid = t.uid and c.revision = t.revision
 where t.uid = any ($1)
   and t.status ->> 'phase' = 'provisioning'
   and t.provision_timer_ts > now()
 order by t.uid;
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteOrders, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from orders.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from orders.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from orders.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update orders.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into orders.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from orders.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from orders.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into orders.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateOrder of a field, 2
insert into orders.order_header (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts) select * from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[], $8::timestamptz[]) as i (uid, customer_id, currency_code, status, labels, annotations, provision_timer_ts, create_ts);
-- as UpdateOrder of the lines, 4
insert into orders.order_line_item (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::numeric[], $9::numeric[], $10::numeric[], $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::timestamptz[]) as i (order_uid, uid, line_number, product_uid, sku, name, quantity, unit_price, discount, tax, status, labels, annotations, create_ts);
select t.order_uid, t.kind
  from orders.order_address as t
 where t.order_uid = any ($1)
 order by t.order_uid, t.kind
 limit $2;
-- as UpdateOrder of the lines, 7
insert into orders.order_summary (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total) select * from unnest($1::text[], $2::integer[], $3::bigint[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[]) as i (order_uid, line_count, quantity, subtotal, discount, tax, shipping, total);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteOrders, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from orders.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from orders.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from orders.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update orders.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into orders.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from orders.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from orders.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into orders.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateOrder of a field, 2
-- as UpdateOrder of the lines, 3
-- as UpdateOrder of the lines, 4
delete from orders.order_line_item as t
 using unnest($1::text[], $2::text[]) with ordinality as i (order_uid, uid, ordinal)
 where t.order_uid = i.order_uid and t.uid = i.uid;
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
-- as UpdateOrder of the lines, 7
-- as UpdateOrder of the lines, 8
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
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteOrders, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from orders.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from orders.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from orders.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update orders.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into orders.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from orders.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from orders.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into orders.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateOrder of a field, 2
-- as UpdateOrder of the lines, 3
-- as UpdateOrder of the lines, 4
-- as WriteOrders, WRITE_MODE_UPDATE, 13
-- as UpdateOrder of the lines, 7
-- as UpdateOrder of the lines, 8
-- as WriteOrders, WRITE_MODE_UPDATE, 16
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteOrders, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from orders.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from orders.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from orders.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update orders.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into orders.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from orders.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from orders.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into orders.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateOrder of a field, 2
-- as UpdateOrder of the lines, 4
-- as WriteOrders, WRITE_MODE_UPDATE, 12
-- as WriteOrders, WRITE_MODE_CREATE, 13
-- as UpdateOrder of the lines, 7
delete from orders.order_summary as t
 using unnest($1::text[]) with ordinality as i (order_uid, ordinal)
 where t.order_uid = i.order_uid;
delete from orders.order_header as t
 using unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- LookupOrders by text
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where t.uid in (select t.uid from orders.order_header as t where t.customer_id = any(array['17850']::text[]) union select t.uid from orders.order_header as t where lower(normalize(t.customer_id, nfc)) = any(array['17850']::text[]) and t.customer_id <> lower(normalize(t.customer_id, nfc)) union select t.order_uid from orders.order_line_item as t where t.sku = any(array['17850']::text[]) union select t.order_uid from orders.order_line_item as t where lower(normalize(t.sku, nfc)) = any(array['17850']::text[]) and t.sku <> lower(normalize(t.sku, nfc)) union select h.uid from orders.order_header as h where h.uid >= '17850' and h.uid < '17851') order by t.uid limit 51) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- LookupOrders by customer_id
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where t.uid in (select t.uid from orders.order_header as t where t.customer_id = any(array['17850']::text[]) union select t.uid from orders.order_header as t where lower(normalize(t.customer_id, nfc)) = any(array['17850']::text[]) and t.customer_id <> lower(normalize(t.customer_id, nfc))) order by t.uid limit 51) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- LookupOrders by sku
begin isolation level repeatable read read only; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.customer_id, t.currency_code, t.revision, t.status, t.labels, t.annotations, t.provision_timer_ts, t.create_ts, t.update_ts from orders.order_header as t where t.uid in (select t.order_uid from orders.order_line_item as t where t.sku = any(array['85123a']::text[]) union select t.order_uid from orders.order_line_item as t where lower(normalize(t.sku, nfc)) = any(array['85123a']::text[]) and t.sku <> lower(normalize(t.sku, nfc))) order by t.uid limit 51) to stdout (format binary);
copy (select t.order_uid, t.line_count, t.quantity, t.subtotal::text, t.discount::text, t.tax::text, t.shipping::text, t.total::text from orders.order_summary as t where t.order_uid = '…' order by t.order_uid limit 20000) to stdout (format binary);
commit;

-- StreamLineItems
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.order_uid, t.uid, t.line_number, t.product_uid, t.sku, t.name, t.quantity, t.unit_price::text, t.discount::text, t.tax::text, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, t.line_number from orders.order_line_item as t where true order by t.order_uid, t.line_number, t.uid limit 501) to stdout (format binary);
commit;

-- StreamProductSales
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select s.product_uid, to_char(s.day, 'YYYY-MM-DD'), s.currency_code, s.orders, s.units, s.gross::text
  from (select l.product_uid, (t.create_ts at time zone 'UTC')::date as day, t.currency_code,
               count(distinct l.order_uid) as orders, sum(l.quantity) as units, sum(l.quantity * l.unit_price) as gross
          from orders.order_line_item as l
          join orders.order_header as t on t.uid = l.order_uid
         where l.product_uid is not null
           and t.create_ts >= (date '2026-01-01')::timestamp at time zone 'UTC' - interval '1 day'
           and t.create_ts <  (date '2026-01-31')::timestamp at time zone 'UTC' + interval '2 days'
           and ((t.create_ts at time zone 'UTC')::date < date '2026-01-01') is not true
           and ((t.create_ts at time zone 'UTC')::date > date '2026-01-31') is not true
           and (t.status ->> 'phase') = any(array['confirmed', 'provisioning', 'fulfilled', 'closed', 'returned']::text[])
         group by 1, 2, 3
         order by 1, 2, 3
         limit 20000) as s
 order by s.product_uid, s.day, s.currency_code) to stdout (format binary);
commit;

-- StreamProductSales with recent_days
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select s.product_uid, s.currency_code, s.orders, s.units, s.gross::text, s.units_0, s.gross_0::text, s.units_1, s.gross_1::text
  from (select l.product_uid, t.currency_code,
               count(distinct l.order_uid) as orders, sum(l.quantity) as units, sum(l.quantity * l.unit_price) as gross,
               coalesce(sum(l.quantity) filter (where (t.create_ts at time zone 'UTC')::date > date '2026-01-31' - 7), 0) as units_0, coalesce(sum(l.quantity * l.unit_price) filter (where (t.create_ts at time zone 'UTC')::date > date '2026-01-31' - 7), 0) as gross_0,
               coalesce(sum(l.quantity) filter (where (t.create_ts at time zone 'UTC')::date > date '2026-01-31' - 30), 0) as units_1, coalesce(sum(l.quantity * l.unit_price) filter (where (t.create_ts at time zone 'UTC')::date > date '2026-01-31' - 30), 0) as gross_1
          from orders.order_line_item as l
          join orders.order_header as t on t.uid = l.order_uid
         where l.product_uid is not null
           and t.create_ts >= (date '2026-01-01')::timestamp at time zone 'UTC' - interval '1 day'
           and t.create_ts <  (date '2026-01-31')::timestamp at time zone 'UTC' + interval '2 days'
           and ((t.create_ts at time zone 'UTC')::date < date '2026-01-01') is not true
           and ((t.create_ts at time zone 'UTC')::date > date '2026-01-31') is not true
           and (t.status ->> 'phase') = any(array['confirmed', 'provisioning', 'fulfilled', 'closed', 'returned']::text[])
         group by 1, 2
         order by 1, 2
         limit 20000) as s
 order by s.product_uid, s.currency_code) to stdout (format binary);
commit;

-- DeleteOrder
begin; set local statement_timeout = …;
-- as TransitionOrder, 2
select t.order_uid, t.uid
  from orders.order_line_item as t
 where t.order_uid = $1
 order by t.order_uid, t.uid
offset 4999 limit 1;
delete from orders.order_line_item as t
 where t.order_uid = $1;
select t.order_uid, t.kind
  from orders.order_address as t
 where t.order_uid = $1
 order by t.order_uid, t.kind
offset 4999 limit 1;
delete from orders.order_address as t
 where t.order_uid = $1;
delete from orders.order_summary as t
 where t.order_uid = $1;
delete from orders.order_header as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
