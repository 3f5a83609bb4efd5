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

    /// Whether it is the key's.
    pub fn is_by_key(self, resource: &Resource) -> bool {
        self.columns(resource) == resource.description.key
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Description, Field, IntegerRule, TextRule, TimestampRule};

    static DESCRIPTION: Description = Description {
        key: &["owner", "uid"],
        natural_order: &["owner", "number", "uid"],
        ..Description::new("test.Line", "test.line")
    };

    fn resource() -> Resource {
        let text = Kind::Text(TextRule::Free { max_bytes: 100, nullable: true });
        let integer = Kind::Integer(IntegerRule { min: 1, max: 9, big: false, zero_is_null: true });
        let field = |name, number, kind| Field { name, number, kind, key: number < 3, computed: false };
        Resource {
            description: &DESCRIPTION,
            fields: vec![
                field("owner", 1, text),
                field("uid", 2, text),
                field("number", 3, integer),
                field("sum", 4, integer),
                field("create_ts", 5, Kind::Timestamp(TimestampRule::Created)),
            ],
            parts: Vec::new(),
            plural: "lines",
            rules: crate::resource::rules::no_rules(),
        }
    }

    fn place(number: &[u8]) -> Position {
        vec![b"o'1".to_vec(), number.to_vec(), b"l".to_vec()]
    }

    #[test]
    fn the_natural_order_is_the_descriptions() {
        let (order, resource) = (Order::NATURAL, resource());
        assert_eq!(order.order_by(&resource), "t.owner, t.number, t.uid");
        for (number, literal) in
            [(&(-7_i32).to_be_bytes()[..], "-7"), (&(1_i64 << 40).to_be_bytes()[..], "1099511627776")]
        {
            let after = format!("(t.owner, t.number, t.uid) > ('o''1', {literal}, 'l')");
            assert_eq!(order.after(&resource, &place(number)), Some(after));
        }
        let up_to = "(t.owner, t.number, t.uid) <= ('o''1', 5, 'l')".to_owned();
        assert_eq!(order.up_to(&resource, &place(&5_i32.to_be_bytes())), Some(up_to));
    }

    #[test]
    fn another_order_ends_in_the_key() {
        let resource = resource();
        let order = Order::parse(&resource, &["create_ts"], "create_ts desc").expect("an order");
        assert_eq!(order.order_by(&resource), "t.create_ts desc, t.owner desc, t.uid desc");
    }

    #[test]
    fn what_is_no_place_is_none() {
        let resource = resource();
        for number in [&b""[..], b"abc", b"abcdefghi"] {
            assert_eq!(Order::NATURAL.after(&resource, &place(number)), None);
        }
        assert_eq!(Order::NATURAL.after(&resource, &place(&[0; 4])[..2].to_vec()), None);
    }
}
