#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

/// A line's tuple without its order: how many, for how much, less what, and what tax.
fn line(quantity: i32, amounts: [&str; 3]) -> Vec<u8> {
    let mut tuple = Vec::new();
    for field in LINE_ITEM.inputs().skip(1) {
        match field.name {
            "quantity" => put(&mut tuple, Some(&quantity.to_be_bytes())),
            "unit_price" => put(&mut tuple, Some(amounts[0].as_bytes())),
            "discount" => put(&mut tuple, Some(amounts[1].as_bytes())),
            "tax" => put(&mut tuple, Some(amounts[2].as_bytes())),
            _ => put(&mut tuple, None),
        }
    }
    tuple
}

fn sum(lines: &[Vec<u8>]) -> Result<Vec<u8>, Violation> {
    OrderSums.sum(&mut lines.iter().map(Vec::as_slice))
}

/// What a caller or the table says of the shipping.
fn shipping(amount: &str) -> Vec<u8> {
    let mut tuple = Vec::new();
    for field in SUMMARY.inputs().skip(1) {
        put(&mut tuple, (field.name == "shipping").then_some(amount.as_bytes()));
    }
    tuple
}

/// A summary's columns, as people read them.
fn read(tuple: &[u8]) -> Vec<String> {
    let mut columns = Columns::new(tuple);
    let line_count = integer(columns.next().flatten()).to_string();
    let quantity = columns.next().flatten().map(|bytes| i64::from_be_bytes(bytes.try_into().unwrap()).to_string());
    let text =
        |value: Option<&[u8]>| value.map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    [line_count, quantity.unwrap()].into_iter().chain(columns.map(text)).collect()
}

#[test]
fn sums_have_as_many_digits_as_their_largest_summand() {
    let lines = [line(2, ["1.50", "0", "0.3"]), line(-3, ["0.001", "0.25", "0"]), line(0, ["7", "0", "0"])];
    let sums = sum(&lines).unwrap();
    assert_eq!(read(&sums), ["3", "-1", "2.997", "0.25", "0.3", "null", "null"]);
    let whole = OrderSums.complete(&sums, None, None).unwrap();
    assert_eq!(read(&whole), ["3", "-1", "2.997", "0.25", "0.3", "0", "3.047"]);
    assert_eq!(read(&OrderSums.complete(&sum(&[]).unwrap(), None, None).unwrap()), ["0", "0", "0", "0", "0", "0", "0"]);
}

#[test]
fn shipping_is_what_is_said_else_what_is_stored() {
    let sums = sum(&[line(1, ["10.00", "1", "0.5"])]).unwrap();
    let total = |said: Option<&str>, stored: Option<&str>| {
        let (said, stored) = (said.map(shipping), stored.map(shipping));
        let whole = OrderSums.complete(&sums, said.as_deref(), stored.as_deref()).unwrap();
        let read = read(&whole);
        (read[5].clone(), read[6].clone())
    };
    let pair = |shipping: &str, total: &str| (shipping.to_owned(), total.to_owned());
    assert_eq!(total(Some("4.999"), Some("1")), pair("4.999", "14.499"));
    assert_eq!(total(None, Some("1")), pair("1", "10.50"));
    assert_eq!(total(None, None), pair("0", "9.50"));
    // A stored summary serves as sums.
    let stored = OrderSums.complete(&sums, Some(&shipping("2")), None).unwrap();
    let again = OrderSums.complete(&stored, Some(&shipping("3")), Some(&stored)).unwrap();
    assert_eq!(read(&again)[5..], ["3", "12.50"]);
    assert_eq!(OrderSums.complete(&stored, None, Some(&stored)).unwrap(), stored);
}

#[test]
fn a_sum_of_more_than_fifteen_digits_is_refused() {
    let most = "999999999999999.9999";
    assert!(sum(&[line(1, [most, most, most])]).is_ok());
    for (lines, field) in [
        (vec![line(1, [most, "0", "0"]), line(1, ["0.0001", "0", "0"])], "summary.subtotal"),
        (vec![line(i32::MIN, [most, "0", "0"])], "summary.subtotal"),
        (vec![line(0, ["0", most, "0"]), line(0, ["0", "0.0001", "0"])], "summary.discount"),
        (vec![line(0, ["0", "0", most]), line(0, ["0", "0", "0.0001"])], "summary.tax"),
    ] {
        assert_eq!(sum(&lines).unwrap_err().field, field);
    }
    // What goes beyond on the way and comes back is kept.
    assert!(sum(&[line(2, [most, "0", "0"]), line(-2, [most, "0", "0"])]).is_ok());
    let sums = sum(&[line(1, [most, "0", "0"])]).unwrap();
    let beyond = OrderSums.complete(&sums, Some(&shipping("0.0001")), None).unwrap_err();
    assert_eq!(beyond.field, "summary.total");
}

#[test]
fn what_is_no_number_is_named() {
    let violation = sum(&[line(1, ["NaN", "0", "0"])]).unwrap_err();
    assert!(violation.description.contains("NaN"), "{violation:?}");
}

proptest! {
    #[test]
    fn sums_are_those_of_whole_numbers(lines in proptest::collection::vec((-100_000..100_000_i32, any::<i32>(), any::<u8>()), 0..20)) {
        // Amounts of four digits after the point are whole numbers of ten-thousandths.
        let text = |units: i64| {
            let sign = if units < 0 { "-" } else { "" };
            format!("{sign}{}.{:04}", units.abs() / 10_000, units.abs() % 10_000)
        };
        let tuples: Vec<Vec<u8>> = lines
            .iter()
            .map(|(quantity, price, tax)| line(*quantity, [&text(i64::from(*price)), "0", &text(i64::from(*tax))]))
            .collect();
        let sums = sum(&tuples).unwrap();
        let subtotal: i128 = lines.iter().map(|(quantity, price, _)| i128::from(*quantity) * i128::from(*price)).sum();
        let sums = read(&sums);
        let sum_at = |place: usize| sums[place].parse::<Decimal>().unwrap();
        let expected: Decimal = format!("{}.{:04}", subtotal / 10_000, (subtotal % 10_000).abs()).parse().unwrap();
        let expected = if subtotal < 0 && subtotal > -10_000 { -expected } else { expected };
        prop_assert_eq!(sum_at(2), expected);
        let tax: i64 = lines.iter().map(|(_, _, tax)| i64::from(*tax)).sum();
        prop_assert_eq!(sum_at(4), text(tax).parse::<Decimal>().unwrap());
    }
}
