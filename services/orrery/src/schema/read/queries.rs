//! Parts that the queries of several kinds of objects share.

/// Names the schemas (`namespace`) and relations (`relation`) that are read, and the members of extensions (`member`).
pub(super) const COMMON: &str = "
with member as materialized (
    select classid, objid from pg_depend where deptype = 'e'
), namespace as materialized (
    select oid, nspname, nspowner, nspacl, quote_ident(nspname) as sql
    from pg_namespace
    where nspname !~ '^pg_' and nspname <> 'information_schema' and nspname <> all ($1::text[])
), relation as materialized (
    select c.*, n.nspname, format('%I.%I', n.nspname, c.relname) as sql
    from pg_class c join namespace n on n.oid = c.relnamespace
    where n.nspname || '.' || c.relname <> all ($2::text[])
        and c.oid not in (select objid from member where classid = 'pg_class'::regclass)
)";

/// The rights on the current database, except those of its owner, as JSON.
pub(crate) const GRANTS_OF_DATABASE: &str = "select json_agg(granted)::text from (
    select case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
        lower(a.privilege_type) as privilege, bool_or(a.is_grantable) as grantable
    from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    where d.datname = $1 and a.grantee <> d.datdba
    group by 1, 2
) granted";

/// A subquery for the rights of `acl`, except those of the owner. `kind` is the argument of `acldefault`.
pub(super) fn grants(acl: &str, kind: &str, owner: &str) -> String {
    format!(
        "(select coalesce(json_agg(granted), '[]') from ({}) granted)",
        granted(&format!("coalesce({acl}, acldefault({kind}, {owner}))"), owner, "null::text")
    )
}

/// As [`grants`], for the relation `c`, with the rights on single columns.
pub(super) fn grants_of_relation(kind: &str) -> String {
    format!(
        "(select coalesce(json_agg(granted), '[]') from ({} union all select held.* from pg_attribute a, lateral ({}) \
         held where a.attrelid = c.oid and a.attacl is not null and not a.attisdropped) granted)",
        granted(&format!("coalesce(c.relacl, acldefault('{kind}', c.relowner))"), "c.relowner", "null::text"),
        granted("a.attacl", "c.relowner", "quote_ident(a.attname)")
    )
}

fn granted(acl: &str, owner: &str, column: &str) -> String {
    format!(
        "select case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end as grantee, \
         {column} as \"column\", lower(x.privilege_type) as privilege, bool_or(x.is_grantable) as grantable \
         from aclexplode({acl}) x where x.grantee <> {owner} group by 1, 2, 3"
    )
}

/// A subquery for the storage options in `options`, a `text[]`, as a JSON object.
pub(super) fn options(options: &str) -> String {
    format!(
        "(select coalesce(json_object_agg(o.option_name, quote_literal(o.option_value)), '{{}}') from \
         pg_options_to_table({options}) o)"
    )
}
