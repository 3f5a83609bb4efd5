//! Creates one row with its children in one statement. Otherwise it takes a statement for each table, each after a look
//! for existing rows. It creates nothing if children without an owner are stored under the row's key: then the caller
//! uses separate statements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Row as _;

use super::rows::{ARRAY_ROWS, INSERT_BYTES, lists};
use crate::db::array::{ArrayParameter, ElementType, ValueParameter};
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

/// How many children from one table a statement lists one by one: the smallest sufficient number, the rest of them
/// null. More rows come as an array for each column, which costs a function scan for each.
const LISTED: [usize; 6] = [0, 1, 2, 4, 8, 16];

/// The statements that create one row of a resource with its children: one for each [`Shape`].
#[derive(Debug)]
pub(super) struct CreateOne {
    resource: &'static Resource,
    selection: Selection,
    statements: Mutex<HashMap<Shape, Arc<str>>>,
}

/// How the children from each table are passed to a statement.
type Shape = Vec<Rows>;

/// How rows stand in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rows {
    /// So many, each value a parameter.
    Listed(usize),
    /// Any number, each column an array.
    Arrays,
}

impl Rows {
    fn of(count: usize) -> Self {
        LISTED.into_iter().find(|&listed| count <= listed).map_or(Self::Arrays, Self::Listed)
    }
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
        Self { resource, selection: Selection::whole(resource), statements: Mutex::default() }
    }

    /// Two of the statements, for people who read them: with one child in each table, and with many.
    pub(super) fn sql(&self) -> [Arc<str>; 2] {
        [Rows::Listed(1), Rows::Arrays].map(|rows| self.statement(vec![rows; self.resource.child_tables.len()]))
    }

    fn statement(&self, shape: Shape) -> Arc<str> {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let statement =
            statements.entry(shape).or_insert_with_key(|shape| sql(self.resource, shape, &self.selection).into());
        Arc::clone(statement)
    }

    /// Creates the row; `None` if such children are stored, or if the row is too large for one statement. With `alone`
    /// the statement may run without a transaction, and the row is committed when this returns it.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the row exists or the database refuses it, after which the transaction cannot be used;
    /// what the database says.
    pub(super) async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry<'_>,
        alone: bool,
    ) -> Result<Option<Created>, Error> {
        if entry.bytes() > INSERT_BYTES {
            return Ok(None);
        }
        let children = |nth: usize| rows(entry.children(self.resource, nth).unwrap_or_default());
        let counts: Vec<usize> = (0..self.resource.child_tables.len()).map(|nth| children(nth).count()).collect();
        let affected = 1 + counts.iter().sum::<usize>();
        if affected > ARRAY_ROWS {
            return Ok(None);
        }
        let shape: Shape = counts.into_iter().map(Rows::of).collect();
        let mut statement = Statement::new(self.statement(shape.clone()), affected);
        statement = bind(statement, self.resource, Rows::Listed(1), std::iter::once(entry.tuple().to_vec()))?;
        for ((nth, child_table), shape) in self.resource.child_tables.iter().enumerate().zip(shape) {
            let key = prefix(entry.tuple(), child_table.owner_columns);
            let tuples = children(nth).map(|child| [key, child.tuple()].concat());
            statement = bind(statement, child_table.resource, shape, tuples)?;
        }
        let rows = if alone { transaction.write_alone(statement).await? } else { transaction.write(statement).await? };
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

/// Binds the rows of these input tuples.
fn bind(
    mut statement: Statement,
    resource: &Resource,
    rows: Rows,
    tuples: impl Iterator<Item = Vec<u8>>,
) -> Result<Statement, Error> {
    let mut row = Vec::new();
    match rows {
        Rows::Listed(listed) => {
            let mut missing = listed;
            for tuple in tuples {
                put_row(resource, &tuple, &mut row);
                let mut columns = Columns::new(&row);
                for field in resource.inputs() {
                    let value = ValueParameter::new(field.stored_type(), columns.next().flatten());
                    statement = statement.bind(value)?;
                }
                missing = missing.saturating_sub(1);
            }
            for field in std::iter::repeat_n(resource, missing).flat_map(Resource::inputs) {
                statement = statement.bind(ValueParameter::new(field.stored_type(), None))?;
            }
        }
        Rows::Arrays => {
            let array = |field: &Field| ArrayParameter::with_capacity(field.stored_type(), 1024);
            let mut arrays: Vec<ArrayParameter> = resource.inputs().map(array).collect();
            for tuple in tuples {
                put_row(resource, &tuple, &mut row);
                ArrayParameter::push_columns(&mut arrays, &row);
            }
            for array in arrays {
                statement = statement.bind(array)?;
            }
        }
    }
    Ok(statement)
}

/// The columns of a new row as they are stored.
fn put_row(resource: &Resource, tuple: &[u8], row: &mut Vec<u8>) {
    row.clear();
    resource.put_new_row(tuple, LATER, row);
    row.drain(..size_of::<i16>().min(row.len()));
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

fn sql(resource: &Resource, shape: &[Rows], selection: &Selection) -> String {
    let mut first = 1;
    let mut insert = |resource: &Resource, rows: Rows| {
        let columns: Vec<(&str, ElementType)> =
            resource.inputs().map(|field| (field.name, field.stored_type())).collect();
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let source = match rows {
            Rows::Arrays => {
                let (arrays, _) = lists(&columns, first);
                first += columns.len();
                format!("unnest({arrays})")
            }
            Rows::Listed(count) => {
                let mut list = || {
                    let values =
                        (first..).zip(&columns).map(|(number, (_, kind))| format!("${number}::{}", kind.name()));
                    let list = values.collect::<Vec<_>>().join(", ");
                    first += columns.len();
                    format!("({list})")
                };
                format!("(values {})", (0..count).map(|_| list()).collect::<Vec<_>>().join(",\n                   "))
            }
        };
        let values = resource.inputs().map(value).collect::<Vec<_>>().join(", ");
        format!(
            "insert into {} as t ({names})\n    select {values}\n      from {source} as i ({names})",
            resource.description.table
        )
    };
    let inserted = insert(resource, Rows::Listed(1));
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
    let sent = || resource.child_tables.iter().zip(shape).filter(|(_, rows)| **rows != Rows::Listed(0));
    let children: String = sent()
        .map(|(child_table, &rows)| {
            let inserted = insert(child_table.resource, rows);
            let name = child_table.name;
            // Rows beyond those that were sent have no key.
            let key = child_table.resource.description.key[0];
            let condition = "where exists (select from created)";
            [
                ", ",
                name,
                " as (\n    ",
                &inserted,
                "\n     ",
                condition,
                " and i.",
                key,
                " is not null\n    returning 1\n)",
            ]
            .concat()
        })
        .collect();
    let counts: Vec<String> = std::iter::once("created")
        .chain(sent().map(|(child_table, _)| child_table.name))
        .map(|name| format!("(select count(*) from {name})"))
        .collect();
    format!(
        "with created as (\n    {created}\n    returning {}\n){children}\nselect {} as written, {TRANSACTION_TIME}, created.*\n  from (select) as one\n  left join created on true",
        selection.sql,
        counts.join(" + ")
    )
}
