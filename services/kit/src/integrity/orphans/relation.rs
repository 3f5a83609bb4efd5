//! The statements over the table of one relation: windows of its references, which of them have no target, and rows
//! that refer to some uids.

use std::collections::{BTreeMap, HashSet};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::ledger::Candidate;
use crate::context::Context;
use crate::db::array::ArrayParameter;
use crate::db::sql::{literal, literal_array};
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::integrity::{Documented, Target};

/// A name in SQL, whatever it is called.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema.
fn quoted_table(table: &str) -> String {
    table.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// The table of a relation.
pub(super) fn table(documented: &Documented) -> String {
    quoted_table(&documented.reference.table)
}

fn target_table(target: &Target) -> String {
    format!("{}.{}", quoted(&target.schema), quoted(&target.table))
}

/// The column of a relation.
pub(super) fn column(documented: &Documented) -> String {
    format!("t.{}", quoted(&documented.reference.column))
}

/// The columns of the table's key.
pub(super) fn key(documented: &Documented) -> Vec<String> {
    documented.key.iter().map(|column| format!("t.{}", quoted(column))).collect()
}

/// The jsonb value that holds a list of references, or the reference.
fn json(documented: &Documented) -> String {
    let column = column(documented);
    match &documented.reference.path {
        Some(path) => format!("{column} -> {}", literal(path)),
        None => format!("to_jsonb({column})"),
    }
}

/// An array of the references of a row. What is no text is no reference.
fn references(documented: &Documented) -> String {
    let json = json(documented);
    match (documented.reference.list, &documented.reference.path) {
        (true, _) => format!(
            "array(select e.value #>> '{{}}'
          from jsonb_array_elements(case when jsonb_typeof({json}) = 'array' then {json} else '[]' end) as e
         where jsonb_typeof(e.value) = 'string')"
        ),
        (false, Some(_)) => format!("array[case when jsonb_typeof({json}) = 'string' then {json} #>> '{{}}' end]"),
        (false, None) => format!("array[{}]", column(documented)),
    }
}

/// The condition that a row refers to one of the uids in an SQL array of texts.
pub(super) fn refers_to(documented: &Documented, uids: &str) -> String {
    match (documented.reference.list, &documented.reference.path) {
        (false, None) => format!("{} = any ({uids})", column(documented)),
        _ => format!("{} && ({uids})", references(documented)),
    }
}

/// What names a row that refers to something: its uid, or the columns of its key.
fn child(documented: &Documented) -> String {
    if documented.has_column_uid {
        return "t.\"uid\"::text".to_owned();
    }
    let columns: Vec<String> = key(documented).iter().map(|column| format!("{column}::text")).collect();
    format!("concat_ws('/', {})", columns.join(", "))
}

/// How many rows a statement of this slice may return and touch, at most `most`.
pub(super) fn rows_at_once(database: &Database, most: usize) -> usize {
    let limits = database.limits();
    most.min(limits.max_query_rows).min(limits.max_statement_rows).max(1)
}

/// Runs a statement that is not kept prepared: its text differs for each relation and window.
async fn fetch(context: &Context, mut statement: Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
    statement.keep_prepared = false;
    context.background_reads().fetch(&statement, deadline).await
}

/// How many distinct references a relation has, as the server estimates; 0 if it does not know.
///
/// # Errors
/// The errors of the database.
pub(super) async fn estimate(context: &Context, documented: &Documented, deadline: Deadline) -> Result<i64, Error> {
    let reference = &documented.reference;
    if !documented.indexed {
        return Ok(0);
    }
    let (schema, table) = reference.table.split_once('.').unwrap_or_default();
    let sql = "select (case when s.n_distinct >= 0 then s.n_distinct
             else -s.n_distinct * greatest(c.reltuples, 0) end)::bigint
  from pg_stats as s
  join pg_namespace as n on n.nspname = s.schemaname
  join pg_class as c on c.relnamespace = n.oid and c.relname = s.tablename
 where s.schemaname = $1
   and s.tablename = $2
   and s.attname = $3
   and not s.inherited";
    let select = Statement::new(sql, 1).bind(schema)?.bind(table)?.bind(&reference.column)?;
    let rows = fetch(context, select, deadline).await?;
    Ok(rows.first().map(|row| row.try_get::<Option<i64>, _>(0)).transpose()?.flatten().unwrap_or_default())
}

