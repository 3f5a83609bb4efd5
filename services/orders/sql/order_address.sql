-- The statements of orrery.orders.v1.Address, as they run. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- read one row
select t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email
  from orders.order_address as t
 where t.order_uid = $1 and t.kind = $2;

-- find the keys that are stored
select t.order_uid, t.kind
  from orders.order_address as t
 where (t.order_uid, t.kind) in (select * from unnest($1::text[], $2::text[]));

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
      join orders.order_address as t on t.order_uid = i.order_uid and t.kind = i.kind
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- lock and read one row
select t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email
  from orders.order_address as t
 where t.order_uid = $1 and t.kind = $2
   for update;

-- lock and read rows
select t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email
  from orders.order_address as t
 where (t.order_uid, t.kind) in (select * from unnest($1::text[], $2::text[]))
 order by t.order_uid, t.kind
   for update;

-- lock and read rows, if the database is sharded
update orders.order_address as t
   set order_uid = t.order_uid
  from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
 where t.order_uid = i.order_uid and t.kind = i.kind
returning t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email;

-- create one row with its children
with created as (
    insert into orders.order_address as t (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email)
    select i.order_uid, i.kind, i.name, i.company, i.lines, i.city, i.region, i.postal_code, i.country_code, i.phone, i.email
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email)
    returning t.order_uid, t.kind, t.name, t.company, t.lines, t.city, t.region, t.postal_code, t.country_code, t.phone, t.email
)
select (select count(*) from created) as written, (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, created.*
  from (select) as one
  left join created on true;

-- create many rows
copy orders.order_address (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email) from stdin (format binary);

-- create rows
insert into orders.order_address (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email);

-- update the rows that differ
with stored as materialized (
    select i.order_uid, i.kind, i.ordinal, t.xmin as row_version,
           coalesce(i.name, t.name) as name,
           coalesce(i.company, t.company) as company,
           (case when i.lines is null or i.lines =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else i.lines end) as lines,
           coalesce(i.city, t.city) as city,
           coalesce(i.region, t.region) as region,
           coalesce(i.postal_code, t.postal_code) as postal_code,
           coalesce(i.country_code, t.country_code) as country_code,
           coalesce(i.phone, t.phone) as phone,
           coalesce(i.email, t.email) as email,
           (coalesce(i.name, t.name) is distinct from t.name
        or coalesce(i.company, t.company) is distinct from t.company
        or (case when i.lines is null or i.lines =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else i.lines end) is distinct from t.lines
        or coalesce(i.city, t.city) is distinct from t.city
        or coalesce(i.region, t.region) is distinct from t.region
        or coalesce(i.postal_code, t.postal_code) is distinct from t.postal_code
        or coalesce(i.country_code, t.country_code) is distinct from t.country_code
        or coalesce(i.phone, t.phone) is distinct from t.phone
        or coalesce(i.email, t.email) is distinct from t.email) as differing
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
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.order_uid, i.kind, i.ordinal, t.xmin as row_version,
           coalesce(i.name, case when t.name = '' then '' end) as name,
           coalesce(i.company, case when t.company = '' then '' end) as company,
           (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
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
                     from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
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
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find and lock the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
      join orders.order_address as t on t.order_uid = i.order_uid and t.kind = i.kind
     order by t.order_uid, t.kind
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- find and lock the rows that are stored, if the database is sharded
with found as (
    update orders.order_address as t
       set order_uid = t.order_uid
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
     where t.order_uid = i.order_uid and t.kind = i.kind
    returning i.ordinal
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- delete rows
delete from orders.order_address as t
 using unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
 where t.order_uid = i.order_uid and t.kind = i.kind;
