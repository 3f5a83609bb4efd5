//! Adds up the lines of an order, one after the other.

use orrery_kit::decimal::{Decimal, DecimalError};
use orrery_kit::error::Violation;

use super::sum::Sum;
use super::{Sums, check};

/// What counts of a line. Null counts as zero.
#[derive(Clone, Copy, Debug)]
pub struct Amounts<'l> {
    /// The quantity.
    pub pieces: Option<i32>,
    /// Of one piece.
    pub unit_price: Option<&'l str>,
    /// Of the whole line.
    pub discount: Option<&'l str>,
    /// Of the whole line.
    pub tax: Option<&'l str>,
}

/// The sums over the lines so far.
#[derive(Debug, Default)]
pub struct Adding {
    line_count: i32,
    quantity: i64,
    subtotal: Sum,
    discount: Sum,
    tax: Sum,
}

impl Adding {
    /// Adds a line.
    ///
    /// # Errors
    /// An amount that cannot be added up; the violation is a path from the order.
    pub fn add(&mut self, line: Amounts<'_>) -> Result<(), Violation> {
        let pieces = line.pieces.unwrap_or(0);
        self.line_count = self.line_count.saturating_add(1);
        self.quantity += i64::from(pieces);
        add("subtotal", &mut self.subtotal, line.unit_price, pieces)?;
        add("discount", &mut self.discount, line.discount, 1)?;
        add("tax", &mut self.tax, line.tax, 1)
    }

    /// The sums.
    ///
    /// # Errors
    /// A sum that cannot be stored; the violation is a path from the order.
    pub fn sums(&self) -> Result<Sums, Violation> {
        let (subtotal, discount) = (total("subtotal", &self.subtotal)?, total("discount", &self.discount)?);
        let (line_count, quantity) = (self.line_count, self.quantity);
        Ok(Sums { line_count, quantity, subtotal, discount, tax: total("tax", &self.tax)? })
    }

    /// What [`of_paused`](Self::of_paused) needs to go on with the next line: line count, quantity, subtotal, discount
    /// and tax.
    ///
    /// # Errors
    /// A sum exceeds the limits of decimals.
    pub fn pause(&self) -> Result<Paused, DecimalError> {
        let Self { line_count, quantity, subtotal, discount, tax } = self;
        let text = |sum: &Sum| sum.total().map(|sum| sum.to_string());
        Ok((*line_count, *quantity, text(subtotal)?, text(discount)?, text(tax)?))
    }

    /// Goes on after a [`pause`](Self::pause).
    ///
    /// # Errors
    /// A text is not a decimal.
    pub fn of_paused((line_count, quantity, subtotal, discount, tax): &Paused) -> Result<Self, DecimalError> {
        let sum = |text: &String| text.parse::<Decimal>().map(Sum::of);
        let (line_count, quantity) = (*line_count, *quantity);
        Ok(Self { line_count, quantity, subtotal: sum(subtotal)?, discount: sum(discount)?, tax: sum(tax)? })
    }
}

/// See [`Adding::pause`].
pub type Paused = (i32, i64, String, String, String);

fn add(name: &str, sum: &mut Sum, amount: Option<&str>, times: i32) -> Result<(), Violation> {
    let Some(text) = amount else { return Ok(()) };
    sum.add(text, times).map_err(|error| {
        let why = format!("an amount of {text} cannot be added up: {error}");
        Violation::new(format!("summary.{name}"), why)
    })
}

fn total(name: &str, sum: &Sum) -> Result<Decimal, Violation> {
    let total = sum.total().map_err(|error| Violation::new(format!("summary.{name}"), error.to_string()))?;
    check(name, &total)?;
    Ok(total)
}
