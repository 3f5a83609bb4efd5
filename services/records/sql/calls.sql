-- The statements of calls of TagsService, in their order, as they run. Values in the texts are shown as '…'.
-- A statement that an earlier call has shown stands as a reference to it. Written by
--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements

-- CreateTag, the first
begin; set local statement_timeout = …;
update records.tag_classification as t
   set tag_name = i.name, update_ts = now()
  from unnest($1::text[], $2::text[]) as i (uid, name)
 where t.tag_uid = i.uid
   and t.tag_name is distinct from i.name;
insert into records.tag as t (uid, name, status, labels, annotations, create_ts)
values ($1::text, $2::text, $3::jsonb, $4::jsonb, $5::jsonb, now())
returning t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateTag
begin; set local statement_timeout = …;
-- as CreateTag, the first, 2
-- as CreateTag, the first, 3
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateTag
begin; set local statement_timeout = …;
-- as CreateTag, the first, 2
-- as CreateTag, the first, 3
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- CreateTag
begin; set local statement_timeout = …;
-- as CreateTag, the first, 2
-- as CreateTag, the first, 3
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- GetTag
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag as t
 where t.uid = any ($1);

-- UpdateTag
begin; set local statement_timeout = …;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.tag as t on t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
select t.uid
  from records.tag as t
 where t.uid = any ($1)
 order by t.uid
   for no key update;
-- as CreateTag, the first, 2
select s.ordinal, s.value_1::text, t.uid
  from (select ordinal, lower(name) as value_1
          from (select n.ordinal, coalesce(n.name, o.name) as name
                  from unnest($1::text[], $2::text[]) with ordinality as n (own_uid, name, ordinal)
                  left join records.tag as o on o.uid = n.own_uid) as i) as s
  left join (select uid, lower(name) as value_1 from records.tag) as t on t.value_1 = s.value_1;
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           i.name as name,
           (i.name is distinct from t.name) as differing
      from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) with ordinality as i (uid, name, status, labels, annotations, create_ts, ordinal)
      join records.tag as t on t.uid = i.uid
), updated as (
    update records.tag as t
       set name = i.name,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- RenameTag
begin; set local statement_timeout = …;
select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag as t
 where t.uid = $1
   for update;
select i.ordinal, t.uid
  from (select n.ordinal, lower(n.name) as folded from unnest($1::text[]) with ordinality as n (name, ordinal)) as i
  join records.tag as t on lower(t.name) = i.folded;
update records.tag as t
   set name = $2, update_ts = now()
 where t.uid = $1
   and t.name <> $2;
-- as CreateTag, the first, 2
-- as UpdateTag, 7
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ListTags by name
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts, left(name, 128) collate "C" from records.tag as t where true order by left(name, 128) collate "C", t.uid limit 51) to stdout (format binary);
commit;

-- StreamTags
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from records.tag as t where true order by t.uid limit 501) to stdout (format binary);
commit;
begin; set local statement_timeout = …;
insert into records.token_key (name, key) values ('page', $1) on conflict (name) do nothing;
select key from records.token_key where name = 'page';
commit;

-- ResolveTags
-- as RenameTag, 3

-- ResolveTags, create_missing
begin; set local statement_timeout = …;
-- as RenameTag, 3
insert into records.tag as t (uid, name)
select i.uid, i.name
  from unnest($1::text[], $2::text[]) as i (uid, name)
 order by lower(i.name)
    on conflict do nothing
returning t.uid;
-- as RenameTag, 3
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- UpsertTagClassification
begin; set local statement_timeout = …;
-- as RenameTag, 3
select t.uid, t.name
  from records.tag as t
 where t.uid = any ($1)
 order by t.uid
   for share;
insert into records.tag_classification as t (tag_uid, tag_name, category_name)
values ($1, $2, $3)
    on conflict (tag_uid) do update
   set tag_name = excluded.tag_name, category_name = excluded.category_name, update_ts = excluded.update_ts
 where (t.tag_name, t.category_name) is distinct from (excluded.tag_name, excluded.category_name);
select t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts
  from records.tag_classification as t
 where t.tag_uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTags, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateTag, 2
