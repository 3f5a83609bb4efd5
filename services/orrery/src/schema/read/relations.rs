//! Reads tables and views and what belongs to them.

use super::objects::{Row, SEQUENCE_OPTIONS};
use super::queries::{grants_of_relation, options};
use super::{ReadError, Reader};
use crate::schema::model::Schema;

pub(super) async fn read(reader: &mut Reader<'_>, schema: &mut Schema) -> Result<(), ReadError> {
    let fixed = [CONSTRAINTS, INDEXES, STATISTICS, TRIGGERS, RULES, POLICIES].map(str::to_owned);
    for query in [tables(), views()].into_iter().chain(fixed) {
        for row in reader.rows::<Row>(&query).await? {
            row.add_to(reader, schema);
        }
    }
    Ok(())
}

/// The comments on the columns of the relation `c`.
const COLUMN_COMMENTS: &str = "
    (select coalesce(json_object_agg(quote_ident(a.attname), d.description), '{}')
    from pg_description d join pg_attribute a on a.attrelid = d.objoid and a.attnum = d.objsubid
    where d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid > 0) as column_comments";

fn tables() -> String {
    let grants = grants_of_relation("r");
    let columns = columns();
    // The options of the table for long values have the prefix `toast.`.
    let reloptions = options(
        "c.reloptions || (select array_agg('toast.' || o) from pg_class toast, unnest(toast.reloptions) o where \
         toast.oid = c.reltoastrelid)",
    );
    format!(
        "select 'pg_class'::regclass::oid::bigint as class, c.oid::bigint, 'table' as kind, c.nspname as schema, \
         c.relname as name, c.sql, obj_description(c.oid, 'pg_class') as comment, \
         quote_ident(pg_get_userbyid(c.relowner)) as owner, {grants} as grants, {COLUMN_COMMENTS}, json_build_object( \
            'unlogged', c.relpersistence = 'u', \
            'columns', {columns}, \
            'options', {reloptions}, \
            'access_method', (select quote_ident(amname) from pg_am where oid = c.relam and amname <> 'heap'), \
            'row_security', c.relrowsecurity, \
            'force_row_security', c.relforcerowsecurity, \
            'replica_identity', case c.relreplident when 'n' then 'nothing' when 'f' then 'full' when 'i' then ( \
                select 'using index ' || quote_ident(ic.relname) from pg_index i join pg_class ic on ic.oid = \
                i.indexrelid where i.indrelid = c.oid and i.indisreplident) else 'default' end, \
            'cluster', (select quote_ident(ic.relname) from pg_index i join pg_class ic on ic.oid = i.indexrelid \
                where i.indrelid = c.oid and i.indisclustered) \
         ) as relation from relation c where c.relkind = 'r'"
    )
}

fn columns() -> String {
    let attoptions = options("a.attoptions");
    format!(
        "(select coalesce(json_agg(json_build_object( \
            'name', a.attname, 'number', a.attnum, 'sql', quote_ident(a.attname), \
            'type', format_type(a.atttypid, a.atttypmod), \
            'collation', (select case nspname when 'pg_catalog' then quote_ident(collname) else format('%I.%I', \
                nspname, collname) end from pg_collation join pg_namespace n on n.oid = collnamespace \
                where pg_collation.oid = a.attcollation and a.attcollation <> t.typcollation), \
            'not_null', a.attnotnull, \
            'default', case a.attgenerated when '' then pg_get_expr(d.adbin, d.adrelid) end, \
            'generated', case when a.attgenerated <> '' then format('generated always as (%s) %s', \
                pg_get_expr(d.adbin, d.adrelid), case a.attgenerated when 's' then 'stored' else 'virtual' end) end, \
            'identity', case when a.attidentity <> '' then (select json_build_object( \
                'generated', case a.attidentity when 'a' then 'always' else 'by default' end, \
                'sequence', format('%I.%I', sn.nspname, sc.relname), \
                'options', {SEQUENCE_OPTIONS}) \
                from pg_depend held join pg_sequence s on s.seqrelid = held.objid join pg_class sc on sc.oid = \
                s.seqrelid join pg_namespace sn on sn.oid = sc.relnamespace \
                where held.classid = 'pg_class'::regclass and held.refclassid = 'pg_class'::regclass and \
                held.refobjid = c.oid and held.refobjsubid = a.attnum and held.deptype = 'i') end, \
            'storage', case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else \
                'extended' end, \
            'usual_storage', a.attstorage = t.typstorage, \
            'compression', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' else 'default' end, \
            'statistics', coalesce(a.attstattarget, -1), \
            'options', {attoptions} \
         ) order by a.attnum), '[]') \
         from pg_attribute a join pg_type t on t.oid = a.atttypid \
         left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)"
    )
}

