//! Numbers as Postgres prints those of jsonb: without an exponent, and so perhaps with hundreds of zeros around the
//! digits that matter.

use std::io::Write as _;

use super::document::{digits, zeros};

/// Significant digits with which any decimal is what the double nearest to it is printed as, unless it is near the
/// least or the largest.
const EXACT_DIGITS: usize = 15;
/// Most digits of a double's shortest print.
const MOST_DIGITS: usize = 17;

/// The double that reads as exactly these digits, if there is one. jsonb prints numbers without an exponent, so that
/// they may be long and have few digits that matter: only those are looked at closely.
pub(super) fn exact_double(raw: &[u8]) -> Option<f64> {
    let (negative, number) = raw.strip_prefix(b"-").map_or((false, raw), |number| (true, number));
    if number.contains(&b'e') {
        // Not printed by Postgres but written here, from a double.
        return std::str::from_utf8(raw).ok()?.parse().ok().filter(|number: &f64| number.is_finite());
    }
    let point = digits_to(number, 0);
    let (whole, fraction) = match number.get(point) {
        None => (number, &b""[..]),
        Some(b'.') if digits_to(number, point + 1) == number.len() => (&number[..point], &number[point + 1..]),
        Some(_) => return None,
    };
    // The digits from the first to the last that is not zero, and the power of ten of the first.
    let fraction = trim_end_zeros(fraction);
    let leading = zeros(whole);
    let (first, second, exponent) = if leading < whole.len() {
        let whole = &whole[leading..];
        let exponent = whole.len() as i32 - 1;
        if fraction.is_empty() { (trim_end_zeros(whole), fraction, exponent) } else { (whole, fraction, exponent) }
    } else {
        let leading = zeros(fraction);
        (&fraction[leading..], &b""[..], -1 - leading as i32)
    };
    let count = first.len() + second.len();
    if count > MOST_DIGITS || whole.is_empty() {
        return None;
    }
    if count == 0 {
        return Some(if negative { -0.0 } else { 0.0 });
    }
    let mut text = [0; MOST_DIGITS + 16];
    let mut rest = &mut text[..];
    let last = exponent - (count as i32 - 1);
    for piece in [first, second] {
        let (here, behind) = rest.split_at_mut_checked(piece.len())?;
        here.copy_from_slice(piece);
        rest = behind;
    }
    write!(rest, "e{last}").ok()?;
    let left = rest.len();
    let text = std::str::from_utf8(&text[..text.len() - left]).ok()?;
    let size: f64 = text.parse().ok()?;
    let plain = count <= EXACT_DIGITS && (-290..290).contains(&exponent);
    if !size.is_finite() || !plain && !prints_as(size, [first, second], exponent) {
        return None;
    }
    Some(if negative { -size } else { size })
}

/// Where the digits that begin at a place end.
fn digits_to(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let run = digits(rest);
    from + run + rest[run..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn trim_end_zeros(digits: &[u8]) -> &[u8] {
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    &digits[..end]
}

/// Whether the shortest print of a number has these digits.
fn prints_as(number: f64, digits: [&[u8]; 2], exponent: i32) -> bool {
    let print = format!("{number:e}");
    let Some((mantissa, power)) = print.split_once('e') else { return false };
    let printed = mantissa.bytes().filter(u8::is_ascii_digit);
    power.parse() == Ok(exponent) && printed.eq(digits.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule itself, the slow way.
    fn exact_slowly(text: &str) -> Option<f64> {
        let number: f64 = text.parse().ok()?;
        let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        (number.is_finite() && number.to_string() == plain).then_some(number)
    }

    #[test]
    fn the_ends_of_what_a_double_holds_are_exact() {
        for number in [0.0, -0.0, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 1e21, 123_456.789, 4.35, -0.1] {
            let text = number.to_string();
            let read = exact_double(text.as_bytes()).map(f64::to_bits);
            assert_eq!(read, Some(number.to_bits()), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "e",
            "1e",
            "1e400",
            "x",
            "1.5x",
            "1.5.2",
            &"9".repeat(400),
            "0.30000000000000001",
        ] {
            assert_eq!(exact_double(text.as_bytes()), exact_slowly(text).filter(|_| text == "1."), "{text}");
        }
        for number in [1.5e300, -5e-324, f64::MAX] {
            assert_eq!(exact_double(format!("{number:e}").as_bytes()), Some(number));
        }
        let digits = "7".repeat(100_000);
        assert_eq!(exact_double(format!("0.{digits}").as_bytes()), None);
    }

    proptest! {
        #[test]
        fn a_number_is_exact_by_any_way(
            number in prop::num::f64::ANY,
            whole in "0|[1-9][0-9]{0,24}|[1-9]0{0,320}",
            fraction in "|[.][0-9]{1,24}|[.]0{0,330}[0-9]{1,18}0{0,12}",
            sign in "-?",
        ) {
            let some = format!("{sign}{whole}{fraction}");
            for text in [some, number.to_string(), format!("{number}0"), format!("{number}.10")] {
                let is_json = !text.trim_start_matches('-').starts_with("00");
                if is_json && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
                    let bits = |number: Option<f64>| number.map(f64::to_bits);
                    prop_assert_eq!(bits(exact_double(text.as_bytes())), bits(exact_slowly(&text)), "{}", text);
                }
            }
        }

        #[test]
        fn any_text_is_a_number_or_none(text: Vec<u8>) {
            let _ = exact_double(&text);
        }
    }
}
