#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use proptest::prelude::*;

use super::*;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn the_grammar() {
    for text in
        ["0", "-0", "12.50", "-0.003", "007", "00.00", "1", "9999999999999999999999999999999999.999999999999999999"]
    {
        assert_eq!(Decimal::check(text, 34, 18), Ok(()), "{text}");
    }
    for text in [
        "", "-", ".", "1.", ".5", "-.5", "+1", "--1", "1e3", "1E3", "NaN", "Infinity", "-inf", " 1", "1 ", "1 0",
        "1,5", "1_000", "0x1", "1.2.3", "1.-2", "1.+2", "١", "１", "1\0", "\0", "é",
    ] {
        assert_eq!(Decimal::check(text, 34, 18), Err(DecimalError::Malformed), "{text}");
        assert_eq!(text.parse::<Decimal>().unwrap_err(), DecimalError::Malformed, "{text}");
    }
}

#[test]
fn limits_count_the_digits_as_written() {
    assert_eq!(Decimal::check("1234.5678", 4, 4), Ok(()));
    assert_eq!(Decimal::check("-1234.5678", 4, 4), Ok(()));
    assert_eq!(Decimal::check("12345.5678", 4, 4), Err(DecimalError::TooManyIntegerDigits(4)));
    assert_eq!(Decimal::check("00001", 4, 4), Err(DecimalError::TooManyIntegerDigits(4)));
    assert_eq!(Decimal::check("1.00000", 4, 4), Err(DecimalError::TooManyFractionDigits(4)));
    assert!("9".repeat(1_000).parse::<Decimal>().is_ok());
    assert!("9".repeat(1_001).parse::<Decimal>().is_err());
    assert!(format!("0.{}", "9".repeat(1_001)).parse::<Decimal>().is_err());
}

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("0", "0"),
        ("-0", "0"),
        ("000", "0"),
        ("-0.00", "0.00"),
        ("00.00", "0.00"),
        ("1.50", "1.50"),
        ("007.50", "7.50"),
        ("-007.50", "-7.50"),
        ("-0.5", "-0.5"),
        ("-00.5", "-0.5"),
        ("100", "100"),
        ("-100.0", "-100.0"),
        ("no decimal", "no decimal"),
    ] {
        assert_eq!(Decimal::canonical(text), canonical, "{text}");
    }
    assert!(matches!(Decimal::canonical("-12.50"), Cow::Borrowed(_)));
}

#[test]
fn sums_and_products() {
    for (left, right, sum, product) in [
        ("1.50", "2.5", "4.00", "3.750"),
        ("0.1", "0.2", "0.3", "0.02"),
        ("1", "-1", "0", "-1"),
        ("-1.00", "1", "0.00", "-1.00"),
        ("0", "-5.25", "-5.25", "0.00"),
        ("999", "1", "1000", "999"),
        ("1000", "-1", "999", "-1000"),
        ("-0.01", "0.1", "0.09", "-0.001"),
        ("-7", "-3", "-10", "21"),
        (
            "12345678901234567890.123",
            "98765432109876543210.9",
            "111111111011111111101.023",
            "1219326311370217952260723060271889452815.9407",
        ),
    ] {
        assert_eq!(decimal(left).checked_add(&decimal(right)).unwrap().to_string(), sum, "{left} + {right}");
        assert_eq!(decimal(left).checked_mul(&decimal(right)).unwrap().to_string(), product, "{left} * {right}");
    }
}

#[test]
fn arithmetic_beyond_its_limits_is_an_error() {
    let nines = decimal(&"9".repeat(1_000));
    assert_eq!(nines.checked_add(&Decimal::from(1)), Err(DecimalError::TooManyIntegerDigits(1_000)));
    assert_eq!(nines.checked_mul(&nines), Err(DecimalError::TooManyIntegerDigits(1_000)));
    let fine = decimal(&format!("0.{}", "1".repeat(600)));
    assert_eq!(fine.checked_mul(&fine), Err(DecimalError::TooManyFractionDigits(1_000)));
    assert!(nines.checked_add(&-nines.clone()).unwrap().is_zero());
}

/// `number` with the point `scale` digits from its end, computed with strings.
fn scaled(number: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", number.unsigned_abs(), width = scale + 1);
    let (integer, fraction) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{integer}") } else { format!("{sign}{integer}.{fraction}") }
}

proptest! {
    #[test]
    fn arithmetic_is_that_of_integers(left: i64, left_scale in 0..20_usize, right: i64, right_scale in 0..20_usize) {
        let (a, b) = (decimal(&scaled(left.into(), left_scale)), decimal(&scaled(right.into(), right_scale)));
        let (left, right) = (i128::from(left), i128::from(right));
        prop_assert_eq!(a.to_string(), scaled(left, left_scale));
        prop_assert_eq!(a.checked_mul(&b).unwrap().to_string(), scaled(left * right, left_scale + right_scale));
        let scale = left_scale.max(right_scale);
        let shift = |number: i128, from: usize| number.checked_mul(10_i128.pow((scale - from) as u32));
        if let (Some(left), Some(right)) = (shift(left, left_scale), shift(right, right_scale)) {
            prop_assert_eq!(a.checked_add(&b).unwrap().to_string(), scaled(left + right, scale));
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        }
    }

    #[test]
    fn laws_hold_at_any_length(
        a in "-?[0-9]{1,60}(\\.[0-9]{1,40})?",
        b in "-?[0-9]{1,60}(\\.[0-9]{1,40})?",
        c in "-?[0-9]{1,60}(\\.[0-9]{1,40})?",
    ) {
        let (a, b, c) = (decimal(&a), decimal(&b), decimal(&c));
        let sum = a.checked_add(&b).unwrap();
        prop_assert_eq!(&sum, &b.checked_add(&a).unwrap());
        prop_assert_eq!(&sum.checked_add(&-b.clone()).unwrap(), &a);
        prop_assert_eq!(
            sum.checked_mul(&c).unwrap(),
            a.checked_mul(&c).unwrap().checked_add(&b.checked_mul(&c).unwrap()).unwrap()
        );
        let is_positive = |rest: Decimal| !rest.is_negative() && !rest.is_zero();
        prop_assert_eq!(a < b, b.clone().checked_add(&-a.clone()).is_ok_and(is_positive));
    }

    #[test]
    fn a_number_displays_canonically(text in "-?[0-9]{1,40}(\\.[0-9]{1,20})?") {
        let canonical = Decimal::canonical(&text);
        prop_assert_eq!(decimal(&text).to_string(), canonical.as_ref());
        prop_assert_eq!(Decimal::canonical(&canonical), canonical.as_ref());
        prop_assert_eq!(decimal(&text), decimal(&canonical));
    }

    #[test]
    fn integers_are_decimals(number: i64) {
        prop_assert_eq!(Decimal::from(number).to_string(), number.to_string());
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,20}|[-+.0-9eNa]{0,12}") {
        prop_assert_eq!(Decimal::check(&text, 34, 18).is_ok(), text.parse::<Decimal>().is_ok());
        if Decimal::check(&text, 34, 18).is_err() {
            prop_assert_eq!(Decimal::canonical(&text), text.as_str());
        }
    }
}
