//! The order of a paged read, and a place in it. Every order ends in the key, so that it is total and a place is unique.

use crate::db::sql::literal;
use crate::error::Violation;
use crate::resource::{Kind, Resource};
use crate::timestamp;

/// An order: an optional leading timestamp column, then the key, all in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    leading: Option<&'static str>,
    descending: bool,
}

/// A row's place in an order: the values of the order's columns in Postgres's binary format.
pub type Position = Vec<Vec<u8>>;

impl Order {
    /// By the key, ascending.
    pub const KEY: Self = Self { leading: None, descending: false };

    /// Reads `order_by`: a column, optionally followed by `asc` or `desc`. Empty means by the key.
    ///
    /// # Errors
    /// Anything else; the violation is for `order_by`.
    pub fn parse(resource: &Resource, columns: &[&'static str], text: &str) -> Result<Self, Violation> {
        let refuse = || {
            let key = resource.description.key.first().copied().unwrap_or_default();
            let known = columns.join(", ");
            Violation::new(
                "order_by",
                format!("must be {key} or one of {known}, optionally followed by \"asc\" or \"desc\""),
            )
        };
        let mut words = text.split_ascii_whitespace();
        let Some(column) = words.next() else { return Ok(Self::KEY) };
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(refuse()),
        };
        if words.next().is_some() {
            return Err(refuse());
        }
        if resource.description.key == [column] {
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
        self.leading.into_iter().chain(resource.description.key.iter().copied()).collect()
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
                _ => literal(std::str::from_utf8(value).ok()?),
            });
        }
        Some(literals.join(", "))
    }
}
