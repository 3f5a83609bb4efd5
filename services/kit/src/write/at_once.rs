//! Creates one row with its children in one statement. Otherwise it takes a statement for each table, each after a look
//! for existing rows. It creates nothing if children without an owner are stored under the row's key: then the caller
//! uses separate statements.

use std::sync::Arc;

use sqlx::Row as _;

use super::rows::{ARRAY_ROWS, INSERT_BYTES, lists};
use crate::db::array::{ArrayParameter, ElementType};
use crate::db::sql::TRANSACTION_TIME;
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_column;
use crate::resource::batch::Entry;
use crate::resource::row::rows;
use crate::resource::select::Selection;
use crate::resource::tuple::Columns;
use crate::resource::tuple::prefix;
use crate::resource::{Description, Field, Resource};

/// Stands for the current time, which only the database knows: infinity, which no caller can send.
const LATER: i64 = i64::MAX;

/// The statement that creates one row of a resource with its children.
#[derive(Debug)]
pub(super) struct CreateOne {
    resource: &'static Resource,
    sql: Arc<str>,
    selection: Selection,
}

/// A row that was created.
pub(super) struct Created {
    /// All its stored columns, as a tuple.
    pub(super) stored: Vec<u8>,
    /// The time that the database gave it, in microseconds since 2000-01-01 UTC.
    pub(super) now: i64,
}

impl CreateOne {
    pub(super) fn new(resource: &'static Resource) -> Self {
        let selection = Selection::whole(resource);
        Self { resource, sql: sql(resource, &selection).into(), selection }
    }

    /// The statement, for people who read it.
    pub(super) fn sql(&self) -> Arc<str> {
        Arc::clone(&self.sql)
    }

    /// Creates the row; `None` if such children are stored, or if the row is too large for one statement.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the row exists or the database refuses it, after which the transaction cannot be used;
    /// what the database says.
    pub(super) async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry<'_>,
    ) -> Result<Option<Created>, Error> {
        if entry.bytes() > INSERT_BYTES {
            return Ok(None);
        }
        let mut arrays = arrays_of(self.resource);
        put_row(self.resource, entry.tuple(), &mut arrays);
        let mut statement = Statement::new(Arc::clone(&self.sql), 1);
        for array in arrays {
            statement = statement.bind(array)?;
        }
        for (nth, child_table) in self.resource.child_tables.iter().enumerate() {
            let key = prefix(entry.tuple(), child_table.owner_columns);
            let mut arrays = arrays_of(child_table.resource);
            let mut tuple = Vec::new();
            for child in rows(entry.children(self.resource, nth).unwrap_or_default()) {
                tuple.clear();
                tuple.extend_from_slice(key);
                tuple.extend_from_slice(child.tuple());
                put_row(child_table.resource, &tuple, &mut arrays);
                statement.rows += 1;
            }
            for array in arrays {
                statement = statement.bind(array)?;
            }
        }
        if statement.rows > ARRAY_ROWS {
            return Ok(None);
        }
        let rows = transaction.write(statement).await?;
        let row = rows.first().ok_or_else(|| Error::internal("a create returned nothing"))?;
        let mut stored = Vec::with_capacity(512);
        for column in 0..self.selection.columns {
            put_column(row, 2 + column, &mut stored)?;
        }
        if Columns::new(&stored).next().flatten().is_none() {
            return Ok(None);
        }
        Ok(Some(Created { stored, now: row.try_get(1)? }))
    }
}

fn arrays_of(resource: &Resource) -> Vec<ArrayParameter> {
    resource.inputs().map(|field| ArrayParameter::with_capacity(field.stored_type(), 64)).collect()
}

fn put_row(resource: &Resource, tuple: &[u8], arrays: &mut [ArrayParameter]) {
    let mut row = Vec::with_capacity(tuple.len() + 64);
    resource.put_new_row(tuple, LATER, &mut row);
    ArrayParameter::push_columns(arrays, row.get(size_of::<i16>()..).unwrap_or_default());
}

/// A column of a new row, from what was bound.
fn value(field: &Field) -> String {
    let name = field.name;
    if field.is_time() {
        format!("case i.{name} when 'infinity' then now() else i.{name} end")
    } else {
        format!("i.{name}")
    }
}

fn sql(resource: &Resource, selection: &Selection) -> String {
    let mut first = 1;
    let mut insert = |resource: &Resource| {
        let columns: Vec<(&str, ElementType)> =
            resource.inputs().map(|field| (field.name, field.stored_type())).collect();
        let (arrays, names) = lists(&columns, first);
        first += columns.len();
        let values = resource.inputs().map(value).collect::<Vec<_>>().join(", ");
        format!(
            "insert into {} as t ({names})\n    select {values}\n      from unnest({arrays}) as i ({names})",
            resource.description.table
        )
    };
    let inserted = insert(resource);
    // A left join, and not a subquery: a distributed database plans it too.
    let (mut joins, mut none_left) = (Vec::new(), Vec::new());
    for (nth, child_table) in resource.child_tables.iter().enumerate() {
        let Description { table, key, .. } = child_table.resource.description;
        let same: Vec<String> = key
            .iter()
            .zip(resource.description.key)
            .map(|(column, key)| format!("c{nth}.{column} = i.{key}"))
            .collect();
        joins.push(format!("      left join {table} as c{nth} on {}", same.join(" and ")));
        none_left.push(format!("c{nth}.{} is null", key[0]));
    }
    if !none_left.is_empty() {
        joins.push(format!("     where {}", none_left.join("\n       and ")));
    }
    let created = std::iter::once(inserted).chain(joins).collect::<Vec<_>>().join("\n");
    let children: String = resource
        .child_tables
        .iter()
        .map(|child_table| {
            let inserted = insert(child_table.resource);
            let name = child_table.name;
            [", ", name, " as (\n    ", &inserted, "\n     where exists (select from created)\n    returning 1\n)"]
                .concat()
        })
        .collect();
    let counts: Vec<String> = std::iter::once("created")
        .chain(resource.child_tables.iter().map(|table| table.name))
        .map(|name| format!("(select count(*) from {name})"))
        .collect();
    format!(
        "with created as (\n    {created}\n    returning {}\n){children}\nselect {} as written, {TRANSACTION_TIME}, created.*\n  from (select) as one\n  left join created on true",
        selection.sql,
        counts.join(" + ")
    )
}