/// The next distinct references after `after`, in the order of their bytes.
///
/// On one server each of them costs a look into the index, however many rows have it: the planner would read all rows.
fn distinct(documented: &Documented, sharded: bool) -> String {
    let (table, column) = (table(documented), column(documented));
    if sharded {
        // A sharded database has no recursive queries.
        return format!("select distinct {column} as v from {table} as t where {column} > $1 order by 1 limit $2");
    }
    format!(
        "select w.v
  from (with recursive w as (
            (select {column} as v from {table} as t where {column} > $1 order by {column} limit 1)
            union all
            select (select {column} from {table} as t where {column} > w.v order by {column} limit 1)
              from w
             where w.v is not null)
        select w.v from w where w.v is not null limit $2) as w"
    )
}

/// A window of references in the order of their values.
pub(super) struct ByValue {
    /// All of them.
    pub(super) values: Vec<String>,
    /// Those without a target; `None` if the window does not tell.
    pub(super) missing: Option<Vec<String>>,
}

/// The next `rows` distinct references after `after`, and, on one server, which of them have no target in this slice.
///
/// # Errors
/// The errors of the database.
pub(super) async fn by_value(
    context: &Context,
    documented: &Documented,
    target: Option<&Target>,
    after: &str,
    rows: usize,
    deadline: Deadline,
) -> Result<ByValue, Error> {
    let sharded = context.database().is_sharded();
    let window = distinct(documented, sharded);
    let target = target.filter(|_| !sharded);
    let sql = match target {
        None => window,
        Some(target) => format!(
            "select v.v, o.found is null
  from ({window}) as v
  left join lateral (select true as found from {} as o where o.{} = v.v limit 1) as o on true",
            target_table(target),
            quoted(&target.column)
        ),
    };
    let select = Statement::new(sql, rows).bind(after)?.bind(rows as i64)?;
    let found = fetch(context, select, deadline).await?;
    let (mut values, mut missing) = (Vec::with_capacity(found.len()), Vec::new());
    for row in &found {
        let value: String = row.try_get(0)?;
        if target.is_some() && row.try_get(1)? {
            missing.push(value.clone());
        }
        values.push(value);
    }
    // The server returns them so; a merge relies on it.
    if !values.is_sorted() {
        return Err(Error::internal(format!("{} is not in the order of bytes", documented.reference.name())));
    }
    Ok(ByValue { values, missing: target.map(|_| missing) })
}

/// A window of rows in the order of their keys.
#[derive(Default)]
pub(super) struct ByRow {
    /// The references, each with the first row that has it.
    pub(super) children: BTreeMap<String, String>,
    /// The key of the last row; `None` if there was no row.
    pub(super) last: Option<Vec<String>>,
    /// How many rows there were.
    pub(super) rows: usize,
}

/// The next `rows` rows after the one with the key `after`; the first ones if that is empty.
///
/// # Errors
/// The errors of the database.
pub(super) async fn by_row(
    context: &Context,
    documented: &Documented,
    after: &[String],
    rows: usize,
    deadline: Deadline,
) -> Result<ByRow, Error> {
    let columns = key(documented);
    let texts: Vec<String> = columns.iter().map(|column| format!("{column}::text")).collect();
    // Literals take the types of the columns.
    let literals: Vec<String> = after.iter().map(|text| literal(text)).collect();
    let from = if literals.is_empty() {
        String::new()
    } else {
        format!("\n where ({}) > ({})", columns.join(", "), literals.join(", "))
    };
    let sql = format!(
        "select array[{}], {}, {}
  from {} as t{from}
 order by {}
 limit {rows}",
        texts.join(", "),
        child(documented),
        references(documented),
        table(documented),
        columns.join(", "),
    );
    let found = fetch(context, Statement::new(sql, rows), deadline).await?;
    let mut window = ByRow { rows: found.len(), ..ByRow::default() };
    for row in &found {
        let (child, references): (String, Vec<Option<String>>) = (row.try_get(1)?, row.try_get(2)?);
        for reference in references.into_iter().flatten().filter(|reference| !reference.is_empty()) {
            window.children.entry(reference).or_insert_with(|| child.clone());
        }
    }
    window.last = found.last().map(|row| row.try_get(0)).transpose()?;
    Ok(window)
}

