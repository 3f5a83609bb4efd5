//! Reads schemas, extensions, types, functions, sequences, and default privileges.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::queries::grants;
use super::{ReadError, Reader};
use crate::schema::model::{
    Body, DefaultPrivileges, Domain, Function, Grants, Key, Kind, Object, Schema, Sequence, Text,
};

/// What is read of every object.
#[derive(Deserialize)]
pub(super) struct Row {
    class: i64,
    oid: i64,
    kind: Kind,
    schema: String,
    #[serde(default)]
    table: String,
    name: String,
    sql: String,
    #[serde(default)]
    creation: String,
    #[serde(default)]
    afterwards: Vec<String>,
    #[serde(default)]
    removal: Option<String>,
    #[serde(default)]
    invalid: bool,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    column_comments: BTreeMap<String, String>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    grants: Grants,
    /// The rest, in columns of one kind.
    #[serde(default)]
    domain: Option<Domain>,
    #[serde(default)]
    labels: Option<Vec<String>>,
    #[serde(default)]
    function: Option<Function>,
    #[serde(default)]
    sequence: Option<Sequence>,
    #[serde(default)]
    default_privileges: Option<DefaultPrivileges>,
    #[serde(default)]
    relation: Option<crate::schema::model::Table>,
}

impl Row {
    /// Adds the object to the schema.
    pub(super) fn add_to(self, reader: &mut Reader<'_>, schema: &mut Schema) {
        let text =
            Text { creation: self.creation, afterwards: self.afterwards, removal: self.removal, invalid: self.invalid };
        let body = None
            .or(self.domain.map(Body::Domain))
            .or(self.labels.map(Body::Enum))
            .or(self.function.map(Body::Function))
            .or(self.sequence.map(Body::Sequence))
            .or(self.default_privileges.map(Body::DefaultPrivileges))
            .or(self.relation.map(Body::Table))
            .unwrap_or(Body::Text(text));
        if let Body::Table(table) = &body {
            let columns = table.columns.iter();
            reader.columns.extend(columns.map(|column| ((self.oid, column.number), column.name.clone())));
        }
        let key = Key { kind: self.kind, schema: self.schema, table: self.table, name: self.name };
        reader.keys.insert((self.class, self.oid), key.clone());
        let object = Object {
            sql: self.sql,
            body,
            comment: self.comment,
            column_comments: self.column_comments,
            owner: self.owner,
            grants: self.grants,
            depends: BTreeSet::new(),
        };
        schema.objects.insert(key, object);
    }
}

pub(super) async fn read(reader: &mut Reader<'_>, schema: &mut Schema) -> Result<(), ReadError> {
    for query in [namespaces(), EXTENSIONS.to_owned(), types(), functions(), sequences(), default_privileges()] {
        for row in reader.rows::<Row>(&query).await? {
            row.add_to(reader, schema);
        }
    }
    Ok(())
}

fn namespaces() -> String {
    let grants = grants("nspacl", "'n'", "nspowner");
    format!(
        "select 'pg_namespace'::regclass::oid::bigint as class, oid::bigint, 'namespace' as kind, nspname as schema, \
         nspname as name, sql, 'create schema ' || sql as creation, obj_description(oid, 'pg_namespace') as comment, \
         quote_ident(pg_get_userbyid(nspowner)) as owner, {grants} as grants from namespace where oid not in (select \
         objid from member where classid = 'pg_namespace'::regclass)"
    )
}

const EXTENSIONS: &str = "
select 'pg_extension'::regclass::oid::bigint as class, e.oid::bigint, 'extension' as kind, n.nspname as schema,
    e.extname as name, quote_ident(e.extname) as sql,
    format('create extension %I schema %I', e.extname, n.nspname) as creation
from pg_extension e join pg_namespace n on n.oid = e.extnamespace";

fn types() -> String {
    let grants = grants("t.typacl", "'T'", "t.typowner");
    format!(
        "select 'pg_type'::regclass::oid::bigint as class, t.oid::bigint, 'type' as kind, n.nspname as schema, \
         t.typname as name, format('%I.%I', n.nspname, t.typname) as sql, obj_description(t.oid, 'pg_type') as \
         comment, quote_ident(pg_get_userbyid(t.typowner)) as owner, {grants} as grants, \
         case t.typtype when 'e' then ( \
            select coalesce(json_agg(enumlabel order by enumsortorder), '[]') from pg_enum where enumtypid = t.oid \
         ) end as labels, \
         case t.typtype when 'd' then json_build_object( \
            'base', format_type(t.typbasetype, t.typtypmod), \
            'collation', (select format('%I.%I', cn.nspname, c.collname) from pg_collation c join pg_namespace cn on \
                cn.oid = c.collnamespace join pg_type base on base.oid = t.typbasetype \
                where c.oid = t.typcollation and t.typcollation <> base.typcollation), \
            'default', pg_get_expr(t.typdefaultbin, 0), \
            'not_null', t.typnotnull, \
            'checks', (select coalesce(json_object_agg(quote_ident(conname), pg_get_constraintdef(oid)), '{{}}') \
                from pg_constraint where contypid = t.oid and contype = 'c') \
         ) end as domain \
         from pg_type t join namespace n on n.oid = t.typnamespace \
         where t.typtype in ('e', 'd') and t.oid not in (select objid from member where classid = 'pg_type'::regclass)"
    )
}

