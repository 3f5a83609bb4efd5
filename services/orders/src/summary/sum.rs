//! An exact sum of amounts. Amounts that this service accepted are whole numbers of ten-thousandths, and the sum of a
//! hundred thousand lines fits into 128 bits. Amounts that other programs stored may be larger or finer; they are added
//! digit by digit.

use orrery_kit::decimal::{Decimal, DecimalError};

use crate::store::amount::AMOUNT_DIGITS;

const FRACTION_DIGITS: usize = AMOUNT_DIGITS.1;
const INTEGER_DIGITS: usize = AMOUNT_DIGITS.0;

/// A sum, with as many digits after the point as its largest summand.
#[derive(Debug)]
pub(super) struct Sum {
    /// The part in units of the smallest amount.
    units: i128,
    /// The most digits after the point of the amounts in `units`.
    scale: usize,
    /// The rest of the sum.
    rest: Decimal,
}

impl Default for Sum {
    fn default() -> Self {
        Self { units: 0, scale: 0, rest: Decimal::zero() }
    }
}

impl Sum {
    /// A sum that is this so far.
    pub(super) fn of(sum: Decimal) -> Self {
        Self { rest: sum, ..Self::default() }
    }

    /// Adds an amount `times` times.
    ///
    /// # Errors
    /// The text is not a decimal, or it exceeds the limits of decimals.
    pub(super) fn add(&mut self, amount: &str, times: i32) -> Result<(), DecimalError> {
        if let Some((units, scale)) = units(amount)
            && let Some(sum) = self.units.checked_add(units * i128::from(times))
        {
            self.units = sum;
            self.scale = self.scale.max(scale);
            return Ok(());
        }
        let product = amount.parse::<Decimal>()?.checked_mul(&Decimal::from(i64::from(times)))?;
        self.rest = self.rest.checked_add(&product)?;
        Ok(())
    }

    /// The sum.
    ///
    /// # Errors
    /// It exceeds the limits of decimals.
    pub(super) fn total(&self) -> Result<Decimal, DecimalError> {
        let sign = if self.units < 0 { "-" } else { "" };
        let one = 10_u128.pow(FRACTION_DIGITS as u32);
        let (whole, fraction) = (self.units.unsigned_abs() / one, self.units.unsigned_abs() % one);
        let digits = format!("{fraction:0FRACTION_DIGITS$}");
        // The digits beyond the scale are zeros.
        let text = match self.scale {
            0 => format!("{sign}{whole}"),
            scale => format!("{sign}{whole}.{}", &digits[..scale]),
        };
        text.parse::<Decimal>()?.checked_add(&self.rest)
    }
}

/// An amount in units of the smallest one, and its number of digits after the point; `None` if it is not such an
/// amount.
fn units(amount: &str) -> Option<(i128, usize)> {
    let (negative, magnitude) = amount.strip_prefix('-').map_or((false, amount), |magnitude| (true, magnitude));
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let sane = (1..=INTEGER_DIGITS).contains(&whole.len())
        && fraction.len() <= FRACTION_DIGITS
        && fraction.is_empty() != magnitude.contains('.');
    if !sane {
        return None;
    }
    // Nineteen digits fit into 64 bits.
    let mut units = 0_u64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        units = units * 10 + u64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    let units = i128::from(units) * 10_i128.pow((FRACTION_DIGITS - fraction.len()) as u32);
    Some((if negative { -units } else { units }, fraction.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_is_a_whole_number_of_units() {
        assert_eq!(units("12.50"), Some((125_000, 2)));
        assert_eq!(units("-0.0001"), Some((-1, 4)));
        assert_eq!(units("999999999999999.9999"), Some((9_999_999_999_999_999_999, 4)));
        for text in ["", "-", ".5", "5.", "1.00000", "1000000000000000", "NaN", "1e3", "+1", "--1", "1.2.3", "\u{663}"]
        {
            assert_eq!(units(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_sum_digit_by_digit(
            summands in proptest::collection::vec(("-?[0-9]{1,18}(\\.[0-9]{1,7})?", any::<i32>()), 0..12),
        ) {
            let mut sum = Sum::default();
            let mut expected = Decimal::zero();
            for (amount, times) in &summands {
                sum.add(amount, *times).unwrap();
                let amount = amount.parse::<Decimal>().unwrap();
                let product = amount.checked_mul(&Decimal::from(i64::from(*times))).unwrap();
                expected = expected.checked_add(&product).unwrap();
            }
            prop_assert_eq!(sum.total().unwrap().to_string(), expected.to_string());
        }
    }
}
