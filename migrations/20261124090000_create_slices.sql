-- A slice is a schema, a login role and a service. Roles belong to the whole server, so they are made only where they are missing and
-- no down takes them away: another database may stand on them. They come without a password; the operator sets one.
--
-- The default privileges hold for tables that the role makes which runs this file. Another role may run the next file, so each
-- file that makes a table also grants the rights on it.

-- migrate:up
do $$
declare
    slice text;
begin
    foreach slice in array array['catalog', 'orders', 'records'] loop
        if not exists (select from pg_roles where rolname = slice || '_service') then
            begin
                execute format('create role %I login', slice || '_service');
            exception when duplicate_object or unique_violation then
                null; -- another database of this server was migrated at the same moment
            end;
        end if;
        execute format('create schema %I', slice);
        execute format('grant usage on schema %I to %I', slice, slice || '_service');
        execute format('alter default privileges in schema %I grant select, insert, update, delete on tables to %I', slice, slice || '_service');
    end loop;
    -- Clients that name tables without a schema find them.
    execute format('alter database %I set search_path = catalog, orders, records, public', current_database());
    -- The migrating role sees public first: dbmate keeps its ledger in the first schema of the path.
    execute format('alter role %I in database %I set search_path = public, catalog, orders, records', current_user, current_database());
end
$$;

comment on schema catalog is 'Products and their metrics. Owned by the catalog service.';
comment on schema orders is 'Orders, their lines, addresses and summaries. Owned by the orders service.';
comment on schema records is 'Tags, assets, suggestions, templates, reports and documents. Owned by the records service.';

-- migrate:down
-- Not cascading: a schema that still holds something stays, and the down fails.
drop schema catalog;
drop schema orders;
drop schema records;
do $$
begin
    execute format('alter database %I reset search_path', current_database());
    execute format('alter role %I in database %I reset search_path', current_user, current_database());
end
$$;