-- as CreateTag, the first, 2
-- as UpdateTag, 5
insert into records.tag (uid, name, status, labels, annotations, create_ts) select * from unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[], $5::jsonb[], $6::timestamptz[]) as i (uid, name, status, labels, annotations, create_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTagClassifications, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
-- as UpsertTagClassification, 3
insert into records.tag_classification (tag_uid, category_name, tag_name, create_ts) select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) as i (tag_uid, category_name, tag_name, create_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductTags, WRITE_MODE_CREATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, tag_uid, ordinal)
      join records.link_product_tag as t on t.product_uid = i.product_uid and t.tag_uid = i.tag_uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
insert into records.link_product_tag (product_uid, tag_uid, create_ts) select * from unnest($1::text[], $2::text[], $3::timestamptz[]) as i (product_uid, tag_uid, create_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTags, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateTag, 2
-- as UpdateTag, 3
-- as CreateTag, the first, 2
-- as UpdateTag, 5
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
      join records.tag as t on t.uid = i.uid
), updated as (
    update records.tag as t
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

-- WriteTagClassifications, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteTagClassifications, WRITE_MODE_CREATE, 9
-- as UpsertTagClassification, 3
with stored as materialized (
    select i.tag_uid, i.ordinal, t.xmin as row_version,
           coalesce(i.category_name, t.category_name) as category_name,
           (coalesce(i.category_name, t.category_name) is distinct from t.category_name) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) with ordinality as i (tag_uid, category_name, tag_name, create_ts, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
), updated as (
    update records.tag_classification as t
       set category_name = i.category_name,
           update_ts = now()
      from stored as i
     where i.differing and t.tag_uid = i.tag_uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductTags, WRITE_MODE_UPDATE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteProductTags, WRITE_MODE_CREATE, 9
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTags, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as UpdateTag, 2
-- as UpdateTag, 3
-- as CreateTag, the first, 2
-- as UpdateTag, 5
-- as WriteTags, WRITE_MODE_UPDATE, 13
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTagClassifications, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteTagClassifications, WRITE_MODE_CREATE, 9
-- as UpsertTagClassification, 3
-- as WriteTagClassifications, WRITE_MODE_UPDATE, 11
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductTags, WRITE_MODE_UPSERT
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
-- as WriteProductTags, WRITE_MODE_CREATE, 9
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTags, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.tag as t on t.uid = i.uid
     order by t.uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
select t.product_uid
  from records.link_product_tag as t
 where t.tag_uid = $1
 order by t.product_uid
 limit $2;
with changed as materialized (
    select g.uid, g.tag_uids as before,
                  (select coalesce(jsonb_agg(e.tag_uid order by e.place), '[]')
                     from (select i.tag_uid, min(i.place) as place
                             from (select case when e.tag_uid = $1 then $2 else e.tag_uid end as tag_uid, e.place
                                     from jsonb_array_elements_text(g.tag_uids) with ordinality as e (tag_uid, place)
                                  ) as i
                            where i.tag_uid is not null
                            group by i.tag_uid) as e) as after
      from records.tag_group as g
     where jsonb_typeof(g.tag_uids) = 'array'
       and g.tag_uids ? $1
     order by g.uid
     limit $3
), updated as (
    update records.tag_group as t
       set tag_uids = changed.after, update_ts = now()
      from changed
     where t.uid = changed.uid
       and t.tag_uids = changed.before
    returning 1
)
select count(*) as written from changed;
delete from records.tag_classification as t
 where t.tag_uid = $1;
-- as WriteTags, WRITE_MODE_DELETE, 10
-- as WriteTags, WRITE_MODE_DELETE, 11
-- as WriteTags, WRITE_MODE_DELETE, 12
-- as WriteTags, WRITE_MODE_DELETE, 10
-- as WriteTags, WRITE_MODE_DELETE, 11
-- as WriteTags, WRITE_MODE_DELETE, 12
delete from records.tag as t
 using unnest($1::text[]) with ordinality as i (uid, ordinal)
 where t.uid = i.uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteTagClassifications, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
      join records.tag_classification as t on t.tag_uid = i.tag_uid
     order by t.tag_uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
delete from records.tag_classification as t
 using unnest($1::text[]) with ordinality as i (tag_uid, ordinal)
 where t.tag_uid = i.tag_uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductTags, WRITE_MODE_DELETE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
with found as (
    select i.ordinal
      from unnest($1::text[], $2::text[]) with ordinality as i (product_uid, tag_uid, ordinal)
      join records.link_product_tag as t on t.product_uid = i.product_uid and t.tag_uid = i.tag_uid
     order by t.product_uid, t.tag_uid
       for update of t
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
delete from records.link_product_tag as t
 using unnest($1::text[], $2::text[]) with ordinality as i (product_uid, tag_uid, ordinal)
 where t.product_uid = i.product_uid and t.tag_uid = i.tag_uid;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- WriteProductTags, WRITE_MODE_REPLACE
begin; set local statement_timeout = …;
with old as materialized (select resource, write_id from records.write_session where update_ts < now() - interval '30 days' order by update_ts limit 10 for update skip locked), commits as (delete from records.write_commit as c using old where (c.resource, c.write_id) = (old.resource, old.write_id) returning 1), sessions as (delete from records.write_session as s using old where (s.resource, s.write_id) = (old.resource, old.write_id) and s.update_ts < now() - interval '30 days' returning 1) select (select count(*) from commits) + (select count(*) from sessions) as written, (select count(*) from sessions) as sessions;
update records.write_session as s set fence = greatest(s.fence + 1, (extract(epoch from statement_timestamp()) * 1000000)::bigint), update_ts = now() where resource = $1 and write_id = $2 returning s.fence, s.committed_offset, s.parameters = $3::text::jsonb;
select (extract(epoch from statement_timestamp()) * 1000000)::bigint, 0::bigint, true;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
insert into records.write_session as s (resource, write_id, fence, committed_offset, parameters) values ($1, $2, $3, $5, $6::text::jsonb) on conflict (resource, write_id) do update set committed_offset = excluded.committed_offset, update_ts = excluded.update_ts where s.fence = $3 and s.committed_offset = $4 returning 1;
with forgotten as (delete from records.write_commit where resource = $1 and write_id = $2 and first_offset < (select first_offset from records.write_commit where resource = $1 and write_id = $2 order by first_offset desc offset 63 limit 1) returning 1), remembered as (insert into records.write_commit (resource, write_id, first_offset, row_count, row_hashes) values ($1, $2, $3, $4, $5) returning 1) select (select count(*) from forgotten) + (select count(*) from remembered) as written;
select t.product_uid, t.tag_uid
  from records.link_product_tag as t
 where t.product_uid = any ($1)
 order by t.product_uid, t.tag_uid
 limit $2;
insert into records.owner_lock (owner, resource)
select i.owner, i.resource
  from unnest($1::text[], $2::text[]) with ordinality as i (owner, resource, ordinal)
 order by i.ordinal
on conflict (owner, resource) do update set resource = excluded.resource;
delete from records.owner_lock as t
 using unnest($1::text[], $2::text[]) as i (owner, resource)
 where t.owner = i.owner and t.resource = i.resource;
-- as WriteProductTags, WRITE_MODE_REPLACE, 9
-- as WriteProductTags, WRITE_MODE_DELETE, 9
-- as WriteProductTags, WRITE_MODE_DELETE, 10
-- as WriteProductTags, WRITE_MODE_CREATE, 9
insert into records.link_product_tag (product_uid, tag_uid, create_ts) select * from unnest($1::text[], $2::text[], $3::timestamptz[]) as i (product_uid, tag_uid, create_ts);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- StreamTagClassifications by category_name
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.tag_uid, t.category_name, t.tag_name, t.create_ts, t.update_ts, t.category_name from records.tag_classification as t where true order by t.category_name, t.tag_uid limit 501) to stdout (format binary);
commit;

-- ListTagCategories
select t.category_name, count(*)
  from records.tag_classification as t
 where $1::text is null or t.category_name > $1
 group by t.category_name
 order by t.category_name
 limit $2;
select c.category_name, count(distinct t.product_uid)
  from records.tag_classification as c
  join records.link_product_tag as t on t.tag_uid = c.tag_uid
 where c.category_name = any ($1)
 group by c.category_name;

-- ListUnclassifiedTags
select t.uid, t.name
  from records.tag as t
  left join records.tag_classification as c on c.tag_uid = t.uid
 where c.tag_uid is null
   and ($1::text is null or t.uid > $1)
 order by t.uid
 limit $2;
select t.tag_uid, count(*)
  from records.link_product_tag as t
 where t.tag_uid = any ($1)
 group by t.tag_uid;

-- StreamProductTags by tag_uid
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.product_uid, t.tag_uid, t.create_ts from records.link_product_tag as t where true order by t.tag_uid, t.product_uid limit 501) to stdout (format binary);
commit;

-- ListTagsOfProducts
select t.product_uid, t.tag_uid
  from records.link_product_tag as t
 where t.product_uid = any ($1)
 limit $2;
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.status, t.labels, t.annotations, t.create_ts, t.update_ts from records.tag as t where t.uid = any (array['…', '…']::text[]) order by t.uid limit 501) to stdout (format binary);
commit;

