//! An order's sums: computed from its lines wherever they change, exactly, and never by the database, whose numbers have no limits.

mod sum;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use orrery_kit::decimal::Decimal;
use orrery_kit::error::Violation;
use orrery_kit::resource::Resource;
use orrery_kit::resource::part::Derivation;
use orrery_kit::resource::tuple::Columns;

use self::sum::Sum;
use crate::store::amount::AMOUNT_DIGITS;
use crate::store::line_item::LINE_ITEM;
use crate::store::summary::SUMMARY;

/// The summary of an order, from its lines.
#[derive(Clone, Copy, Debug)]
pub struct OrderSums;

/// Where the columns that are summed up stand in a line, without its order.
struct LineColumns {
    quantity: usize,
    unit_price: usize,
    discount: usize,
    tax: usize,
}

static LINE: LazyLock<LineColumns> = LazyLock::new(|| {
    let place = |name| position(&LINE_ITEM, name);
    LineColumns {
        quantity: place("quantity"),
        unit_price: place("unit_price"),
        discount: place("discount"),
        tax: place("tax"),
    }
});

/// The place of a column in an input tuple without the owner's column; one that does not exist is beyond the tuple's end.
fn position(resource: &Resource, name: &str) -> usize {
    resource.input_position(name).map_or(usize::MAX, |place| place - 1)
}

/// The tuple of what is summed up.
fn sums(rows: &mut dyn Iterator<Item = &[u8]>) -> Result<Vec<u8>, Violation> {
    let (mut line_count, mut quantity) = (0_i32, 0_i64);
    let mut totals = [("subtotal", Sum::default()), ("discount", Sum::default()), ("tax", Sum::default())];
    for row in rows {
        let pieces = integer(column(row, LINE.quantity));
        line_count += 1;
        quantity += i64::from(pieces);
        let summands = [(LINE.unit_price, pieces), (LINE.discount, 1), (LINE.tax, 1)];
        for ((name, total), (place, times)) in totals.iter_mut().zip(summands) {
            if let Some(amount) = column(row, place) {
                let text = std::str::from_utf8(amount).unwrap_or_default();
                total.add(text, times).map_err(|error| {
                    let why = format!("an amount of {text} cannot be summed up: {error}");
                    Violation::new(format!("summary.{name}"), why)
                })?;
            }
        }
    }
    let mut tuple = Vec::with_capacity(96);
    put(&mut tuple, Some(&line_count.to_be_bytes()));
    put(&mut tuple, Some(&quantity.to_be_bytes()));
    for (name, total) in totals {
        let total = total.total().map_err(|error| Violation::new(format!("summary.{name}"), error.to_string()))?;
        check(name, &total)?;
        put(&mut tuple, Some(total.to_string().as_bytes()));
    }
    // The shipping is the caller's, and so the total is not known yet.
    put(&mut tuple, None);
    put(&mut tuple, None);
    Ok(tuple)
}

impl Derivation for OrderSums {
    fn source(&self) -> &'static str {
        "line_items"
    }

    fn sum(&self, rows: &mut dyn Iterator<Item = &[u8]>) -> Result<Vec<u8>, Violation> {
        sums(rows)
    }

    fn complete(&self, sums: &[u8], said: Option<&[u8]>, stored: Option<&[u8]>) -> Result<Vec<u8>, Violation> {
        let place = |name| position(&SUMMARY, name);
        let sum = |name| decimal(name, column(sums, place(name)));
        let shipping_of =
            |tuple: Option<&[u8]>| tuple.and_then(|tuple| column(tuple, place("shipping"))).map(<[u8]>::to_vec);
        let shipping_text = shipping_of(said).or_else(|| shipping_of(stored));
        let shipping = decimal("shipping", shipping_text.as_deref())?;
        let mut total = sum("subtotal")?;
        add("total", &mut total, &-sum("discount")?)?;
        add("total", &mut total, &sum("tax")?)?;
        add("total", &mut total, &shipping)?;
        check("total", &total)?;
        let mut tuple = Vec::with_capacity(128);
        for computed in Columns::new(sums).take(place("shipping")) {
            put(&mut tuple, computed);
        }
        put(&mut tuple, Some(shipping_text.as_deref().unwrap_or(b"0")));
        put(&mut tuple, Some(total.to_string().as_bytes()));
        Ok(tuple)
    }
}

fn column(tuple: &[u8], place: usize) -> Option<&[u8]> {
    Columns::new(tuple).nth(place).flatten()
}

fn integer(value: Option<&[u8]>) -> i32 {
    value.and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes)
}

/// A decimal in a tuple; unset is zero. Other programs may have stored what is no decimal: NaN, infinity.
fn decimal(name: &str, value: Option<&[u8]>) -> Result<Decimal, Violation> {
    let Some(bytes) = value else { return Ok(Decimal::zero()) };
    let text = String::from_utf8_lossy(bytes);
    let refuse = |error| Violation::new(format!("summary.{name}"), format!("{text} cannot be summed up: {error}"));
    text.parse().map_err(refuse)
}

fn add(name: &str, sum: &mut Decimal, summand: &Decimal) -> Result<(), Violation> {
    *sum = sum.checked_add(summand).map_err(|error| Violation::new(format!("summary.{name}"), error.to_string()))?;
    Ok(())
}

/// Whether a sum can be kept: it has no more digits before the point than an amount may have.
fn check(name: &str, sum: &Decimal) -> Result<(), Violation> {
    Decimal::check(&sum.to_string(), AMOUNT_DIGITS.0, usize::MAX)
        .map_err(|error| Violation::new(format!("summary.{name}"), error.to_string()))
}

fn put(tuple: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => tuple.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(value) => {
            tuple.extend_from_slice(&(value.len() as i32).to_be_bytes());
            tuple.extend_from_slice(value);
        }
    }
}
