#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrery_kit::resource::row::ChildRows;
use proptest::prelude::*;

use super::*;
use crate::store::order::ORDER;

fn summaries() -> Summaries {
    Summaries::new(ORDER.children("line_items").unwrap(), ORDER.children("summary").unwrap()).unwrap()
}

/// A line: quantity, unit price, discount and tax.
type Line<'a> = (i32, [&'a str; 3]);

fn sum(lines: &[Line<'_>]) -> Result<Sums, Violation> {
    let columns = summaries();
    let mut rows = ChildRows::default();
    for (quantity, [unit_price, discount, tax]) in lines {
        let mut changes = Changes::default();
        changes.set(columns.line_quantity, *quantity);
        changes.set(columns.unit_price, unit_price);
        changes.set(columns.line_discount, discount);
        changes.set(columns.line_tax, tax);
        rows.push_new(ORDER.children("line_items").unwrap(), &changes);
    }
    columns.over(rows.rows())
}

/// The columns of a complete summary, as text.
fn whole(sums: &Sums, shipping: Option<&str>) -> Vec<String> {
    let columns = summaries();
    let rows = columns.with_total(sums, shipping).unwrap();
    let row = rows.rows().next().unwrap();
    let text = |column| row.get(column).unwrap_or("null").to_owned();
    vec![
        row.get(columns.line_count).unwrap().to_string(),
        row.get(columns.quantity).unwrap().to_string(),
        text(columns.subtotal),
        text(columns.discount),
        text(columns.tax),
        text(columns.shipping),
        text(columns.total),
    ]
}

#[test]
fn sums_have_as_many_digits_as_their_largest_summand() {
    let sums = sum(&[(2, ["1.50", "0", "0.3"]), (-3, ["0.001", "0.25", "0"]), (0, ["7", "0", "0"])]).unwrap();
    assert_eq!(whole(&sums, None), ["3", "-1", "2.997", "0.25", "0.3", "0", "3.047"]);
    assert_eq!(sum(&[]).unwrap(), Sums::none());
    assert_eq!(whole(&Sums::none(), None), ["0", "0", "0", "0", "0", "0", "0"]);
}

#[test]
fn a_stored_summary_serves_as_sums() {
    let columns = summaries();
    let sums = sum(&[(1, ["10.00", "1", "0.5"])]).unwrap();
    assert_eq!(whole(&sums, Some("4.999"))[5..], ["4.999", "14.499"]);
    let stored = columns.with_total(&sums, Some("2")).unwrap();
    let stored = stored.rows().next().unwrap();
    assert_eq!(columns.shipping(stored), Some("2"));
    assert_eq!(columns.read(stored), Ok(Some(sums.clone())));
    assert_eq!(whole(&sums, Some("3"))[5..], ["3", "12.50"]);
    let without_total = columns.without_total(&sums, None);
    let without_total = without_total.rows().next().unwrap();
    assert_eq!(columns.read(without_total), Ok(Some(sums)));
    assert_eq!((columns.shipping(without_total), without_total.get(columns.total)), (None, None));
}

#[test]
fn a_sum_of_more_than_fifteen_digits_is_refused() {
    let most = "999999999999999.9999";
    assert!(sum(&[(1, [most, most, most])]).is_ok());
    for (lines, field) in [
        (vec![(1, [most, "0", "0"]), (1, ["0.0001", "0", "0"])], "summary.subtotal"),
        (vec![(i32::MIN, [most, "0", "0"])], "summary.subtotal"),
        (vec![(0, ["0", most, "0"]), (0, ["0", "0.0001", "0"])], "summary.discount"),
        (vec![(0, ["0", "0", most]), (0, ["0", "0", "0.0001"])], "summary.tax"),
    ] {
        assert_eq!(sum(&lines).unwrap_err().field, field);
    }
    // A sum may exceed the limit in between, if the end result does not.
    assert!(sum(&[(2, [most, "0", "0"]), (-2, [most, "0", "0"])]).is_ok());
    let sums = sum(&[(1, [most, "0", "0"])]).unwrap();
    assert_eq!(sums.total(Some("0.0001")).unwrap_err().field, "summary.total");
}

#[test]
fn what_is_no_number_is_named() {
    let violation = sum(&[(1, ["NaN", "0", "0"])]).unwrap_err();
    assert!(violation.description.contains("NaN"), "{violation:?}");
}

proptest! {
    #[test]
    fn sums_are_those_of_whole_numbers(
        lines in proptest::collection::vec((-100_000..100_000_i32, any::<i32>(), any::<u8>()), 0..20),
    ) {
        // Amounts with four digits after the point are whole numbers of ten-thousandths.
        let text = |units: i64| {
            let sign = if units < 0 { "-" } else { "" };
            format!("{sign}{}.{:04}", units.abs() / 10_000, units.abs() % 10_000)
        };
        let texts: Vec<(i32, String, String)> = lines
            .iter()
            .map(|(quantity, price, tax)| (*quantity, text(i64::from(*price)), text(i64::from(*tax))))
            .collect();
        let rows: Vec<Line<'_>> =
            texts.iter().map(|(quantity, price, tax)| (*quantity, [price.as_str(), "0", tax.as_str()])).collect();
        let sums = sum(&rows).unwrap();
        let subtotal: i128 = lines.iter().map(|(quantity, price, _)| i128::from(*quantity) * i128::from(*price)).sum();
        let expected: Decimal = format!("{}.{:04}", subtotal / 10_000, (subtotal % 10_000).abs()).parse().unwrap();
        let expected = if subtotal < 0 && subtotal > -10_000 { -expected } else { expected };
        prop_assert_eq!(sums.subtotal, expected);
        let tax: i64 = lines.iter().map(|(_, _, tax)| i64::from(*tax)).sum();
        prop_assert_eq!(sums.tax, text(tax).parse::<Decimal>().unwrap());
    }
}