-- CreateTagGroup
begin; set local statement_timeout = …;
-- as UpsertTagClassification, 3
insert into records.tag_group as t (uid, name, description, tag_uids, labels, annotations, create_ts)
values ($1::text, $2::text, $3::text, $4::jsonb, $5::jsonb, $6::jsonb, now())
returning t.uid, t.name, t.description, t.tag_uids, t.labels, t.annotations, t.create_ts, t.update_ts;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- ListTagGroups
begin; set local statement_timeout = …; set local idle_in_transaction_session_timeout = …;
copy (select t.uid, t.name, t.description, t.tag_uids, t.labels, t.annotations, t.create_ts, t.update_ts from records.tag_group as t where t.tag_uids ?| array['…']::text[] order by t.uid limit 51) to stdout (format binary);
commit;

-- UpdateTagGroup
begin; set local statement_timeout = …;
with found as (
    select i.ordinal
      from unnest($1::text[]) with ordinality as i (uid, ordinal)
      join records.tag_group as t on t.uid = i.uid
)
select (extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint as now, array_agg(ordinal) as stored from found;
-- as UpsertTagClassification, 3
with stored as materialized (
    select i.uid, i.ordinal, t.xmin as row_version,
           (case when coalesce(i.tag_uids, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case when jsonb_typeof(t.tag_uids) = 'array' then t.tag_uids else '[]' end)
                     with ordinality as e (value, place)) then t.tag_uids
                 else coalesce(i.tag_uids, '[]') end) as tag_uids,
           ((case when coalesce(i.tag_uids, '[]') =
                  (select coalesce(jsonb_agg(coalesce(e.value #>> '{}', 'null') order by e.place), '[]')
                     from jsonb_array_elements(case when jsonb_typeof(t.tag_uids) = 'array' then t.tag_uids else '[]' end)
                     with ordinality as e (value, place)) then t.tag_uids
                 else coalesce(i.tag_uids, '[]') end) is distinct from t.tag_uids) as differing
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::timestamptz[]) with ordinality as i (uid, name, description, tag_uids, labels, annotations, create_ts, ordinal)
      join records.tag_group as t on t.uid = i.uid
), updated as (
    update records.tag_group as t
       set tag_uids = i.tag_uids,
           update_ts = now()
      from stored as i
     where i.differing and t.uid = i.uid and t.xmin = i.row_version
    returning i.ordinal
)
select (select count(*) from updated) as written, count(*), count(*) filter (where differing) from stored;
select t.uid, t.name, t.description, t.tag_uids, t.labels, t.annotations, t.create_ts, t.update_ts
  from records.tag_group as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- RefreshTagPerformanceAggregate, the first
begin; set local statement_timeout = …;
select (now() at time zone z.name)::date::text
  from pg_timezone_names as z
 where z.name = $1;
update records.tag_performance_refresh as t
   set phase = 'abandoned', update_ts = now()
 where t.phase = 'running'
   and (t.day_as_of, t.time_zone) is distinct from ($1, $2);
update records.tag_performance_refresh as t
   set fence = t.fence + 1, update_ts = now()
 where t.phase = 'running'
returning t.generation, t.step, t.cursor, t.processed, t.fence;
insert into records.tag_performance_refresh as t (generation, phase, step, day_as_of, time_zone)
select coalesce(max(r.generation), 0) + 1, 'running', 'sales', $1, $2
  from records.tag_performance_refresh as r
having count(*) filter (where r.phase = 'running') = 0
returning generation;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
update records.tag_performance_refresh as t
   set step = $3, cursor = $4, processed = $5, update_ts = now()
 where t.generation = $1
   and t.fence = $2
   and t.phase = 'running'
returning 1;
insert into records.product_performance as t (product_uid, generation, currency_code, units, gross, units_7d, gross_7d, units_30d, gross_30d, units_90d, gross_90d, value)
select i.product_uid, $1, i.currency_code, i.units, i.gross, i.units_7d, i.gross_7d, i.units_30d, i.gross_30d,
       i.units_90d, i.gross_90d, 0
  from unnest($2::text[], $3::text[], $4::bigint[], $5::text[]::numeric[], $6::bigint[], $7::text[]::numeric[],
              $8::bigint[], $9::text[]::numeric[], $10::bigint[], $11::text[]::numeric[])
       as i (product_uid, currency_code, units, gross, units_7d, gross_7d, units_30d, gross_30d, units_90d, gross_90d)
    on conflict (product_uid, generation, currency_code, metric_name) do update
   set units = t.units + excluded.units, gross = t.gross + excluded.gross,
       units_7d = t.units_7d + excluded.units_7d, gross_7d = t.gross_7d + excluded.gross_7d,
       units_30d = t.units_30d + excluded.units_30d, gross_30d = t.gross_30d + excluded.gross_30d,
       units_90d = t.units_90d + excluded.units_90d, gross_90d = t.gross_90d + excluded.gross_90d,
       value = t.value + excluded.value;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
insert into records.product_performance as t (product_uid, generation, metric_name, value)
select i.product_uid, $4, i.name, i.value
  from unnest($1::text[], $2::text[], $3::text[]::numeric[]) as i (product_uid, name, value)
    on conflict (product_uid, generation, currency_code, metric_name) do update
   set value = excluded.value;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
select w.tag_uid, w.product_uid, w.links
  from (select t.tag_uid, t.product_uid, row_number() over (order by t.tag_uid, t.product_uid) as links
          from records.link_product_tag as t
         where (t.tag_uid, t.product_uid) > ($1, $2)
         order by t.tag_uid, t.product_uid
         limit $3) as w
 order by w.links desc
 limit 1;
-- as RefreshTagPerformanceAggregate, the first, 8
with links as materialized (
    select l.tag_uid, l.product_uid
      from records.link_product_tag as l
     where (l.tag_uid, l.product_uid) > ($2, $3)
       and (l.tag_uid, l.product_uid) <= ($4, $5)
)
insert into records.tag_performance_aggregate as t
       (tag_uid, generation, currency_code, metric_name, product_count, units, gross, units_7d, gross_7d, units_30d, gross_30d, units_90d, gross_90d, value)
select l.tag_uid, $1, p.currency_code, p.metric_name, count(*), sum(p.units), sum(p.gross), sum(p.units_7d), sum(p.gross_7d), sum(p.units_30d), sum(p.gross_30d), sum(p.units_90d), sum(p.gross_90d), sum(p.value)
  from links as l
  join records.product_performance as p on p.product_uid = l.product_uid and p.generation = $1
 group by l.tag_uid, p.currency_code, p.metric_name
 union all
select l.tag_uid, $1, '', '', count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0
  from links as l
 group by l.tag_uid
    on conflict (tag_uid, generation, currency_code, metric_name) do update
   set product_count = t.product_count + excluded.product_count,
       units = t.units + excluded.units, gross = t.gross + excluded.gross,
       units_7d = t.units_7d + excluded.units_7d, gross_7d = t.gross_7d + excluded.gross_7d,
       units_30d = t.units_30d + excluded.units_30d, gross_30d = t.gross_30d + excluded.gross_30d,
       units_90d = t.units_90d + excluded.units_90d, gross_90d = t.gross_90d + excluded.gross_90d,
       value = t.value + excluded.value;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 22
-- as RefreshTagPerformanceAggregate, the first, 8
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
update records.tag_performance_refresh as t
   set phase = 'retired', update_ts = now()
 where t.phase = 'current';
update records.tag_performance_refresh as t
   set phase = 'current', update_ts = now(), finish_ts = now()
 where t.generation = $1
   and t.fence = $2
   and t.phase = 'running'
returning 1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
select t.generation from records.tag_performance_refresh as t
 where t.phase in ('current', 'retired', 'running') and t.generation <= $1
 order by t.generation desc
 limit 2;
select t.product_uid from records.product_performance as t where t.product_uid > $1 order by t.product_uid offset 19999 limit 1;
delete from records.product_performance as t
 where t.product_uid > $1
   and t.generation < $2
   and t.generation <> all ($3);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 36
select t.tag_uid from records.tag_performance_aggregate as t where t.tag_uid > $1 order by t.tag_uid offset 19999 limit 1;
delete from records.tag_performance_aggregate as t
 where t.tag_uid > $1
   and t.generation < $2
   and t.generation <> all ($3);
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- RefreshTagPerformanceAggregate
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 2
-- as RefreshTagPerformanceAggregate, the first, 3
-- as RefreshTagPerformanceAggregate, the first, 4
-- as RefreshTagPerformanceAggregate, the first, 5
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
-- as RefreshTagPerformanceAggregate, the first, 9
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
-- as RefreshTagPerformanceAggregate, the first, 16
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 22
-- as RefreshTagPerformanceAggregate, the first, 8
-- as RefreshTagPerformanceAggregate, the first, 24
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 22
-- as RefreshTagPerformanceAggregate, the first, 8
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 8
-- as RefreshTagPerformanceAggregate, the first, 32
-- as RefreshTagPerformanceAggregate, the first, 33
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 36
select t.product_uid from records.product_performance as t where t.product_uid > $1 order by t.product_uid offset 19999 limit 1;
-- as RefreshTagPerformanceAggregate, the first, 38
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RefreshTagPerformanceAggregate, the first, 36
select t.tag_uid from records.tag_performance_aggregate as t where t.tag_uid > $1 order by t.tag_uid offset 19999 limit 1;
-- as RefreshTagPerformanceAggregate, the first, 43
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- GetTagPerformance
select t.generation, t.day_as_of
  from records.tag_performance_refresh as t
 where t.phase = 'current';
select s.*
  from (select r.*, row_number() over (partition by r.category_name order by r.measure asc, r.tag_uid asc, r.currency_code asc) as row_number
          from (select a.tag_uid, coalesce(g.name, '') as tag_name, coalesce(c.category_name, '') as category_name,
                       a.currency_code, a.product_count::text, a.units::text, a.units_7d::text, a.units_30d::text, a.units_90d::text, a.gross::text, a.gross_7d::text, a.gross_30d::text, a.gross_90d::text, 0::numeric as measure
                  from records.tag_performance_aggregate as a
                  left join records.tag as g on g.uid = a.tag_uid
                  left join records.tag_classification as c on c.tag_uid = a.tag_uid
                 where a.generation = $1
                   and a.metric_name = ''
                   and ($2::text[] is null or a.tag_uid = any ($2))
                   and ($3::text is null or a.currency_code = $3)) as r
         where $4::text[] is null or r.category_name = any ($4)) as s
 where $5
   and $6 = 0
 order by s.measure asc, s.tag_uid asc, s.currency_code asc
 limit $7;
select t.tag_uid, t.metric_name, t.value::text
  from records.tag_performance_aggregate as t
 where t.generation = $1
   and t.tag_uid = any ($2)
   and t.metric_name <> '';
with products as materialized (
    select distinct t.product_uid from records.link_product_tag as t where t.tag_uid = any ($2)
)
select '', '', '', p.currency_code, count(*)::text, sum(p.units)::text, sum(p.units_7d)::text, sum(p.units_30d)::text, sum(p.units_90d)::text, sum(p.gross)::text, sum(p.gross_7d)::text, sum(p.gross_30d)::text, sum(p.gross_90d)::text, p.metric_name, sum(p.value)::text
  from products as l
  join records.product_performance as p on p.product_uid = l.product_uid and p.generation = $1
 group by p.currency_code, p.metric_name;
select count(distinct t.product_uid)
  from records.link_product_tag as t
 where t.tag_uid = any ($1);

-- StreamTagPerformance by gross desc
-- as GetTagPerformance, 1
select s.*
  from (select r.*, row_number() over (partition by r.category_name order by r.measure desc, r.tag_uid asc, r.currency_code asc) as row_number
          from (select a.tag_uid, coalesce(g.name, '') as tag_name, coalesce(c.category_name, '') as category_name,
                       a.currency_code, a.product_count::text, a.units::text, a.units_7d::text, a.units_30d::text, a.units_90d::text, a.gross::text, a.gross_7d::text, a.gross_30d::text, a.gross_90d::text, a.gross::numeric as measure
                  from records.tag_performance_aggregate as a
                  left join records.tag as g on g.uid = a.tag_uid
                  left join records.tag_classification as c on c.tag_uid = a.tag_uid
                 where a.generation = $1
                   and a.metric_name = ''
                   and ($2::text[] is null or a.tag_uid = any ($2))
                   and ($3::text is null or a.currency_code = $3)) as r
         where $4::text[] is null or r.category_name = any ($4)) as s
 where $5
   and row_number <= $6
 order by s.measure desc, s.tag_uid asc, s.currency_code asc
 limit $7;
select s.*
  from (select r.*, row_number() over (partition by r.category_name order by r.measure desc, r.tag_uid asc, r.currency_code asc) as row_number
          from (select a.tag_uid, coalesce(g.name, '') as tag_name, coalesce(c.category_name, '') as category_name,
                       a.currency_code, a.product_count::text, a.units::text, a.units_7d::text, a.units_30d::text, a.units_90d::text, a.gross::text, a.gross_7d::text, a.gross_30d::text, a.gross_90d::text, a.gross::numeric as measure
                  from records.tag_performance_aggregate as a
                  left join records.tag as g on g.uid = a.tag_uid
                  left join records.tag_classification as c on c.tag_uid = a.tag_uid
                 where a.generation = $1
                   and a.metric_name = ''
                   and ($2::text[] is null or a.tag_uid = any ($2))
                   and ($3::text is null or a.currency_code = $3)) as r
         where $4::text[] is null or r.category_name = any ($4)) as s
 where $5
   and row_number <= $6
   and (s.measure < $7::numeric or (s.measure = $7::numeric and (s.tag_uid, s.currency_code) > ($8, $9)))
 order by s.measure desc, s.tag_uid asc, s.currency_code asc
 limit $10;
-- as StreamTagPerformance by gross desc, 3
-- as GetTagPerformance, 3
-- as StreamTagPerformance by gross desc, 3
-- as GetTagPerformance, 3
-- as StreamTagPerformance by gross desc, 3

-- MergeTags
begin; set local statement_timeout = …;
-- as RenameTag, 2
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RenameTag, 2
-- as RenameTag, 2
-- as WriteTags, WRITE_MODE_DELETE, 10
insert into records.link_product_tag as t (product_uid, tag_uid, create_ts)
select p.product_uid, $2, p.create_ts
  from records.link_product_tag as p
 where p.product_uid = any ($1)
   and p.tag_uid = $3
 order by p.product_uid
    on conflict do nothing
returning 1;
delete from records.link_product_tag as t
 where t.product_uid = any ($1)
   and t.tag_uid = $2;
-- as WriteTags, WRITE_MODE_DELETE, 11
-- as WriteTags, WRITE_MODE_DELETE, 11
-- as WriteTags, WRITE_MODE_DELETE, 12
delete from records.tag as t
 where t.uid = $1;
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;

-- DeleteTag
begin; set local statement_timeout = …;
-- as RenameTag, 2
-- as WriteTags, WRITE_MODE_DELETE, 10
-- as MergeTags, 9
rollback; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
begin; set local statement_timeout = …;
-- as RenameTag, 2
-- as WriteTags, WRITE_MODE_DELETE, 10
-- as MergeTags, 9
-- as WriteTags, WRITE_MODE_DELETE, 11
-- as WriteTags, WRITE_MODE_DELETE, 11
-- as WriteTags, WRITE_MODE_DELETE, 12
-- as MergeTags, 13
commit; select (case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text;
