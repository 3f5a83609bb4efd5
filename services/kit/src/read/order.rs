//! The order of a paged read, and a place in it. Every order ends in columns that are unique together, so that it is total and a
//! place is one row's.

use crate::error::{Error, Violation};
use crate::resource::tuple::Columns;
use crate::resource::{DeclaredOrder, Resource, SortColumn};

/// An order: the resource's natural one or one that its description declares, ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    declared: Option<&'static DeclaredOrder>,
    descending: bool,
}

/// A row's place in an order. There is none that a query could not go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    values: Vec<Vec<u8>>,
    /// The values as SQL, joined by commas.
    literals: String,
}

impl Position {
    /// The values of the order's columns, in Postgres's binary format: what [`Order::position`] takes.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().map(Vec::as_slice)
    }
}

impl Order {
    /// The resource's natural order, ascending: by the key where its description names no other.
    pub const NATURAL: Self = Self { declared: None, descending: false };

    /// Reads `order_by`: columns, separated by commas, each optionally followed by `asc` or `desc`. They are all columns
    /// of an order of the resource, or its first ones, and go in one direction. Empty means the natural order.
    ///
    /// # Errors
    /// Anything else; the violation is for `order_by`.
    pub fn parse(resource: &Resource, text: &str) -> Result<Self, Violation> {
        let refuse = |why: &str| Violation::new("order_by", format!("{why}; possible are {}", possible(resource)));
        if text.trim_ascii().is_empty() {
            return Ok(Self::NATURAL);
        }
        let (mut names, mut directions) = (Vec::new(), Vec::new());
        for column in text.split(',') {
            let mut words = column.split_ascii_whitespace();
            let Some(name) = words.next() else { return Err(refuse("has no column before or after a comma")) };
            directions.push(match (words.next(), words.next()) {
                (None | Some("asc"), None) => false,
                (Some("desc"), None) => true,
                _ => return Err(refuse("has another word than \"asc\" or \"desc\" after a column")),
            });
            names.push(name);
        }
        let descending = directions.contains(&true);
        let order = orders(resource)
            .map(|declared| Self { declared, descending })
            .find(|order| {
                let columns = order.columns(resource);
                names.len() <= columns.len() && names.iter().zip(&columns).all(|(name, column)| *name == column.name)
            })
            .ok_or_else(|| refuse("names no order of this resource"))?;
        if descending && directions.contains(&false) {
            return Err(refuse("has two directions; \"asc\" is meant where none is named"));
        }
        Ok(order)
    }

    /// The order as a text that is the same for the same order; tokens are bound to it.
    pub fn canonical(self) -> String {
        let columns = self.declared.map(|declared| declared.columns).unwrap_or_default();
        let columns: Vec<String> = columns
            .iter()
            .map(|column| match column.expression {
                None => column.name.to_owned(),
                Some(expression) => format!("{}={expression}", column.name),
            })
            .collect();
        format!("{} {}", columns.join(","), if self.descending { "desc" } else { "asc" })
    }

    /// The order's columns.
    pub fn columns(self, resource: &Resource) -> Vec<SortColumn> {
        let plain = |names: &'static [&'static str]| names.iter().map(|name| SortColumn::plain(name));
        let Some(declared) = self.declared else { return plain(resource.natural_order()).collect() };
        let is_new = |column: &SortColumn| declared.columns.iter().all(|earlier| earlier.name != column.name);
        declared.columns.iter().copied().chain(plain(resource.description.key).filter(is_new)).collect()
    }

    /// Whether it is the key's.
    pub fn is_by_key(self, resource: &Resource) -> bool {
        self.declared.is_none() && resource.natural_order() == resource.description.key
    }

    /// `t.create_ts, t.uid`
    pub fn column_list(self, resource: &Resource) -> String {
        self.columns(resource).into_iter().map(SortColumn::sql).collect::<Vec<_>>().join(", ")
    }

    /// `t.create_ts desc, t.uid desc`
    pub fn order_by(self, resource: &Resource) -> String {
        let direction = if self.descending { " desc" } else { "" };
        let columns = self.columns(resource).into_iter().map(|column| column.sql() + direction);
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The condition for rows after a position: a row comparison, which the order's index serves at any depth.
    pub fn after(self, resource: &Resource, position: &Position) -> String {
        let sign = if self.descending { "<" } else { ">" };
        format!("({}) {sign} ({})", self.column_list(resource), position.literals)
    }

    /// The condition for rows up to a position, which is included.
    pub fn up_to(self, resource: &Resource, position: &Position) -> String {
        let sign = if self.descending { ">=" } else { "<=" };
        format!("({}) {sign} ({})", self.column_list(resource), position.literals)
    }

    /// The place that such values stand for, one for each column; `None` if they are none.
    pub fn position(self, resource: &Resource, values: Vec<Vec<u8>>) -> Option<Position> {
        let columns = self.columns(resource);
        if columns.len() != values.len() {
            return None;
        }
        let literals = columns.iter().zip(&values);
        let literals = literals.map(|(column, value)| resource.field(column.name)?.kind.literal(value));
        let literals = literals.collect::<Option<Vec<_>>>()?.join(", ");
        Some(Position { values, literals })
    }

    /// The place of a row that the database sent, from a tuple that begins with the order's columns.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none, for example because a column is null: going on without a place would send rows twice.
    pub fn position_of(self, resource: &Resource, tuple: &[u8]) -> Result<Position, Error> {
        let count = self.columns(resource).len();
        let values: Option<Vec<_>> = Columns::new(tuple).take(count).map(|value| Some(value?.to_vec())).collect();
        values.and_then(|values| self.position(resource, values)).ok_or_else(|| {
            let table = resource.description.table;
            Error::internal(format!("a row of {table} has no place in the order by {}", self.column_list(resource)))
        })
    }
}

/// All orders of a resource; the natural one is `None`.
fn orders(resource: &Resource) -> impl Iterator<Item = Option<&'static DeclaredOrder>> {
    std::iter::once(None).chain(resource.description.orders.iter().map(Some))
}

/// What `order_by` may be.
fn possible(resource: &Resource) -> String {
    let orders: Vec<String> = orders(resource)
        .map(|declared| {
            let columns = Order { declared, descending: false }.columns(resource);
            format!("\"{}\"", columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", "))
        })
        .collect();
    format!("{}, or the first columns of one of them, all ascending or each followed by \"desc\"", orders.join(", "))
}

#[cfg(test)]
mod tests;
