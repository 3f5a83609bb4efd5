//! The orders in which rows can be read, as a description declares them.

use super::Resource;

/// An order in which rows can be read besides the default one: by some columns, then by the key. All columns have the
/// same direction, so that one index serves the order in both directions.
#[derive(Debug, PartialEq, Eq)]
pub struct DeclaredOrder {
    /// The index that serves it. Its columns are `columns`, and then the columns of the key that are not among them.
    /// The index is not partial.
    pub index: &'static str,
    /// The columns to sort by, first to last.
    pub columns: &'static [SortColumn],
}

/// One column of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortColumn {
    /// Its name in `order_by`: a field of the message.
    pub name: &'static str,
    /// The indexed expression, if it is not the column itself. It has the column's type and is never null. Texts have
    /// collation "C" in it.
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

/// Checks that rows can be read in the default order and in every declared one.
///
/// # Errors
/// The column that cannot be used, and the reason.
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
            // A null has no place in an order.
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
