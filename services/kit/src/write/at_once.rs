//! Creates one row with its children in one statement. Otherwise it takes a statement for each table, each after a look
//! for existing rows. It creates nothing if children without an owner are stored under the row's key: then the caller
//! uses separate statements.
//!
//! A row of a resource without children is a plain `insert ... values`, which costs the server a quarter less.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

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

/// What the text of a statement depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    /// A row of a resource without children: whether each of its columns gets the current time.
    Row(Vec<bool>),
    /// How the children from each table are passed.
    WithChildren(Vec<Rows>),
}

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
    /// The time that the database gave its children, in microseconds since 2000-01-01 UTC; `None` for a resource
    /// without children.
    pub(super) now: Option<i64>,
}

impl CreateOne {
    pub(super) fn new(resource: &'static Resource) -> Self {
        Self { resource, selection: Selection::whole(resource), statements: Mutex::default() }
    }

    /// Some of the statements with their titles, for people who read them.
    pub(super) fn sql(&self) -> Vec<(&'static str, Arc<str>)> {
        let children = self.resource.child_tables.len();
        if children == 0 {
            let times = self.resource.inputs().map(Field::is_time).collect();
            return vec![("create one row", self.statement(Shape::Row(times)))];
        }
        let titles = ["create one row, with one child of each kind", "create one row, with many children"];
        let statement = |rows| self.statement(Shape::WithChildren(vec![rows; children]));
        titles.into_iter().zip([Rows::Listed(1), Rows::Arrays].map(statement)).collect()
    }

    fn statement(&self, shape: Shape) -> Arc<str> {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let statement = statements.entry(shape).or_insert_with_key(|shape| match shape {
            Shape::Row(now) => plain(self.resource, now, &self.selection).into(),
            Shape::WithChildren(rows) => sql(self.resource, rows, &self.selection).into(),
        });
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
        if self.resource.child_tables.is_empty() {
            return self.run_plain(transaction, entry, alone).await.map(Some);
        }
        let children = |nth: usize| rows(entry.children(self.resource, nth).unwrap_or_default());
        let counts: Vec<usize> = (0..self.resource.child_tables.len()).map(|nth| children(nth).count()).collect();
        let affected = 1 + counts.iter().sum::<usize>();
        if affected > ARRAY_ROWS {
            return Ok(None);
        }
        let shapes: Vec<Rows> = counts.into_iter().map(Rows::of).collect();
        let mut statement = Statement::new(self.statement(Shape::WithChildren(shapes.clone())), affected);
        statement = bind(statement, self.resource, Rows::Listed(1), std::iter::once(entry.tuple().to_vec()))?;
        for ((nth, child_table), rows) in self.resource.child_tables.iter().enumerate().zip(shapes) {
            let key = prefix(entry.tuple(), child_table.owner_columns);
            let tuples = children(nth).map(|child| [key, child.tuple()].concat());
            statement = bind(statement, child_table.resource, rows, tuples)?;
        }
        let row = write(transaction, statement, alone).await?;
        let stored = self.stored(&row, 2)?;
        if Columns::new(&stored).next().flatten().is_none() {
            return Ok(None);
        }
        Ok(Some(Created { stored, now: Some(row.try_get(1)?) }))
    }

    async fn run_plain(
        &self,
        transaction: &mut Transaction<'_>,
        entry: &Entry<'_>,
        alone: bool,
    ) -> Result<Created, Error> {
        let mut columns = Vec::new();
        put_row(self.resource, entry.tuple(), &mut columns);
        let values = || self.resource.inputs().zip(Columns::new(&columns));
        let now: Vec<bool> = values().map(|(field, value)| is_later(field, value)).collect();
        let mut statement = Statement::new(self.statement(Shape::Row(now)), 1);
        for (field, value) in values().filter(|(field, value)| !is_later(field, *value)) {
            statement = statement.bind(ValueParameter::new(field.stored_type(), value))?;
        }
        let row = write(transaction, statement, alone).await?;
        Ok(Created { stored: self.stored(&row, 0)?, now: None })
    }

    /// The stored columns of a row as a tuple. They begin at this column of the result.
    fn stored(&self, row: &PgRow, first: usize) -> Result<Vec<u8>, Error> {
        let mut stored = Vec::with_capacity(512);
        for column in 0..self.selection.columns {
            put_column(row, first + column, &mut stored)?;
        }
        Ok(stored)
    }
}

/// Runs a statement whose result is one row.
async fn write(transaction: &mut Transaction<'_>, statement: Statement, alone: bool) -> Result<PgRow, Error> {
    let rows = if alone { transaction.write_alone(statement).await? } else { transaction.write(statement).await? };
    rows.into_iter().next().ok_or_else(|| Error::internal("a create returned nothing"))
}

/// Whether a column gets the current time.
fn is_later(field: &Field, value: Option<&[u8]>) -> bool {
    field.is_time() && value == Some(&LATER.to_be_bytes())
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

/// The statement for a row without children. The columns in `now` get the current time; the others are parameters.
fn plain(resource: &Resource, now: &[bool], selection: &Selection) -> String {
    let names: Vec<&str> = resource.inputs().map(|field| field.name).collect();
    let mut parameters = 0;
    let value = |(field, &now): (&Field, &bool)| {
        if now {
            return "now()".to_owned();
        }
        parameters += 1;
        format!("${parameters}::{}", field.stored_type().name())
    };
    let values: Vec<String> = resource.inputs().zip(now).map(value).collect();
    format!(
        "insert into {} as t ({})\nvalues ({})\nreturning {}",
        resource.description.table,
        names.join(", "),
        values.join(", "),
        selection.sql
    )
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

/// The statement for a row with children, each table of them passed in its way.
fn sql(resource: &Resource, children: &[Rows], selection: &Selection) -> String {
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
    let sent = || resource.child_tables.iter().zip(children).filter(|(_, rows)| **rows != Rows::Listed(0));
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
