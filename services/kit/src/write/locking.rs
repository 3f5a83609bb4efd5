//! Statements that lock several rows, in two forms.
//!
//! A server that holds all rows locks them with `for update`, in the order of their keys. A sharded database refuses
//! that for rows of several shards; there an update that changes nothing locks them. It writes a new version of each
//! row, so other servers do without it.

use std::sync::Arc;

use super::rows::unnested;
use crate::db::Transaction;
use crate::db::sql::TRANSACTION_TIME;
use crate::resource::Resource;
use crate::resource::select::Selection;

/// What is added to the name of a statement that only sharded databases run.
pub(super) const SHARDED: &str = ", if the database is sharded";

/// A statement that locks rows.
#[derive(Clone, Debug)]
pub(super) struct Locking {
    single: Arc<str>,
    sharded: Arc<str>,
}

impl Locking {
    /// Finds out which of some keys are stored, and locks their rows.
    pub(super) fn find(resource: &Resource) -> Self {
        let locked = noop_update(resource);
        Self {
            single: find(resource, &format!("\n     order by {}\n       for update of t", resource.key_columns("t"))),
            sharded: format!(
                "with found as (\n    {}\n    returning i.ordinal\n)\n\
                 select count(*) as written, {TRANSACTION_TIME} as now, array_agg(ordinal) as stored from found",
                locked.replace('\n', "\n    ")
            )
            .into(),
        }
    }

    /// Locks rows by their keys, and selects all of them.
    pub(super) fn rows(resource: &Resource, selection: &Selection) -> Self {
        let (table, columns) = (resource.description.table, &selection.sql);
        let (keys, order) = (resource.key_in_arrays(1), resource.key_columns("t"));
        Self {
            single: format!("select {columns}\n  from {table} as t\n where {keys}\n order by {order}\n   for update")
                .into(),
            sharded: format!("{}\nreturning {columns}", noop_update(resource)).into(),
        }
    }

    /// Locks the rows that are referred to by this column, so that they stay.
    pub(super) fn targets(table: &str, key: &str) -> Self {
        Self {
            single: format!(
                "select t.{key}\n  from {table} as t\n where t.{key} = any ($1)\n order by t.{key}\n   for key share"
            )
            .into(),
            sharded: format!(
                "update {table} as t\n   set {key} = t.{key}\n where t.{key} = any ($1)\nreturning t.{key}"
            )
            .into(),
        }
    }

    /// The text for the database of a transaction.
    pub(super) fn text(&self, transaction: &Transaction<'_>) -> Arc<str> {
        Arc::clone(if transaction.is_sharded() { &self.sharded } else { &self.single })
    }

    /// Both texts with their names, for people who read them.
    pub(super) fn sql(&self, title: &str) -> [(String, String); 2] {
        [(title.to_owned(), self.single.to_string()), (format!("{title}{SHARDED}"), self.sharded.to_string())]
    }
}

/// The statement that finds out which of some keys are stored. `lock` is added to its select.
pub(super) fn find(resource: &Resource, lock: &str) -> Arc<str> {
    let keys: Vec<_> = resource.key_fields().collect();
    format!(
        "with found as (\n    select i.ordinal\n      from {}\n      join {} as t on {}{lock}\n)\n\
         select {TRANSACTION_TIME} as now, array_agg(ordinal) as stored from found",
        unnested(keys.into_iter(), false),
        resource.description.table,
        resource.same_key("t", "i")
    )
    .into()
}

/// An update of the rows with some keys that changes nothing.
fn noop_update(resource: &Resource) -> String {
    let (table, column) = (resource.description.table, resource.description.key[0]);
    let keys: Vec<_> = resource.key_fields().collect();
    format!(
        "update {table} as t\n   set {column} = t.{column}\n  from {}\n where {}",
        unnested(keys.into_iter(), false),
        resource.same_key("t", "i")
    )
}
