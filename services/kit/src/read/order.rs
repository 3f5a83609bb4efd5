//! The order of a paged read, and positions in it. Every order ends with columns that are unique together, so a
//! position belongs to one row.

use crate::error::{Error, Violation};
use crate::resource::tuple::Columns;
use crate::resource::{DeclaredOrder, Resource, SortColumn};

/// An order: the default order of the resource or a declared one, ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    declared: Option<&'static DeclaredOrder>,
    descending: bool,
}

/// The position of a row in an order. A query can continue from every position.
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
    /// The default order of the resource, ascending: by the key unless the description names another one.
    pub const NATURAL: Self = Self { declared: None, descending: false };

    /// Reads `order_by`: columns, separated by commas, each optionally followed by `asc` or `desc`. They must be the
    /// columns of an order of the resource, or its first ones, and have one direction. Empty means the default order.
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

    /// Whether it is the order of the key.
    pub fn is_by_key(self, resource: &Resource) -> bool {
        self.declared.is_none() && resource.natural_order() == resource.description.key
    }

    /// `t.create_ts, t.uid`
    pub fn column_list(self, resource: &Resource) -> String {
        self.columns(resource).into_iter().map(SortColumn::sql).collect::<Vec<_>>().join(", ")
    }

    /// `, t.create_ts`: the columns that are not columns of the key. A row's key is always selected, so these are all
    /// that a query adds to find the position of a row.
    pub fn columns_beside_key(self, resource: &Resource) -> String {
        let columns = self.columns(resource).into_iter().filter(|column| place_in_key(resource, column).is_none());
        columns.map(|column| format!(", {}", column.sql())).collect::<Vec<_>>().concat()
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

    /// The position for these values, one for each column; `None` if they are invalid.
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

    /// The position of a selected row, from its key and its [columns beside the key](Self::columns_beside_key).
    ///
    /// # Errors
    /// As [`position_of`](Self::position_of).
    pub fn position_of_row(self, resource: &Resource, key: &[u8], beside: &[u8]) -> Result<Position, Error> {
        let mut beside = Columns::new(beside);
        let values = self.columns(resource).into_iter().map(|column| match place_in_key(resource, &column) {
            Some(place) => Columns::new(key).nth(place).flatten(),
            None => beside.next().flatten(),
        });
        self.position_at(resource, values.map(|value| value.map(<[u8]>::to_vec)).collect())
    }

    /// The position of a row, from a tuple that begins with the order's columns.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none, for example because a column is null. Continuing without a position would
    /// return rows twice.
    pub fn position_of(self, resource: &Resource, tuple: &[u8]) -> Result<Position, Error> {
        let count = self.columns(resource).len();
        self.position_at(resource, Columns::new(tuple).take(count).map(|value| Some(value?.to_vec())).collect())
    }

    fn position_at(self, resource: &Resource, values: Option<Vec<Vec<u8>>>) -> Result<Position, Error> {
        values.and_then(|values| self.position(resource, values)).ok_or_else(|| {
            let table = resource.description.table;
            Error::internal(format!("a row of {table} has no place in the order by {}", self.column_list(resource)))
        })
    }
}

/// Which column of the key a column of an order is; `None` if it is none of them, or an expression over one.
fn place_in_key(resource: &Resource, column: &SortColumn) -> Option<usize> {
    let place = resource.description.key.iter().position(|name| *name == column.name)?;
    column.expression.is_none().then_some(place)
}

/// All orders of a resource; the default one is `None`.
fn orders(resource: &Resource) -> impl Iterator<Item = Option<&'static DeclaredOrder>> {
    std::iter::once(None).chain(resource.description.orders.iter().map(Some))
}

/// The values that `order_by` may have.
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
