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
    select i.*, (coalesce(i.name, t.name) is distinct from t.name
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
       set name =
               coalesce(i.name, t.name),
           company =
               coalesce(i.company, t.company),
           lines =
               (case when i.lines is null or i.lines =
                      (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                         from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
                         with ordinality as e (value, place)) then t.lines
                     else i.lines end),
           city =
               coalesce(i.city, t.city),
           region =
               coalesce(i.region, t.region),
           postal_code =
               coalesce(i.postal_code, t.postal_code),
           country_code =
               coalesce(i.country_code, t.country_code),
           phone =
               coalesce(i.phone, t.phone),
           email =
               coalesce(i.email, t.email)
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.kind = i.kind
       and (coalesce(i.name, t.name) is distinct from t.name
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
        or coalesce(i.email, t.email) is distinct from t.email)
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- update the rows that differ, with a mask of every field
with stored as materialized (
    select i.*, (coalesce(i.name, case t.name when '' then '' end) is distinct from t.name
        or coalesce(i.company, case t.company when '' then '' end) is distinct from t.company
        or (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else coalesce(i.lines, '[]') end) is distinct from t.lines
        or coalesce(i.city, case t.city when '' then '' end) is distinct from t.city
        or coalesce(i.region, case t.region when '' then '' end) is distinct from t.region
        or coalesce(i.postal_code, case t.postal_code when '' then '' end) is distinct from t.postal_code
        or coalesce(i.country_code, case t.country_code when '' then '' end) is distinct from t.country_code
        or coalesce(i.phone, case t.phone when '' then '' end) is distinct from t.phone
        or coalesce(i.email, case t.email when '' then '' end) is distinct from t.email) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) with ordinality as i (order_uid, kind, name, company, lines, city, region, postal_code, country_code, phone, email, ordinal)
      join orders.order_address as t on t.order_uid = i.order_uid and t.kind = i.kind
), updated as (
    update orders.order_address as t
       set name =
               coalesce(i.name, case t.name when '' then '' end),
           company =
               coalesce(i.company, case t.company when '' then '' end),
           lines =
               (case when coalesce(i.lines, '[]') =
                      (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                         from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
                         with ordinality as e (value, place)) then t.lines
                     else coalesce(i.lines, '[]') end),
           city =
               coalesce(i.city, case t.city when '' then '' end),
           region =
               coalesce(i.region, case t.region when '' then '' end),
           postal_code =
               coalesce(i.postal_code, case t.postal_code when '' then '' end),
           country_code =
               coalesce(i.country_code, case t.country_code when '' then '' end),
           phone =
               coalesce(i.phone, case t.phone when '' then '' end),
           email =
               coalesce(i.email, case t.email when '' then '' end)
      from stored as i
     where i.differing and t.order_uid = i.order_uid and t.kind = i.kind
       and (coalesce(i.name, case t.name when '' then '' end) is distinct from t.name
        or coalesce(i.company, case t.company when '' then '' end) is distinct from t.company
        or (case when coalesce(i.lines, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case jsonb_typeof(t.lines) when 'array' then t.lines else '[]' end)
                     with ordinality as e (value, place)) then t.lines
                 else coalesce(i.lines, '[]') end) is distinct from t.lines
        or coalesce(i.city, case t.city when '' then '' end) is distinct from t.city
        or coalesce(i.region, case t.region when '' then '' end) is distinct from t.region
        or coalesce(i.postal_code, case t.postal_code when '' then '' end) is distinct from t.postal_code
        or coalesce(i.country_code, case t.country_code when '' then '' end) is distinct from t.country_code
        or coalesce(i.phone, case t.phone when '' then '' end) is distinct from t.phone
        or coalesce(i.email, case t.email when '' then '' end) is distinct from t.email)
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;

-- find the rows that are stored
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
      join orders.order_address as t on t.order_uid = i.order_uid and t.kind = i.kind
     order by t.order_uid, t.kind
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint, array_agg(ordinal) from found;

-- delete rows
delete from orders.order_address as t
 using unnest($1::text[], $2::text[]) with ordinality as i (order_uid, kind, ordinal)
 where t.order_uid = i.order_uid and t.kind = i.kind;