fn functions() -> String {
    let grants = grants("p.proacl", "'f'", "p.proowner");
    format!(
        "select 'pg_proc'::regclass::oid::bigint as class, p.oid::bigint, 'function' as kind, n.nspname as schema, \
         format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) as name, \
         format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as sql, \
         obj_description(p.oid, 'pg_proc') as comment, quote_ident(pg_get_userbyid(p.proowner)) as owner, \
         {grants} as grants, json_build_object( \
            'definition', rtrim(pg_get_functiondef(p.oid), e'\\n'), \
            'signature', format('%s (%s) %s', p.prokind, pg_get_function_arguments(p.oid), \
                pg_get_function_result(p.oid)) \
         ) as function \
         from pg_proc p join namespace n on n.oid = p.pronamespace \
         where p.prokind in ('f', 'p', 'w') and p.oid not in (select objid from member where classid = \
         'pg_proc'::regclass)"
    )
}

fn sequences() -> String {
    let grants = grants("c.relacl", "'s'", "c.relowner");
    format!(
        "select 'pg_class'::regclass::oid::bigint as class, c.oid::bigint, 'sequence' as kind, c.nspname as schema, \
         c.relname as name, c.sql, obj_description(c.oid, 'pg_class') as comment, \
         case when used.deptype is null then quote_ident(pg_get_userbyid(c.relowner)) end as owner, \
         {grants} as grants, json_build_object( \
            'unlogged', c.relpersistence = 'u', \
            'options', {SEQUENCE_OPTIONS}, \
            'owned_by', case used.deptype when 'a' then used.by end, \
            'identity', used.deptype is not distinct from 'i' \
         ) as sequence \
         from relation c join pg_sequence s on s.seqrelid = c.oid left join lateral ( \
            select d.deptype, format('%s.%I', t.sql, a.attname) as by \
            from pg_depend d join relation t on t.oid = d.refobjid \
            join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid \
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass \
                and d.deptype in ('a', 'i') \
         ) used on true"
    )
}

/// The clauses of the sequence `s`.
pub(super) const SEQUENCE_OPTIONS: &str = "
    format('as %s increment by %s minvalue %s maxvalue %s start with %s cache %s%s', format_type(s.seqtypid, null),
        s.seqincrement, s.seqmin, s.seqmax, s.seqstart, s.seqcache, case when s.seqcycle then ' cycle' else '' end)";

fn default_privileges() -> String {
    let held = grants("d.defaclacl", "'r'", "d.defaclrole");
    let initial = grants("null::aclitem[]", "kind.acl::\"char\"", "d.defaclrole");
    format!(
        "select 'pg_default_acl'::regclass::oid::bigint as class, d.oid::bigint, 'default_privileges' as kind, \
         coalesce(n.nspname, '') as schema, format('%s of %s', kind.word, pg_get_userbyid(d.defaclrole)) as name, \
         '' as sql, {held} as grants, json_build_object( \
            'statement', format('alter default privileges for role %I', pg_get_userbyid(d.defaclrole)) || \
                coalesce(' in schema ' || n.sql, ''), \
            'objects', kind.word, \
            'kinds', kind.kinds, \
            'schema', n.nspname, \
            'initial', case when n.oid is null then {initial} else '[]' end \
         ) as default_privileges \
         from pg_default_acl d left join namespace n on n.oid = d.defaclnamespace \
         join (values \
            ('r', 'tables', 'r', array['table', 'view', 'materialized_view']), ('S', 'sequences', 's', \
            array['sequence']), ('f', 'functions', 'f', array['function']), ('T', 'types', 'T', array['type']), \
            ('n', 'schemas', 'n', array['namespace'])) kind (object, word, acl, kinds) on kind.object = \
            d.defaclobjtype \
         where d.defaclnamespace = 0 or n.oid is not null"
    )
}
