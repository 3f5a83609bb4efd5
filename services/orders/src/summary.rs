//! The summary of an order. It is computed from its lines whenever they change, exactly, and never by the database: the
//! sums have no limit of digits here.

mod adding;
mod sum;
#[cfg(test)]
mod tests;

use orrery_kit::decimal::Decimal;
use orrery_kit::error::Violation;
use orrery_kit::resource::row::{BigInteger, Changes, ChildRows, Children, Column, DecimalText, Integer, Row};

pub use self::adding::{Adding, Amounts, Paused};
use crate::store::amount::AMOUNT_DIGITS;

/// The columns that sums are computed from and stored in.
#[derive(Clone, Copy, Debug)]
pub struct Summaries {
    stored: Children,
    line_quantity: Column<Integer>,
    unit_price: Column<DecimalText>,
    line_discount: Column<DecimalText>,
    line_tax: Column<DecimalText>,
    line_count: Column<Integer>,
    quantity: Column<BigInteger>,
    subtotal: Column<DecimalText>,
    discount: Column<DecimalText>,
    tax: Column<DecimalText>,
    shipping: Column<DecimalText>,
    total: Column<DecimalText>,
}

/// The sums over an order's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    pub(crate) line_count: i32,
    pub(crate) quantity: i64,
    pub(crate) subtotal: Decimal,
    pub(crate) discount: Decimal,
    pub(crate) tax: Decimal,
}

impl Summaries {
    /// Finds the columns of lines and summaries.
    ///
    /// # Errors
    /// A column is missing or has another type.
    pub fn new(lines: Children, summaries: Children) -> Result<Self, String> {
        Ok(Self {
            stored: summaries,
            line_quantity: lines.column("quantity")?,
            unit_price: lines.column("unit_price")?,
            line_discount: lines.column("discount")?,
            line_tax: lines.column("tax")?,
            line_count: summaries.column("line_count")?,
            quantity: summaries.column("quantity")?,
            subtotal: summaries.column("subtotal")?,
            discount: summaries.column("discount")?,
            tax: summaries.column("tax")?,
            shipping: summaries.column("shipping")?,
            total: summaries.column("total")?,
        })
    }

    /// Computes the sums over lines.
    ///
    /// # Errors
    /// A sum that cannot be stored; the violation is a path from the order.
    pub fn over<'r>(&self, lines: impl Iterator<Item = Row<'r>>) -> Result<Sums, Violation> {
        let mut adding = Adding::default();
        for line in lines {
            adding.add(Amounts {
                pieces: line.get(self.line_quantity),
                unit_price: line.get(self.unit_price),
                discount: line.get(self.line_discount),
                tax: line.get(self.line_tax),
            })?;
        }
        adding.sums()
    }

    /// The sums in a summary; `None` if it has none yet.
    ///
    /// # Errors
    /// A stored sum that cannot be used in a calculation: NaN or infinite.
    pub fn read(&self, summary: Row<'_>) -> Result<Option<Sums>, Violation> {
        let Some(line_count) = summary.get(self.line_count) else { return Ok(None) };
        Ok(Some(Sums {
            line_count,
            quantity: summary.get(self.quantity).unwrap_or(0),
            subtotal: decimal("subtotal", summary.get(self.subtotal))?,
            discount: decimal("discount", summary.get(self.discount))?,
            tax: decimal("tax", summary.get(self.tax))?,
        }))
    }

    /// The shipping in a summary.
    pub fn shipping<'r>(&self, summary: Row<'r>) -> Option<&'r str> {
        summary.get(self.shipping)
    }

    /// A summary with these sums and without a total.
    pub fn without_total(&self, sums: &Sums, shipping: Option<&str>) -> ChildRows {
        self.summary(sums, shipping, None)
    }

    /// A complete summary.
    ///
    /// # Errors
    /// The total cannot be stored; the violation is a path from the order.
    pub fn with_total(&self, sums: &Sums, shipping: Option<&str>) -> Result<ChildRows, Violation> {
        let total = sums.total(shipping)?.to_string();
        Ok(self.summary(sums, Some(shipping.unwrap_or("0")), Some(&total)))
    }

    fn summary(&self, sums: &Sums, shipping: Option<&str>, total: Option<&str>) -> ChildRows {
        let mut changes = Changes::default();
        changes.set(self.line_count, sums.line_count);
        changes.set(self.quantity, sums.quantity);
        changes.set(self.subtotal, &sums.subtotal.to_string());
        changes.set(self.discount, &sums.discount.to_string());
        changes.set(self.tax, &sums.tax.to_string());
        if let Some(shipping) = shipping {
            changes.set(self.shipping, shipping);
        }
        if let Some(total) = total {
            changes.set(self.total, total);
        }
        let mut rows = ChildRows::default();
        rows.push_new(self.stored, &changes);
        rows
    }
}

impl Sums {
    /// The sums of an order without lines.
    pub fn none() -> Self {
        let zero = Decimal::zero;
        Self { line_count: 0, quantity: 0, subtotal: zero(), discount: zero(), tax: zero() }
    }

    /// The total, with this shipping.
    ///
    /// # Errors
    /// It cannot be stored; the violation is a path from the order.
    pub fn total(&self, shipping: Option<&str>) -> Result<Decimal, Violation> {
        let refuse = |error: orrery_kit::decimal::DecimalError| Violation::new("summary.total", error.to_string());
        let mut total = self.subtotal.clone();
        for summand in [&-self.discount.clone(), &self.tax, &decimal("shipping", shipping)?] {
            total = total.checked_add(summand).map_err(refuse)?;
        }
        check("total", &total)?;
        Ok(total)
    }
}

/// A decimal; null is zero. Other programs may have stored NaN or infinity, which is an error.
fn decimal(name: &str, text: Option<&str>) -> Result<Decimal, Violation> {
    let Some(text) = text else { return Ok(Decimal::zero()) };
    let refuse = |error| Violation::new(format!("summary.{name}"), format!("{text} cannot be added up: {error}"));
    text.parse().map_err(refuse)
}

/// Checks that a sum can be stored: it has no more digits before the point than an amount may have.
fn check(name: &str, sum: &Decimal) -> Result<(), Violation> {
    Decimal::check(&sum.to_string(), AMOUNT_DIGITS.0, usize::MAX)
        .map_err(|error| Violation::new(format!("summary.{name}"), error.to_string()))
}
