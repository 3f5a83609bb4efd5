//! Rows as rules see them: the typed columns of an input tuple, and the children.
//!
//! A rule looks up its columns once, when the service starts: [`Resource::column`] returns a handle, or an error if
//! there is no such column or it has another type. After that nothing is looked up by name.

mod payload;
mod types;

use std::marker::PhantomData;

use bytes::BufMut as _;

use self::payload::InnerChange;
pub use self::payload::{PayloadColumn, PayloadMember};
pub use self::types::{
    BigInteger, ColumnType, DecimalText, Integer, Phase, Text, TextEntries, Texts, Timestamp, WritableType,
};
use super::Resource;
use super::document::put_with_phase;
use super::tuple::{Columns, NULL, end_value, put_prefixed};

/// A column of a resource's rows, read as `T`.
#[derive(Debug)]
pub struct Column<T> {
    name: &'static str,
    /// Its place in a row's tuple. For children, without the columns of their owner's key.
    place: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<T> {}

impl<T> Column<T> {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }
}

/// The children from one table, as a rule names them.
#[derive(Clone, Copy, Debug)]
pub struct Children {
    /// The resource of the rows.
    resource: &'static Resource,
    owner_columns: usize,
    /// The place of their table in [`Resource::child_tables`].
    pub(crate) nth: usize,
    /// The place of their value in a row's tuple.
    place: usize,
}

impl Resource {
    /// The column of that name.
    ///
    /// # Errors
    /// There is none, or it has another type.
    pub fn column<T: ColumnType>(&self, name: &str) -> Result<Column<T>, String> {
        self.column_after(name, 0)
    }

    fn column_after<T: ColumnType>(&self, name: &str, skipped: usize) -> Result<Column<T>, String> {
        let mut inputs = self.inputs().enumerate();
        let (place, field) = inputs
            .find(|(_, field)| field.name == name)
            .ok_or_else(|| format!("{} has no column {name} that a rule can read", self.description.message))?;
        if !T::fits(field) {
            let wanted = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
            return Err(format!("column {name} of {} is no {wanted}", self.description.message));
        }
        let place = place
            .checked_sub(skipped)
            .ok_or_else(|| format!("column {name} of {} belongs to the owner", self.description.message))?;
        Ok(Column { name: field.name, place, value: PhantomData })
    }

    /// The children in the field of that name.
    ///
    /// # Errors
    /// There is no such field.
    pub fn children(&self, field: &str) -> Result<Children, String> {
        let nth = self.child_tables.iter().position(|table| table.name == field);
        let nth = nth.ok_or_else(|| format!("{} has no children {field}", self.description.message))?;
        let child_table = &self.child_tables[nth];
        let (resource, owner_columns) = (child_table.resource, child_table.owner_columns);
        Ok(Children { resource, owner_columns, nth, place: self.inputs().count() + nth })
    }
}

impl Children {
    /// The column of that name, of the children.
    ///
    /// # Errors
    /// There is none, it has another type, or it is one of the owner's key.
    pub fn column<T: ColumnType>(self, name: &str) -> Result<Column<T>, String> {
        self.resource.column_after(name, self.owner_columns)
    }

    /// A child as rules see it: without the owner's columns.
    pub(crate) fn row(self, tuple: &[u8]) -> Row<'_> {
        let row = Row::new(tuple);
        Row::new(&tuple[row.prefix(self.owner_columns).len()..])
    }

    pub(super) fn place(self) -> usize {
        self.place
    }
}

/// A row: what a caller sent, or what is stored.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    tuple: &'a [u8],
}

impl<'a> Row<'a> {
    /// The row of a tuple.
    pub(crate) fn new(tuple: &'a [u8]) -> Self {
        Self { tuple }
    }

