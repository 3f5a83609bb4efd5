//! The orders in which rows can be read, as a description declares them.

use super::Resource;

/// An order in which rows can be read, beside the natural one: by some columns, and where these are equal by the key's.
/// All of it in one direction, or all of it in the other: that is what one index serves.
#[derive(Debug, PartialEq, Eq)]
pub struct DeclaredOrder {
    /// The index of the table that serves it. It has `columns`, and then the key's columns that are not among them. It is not partial.
    pub index: &'static str,
    /// What rows are sorted by, first to last.
    pub columns: &'static [SortColumn],
}

/// One column of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortColumn {
    /// Its name in `order_by`: a field of the message.
    pub name: &'static str,
    /// What the index has in place of the column itself: an expression of the column's type that is never null. Texts
    /// have collation "C" in it.
    pub expression: Option<&'static str>,
}

impl SortColumn {
    /// A column that is never null and, if it is a text, has collation "C" in the table.
    pub const fn plain(name: &'static str) -> Self {
        Self { name, expression: None }
    }

    /// A column in the form in which the index has it: `coalesce(name, '') collate "C"`.
    pub const fn indexed_as(name: &'static str, expression: &'static str) -> Self {
        Self { name, expression: Some(expression) }
    }

    /// As SQL over the alias `t`.
    pub fn sql(self) -> String {
        match self.expression {
            None => format!("t.{}", self.name),
            Some(expression) => expression.to_owned(),
        }
    }
}

/// Checks that rows can be read in the natural order and in every declared one.
///
/// # Errors
/// Which column does not fit, and why.
pub(super) fn check(resource: &Resource) -> Result<(), String> {
    let natural = resource.natural_order().iter().map(|&name| SortColumn::plain(name)).collect::<Vec<_>>();
    let declared = resource.description.orders.iter().map(|order| order.columns);
    for columns in declared.chain([&natural[..]]) {
        if columns.is_empty() {
            return Err("an order has no columns".to_owned());
        }
        for (at, column) in columns.iter().enumerate() {
            let name = column.name;
            let Some(field) = resource.field(name) else { return Err(format!("no field {name} to order by")) };
            if !field.kind.is_orderable() {
                return Err(format!("rows cannot be ordered by {name}"));
            }
            // A null would be neither before nor after a place.
            if column.expression.is_none() && !field.is_orderable() {
                return Err(format!("{name} may be null: an order by it needs an expression that is not"));
            }
            if columns[..at].iter().any(|earlier| earlier.name == name) {
                return Err(format!("an order has {name} twice"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