fn views() -> String {
    let grants = grants_of_relation("r");
    format!(
        "select 'pg_class'::regclass::oid::bigint as class, c.oid::bigint, \
         case c.relkind when 'v' then 'view' else 'materialized_view' end as kind, c.nspname as schema, \
         c.relname as name, c.sql, obj_description(c.oid, 'pg_class') as comment, \
         quote_ident(pg_get_userbyid(c.relowner)) as owner, {grants} as grants, {COLUMN_COMMENTS}, \
         format('create %s %s%s%s as\\n%s%s', \
            case c.relkind when 'v' then 'view' else 'materialized view' end, c.sql, \
            (select ' using ' || quote_ident(amname) from pg_am where oid = c.relam and amname <> 'heap'), \
            (select format(' with (%s)', string_agg(format('%s = %L', option_name, option_value), ', ')) \
                from pg_options_to_table(c.reloptions) having count(*) > 0), \
            rtrim(pg_get_viewdef(c.oid), ';'), \
            case when c.relkind = 'm' and not c.relispopulated then e'\\nwith no data' end) as creation \
         from relation c where c.relkind in ('v', 'm')"
    )
    .replace("as\\n", "as' || e'\\n' || '")
}

const CONSTRAINTS: &str = "
select 'pg_constraint'::regclass::oid::bigint as class, x.oid::bigint,
    case x.contype when 'p' then 'primary_key' when 'f' then 'foreign_key' else 'constraint' end as kind,
    c.nspname as schema, c.relname as table, x.conname as name, format('%I on %s', x.conname, c.sql) as sql,
    obj_description(x.oid, 'pg_constraint') as comment,
    format('alter table %s add constraint %I %s', c.sql, x.conname, pg_get_constraintdef(x.oid)) as creation,
    format('alter table %s drop constraint %I', c.sql, x.conname) as removal
from pg_constraint x join relation c on c.oid = x.conrelid
where x.contype in ('p', 'u', 'x', 'c', 'f')";

const INDEXES: &str = "
select 'pg_class'::regclass::oid::bigint as class, c.oid::bigint, 'index' as kind, c.nspname as schema,
    owner.relname as table, c.relname as name, c.sql, obj_description(c.oid, 'pg_class') as comment,
    pg_get_indexdef(c.oid) as creation, not (i.indisvalid and i.indisready) as invalid,
    (select coalesce(json_agg(format('alter index %s alter column %s set statistics %s', c.sql, a.attnum,
            a.attstattarget) order by a.attnum), '[]')
        from pg_attribute a
        where a.attrelid = c.oid and coalesce(a.attstattarget, -1) >= 0) as afterwards
from relation c join pg_index i on i.indexrelid = c.oid join relation owner on owner.oid = i.indrelid
where c.relkind = 'i'
    and not exists (select from pg_constraint x where x.conindid = c.oid and x.contype in ('p', 'u', 'x'))";

const STATISTICS: &str = "
select 'pg_statistic_ext'::regclass::oid::bigint as class, s.oid::bigint, 'statistics' as kind, n.nspname as schema,
    c.relname as table, s.stxname as name, format('%I.%I', n.nspname, s.stxname) as sql,
    obj_description(s.oid, 'pg_statistic_ext') as comment, quote_ident(pg_get_userbyid(s.stxowner)) as owner,
    pg_get_statisticsobjdef(s.oid) as creation,
    case when coalesce(s.stxstattarget, -1) >= 0 then json_build_array(
        format('alter statistics %I.%I set statistics %s', n.nspname, s.stxname, s.stxstattarget))
        else '[]' end as afterwards
from pg_statistic_ext s join namespace n on n.oid = s.stxnamespace join relation c on c.oid = s.stxrelid";

const TRIGGERS: &str = "
select 'pg_trigger'::regclass::oid::bigint as class, t.oid::bigint, 'trigger' as kind, c.nspname as schema,
    c.relname as table, t.tgname as name, format('%I on %s', t.tgname, c.sql) as sql,
    obj_description(t.oid, 'pg_trigger') as comment, pg_get_triggerdef(t.oid) as creation,
    case when t.tgenabled = 'O' then '[]' else json_build_array(format('alter table %s %s trigger %I', c.sql,
        case t.tgenabled when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end, t.tgname))
        end as afterwards
from pg_trigger t join relation c on c.oid = t.tgrelid
where not t.tgisinternal";

const RULES: &str = "
select 'pg_rewrite'::regclass::oid::bigint as class, r.oid::bigint, 'rule' as kind, c.nspname as schema,
    c.relname as table, r.rulename as name, format('%I on %s', r.rulename, c.sql) as sql,
    obj_description(r.oid, 'pg_rewrite') as comment, rtrim(pg_get_ruledef(r.oid), ';') as creation,
    case when r.ev_enabled = 'O' then '[]' else json_build_array(format('alter table %s %s rule %I', c.sql,
        case r.ev_enabled when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end,
        r.rulename)) end as afterwards
from pg_rewrite r join relation c on c.oid = r.ev_class
where r.rulename <> '_RETURN'";

const POLICIES: &str = "
select 'pg_policy'::regclass::oid::bigint as class, p.oid::bigint, 'policy' as kind, c.nspname as schema,
    c.relname as table, p.polname as name, format('%I on %s', p.polname, c.sql) as sql,
    obj_description(p.oid, 'pg_policy') as comment,
    format('create policy %I on %s as %s for %s to %s%s%s', p.polname, c.sql,
        case when p.polpermissive then 'permissive' else 'restrictive' end,
        case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
            else 'all' end,
        (select string_agg(case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
            from unnest(p.polroles) role),
        ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') as creation
from pg_policy p join relation c on c.oid = p.polrelid";