    /// The value of a column; `None` if it is unset.
    pub fn get<T: ColumnType>(self, column: Column<T>) -> Option<T::Value<'a>> {
        Columns::new(self.tuple).nth(column.place).flatten().and_then(T::read)
    }

    /// Whether a column is set.
    pub fn is_set<T>(self, column: Column<T>) -> bool {
        Columns::new(self.tuple).nth(column.place).flatten().is_some()
    }

    /// The row's children from one table, in the order in which they were sent; `None` if the caller did not send the
    /// field.
    pub fn children(self, children: Children) -> Option<impl Iterator<Item = Row<'a>> + Clone> {
        let value = Columns::new(self.tuple).nth(children.place).flatten()?;
        Some(rows(value))
    }

    /// How many bytes the row has.
    pub fn size(self) -> usize {
        self.tuple.len()
    }

    /// The first columns of the row, as a tuple.
    pub(crate) fn prefix(self, columns: usize) -> &'a [u8] {
        let mut rest = Columns::new(self.tuple);
        rest.by_ref().take(columns).for_each(drop);
        &self.tuple[..self.tuple.len() - rest.rest().len()]
    }

    /// All of the row, as a tuple.
    pub(crate) fn tuple(self) -> &'a [u8] {
        self.tuple
    }
}

/// The rows in a value that holds children.
pub(crate) fn rows(value: &[u8]) -> impl Iterator<Item = Row<'_>> + Clone {
    Columns::new(value).flatten().map(Row::new)
}

/// New values for some columns of a row, and for some fields of its payloads. One `Changes` can be reused for many
/// rows.
#[derive(Debug, Default)]
pub struct Changes {
    /// Each column's place, and the end of its value in `bytes`; `None` if the column is unset.
    columns: Vec<(usize, Option<usize>)>,
    bytes: Vec<u8>,
    inner: Vec<InnerChange>,
}

impl Changes {
    /// Forgets all values.
    pub fn clear(&mut self) {
        self.columns.clear();
        self.bytes.clear();
        self.inner.clear();
    }

    /// Sets a column. If it is set twice, the first value counts.
    pub fn set<T: WritableType>(&mut self, column: Column<T>, value: T::Value<'_>) {
        T::write(value, &mut self.bytes);
        self.columns.push((column.place, Some(self.bytes.len())));
    }

    /// Sets the phase of a row's status; the other keys of the status stay.
    pub fn set_phase(&mut self, column: Column<Phase>, row: Row<'_>, phase: &str) {
        let status = Columns::new(row.tuple).nth(column.place).flatten();
        put_with_phase(status, phase, &mut self.bytes);
        self.columns.push((column.place, Some(self.bytes.len())));
    }

    /// Unsets a column.
    pub fn unset<T>(&mut self, column: Column<T>) {
        self.columns.push((column.place, None));
    }

    #[expect(clippy::option_option, reason = "a change to null is a change")]
    fn of(&self, place: usize) -> Option<Option<&[u8]>> {
        let mut start = 0;
        for &(column, end) in &self.columns {
            if column == place {
                return Some(end.map(|end| &self.bytes[start..end]));
            }
            start = end.unwrap_or(start);
        }
        None
    }

    /// Appends a row with these values in place of its own.
    pub(crate) fn put(&self, row: Row<'_>, out: &mut Vec<u8>) {
        for (place, own) in Columns::new(row.tuple).enumerate() {
            match self.of(place).unwrap_or(own) {
                Some(value) => put_prefixed(out, &self.with_inner(place, value)),
                None => out.put_i32(NULL),
            }
        }
    }
}

/// The children that a rule creates or completes.
#[derive(Debug, Default)]
pub struct ChildRows {
    pub(crate) value: Vec<u8>,
}

impl ChildRows {
    /// An empty list, with capacity for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { value: Vec::with_capacity(bytes) }
    }

    /// Adds a child: `row` with some columns changed.
    pub fn push(&mut self, row: Row<'_>, changes: &Changes) {
        let at = self.value.len();
        self.value.put_i32(0);
        changes.put(row, &mut self.value);
        end_value(&mut self.value, at);
    }

    /// Adds a child as it is.
    pub fn push_as_is(&mut self, row: Row<'_>) {
        put_prefixed(&mut self.value, row.tuple);
    }

    /// The children so far.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> + Clone {
        rows(&self.value)
    }

    /// Adds a child with only these columns set.
    pub fn push_new(&mut self, children: Children, changes: &Changes) {
        let columns = children.resource.inputs().count().saturating_sub(children.owner_columns);
        let unset = NULL.to_be_bytes().repeat(columns);
        self.push(Row::new(&unset), changes);
    }
}
