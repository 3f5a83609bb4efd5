//! Decimals in the binary format of Postgres's `numeric`: digits in base 10,000 (`numeric_recv` in numeric.c).

use std::fmt::Write as _;

use bytes::BufMut as _;

use super::{Decimal, split};

/// Decimal digits per digit of `numeric`.
const GROUP: usize = 4;
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;

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

impl Decimal {
    /// The text of a `numeric` in binary format, as Postgres prints it; `None` if the bytes are none.
    pub fn read_numeric(bytes: &[u8]) -> Option<String> {
        let (words, []) = bytes.as_chunks::<2>() else { return None };
        let [count, weight, sign, scale, groups @ ..] = words else { return None };
        if usize::from(u16::from_be_bytes(*count)) != groups.len() {
            return None;
        }
        let minus = match u16::from_be_bytes(*sign) {
            POSITIVE => "",
            NEGATIVE => "-",
            NAN => return Some("NaN".to_owned()),
            INFINITY => return Some("Infinity".to_owned()),
            MINUS_INFINITY => return Some("-Infinity".to_owned()),
            _ => return None,
        };
        let (weight, scale) = (i32::from(i16::from_be_bytes(*weight)), usize::from(u16::from_be_bytes(*scale)));
        // The group that stands for a power of 10,000.
        let group = |power: i32| {
            let place = usize::try_from(weight - power).ok();
            place.and_then(|place| groups.get(place)).map_or(0, |group| u16::from_be_bytes(*group))
        };
        let mut text = format!("{minus}{}", group(weight.max(0)));
        for power in (0..weight).rev() {
            let _ = write!(text, "{:04}", group(power));
        }
        if scale > 0 {
            text.push('.');
            let end = text.len() + scale;
            for power in 1..=scale.div_ceil(GROUP) {
                let _ = write!(text, "{:04}", group(-(power as i32)));
            }
            text.truncate(end);
        }
        Some(text)
    }
}

/// Up to four digits as a number, followed by this many zeros.
fn group(digits: &[u8], zeros: usize) -> i16 {
    let value = digits.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0'));
    (0..zeros).fold(value, |value, _| value * 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn a_decimal_is_read_as_it_was_put(text in "-?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?") {
            let mut out = Vec::new();
            Decimal::put_numeric(&text, &mut out);
            let canonical = Decimal::canonical(&text).into_owned();
            prop_assert_eq!(Decimal::read_numeric(&out), Some(canonical));
        }

        #[test]
        fn any_bytes_are_read_or_none(bytes: Vec<u8>) {
            let _ = Decimal::read_numeric(&bytes);
        }
    }

    #[test]
    fn what_is_no_number_is_read_too() {
        for (sign, text) in [(0xc0, "NaN"), (0xd0, "Infinity"), (0xf0, "-Infinity")] {
            assert_eq!(Decimal::read_numeric(&[0, 0, 0, 0, sign, 0, 0, 0]).as_deref(), Some(text));
        }
        for bytes in [&b""[..], &[0; 7], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0, 0, 0]] {
            assert_eq!(Decimal::read_numeric(bytes), None);
        }
    }
}
