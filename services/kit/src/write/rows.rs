//! Writes the rows of one table. New rows are written by `COPY`, which is fastest for many rows, or by `insert` for
//! few. Existing rows are updated if they differ.

use std::sync::Arc;

use sqlx::Row as _;

use super::assignment::{assignment, next_revision};
use super::locking::SHARDED;
use crate::db::array::{ArrayParameter, ElementType};
use crate::db::sql::indented;
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::resource::kind::Assignment;
use crate::resource::mask::{Reach, UpdateMask};
use crate::resource::{Field, Resource};

/// Most rows whose columns are array parameters of one statement.
pub(super) const ARRAY_ROWS: usize = 8_192;

/// How often an update is run in one transaction while others change its rows.
const ATTEMPTS: usize = 64;

/// Most bytes of new rows that are written by `insert`.
///
/// A `COPY` ends with a small packet after another one. The client's system holds it back until the previous packet is
/// acknowledged (Nagle's algorithm, which the driver does not turn off), and the server's system may delay that
/// acknowledgement by 40 ms. The server waits during this time, unless it still works on the rows, as it does on more
/// than this. An `insert` is sent as a whole, and takes one round trip instead of two.
pub(super) const INSERT_BYTES: usize = 512 * 1024;

/// The rows that an update reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returning {
    /// The number of updated rows.
    Count,
    /// The places of the updated rows.
    Places,
}

/// The statements for rows of one table.
#[derive(Clone, Debug)]
pub(super) struct RowStatements {
    resource: &'static Resource,
    copy: Arc<str>,
    insert: Arc<str>,
    /// `None` if nothing of an existing row may be changed.
    update: Option<Update>,
    returning: Returning,
    /// Whether the statement is kept prepared. Statements for masks of callers are not, because these vary.
    keep_prepared: bool,
}

impl RowStatements {
    /// The statements for a mask; without one existing rows are left as they are.
    pub(super) fn new(resource: &'static Resource, mask: Option<&UpdateMask>, returning: Returning) -> Self {
        let names = resource.inputs().map(|field| field.name).collect::<Vec<_>>().join(", ");
        let table = resource.description.table;
        Self {
            resource,
            copy: format!("copy {table} ({names}) from stdin (format binary)").into(),
            insert: format!("insert into {table} ({names}) select * from {}", unnested_new(resource)).into(),
            update: mask.and_then(|mask| Update::new(resource, mask, returning)),
            returning,
            keep_prepared: mask.is_none_or(|mask| *mask == UpdateMask::Populated),
        }
    }

    /// The statements, each with a name, for people who read them.
    pub(super) fn sql(&self) -> Vec<(String, Arc<str>)> {
        let mut all = vec![
            ("create many rows".to_owned(), Arc::clone(&self.copy)),
            ("create rows".to_owned(), Arc::clone(&self.insert)),
        ];
        all.extend(self.update.iter().flat_map(|update| update.sql("update the rows that differ")));
        all
    }

    /// Keeps the statement prepared.
    pub(super) fn keep_prepared(&mut self) {
        self.keep_prepared = true;
    }

    /// Creates the rows of these input tuples. `now` is in microseconds since 2000-01-01 UTC.
    ///
    /// # Errors
    /// [`Error::TransactionConflict`] if one of them exists.
    pub(super) async fn create(
        &self,
        transaction: &mut Transaction<'_>,
        tuples: &[&[u8]],
        now: i64,
    ) -> Result<(), Error> {
        for batch in tuples.chunks(transaction.max_statement_rows()) {
            if batch.iter().map(|tuple| tuple.len()).sum::<usize>() <= INSERT_BYTES {
                self.insert(transaction, batch, now).await?;
            } else {
                self.copy(transaction, batch, now).await?;
            }
        }
        Ok(())
    }