/// Those of some uids that do not exist in a column of this slice, in their order.
///
/// # Errors
/// The errors of the database.
pub(super) async fn missing(
    context: &Context,
    target: &Target,
    uids: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Error> {
    let (table, column) = (target_table(target), quoted(&target.column));
    let database = context.database();
    let mut missing = Vec::new();
    for uids in uids.chunks(rows_at_once(database, super::WINDOW)) {
        if database.is_sharded() {
            // A sharded database joins no list with what is spread over its servers so that the list's rows stay.
            let sql = format!("select distinct o.{column} from {table} as o where o.{column} = any ($1)");
            let select = Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?;
            let rows = fetch(context, select, deadline).await?;
            let found = rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<String>, _>>()?;
            missing.extend(uids.iter().filter(|uid| !found.contains(*uid)).cloned());
        } else {
            let sql = format!(
                "select v.v
  from unnest($1::text[]) with ordinality as v (v, n)
  left join lateral (select true as found from {table} as o where o.{column} = v.v limit 1) as o on true
 where o.found is null
 order by v.n"
            );
            let select = Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?;
            for row in fetch(context, select, deadline).await? {
                missing.push(row.try_get(0)?);
            }
        }
    }
    Ok(missing)
}

/// A row for each of some uids that refers to it, if an index serves the column. Uids without a row are left out.
///
/// # Errors
/// The errors of the database.
pub(super) async fn children(
    context: &Context,
    documented: &Documented,
    uids: &[String],
    deadline: Deadline,
) -> Result<BTreeMap<String, String>, Error> {
    let (table, column, child) = (table(documented), column(documented), child(documented));
    let order = key(documented).join(", ");
    let database = context.database();
    let mut children = BTreeMap::new();
    for uids in uids.chunks(rows_at_once(database, super::WINDOW)) {
        let sql = if database.is_sharded() {
            format!(
                "select distinct on ({column}) {column}, {child}
  from {table} as t
 where {column} = any ($1)
 order by {column}, {order}"
            )
        } else {
            format!(
                "select v.v, c.child
  from unnest($1::text[]) as v (v)
 cross join lateral (select {child} as child from {table} as t where {column} = v.v order by {column}, {order} limit 1)
       as c"
            )
        };
        let select = Statement::new(sql, uids.len()).bind(ArrayParameter::texts(uids))?;
        for row in fetch(context, select, deadline).await? {
            children.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(children)
}

/// Which of some candidates rows still refer to, as far as that is cheap to find out: by an index of the column, or by
/// the uid of the row that was seen. Of others it is assumed.
///
/// # Errors
/// The errors of the database.
pub(super) async fn still_referred(
    context: &Context,
    documented: &Documented,
    candidates: &[&Candidate],
    deadline: Deadline,
) -> Result<HashSet<String>, Error> {
    let all = || candidates.iter().map(|candidate| candidate.missing_uid.clone());
    if documented.indexed {
        let uids: Vec<String> = all().collect();
        return Ok(children(context, documented, &uids, deadline).await?.into_keys().collect());
    }
    if documented.key != ["uid"] {
        return Ok(all().collect());
    }
    let mut referred = HashSet::new();
    let at_once = rows_at_once(context.database(), super::CONFIRMED_AT_ONCE);
    for candidates in candidates.chunks(at_once) {
        let uids: Vec<&str> = candidates.iter().map(|candidate| &*candidate.child_uid).collect();
        let sql = format!(
            "select t.\"uid\", {}\n  from {} as t\n where t.\"uid\" = any ({})",
            references(documented),
            table(documented),
            literal_array(&uids)
        );
        let mut of_rows = BTreeMap::new();
        for row in fetch(context, Statement::new(sql, uids.len()), deadline).await? {
            let (uid, references): (String, Vec<Option<String>>) = (row.try_get(0)?, row.try_get(1)?);
            of_rows.insert(uid, references);
        }
        let refers = |candidate: &&&Candidate| {
            let references = of_rows.get(&candidate.child_uid).map_or(&[][..], Vec::as_slice);
            references.iter().flatten().any(|reference| *reference == candidate.missing_uid)
        };
        referred.extend(candidates.iter().filter(refers).map(|candidate| candidate.missing_uid.clone()));
    }
    Ok(referred)
}
