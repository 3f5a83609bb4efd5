//! Reads which objects need which others.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Oid, ReadError, Reader};
use crate::schema::model::{Dependency, Kind, Schema};

/// An entry of the catalog that stands for an object, such as the default of a column for its table.
#[derive(Deserialize)]
struct Alias {
    class: i64,
    oid: i64,
    of_class: i64,
    of_oid: i64,
    of_column: i16,
}

/// An entry of pg_depend.
#[derive(Deserialize)]
struct Edge {
    class: i64,
    oid: i64,
    on_class: i64,
    on_oid: i64,
    on_column: i16,
    automatic: bool,
}

const ALIASES: &str = "
select 'pg_type'::regclass::oid::bigint as class, oid::bigint, 'pg_class'::regclass::oid::bigint as of_class,
    typrelid::bigint as of_oid, 0 as of_column
from pg_type where typrelid <> 0
union all select 'pg_type'::regclass::oid::bigint, typarray::bigint, 'pg_type'::regclass::oid::bigint, oid::bigint, 0
from pg_type where typarray <> 0
union all select 'pg_attrdef'::regclass::oid::bigint, oid::bigint, 'pg_class'::regclass::oid::bigint, adrelid::bigint,
    adnum
from pg_attrdef
union all select 'pg_rewrite'::regclass::oid::bigint, oid::bigint, 'pg_class'::regclass::oid::bigint, ev_class::bigint,
    0
from pg_rewrite where rulename = '_RETURN'
union all select 'pg_class'::regclass::oid::bigint, conindid::bigint, 'pg_constraint'::regclass::oid::bigint,
    oid::bigint, 0
from pg_constraint where contype in ('p', 'u', 'x')
union all select 'pg_constraint'::regclass::oid::bigint, oid::bigint, 'pg_type'::regclass::oid::bigint,
    contypid::bigint, 0
from pg_constraint where contypid <> 0
union all select classid::bigint, objid::bigint, refclassid::bigint, refobjid::bigint, 0
from pg_depend where deptype = 'e'";

const EDGES: &str = "
select classid::bigint as class, objid::bigint as oid, refclassid::bigint as on_class, refobjid::bigint as on_oid,
    refobjsubid as on_column, deptype = 'a' as automatic
from pg_depend
where deptype in ('n', 'a', 'i')";

pub(super) async fn read(reader: &mut Reader<'_>, schema: &mut Schema) -> Result<(), ReadError> {
    let aliases: Vec<Alias> = reader.rows(ALIASES).await?;
    let aliases: HashMap<Oid, Alias> = aliases.into_iter().map(|alias| ((alias.class, alias.oid), alias)).collect();
    let edges: Vec<Edge> = reader.rows(EDGES).await?;
    for edge in edges {
        let Some((from, _)) = resolve(reader, &aliases, (edge.class, edge.oid), 0) else { continue };
        let Some((on, number)) = resolve(reader, &aliases, (edge.on_class, edge.on_oid), edge.on_column) else {
            continue;
        };
        let (Some(object), Some(key)) = (reader.keys.get(&from), reader.keys.get(&on)) else { continue };
        // A column owns the sequence of its default, and needs it: one direction is enough.
        if object == key || (object.kind == Kind::Sequence && edge.automatic) {
            continue;
        }
        let column = reader.columns.get(&(on.1, number)).filter(|_| key.kind == Kind::Table).cloned();
        let dependency = Dependency { key: key.clone(), column };
        if let Some(object) = schema.objects.get_mut(object) {
            object.depends.insert(dependency);
        }
    }
    Ok(())
}

/// The object that an entry belongs to, with the number of its column.
fn resolve(reader: &Reader<'_>, aliases: &HashMap<Oid, Alias>, oid: Oid, column: i16) -> Option<(Oid, i16)> {
    let (mut oid, mut column) = (oid, column);
    // An array of rows of a table of an extension has the most steps.
    for _ in 0..4 {
        if reader.keys.contains_key(&oid) {
            return Some((oid, column));
        }
        let alias = aliases.get(&oid)?;
        (oid, column) = ((alias.of_class, alias.of_oid), alias.of_column);
    }
    None
}