    async fn copy(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]], now: i64) -> Result<(), Error> {
        let mut next = tuples.iter();
        let put_next = |out: &mut Vec<u8>| {
            if let Some(tuple) = next.next() {
                self.resource.put_new_row(tuple, now, out);
            }
        };
        transaction.copy_in(&self.copy, tuples.len(), put_next).await
    }

    async fn insert(&self, transaction: &mut Transaction<'_>, tuples: &[&[u8]], now: i64) -> Result<(), Error> {
        let array = |field: &Field| ArrayParameter::with_capacity(field.stored_type(), tuples.len() * 32);
        let mut arrays: Vec<ArrayParameter> = self.resource.inputs().map(array).collect();
        let mut row = Vec::new();
        for tuple in tuples {
            row.clear();
            self.resource.put_new_row(tuple, now, &mut row);
            ArrayParameter::push_columns(&mut arrays, row.get(size_of::<i16>()..).unwrap_or_default());
        }
        let mut insert = Statement::new(Arc::clone(&self.insert), tuples.len());
        for array in arrays {
            insert = insert.bind(array)?;
        }
        transaction.insert(insert).await
    }

    /// Updates the rows of these input tuples that differ from what is stored, or whose children changed: `touched` has
    /// an entry for each tuple if the resource has child tables, and is empty otherwise. Calls `changed` with the place
    /// of each updated row, if the statement returns places. Returns the number of updated rows.
    ///
    /// # Errors [`Error::TransactionConflict`] if one of them does not exist any more, or another transaction changed
    /// it meanwhile.
    pub(super) async fn update(
        &self,
        transaction: &mut Transaction<'_>,
        tuples: &[&[u8]],
        touched: &[bool],
        mut changed: impl FnMut(usize) + Send,
    ) -> Result<usize, Error> {
        let Some(update) = &self.update else { return Ok(0) };
        let mut total = 0;
        let most = ARRAY_ROWS.min(transaction.max_statement_rows());
        for (start, batch) in (0..).step_by(most).zip(tuples.chunks(most)) {
            let mut statement = Statement::new(update.text(transaction), batch.len());
            statement.keep_prepared = self.keep_prepared;
            for array in arrays(self.resource.inputs(), batch) {
                statement = statement.bind(array)?;
            }
            if !self.resource.child_tables.is_empty() {
                let mut array = ArrayParameter::with_capacity(ElementType::Integer, batch.len() * 8);
                for place in start..start + batch.len() {
                    array.push(&i32::from(touched.get(place) == Some(&true)).to_be_bytes());
                }
                statement = statement.bind(array)?;
            }
            let mut attempts = if self.resource.child_tables.is_empty() { ATTEMPTS } else { 1 };
            loop {
                let rows = transaction.write(statement.clone()).await?;
                let row = rows.first().ok_or_else(|| Error::internal("an update returned no count"))?;
                let count = |at: usize| -> Result<usize, Error> { Ok(row.try_get::<i64, _>(at)? as usize) };
                let (updated, stored, differing) = (count(0)?, count(1)?, count(2)?);
                if self.returning == Returning::Places {
                    for ordinal in row.try_get::<Option<Vec<i64>>, _>(3)?.unwrap_or_default() {
                        changed(start + ordinal as usize - 1);
                    }
                }
                total += updated;
                attempts -= 1;
                if stored != batch.len() || (updated != differing && attempts == 0) {
                    // A row that had been found is gone, or others changed it again and again.
                    return Err(Error::TransactionConflict(sqlx::Error::RowNotFound));
                }
                // What others changed meanwhile is compared again; what this transaction updated does not differ.
                if updated == differing {
                    break;
                }
            }
        }
        Ok(total)
    }
}

/// The columns of tuples that begin with these fields, as array parameters.
pub(super) fn arrays<'a>(fields: impl Iterator<Item = &'a Field>, tuples: &[&[u8]]) -> Vec<ArrayParameter> {
    let mut arrays: Vec<ArrayParameter> =
        fields.map(|field| ArrayParameter::with_capacity(field.element_type(), tuples.len() * 32)).collect();
    for tuple in tuples {
        ArrayParameter::push_columns(&mut arrays, tuple);
    }
    arrays
}

/// `unnest($1::text[], ...) with ordinality as i (uid, ..., ordinal)`; with an integer column `touched` before the last
/// if `touched`.
pub(super) fn unnested<'a>(fields: impl Iterator<Item = &'a Field>, touched: bool) -> String {
    let mut columns: Vec<(&str, ElementType)> = fields.map(|field| (field.name, field.element_type())).collect();
    if touched {
        columns.push(("touched", ElementType::Integer));
    }
    let (arrays, names) = lists(&columns, 1);
    format!("unnest({arrays}) with ordinality as i ({names}, ordinal)")
}

/// `unnest($1::text[], ...) as i (uid, ...)`, of new rows as they are stored.
fn unnested_new(resource: &Resource) -> String {
    let columns: Vec<(&str, ElementType)> = resource.inputs().map(|field| (field.name, field.stored_type())).collect();
    let (arrays, names) = lists(&columns, 1);
    format!("unnest({arrays}) as i ({names})")
}

/// The parameters of columns, from the number `first` on, and their names.
pub(super) fn lists(columns: &[(&str, ElementType)], first: usize) -> (String, String) {
    let arrays = (first..).zip(columns).map(|(number, (_, element))| format!("${number}::{}", element.array_name()));
    let names = columns.iter().map(|(name, _)| *name);
    (arrays.collect::<Vec<_>>().join(", "), names.collect::<Vec<_>>().join(", "))
}

