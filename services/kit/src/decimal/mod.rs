//! Exact decimals as texts: amounts and measures are never converted to a float.
//!
//! A decimal is an optional `-`, digits, and optionally a point and digits: `0`, `12.50`, `-0.003`. A point needs
//! digits on both sides. `+1`, `1.`, `.5`, `1e3`, `NaN`, spaces and digits of other scripts are refused, although
//! Postgres's `numeric` reads some of them: a text has one meaning, the same one everywhere.
//!
//! The canonical form is what Postgres prints for the text as a `numeric`: no leading zeros, no sign on zero, and every
//! digit after the point that was sent: `007.50` is `7.50`, `-0.00` is `0.00`. Sums and products have as many digits
//! after the point as in Postgres, so that arithmetic here and in SQL gives the same text.

mod arithmetic;
mod numeric;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The maximum number of digits before, and after, the point in arithmetic: as many as a `numeric` column can have.
const MAX_DIGITS: usize = 1_000;

/// An exact decimal number. Comparison is numeric: `1.5` equals `1.50`.
#[derive(Debug, Clone)]
pub struct Decimal {
    /// Never set on zero.
    negative: bool,
    /// The digits, 0 to 9, without the point, least significant first, without leading zeros. Zero has no digits.
    digits: Vec<u8>,
    /// How many of the digits are after the point.
    scale: usize,
}

/// Why a text cannot be stored as a decimal, or an operation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text does not follow the grammar.
    #[error("must be a decimal such as \"12.50\": an optional \"-\", digits, and optionally a point and digits")]
    Malformed,
    /// More digits before the point than this limit.
    #[error("must have at most {0} digits before the point")]
    TooManyIntegerDigits(usize),
    /// More digits after the point than this limit.
    #[error("must have at most {0} digits after the point")]
    TooManyFractionDigits(usize),
}

impl Decimal {
    /// Checks that `text` is a decimal with at most this many digits before and after the point. Leading zeros count.
    pub fn check(text: &str, max_integer_digits: usize, max_fraction_digits: usize) -> Result<(), DecimalError> {
        let (_, integer, fraction) = split(text).ok_or(DecimalError::Malformed)?;
        if integer.len() > max_integer_digits {
            return Err(DecimalError::TooManyIntegerDigits(max_integer_digits));
        }
        if fraction.len() > max_fraction_digits {
            return Err(DecimalError::TooManyFractionDigits(max_fraction_digits));
        }
        Ok(())
    }

    /// The canonical form of a decimal: what Postgres prints for `text::numeric`. A text that is not a decimal is
    /// returned unchanged.
    #[must_use]
    pub fn canonical(text: &str) -> Cow<'_, str> {
        let Some((negative, integer, fraction)) = split(text) else { return Cow::Borrowed(text) };
        let significant = integer.trim_start_matches('0');
        let leading = if significant.is_empty() { integer.len() - 1 } else { integer.len() - significant.len() };
        let magnitude = &text[usize::from(negative) + leading..];
        if !negative || (significant.is_empty() && fraction.bytes().all(|digit| digit == b'0')) {
            Cow::Borrowed(magnitude)
        } else if leading == 0 {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(format!("-{magnitude}"))
        }
    }

    /// Zero, without digits after the point.
    #[must_use]
    pub const fn zero() -> Self {
        Self { negative: false, digits: Vec::new(), scale: 0 }
    }

    /// Whether the number is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Whether the number is less than zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// How many digits are after the point.
    #[must_use]
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Checks the limits of arithmetic.
    fn bounded(self) -> Result<Self, DecimalError> {
        if self.scale > MAX_DIGITS {
            return Err(DecimalError::TooManyFractionDigits(MAX_DIGITS));
        }
        if self.digits.len() > self.scale + MAX_DIGITS {
            return Err(DecimalError::TooManyIntegerDigits(MAX_DIGITS));
        }
        Ok(self)
    }
}

/// Splits a decimal: whether it is negative, the digits before the point and those after it. `None` if `text` is not a
/// decimal.
fn split(text: &str) -> Option<(bool, &str, &str)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |magnitude| (true, magnitude));
    match magnitude.split_once('.') {
        Some((integer, fraction)) => (digits(integer) && digits(fraction)).then_some((negative, integer, fraction)),
        None => digits(magnitude).then_some((negative, magnitude, "")),
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Parses a decimal of at most 1,000 digits before and 1,000 after the point.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::check(text, MAX_DIGITS, MAX_DIGITS)?;
        let (negative, integer, fraction) = split(text).ok_or(DecimalError::Malformed)?;
        let digits = integer.bytes().chain(fraction.bytes()).rev().map(|digit| digit - b'0').collect();
        Ok(Self::from_parts(negative, digits, fraction.len()))
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        let mut rest = number.unsigned_abs();
        let mut digits = Vec::new();
        while rest > 0 {
            digits.push((rest % 10) as u8);
            rest /= 10;
        }
        Self::from_parts(number < 0, digits, 0)
    }
}

impl fmt::Display for Decimal {
    /// Writes the canonical form.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.digits.len().max(self.scale + 1) + 2);
        if self.negative {
            text.push('-');
        }
        for place in (0..self.digits.len().max(self.scale + 1)).rev() {
            text.push(char::from(b'0' + self.digits.get(place).copied().unwrap_or(0)));
            if place == self.scale && place > 0 {
                text.push('.');
            }
        }
        formatter.write_str(&text)
    }
}
