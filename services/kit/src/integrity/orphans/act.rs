//! What the comments say is to be done with confirmed orphans: rows that refer to them are deleted or cleared.

use std::sync::Arc;

use sqlx::Row as _;

use super::relation::{column, key, refers_to, rows_at_once, table};
use super::{Detection, cursor, ledger, parts};
use crate::context::Context;
use crate::db::sql::{literal, literal_array};
use crate::db::{Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::integrity::{Documented, OnOrphan};
use crate::procedures::{Next, Position, Step};

/// Most orphans that are looked at once.
const ORPHANS_AT_ONCE: usize = 100;
/// Most rows that one step deletes or clears.
const ROWS_AT_ONCE: usize = 500;

/// The names of an action's results: in earnest and in a dry run.
fn result_names(action: OnOrphan) -> (&'static str, &'static str) {
    match action {
        OnOrphan::Clear => ("cleared", "would_clear"),
        OnOrphan::Delete | OnOrphan::Report => ("deleted", "would_delete"),
    }
}

impl Detection {
    /// Deletes or clears some rows.
    pub(super) async fn act(&self, at: &Position, relations: &[Documented], deadline: Deadline) -> Result<Step, Error> {
        let after = parts::<2>(&at.cursor)?.unwrap_or_default();
        let to_count = || Ok(Step::to(Next::Step(at.clone().to_step("count"))));
        let acts = |documented: &&Documented| documented.reference.action != OnOrphan::Report;
        let rest = |documented: &&Documented| *documented.reference.name() >= *after[0];
        let Some(documented) = relations.iter().filter(acts).find(rest) else { return to_count() };
        let relation = documented.reference.name();
        let after = if after[0] == relation { after } else { [relation.clone(), String::new()] };
        let (name, dry_name) = result_names(documented.reference.action);
        let done: i64 = ["deleted", "cleared"].iter().filter_map(|name| at.result.get(*name)).sum();
        let left = self.max_deletions.saturating_sub(usize::try_from(done).unwrap_or_default());
        if left == 0 && !self.dry_run {
            return to_count();
        }
        let orphans = ledger::confirmed(&self.context, &relation, &after, ORPHANS_AT_ONCE, deadline).await?;
        let Some(last) = orphans.last() else {
            // On to the relation after this one: no name is between them.
            let next = cursor(&[&format!("{relation}\u{1}"), ""])?;
            return Ok(Step::to(Next::Step(at.clone().to_cursor(next))));
        };
        let passed = at.clone().to_cursor(cursor(&[&relation, &last.missing_uid])?);
        let uids: Vec<String> = orphans.iter().map(|orphan| orphan.missing_uid.clone()).collect();
        let missing = self.missing(documented, uids, deadline).await?;
        let found = orphans.iter().filter(|orphan| !missing.contains(&orphan.missing_uid));
        let found: Vec<(String, String)> = found.map(|orphan| (relation.clone(), orphan.missing_uid.clone())).collect();
        let rows = Rows { documented: documented.clone(), missing, is_here: self.is_here(documented) };
        if self.dry_run {
            let mut passed = passed;
            passed.add(dry_name, rows.count(&self.context, deadline).await?);
            return Ok(Step::to(Next::Step(passed)));
        }
        // One more tells whether these are all.
        let looked_at = rows_at_once(self.context.database(), ROWS_AT_ONCE + 1).max(2);
        let most = left.min(looked_at - 1);
        let mut keys = rows.keys(&self.context, most + 1, deadline).await?;
        let are_all = keys.len() <= most;
        keys.truncate(most);
        let gone = if are_all {
            rows.missing.iter().map(|uid| (relation.clone(), uid.clone())).chain(found.clone()).collect()
        } else {
            found.clone()
        };
        let stays = at.clone().to_cursor(cursor(&[&after[0], &after[1]])?);
        let (schema, work) = (self.context.schema, Arc::new((rows, keys, gone, found)));
        Ok(Step::that(move |transaction| {
            let (stays, passed, work) = (stays.clone(), passed.clone(), Arc::clone(&work));
            Box::pin(async move {
                let (rows, keys, gone, found) = &*work;
                let done = rows.act(transaction, keys).await?;
                // A trigger of another program can keep rows.
                let is_refused = done == 0 && !keys.is_empty();
                ledger::delete(transaction, schema, if is_refused { found } else { gone }).await?;
                let mut next = if are_all || is_refused { passed } else { stays };
                next.add(name, done);
                Ok(Next::Step(next))
            })
        }))
    }
}

/// The rows of a relation that refer to some missing uids.
struct Rows {
    documented: Documented,
    missing: Vec<String>,
    /// Whether the target is in this slice.
    is_here: bool,
}

impl Rows {
    fn condition(&self) -> String {
        refers_to(&self.documented, &literal_array(&self.missing))
    }

    /// How many there are.
    async fn count(&self, context: &Context, deadline: Deadline) -> Result<i64, Error> {
        if self.missing.is_empty() {
            return Ok(0);
        }
        let sql = format!("select count(*)\n  from {} as t\n where {}", table(&self.documented), self.condition());
        let mut select = Statement::new(sql, 1);
        select.keep_prepared = false;
        let rows = context.background_reads().fetch(&select, deadline).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
    }

    /// The keys of the first ones, at most `most`.
    async fn keys(&self, context: &Context, most: usize, deadline: Deadline) -> Result<Vec<Vec<String>>, Error> {
        if self.missing.is_empty() {
            return Ok(Vec::new());
        }
        let columns = key(&self.documented);
        let texts: Vec<String> = columns.iter().map(|column| format!("{column}::text")).collect();
        let sql = format!(
            "select array[{}]\n  from {} as t\n where {}\n order by {}\n limit {most}",
            texts.join(", "),
            table(&self.documented),
            self.condition(),
            columns.join(", "),
        );
        let mut select = Statement::new(sql, most);
        select.keep_prepared = false;
        let rows = context.background_reads().fetch(&select, deadline).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Deletes or clears the rows with these keys that still refer to what is missing. Returns how many there were.
    async fn act(&self, transaction: &mut Transaction<'_>, keys: &[Vec<String>]) -> Result<i64, Error> {
        if keys.is_empty() {
            return Ok(0);
        }
        let columns = key(&self.documented).join(", ");
        // Literals take the types of the columns.
        let tuple = |key: &Vec<String>| {
            let literals: Vec<String> = key.iter().map(|text| literal(text)).collect();
            format!("({})", literals.join(", "))
        };
        let keys_in: Vec<String> = keys.iter().map(tuple).collect();
        let mut condition = format!("({columns}) in ({}) and {}", keys_in.join(", "), self.condition());
        let reference = &self.documented.reference;
        if self.is_here && reference.path.is_none() && !reference.list && !transaction.is_sharded() {
            let target = &reference.target;
            condition.extend([
                " and not exists (select from \"",
                &target.schema,
                "\".\"",
                &target.table,
                "\" as o where o.\"",
                &target.column,
                "\" = ",
                &column(&self.documented),
                ")",
            ]);
        }
        let table = table(&self.documented);
        let change = match reference.action {
            OnOrphan::Clear => format!("update {table} as t set {}", self.cleared()),
            OnOrphan::Delete | OnOrphan::Report => format!("delete from {table} as t"),
        };
        let sql = format!(
            "with done as (
    {change}
     where {condition}
    returning 1)
select count(*) as written from done"
        );
        let mut statement = Statement::new(sql, keys.len());
        statement.keep_prepared = false;
        let rows = transaction.write(statement).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
    }

    /// The assignment that removes the references from a row.
    fn cleared(&self) -> String {
        let reference = &self.documented.reference;
        let (column, missing) = (column(&self.documented), literal_array(&self.missing));
        let name = format!("\"{}\"", reference.column);
        let json = match &reference.path {
            Some(path) => format!("{column} -> {}", literal(path)),
            None => column.clone(),
        };
        let rest = format!(
            "(select coalesce(jsonb_agg(e.value order by e.n), '[]')
    from jsonb_array_elements({json}) with ordinality as e (value, n)
   where jsonb_typeof(e.value) <> 'string' or e.value #>> '{{}}' <> all ({missing}))"
        );
        match (reference.list, &reference.path) {
            (false, None) => format!("{name} = null"),
            (false, Some(path)) => format!("{name} = {column} - {}", literal(path)),
            (true, Some(path)) => format!("{name} = jsonb_set({column}, array[{}], {rest})", literal(path)),
            (true, None) if self.documented.is_json => format!("{name} = {rest}"),
            (true, None) => format!(
                "{name} = array(select e.value from unnest({column}) with ordinality as e (value, n)
   where e.value is null or e.value <> all ({missing}) order by e.n)"
            ),
        }
    }
}