/// The assignments of an update, as SQL over `i`, the values that were sent, and `t`, the stored row.
pub(super) struct Overwrite {
    /// Each column with its new value.
    values: Vec<(&'static str, String)>,
    /// The assignments of the columns that change with every update.
    touched: Vec<String>,
    /// The condition under which a row is changed.
    pub(super) differs: String,
}

impl Overwrite {
    /// The assignments of a mask; `None` if no field may be changed. Rows with `touched` children are always changed.
    pub(super) fn new(resource: &Resource, mask: &UpdateMask, touched: bool) -> Option<Self> {
        let mut values = Vec::new();
        let mut differences = Vec::new();
        let mut reach = |field: &Field, reach: Option<&Reach>| {
            if field.is_stored() {
                let Assignment { value, differs } = assignment(resource, mask, field, reach);
                values.push((field.name, value));
                differences.push(indented(&differs, 11));
            }
        };
        match mask.paths() {
            None => resource.mutable().for_each(|field| reach(field, None)),
            Some(paths) => {
                for path in paths {
                    reach(&resource.fields[path.field], Some(&path.reach));
                }
            }
        }
        if touched {
            differences.push("i.touched <> 0".to_owned());
        }
        if differences.is_empty() {
            return None;
        }
        let touched = resource.stored().filter_map(|field| match field {
            field if field.is_update_time() => Some(format!("{} = now()", field.name)),
            field if field.is_revision() => Some(next_revision(field)),
            _ => None,
        });
        let mut differs = differences.join("\n        or ");
        if let Some(newest) = resource.description.newest_by {
            differs = format!("({differs}) and coalesce(i.{newest}, now()) >= t.{newest}");
        }
        Some(Self { values, touched: touched.collect(), differs })
    }

    /// The assignments of `set`, which compute the new values.
    pub(super) fn set(&self) -> String {
        let assign = |(name, value): &(&str, String)| format!("{name} =\n               {}", indented(value, 15));
        self.set_by(assign)
    }

    /// The assignments of `set`, if `i` holds the new values.
    fn set_computed(&self) -> String {
        self.set_by(|(name, _)| format!("{name} = i.{name}"))
    }

    fn set_by(&self, assign: impl Fn(&(&'static str, String)) -> String) -> String {
        let assignments = self.values.iter().map(assign).chain(self.touched.iter().cloned());
        assignments.collect::<Vec<_>>().join(",\n           ")
    }

    /// The new values, for a select list.
    fn list(&self) -> String {
        let value = |(name, value): &(&str, String)| format!("           {} as {name},\n", indented(value, 11));
        self.values.iter().map(value).collect()
    }
}

/// Updates the rows that differ. Counts the updated rows, the stored ones, and those that differed when the statement
/// began. A row that another transaction has changed or deleted since then is not updated.
///
/// The new values are computed beside the comparison, and not in the update: a sharded database does not accept
/// functions such as `jsonb_object_agg` within a `case` of an update.
#[derive(Clone, Debug)]
struct Update {
    single: Arc<str>,
    sharded: Arc<str>,
}

impl Update {
    /// `None` if no field may be changed.
    fn new(resource: &Resource, mask: &UpdateMask, returning: Returning) -> Option<Self> {
        let touched = !resource.child_tables.is_empty();
        let overwrite = Overwrite::new(resource, mask, touched)?;
        let read = resource.stored().map(|field| field.name).filter(|name| !resource.description.key.contains(name));
        let read: Vec<&str> = read.collect();
        let single = ("t.xmin as row_version".to_owned(), "t.xmin = i.row_version".to_owned());
        // A reference table has the same rows on all servers, each with an `xmin` of its own. The columns are the same.
        let sharded = (
            read.iter().map(|name| format!("t.{name} as old_{name}")).collect::<Vec<_>>().join(", "),
            read.iter()
                .map(|name| format!("t.{name} is not distinct from i.old_{name}"))
                .collect::<Vec<_>>()
                .join("\n       and "),
        );
        let [single, sharded] = [single, sharded]
            .map(|(version, unchanged)| update(resource, &overwrite, returning, &version, &unchanged).into());
        Some(Self { single, sharded })
    }

    /// The text for the database of a transaction.
    fn text(&self, transaction: &Transaction<'_>) -> Arc<str> {
        Arc::clone(if transaction.is_sharded() { &self.sharded } else { &self.single })
    }

    /// Both texts with their names, for people who read them.
    fn sql(&self, title: &str) -> [(String, Arc<str>); 2] {
        [(title.to_owned(), Arc::clone(&self.single)), (format!("{title}{SHARDED}"), Arc::clone(&self.sharded))]
    }
}

/// The text of an [`Update`]. `version` selects what a row of `t` is recognized by, and `unchanged` compares it.
fn update(resource: &Resource, overwrite: &Overwrite, returning: Returning, version: &str, unchanged: &str) -> String {
    let touched = !resource.child_tables.is_empty();
    let (set, values, differs) = (overwrite.set_computed(), overwrite.list(), &overwrite.differs);
    let (table, same_key) = (resource.description.table, resource.same_key("t", "i"));
    let key = resource.key_columns("i");
    let places = match returning {
        Returning::Count => "",
        Returning::Places => ", (select array_agg(ordinal) from updated)",
    };
    format!(
        "with stored as materialized (\n    \
             select {key}, i.ordinal, {version},\n\
             {values}           \
               ({differs}) as differing\n      \
               from {}\n      \
               join {table} as t on {same_key}\n\
         ), updated as (\n    \
             update {table} as t\n       \
                set {}\n      \
               from stored as i\n     \
              where i.differing and {same_key} and {unchanged}\n    \
             returning i.ordinal\n\
         )\nselect (select count(*) from updated) as written, count(*), count(*) filter (where differing){places} from stored",
        unnested(resource.inputs(), touched),
        set,
    )
}
