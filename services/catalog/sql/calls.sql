-- The statements of calls of CatalogService, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- CreateProduct
insert into catalog.product as t (uid, name, status, labels, annotations, create_ts)
values ($1::text, $2::text, $3::jsonb, $4::jsonb, $5::jsonb, now())
returning t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts;
select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateProduct with request_id
begin; set local statement_timeout = …;
insert into catalog.write_session (resource, write_id, parameters) values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) on conflict (resource, write_id) do nothing returning 1;
-- as CreateProduct, 1
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- GetProduct
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from catalog.product as t
 where t.uid = any ($1);

-- BatchGetProducts
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from catalog.product as t where t.uid = any (array['…', '…']::text[]) order by t.uid limit 501) to stdout (format binary);
commit;

-- UpdateProduct
update catalog.product as t
       set name =
               coalesce(i.name, case when t.name = '' then '' end),
           update_ts = now()
  from (select $1::text as uid, $2::text as name, $3::jsonb as status, $4::jsonb as labels, $5::jsonb as annotations, $6::timestamptz as create_ts) as i
 where t.uid = $1
   and (coalesce(i.name, case when t.name = '' then '' end) is distinct from t.name)
returning t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts;
select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UpdateProduct that changes nothing
-- as UpdateProduct, 1
begin; set local statement_timeout = …;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join catalog.product as t on t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.name, case when t.name = '' then '' end) as name,
           (coalesce(i.name, case when t.name = '' then '' end) is distinct from t.name) as differing
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join catalog.product as t on t.uid = i.uid
), updated as (
    update catalog.product as t
       set name = i.name,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from catalog.product as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UpdateProduct with etag
begin; set local statement_timeout = …;
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from catalog.product as t
 where t.uid = $1
   for update;
-- as UpdateProduct that changes nothing, 3
-- as UpdateProduct that changes nothing, 4
-- as UpdateProduct that changes nothing, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ListProducts
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from catalog.product as t where true order by t.uid limit 2) to stdout (format binary);
commit;

-- ListProducts, next page
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from catalog.product as t where true and (t.uid) > ('…') order by t.uid limit 2) to stdout (format binary);
commit;

-- ListProducts by name
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, left(coalesce(name, ''), 128) collate "C" from catalog.product as t where true order by left(coalesce(name, ''), 128) collate "C", t.uid limit 51) to stdout (format binary);
commit;

-- ListProducts by create_ts desc
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, t.create_ts from catalog.product as t where true order by t.create_ts desc, t.uid desc limit 51) to stdout (format binary);
commit;

-- StreamProducts
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from catalog.product as t where true order by t.uid limit 501) to stdout (format binary);
commit;

-- CheckProducts
select t.uid
  from catalog.product as t
 where t.uid = any ($1);

-- WriteProducts, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateProduct that changes nothing, 3
insert into catalog.product (uid, name, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) as i (uid, name, status, labels, annotations, create_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductMetrics, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
insert into catalog.product_metric (product_uid, name, value, unit, as_of_ts) select * from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::timestamptz[]) as i (product_uid, name, value, unit, as_of_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProducts, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateProduct that changes nothing, 3
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           coalesce(i.name, t.name) as name,
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
           (coalesce(i.name, t.name) is distinct from t.name
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
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join catalog.product as t on t.uid = i.uid
), updated as (
    update catalog.product as t
       set name = i.name,
           status = i.status,
           labels = i.labels,
           annotations = i.annotations,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductMetrics, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteProductMetrics, WRITE_MODE_CREATE, 9
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
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProducts, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateProduct that changes nothing, 3
-- as WriteProducts, WRITE_MODE_UPDATE, 10
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductMetrics, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteProductMetrics, WRITE_MODE_CREATE, 9
-- as WriteProductMetrics, WRITE_MODE_UPDATE, 10
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProducts, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join catalog.product as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
select t.product_uid, t.name
  from catalog.product_metric as t
 where t.product_uid = any ($1)
 order by t.product_uid, t.name
 limit $2;
delete from catalog.product_metric as t
 using unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
 where t.product_uid = i.product_uid and t.name = i.name;
delete from catalog.product as t
 using unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductMetrics, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from catalog.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from catalog.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from catalog.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update catalog.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into catalog.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from catalog.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from catalog.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into catalog.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, name, ordinal)
      join catalog.product_metric as t on t.product_uid = i.product_uid and t.name = i.name
     order by t.product_uid, t.name
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
-- as WriteProducts, WRITE_MODE_DELETE, 11
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProducts without write_id
begin; set local statement_timeout = …;
-- as UpdateProduct that changes nothing, 3
insert into catalog.product (uid, name, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) as i (uid, name, status, labels, annotations, create_ts);
-- as WriteProducts, WRITE_MODE_UPDATE, 10
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ResolveProducts of an exact name
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name from catalog.product as t where left(coalesce(name, ''), 128) collate "C" = any (array['WRITE_MODE_UPSERT']::text[]) and t.name = any (array['WRITE_MODE_UPSERT']::text[]) and true order by left(coalesce(name, ''), 128) collate "C", t.uid limit 1000) to stdout (format binary);
commit;

-- ResolveProducts of another name
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name from catalog.product as t where left(coalesce(name, ''), 128) collate "C" = any (array['Mug']::text[]) and t.name = any (array['Mug']::text[]) and true order by left(coalesce(name, ''), 128) collate "C", t.uid limit 1000) to stdout (format binary);
commit;
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name from catalog.product as t where octet_length(t.name) <= 8192 order by t.uid limit 501) to stdout (format binary);
commit;

-- GetProductMetrics
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts from catalog.product_metric as t where t.product_uid = any(array['…']::text[]) order by t.product_uid, t.name limit 501) to stdout (format binary);
commit;

-- StreamProductMetrics
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.product_uid, t.name, t.value::text, t.unit, t.as_of_ts from catalog.product_metric as t where true order by t.product_uid, t.name limit 501) to stdout (format binary);
commit;

-- DeleteProduct
begin; set local statement_timeout = …;
-- as UpdateProduct with etag, 2
select t.product_uid, t.name
  from catalog.product_metric as t
 where t.product_uid = $1
 order by t.product_uid, t.name
offset 4999 limit 1;
delete from catalog.product_metric as t
 where t.product_uid = $1;
delete from catalog.product as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
