//! The order of a paged read, and a place in it. Every order ends in columns that are unique together, so that it is total and a
//! place is one row's.

use crate::db::sql::literal;
use crate::error::Violation;
use crate::resource::{Kind, Resource};
use crate::timestamp;

/// An order: the resource's natural one, or a timestamp column and then the key; all in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    leading: Option<&'static str>,
    descending: bool,
}

/// A row's place in an order: the values of the order's columns in Postgres's binary format.
pub type Position = Vec<Vec<u8>>;

impl Order {
    /// The resource's natural order, ascending: by the key where its description names no other.
    pub const NATURAL: Self = Self { leading: None, descending: false };

    /// Reads `order_by`: a column, optionally followed by `asc` or `desc`. Empty means the natural order.
    ///
    /// # Errors
    /// Anything else; the violation is for `order_by`.
    pub fn parse(resource: &Resource, columns: &[&'static str], text: &str) -> Result<Self, Violation> {
        let refuse = || {
            let key = resource.natural_order().first().copied().unwrap_or_default();
            let known = columns.join(", ");
            Violation::new(
                "order_by",
                format!("must be {key} or one of {known}, optionally followed by \"asc\" or \"desc\""),
            )
        };
        let mut words = text.split_ascii_whitespace();
        let Some(column) = words.next() else { return Ok(Self::NATURAL) };
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(refuse()),
        };
        if words.next().is_some() {
            return Err(refuse());
        }
        if resource.natural_order() == [column] {
            return Ok(Self { leading: None, descending });
        }
        let leading = columns.iter().copied().find(|&known| known == column).ok_or_else(refuse)?;
        Ok(Self { leading: Some(leading), descending })
    }

    /// The order as a text that is the same for the same order; tokens are bound to it.
    pub fn canonical(self) -> String {
        format!("{} {}", self.leading.unwrap_or_default(), if self.descending { "desc" } else { "asc" })
    }

    /// The order's columns.
    pub fn columns(self, resource: &Resource) -> Vec<&'static str> {
        match self.leading {
            None => resource.natural_order().to_vec(),
            Some(leading) => std::iter::once(leading).chain(resource.description.key.iter().copied()).collect(),
        }
    }

    /// `t.create_ts, t.uid`
    pub fn column_list(self, resource: &Resource) -> String {
        self.columns(resource).iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ")
    }

    /// `t.create_ts desc, t.uid desc`
    pub fn order_by(self, resource: &Resource) -> String {
        let direction = if self.descending { " desc" } else { "" };
        self.columns(resource).iter().map(|column| format!("t.{column}{direction}")).collect::<Vec<_>>().join(", ")
    }

    /// The condition for rows after a position: a row comparison, which the order's index serves at any depth.
    pub fn after(self, resource: &Resource, position: &Position) -> Option<String> {
        let sign = if self.descending { "<" } else { ">" };
        Some(format!("({}) {sign} ({})", self.column_list(resource), self.literals(resource, position)?))
    }

    /// The condition for rows up to a position, which is included.
    pub fn up_to(self, resource: &Resource, position: &Position) -> Option<String> {
        let sign = if self.descending { ">=" } else { "<=" };
        Some(format!("({}) {sign} ({})", self.column_list(resource), self.literals(resource, position)?))
    }

    fn literals(self, resource: &Resource, position: &Position) -> Option<String> {
        let columns = self.columns(resource);
        if columns.len() != position.len() {
            return None;
        }
        let mut literals = Vec::with_capacity(columns.len());
        for (column, value) in columns.into_iter().zip(position) {
            literals.push(match resource.field(column)?.kind {
                Kind::Timestamp(_) => timestamp::to_sql_literal(i64::from_be_bytes(value.as_slice().try_into().ok()?)),
                Kind::Integer(_) | Kind::Revision => integer(value)?.to_string(),
                _ => literal(std::str::from_utf8(value).ok()?),
            });
        }
        Some(literals.join(", "))
    }
}

fn integer(value: &[u8]) -> Option<i64> {
    match value.len() {
        4 => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
        _ => Some(i64::from_be_bytes(value.try_into().ok()?)),
    }
}
