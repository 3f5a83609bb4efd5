//! Finds what is not supported, and what a copy of a schema does not contain.

use sqlx::PgConnection;

use super::{ReadError, rows};

/// Objects of kinds that cannot be copied, described by the server. Object identifiers below 16384 are the server's
/// own.
const OBJECTS: &str = "
with candidate (classid, objid, word) as (
    select 'pg_class'::regclass, c.oid, case c.relkind when 'p' then 'partitioned table' when 'f' then 'foreign table'
            else case when c.relispartition then 'partition' when c.reloftype <> 0 then 'typed table'
            else 'table with inheritance' end end
        from relation c
        where c.relkind in ('r', 'p', 'f') and (c.relkind in ('p', 'f') or c.relispartition or c.reloftype <> 0
            or exists (select from pg_inherits where inhrelid = c.oid or inhparent = c.oid))
    union all select 'pg_type'::regclass, t.oid,
            case t.typtype when 'c' then 'composite type' when 'r' then 'range type' else 'base type' end
        from pg_type t join namespace n on n.oid = t.typnamespace
        where t.typtype = 'r' or (t.typtype = 'b' and t.typelem = 0) or (t.typtype = 'b' and t.typcategory <> 'A')
            or (t.typtype = 'c' and exists (select from pg_class where oid = t.typrelid and relkind = 'c'))
    union all select 'pg_proc'::regclass, p.oid, null from pg_proc p join namespace n on n.oid = p.pronamespace
        where p.prokind = 'a'
    union all select 'pg_constraint'::regclass, x.oid, null
        from pg_constraint x join namespace n on n.oid = x.connamespace
        where x.contype = 'n' and not x.convalidated
    union all select 'pg_attrdef'::regclass, d.oid, null from pg_attrdef d join relation c on c.oid = d.adrelid
        where c.relkind = 'v'
    union all select 'pg_operator'::regclass, oid, null from pg_operator
    union all select 'pg_opclass'::regclass, oid, null from pg_opclass
    union all select 'pg_opfamily'::regclass, oid, null from pg_opfamily
    union all select 'pg_cast'::regclass, oid, null from pg_cast
    union all select 'pg_conversion'::regclass, oid, null from pg_conversion
    union all select 'pg_collation'::regclass, oid, null from pg_collation
    union all select 'pg_am'::regclass, oid, null from pg_am
    union all select 'pg_language'::regclass, oid, null from pg_language
    union all select 'pg_transform'::regclass, oid, null from pg_transform
    union all select 'pg_ts_config'::regclass, oid, null from pg_ts_config
    union all select 'pg_ts_dict'::regclass, oid, null from pg_ts_dict
    union all select 'pg_ts_parser'::regclass, oid, null from pg_ts_parser
    union all select 'pg_ts_template'::regclass, oid, null from pg_ts_template
    union all select 'pg_foreign_data_wrapper'::regclass, oid, null from pg_foreign_data_wrapper
    union all select 'pg_foreign_server'::regclass, oid, null from pg_foreign_server
    union all select 'pg_event_trigger'::regclass, oid, null from pg_event_trigger
)
select coalesce(candidate.word, named.type) || ' ' || named.identity as name
from candidate, pg_identify_object(candidate.classid, candidate.objid, 0) named
where candidate.objid >= 16384
    and (named.schema is null or named.schema in (select nspname from namespace))
    and (candidate.classid, candidate.objid) not in (select classid, objid from member)
    and not exists (select from pg_depend d join pg_depend outer_d on outer_d.classid = d.refclassid
        and outer_d.objid = d.refobjid and outer_d.deptype = 'e'
        where d.classid = candidate.classid and d.objid = candidate.objid and d.deptype in ('i', 'a'))
union all select 'security label on ' || coalesce(objname, objtype) from pg_seclabels
    where objtype not in ('database', 'role', 'tablespace')
order by 1";

const LEFT_OUT: &str = "
select 'the publication ' || quote_ident(pubname) as name from pg_publication
union all select 'the subscription ' || quote_ident(subname) from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database())
union all select 'the large objects' from pg_largeobject_metadata having count(*) > 0
order by 1";

/// A name.
#[derive(serde::Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

/// What is not supported, with its kind and name.
pub(super) async fn read(connection: &mut PgConnection) -> Result<Vec<String>, ReadError> {
    Ok(rows::<Named>(connection, OBJECTS).await?.into_iter().map(|found| found.name).collect())
}

/// What [`Schema::left_out`](crate::schema::Schema::left_out) returns, except invalid indexes.
pub(super) async fn left_out(connection: &mut PgConnection) -> Result<Vec<String>, ReadError> {
    Ok(rows::<Named>(connection, LEFT_OUT).await?.into_iter().map(|found| found.name).collect())
}
