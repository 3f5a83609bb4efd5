//! Decimals in the binary format of Postgres's `numeric`: digits in base 10,000 (`numeric_recv` in numeric.c).

use bytes::BufMut as _;

use super::{Decimal, split};

/// Decimal digits per digit of `numeric`.
const GROUP: usize = 4;
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

impl Decimal {
    /// Appends a decimal as a `numeric` that prints as its [`Decimal::canonical`]. A text that is not a decimal becomes
    /// zero.
    pub fn put_numeric(text: &str, out: &mut Vec<u8>) {
        let (negative, integer, fraction) = split(text).unwrap_or((false, "0", ""));
        let integer = integer.trim_start_matches('0').as_bytes();
        let fraction_digits = fraction.as_bytes();
        let mut groups = Vec::with_capacity(integer.len() / GROUP + fraction.len() / GROUP + 2);
        let head = integer.len() % GROUP;
        groups.extend((head > 0).then(|| group(&integer[..head], 0)));
        groups.extend(integer[head..].chunks(GROUP).map(|digits| group(digits, 0)));
        let mut weight = groups.len() as i16 - 1;
        groups.extend(fraction_digits.chunks(GROUP).map(|digits| group(digits, GROUP - digits.len())));
        let leading = groups.iter().take_while(|&&group| group == 0).count();
        weight -= leading as i16;
        let significant = groups.len() - groups.iter().rev().take_while(|&&group| group == 0).count();
        let groups = groups.get(leading..significant).unwrap_or_default();
        let sign = if negative && !groups.is_empty() { NEGATIVE } else { POSITIVE };
        out.put_i16(groups.len() as i16);
        out.put_i16(if groups.is_empty() { 0 } else { weight });
        out.put_u16(sign);
        out.put_u16(fraction.len() as u16);
        for &group in groups {
            out.put_i16(group);
        }
    }
}

/// Up to four digits as a number, followed by this many zeros.
fn group(digits: &[u8], zeros: usize) -> i16 {
    let value = digits.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0'));
    (0..zeros).fold(value, |value, _| value * 10)
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    fn numeric(text: &str) -> Vec<i16> {
        let mut out = Vec::new();
        Decimal::put_numeric(text, &mut out);
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn the_format_is_that_of_numeric_send() {
        // As printed by `select numeric_send(...)`: count, weight, sign, scale, digits.
        assert_eq!(numeric("12345.678"), [3, 1, 0, 3, 1, 2345, 6780]);
        assert_eq!(numeric("-0.001"), [1, -1, 0x4000, 3, 10]);
        assert_eq!(numeric("0.00001"), [1, -2, 0, 5, 1000]);
        assert_eq!(numeric("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(numeric("1.50"), [2, 0, 0, 2, 1, 5000]);
        assert_eq!(numeric("-0.00"), [0, 0, 0, 2]);
        assert_eq!(numeric("007"), [1, 0, 0, 0, 7]);
    }
}
