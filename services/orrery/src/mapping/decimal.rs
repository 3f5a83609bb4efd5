//! The `decimal` transform: reads an amount as written by a shop or spreadsheet. Amounts that do not follow the
//! settings are refused: whether `1,234` is one thousand or one is not guessed.

use std::borrow::Cow;

use serde::Deserialize;

use super::Problem;

/// The most digits after the point in the contract's amounts. Zeros beyond are removed.
const AMOUNT_DIGITS: usize = 4;

/// How decimals are written. Checked when the mapping is read.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Settings")]
pub(crate) struct DecimalFormat {
    mark: char,
    group: Option<char>,
    currency: Vec<String>,
    parentheses: bool,
    trailing_minus: bool,
    digits: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    mark: Option<char>,
    group: Option<char>,
    #[serde(default)]
    currency: Vec<String>,
    #[serde(default)]
    parentheses: bool,
    #[serde(default)]
    trailing_minus: bool,
    digits: Option<usize>,
}

impl Default for DecimalFormat {
    fn default() -> Self {
        Self { mark: '.', group: None, currency: Vec::new(), parentheses: false, trailing_minus: false, digits: None }
    }
}

impl TryFrom<Settings> for DecimalFormat {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let Settings { mark, group, currency, parentheses, trailing_minus, digits } = settings;
        let mark = mark.unwrap_or('.');
        if !matches!(mark, '.' | ',' | '\u{66b}') {
            return Err(format!("decimal.mark is \".\" or \",\" or \"\u{66b}\", not {mark:?}"));
        }
        let group = group.map(|group| if group.is_whitespace() { ' ' } else { group });
        if let Some(group) = group
            && !matches!(group, '.' | ',' | '\'' | '\u{2019}' | '_' | ' ' | '\u{66c}')
        {
            return Err(format!("decimal.group is one of \".\", \",\", \"'\", \"_\" and \" \", not {group:?}"));
        }
        if group == Some(mark) {
            return Err(format!("decimal.group and decimal.mark are both {mark:?}"));
        }
        let is_sign = |sign: &String| {
            !sign.trim().is_empty() && !sign.contains(|c: char| c.is_ascii_digit() || "()-+.,\u{2212}".contains(c))
        };
        if let Some(sign) = currency.iter().find(|sign| !is_sign(sign)) {
            return Err(format!(
                "decimal.currency: {sign:?} is not a currency sign or code such as \"€\" and \"EUR\" are"
            ));
        }
        let mut currency: Vec<String> = currency.iter().map(|sign| sign.trim().to_owned()).collect();
        // The longest first: `US$` before `$`.
        currency.sort_by_key(|sign| std::cmp::Reverse(sign.len()));
        Ok(Self { mark, group, currency, parentheses, trailing_minus, digits })
    }
}

/// The rest of an amount while signs and currencies are removed.
struct Rest<'a> {
    text: &'a str,
    negative: bool,
    /// Whether a sign was removed.
    signed: bool,
    currency: bool,
}

impl DecimalFormat {
    /// Reads an exact decimal and returns it as the contract writes it: an optional `-`, digits, and optionally a point
    /// and digits. Accepts a leading `+`, a missing zero before the mark and a mark at the end. Keeps all digits other
    /// than trailing zeros. No floats, no exponents.
    pub(crate) fn read(&self, text: &str) -> Result<String, Problem> {
        let malformed = || -> Problem {
            if *self == Self::default() {
                "is not a decimal such as 12.50 (`decimal` has settings for other notations)".into()
            } else {
                "is not a decimal with the settings of `decimal`".into()
            }
        };
        let mut rest = Rest { text: text.trim(), negative: false, signed: false, currency: false };
        if self.parentheses
            && let Some(inner) = self.in_parentheses(&mut rest)
        {
            rest.text = inner.trim();
            (rest.negative, rest.signed) = (true, true);
        }
        while self.take_sign(&mut rest) || self.take_currency(&mut rest) {}
        let (whole, fraction) = rest.text.split_once(self.mark).unwrap_or((rest.text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let whole = self.ungrouped(whole).ok_or_else(malformed)?;
        if !digits(&whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(malformed());
        }
        let kept = fraction.trim_end_matches('0').len();
        if let Some(most) = self.digits.filter(|most| kept > *most) {
            return Err(format!("has more than {most} digits after the decimal mark").into());
        }
        let fraction = &fraction[..fraction.len().min(kept.max(self.digits.unwrap_or(AMOUNT_DIGITS)))];
        let sign = if rest.negative { "-" } else { "" };
        let whole = if whole.is_empty() { Cow::Borrowed("0") } else { whole };
        Ok(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }

    /// The text within parentheses, if there are any, with a currency inside or outside.
    fn in_parentheses<'a>(&self, rest: &mut Rest<'a>) -> Option<&'a str> {
        let inner = |text: &'a str| text.strip_prefix('(')?.strip_suffix(')');
        if let Some(inner) = inner(rest.text) {
            return Some(inner);
        }
        let mut outside = Rest { text: rest.text, ..*rest };
        if !self.take_currency(&mut outside) {
            return None;
        }
        let inner = inner(outside.text)?;
        *rest = outside;
        Some(inner)
    }

    /// Removes a sign, unless there is none or one was removed before.
    fn take_sign(&self, rest: &mut Rest<'_>) -> bool {
        if rest.signed {
            return false;
        }
        for (sign, negative) in [('-', true), ('\u{2212}', true), ('+', false)] {
            let before = rest.text.strip_prefix(sign);
            let after = || rest.text.strip_suffix(sign).filter(|_| self.trailing_minus && negative);
            // Spaces between a sign and the digits are allowed only if a currency is.
            if let Some(text) = before.or_else(after) {
                rest.text = if self.currency.is_empty() { text } else { text.trim() };
                (rest.negative, rest.signed) = (negative, true);
                return true;
            }
        }
        false
    }

    /// Removes a currency, unless there is none or one was removed before.
    fn take_currency(&self, rest: &mut Rest<'_>) -> bool {
        if rest.currency {
            return false;
        }
        for sign in &self.currency {
            if let Some(text) = rest.text.strip_prefix(sign.as_str()).or_else(|| rest.text.strip_suffix(sign.as_str()))
            {
                rest.text = text.trim();
                rest.currency = true;
                return true;
            }
        }
        false
    }

    /// The digits before the mark without group separators. Groups have three digits, or, as in India, two digits with
    /// three at the end.
    fn ungrouped<'a>(&self, whole: &'a str) -> Option<Cow<'a, str>> {
        let Some(group) = self.group else { return Some(Cow::Borrowed(whole)) };
        let is_mark = |character: char| match group {
            // Spaces of any width that do not break lines.
            ' ' => matches!(character, ' ' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}'),
            group => character == group,
        };
        if !whole.contains(is_mark) {
            return Some(Cow::Borrowed(whole));
        }
        let groups: Vec<&str> = whole.split(is_mark).collect();
        let (first, others) = groups.split_first()?;
        let (last, between) = others.split_last()?;
        let of =
            |length: usize| between.iter().all(|group| group.len() == length) && (1..=length).contains(&first.len());
        (last.len() == 3 && (of(3) || of(2))).then(|| Cow::Owned(groups.concat()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn format(settings: &str) -> Result<DecimalFormat, toml::de::Error> {
        #[derive(Deserialize)]
        struct Case {
            decimal: DecimalFormat,
        }
        toml::from_str(&format!("decimal = {settings}")).map(|case: Case| case.decimal)
    }

    #[test]
    fn amounts_are_read_as_the_settings_say() {
        const EURO: &str =
            "{ mark = ',', group = '.', currency = ['€', 'EUR'], parentheses = true, trailing-minus = true }";
        for (settings, text, expected) in [
            ("{}", "2.550", "2.550"),
            ("{}", "+.5", "0.5"),
            ("{}", "-12.", "-12"),
            ("{}", "\u{2212}12", "-12"),
            ("{}", "1.500000", "1.5000"),
            ("{}", "1.0000000", "1.0000"),
            ("{}", "0.12345600", "0.123456"),
            ("{ digits = 2 }", "1.5000", "1.50"),
            ("{ digits = 0 }", "7.00", "7"),
            (EURO, "(1.234,50 €)", "-1234.50"),
            (EURO, "(1.234,50) €", "-1234.50"),
            (EURO, "€ (5)", "-5"),
            (EURO, "€ 1.234.567,5", "1234567.5"),
            (EURO, "-€5", "-5"),
            (EURO, "€-5", "-5"),
            (EURO, "€ - 5", "-5"),
            (EURO, "5- EUR", "-5"),
            (EURO, "5 €-", "-5"),
            (EURO, "1234,5", "1234.5"),
            (EURO, "1.234", "1234"),
            ("{ group = ',', currency = ['₹'] }", "₹1,23,456.00", "123456.00"),
            ("{ group = ',', currency = ['₹'] }", "₹12,34,56,789", "123456789"),
            ("{ group = ',' }", "1,234", "1234"),
            ("{ group = ',' }", "123,456.7", "123456.7"),
            ("{ mark = ',', group = ' ' }", "1\u{a0}234,50", "1234.50"),
            ("{ mark = ',', group = \"\\u00a0\" }", "1\u{202f}234\u{202f}567,50", "1234567.50"),
            ("{ group = \"'\" }", "1'234.50", "1234.50"),
            ("{ currency = ['$', 'US$'] }", "US$ 3", "3"),
            ("{ trailing-minus = true }", "5-", "-5"),
        ] {
            assert_eq!(format(settings).unwrap().read(text).as_deref(), Ok(expected), "{settings} of {text:?}");
        }
    }

    #[test]
    fn what_is_written_differently_is_refused() {
        const EURO: &str = "{ mark = ',', group = '.', currency = ['€'], parentheses = true, trailing-minus = true }";
        for (settings, texts) in [
            (
                "{}",
                &[
                    "1,5", "1,234", "1 234", "1e3", "-", ".", "", "0x1", "1.2.3", "- 1", "١", "(5)", "5-", "$5", "--5",
                    "+-5",
                ][..],
            ),
            ("{ digits = 4 }", &["1.23456"]),
            (
                "{ group = ',' }",
                &["1,23", "1,2345", ",123", "1,,234", "1234,567", "1,234,56", "1.234,5", "12,345,67.8"],
            ),
            (EURO, &["1.5", "(-5)", "((5))", "(5", "5)", "-5-", "€5€", "€ 5 €", "€", "()", "1,234.50", "$5", "5 -5"]),
            ("{ mark = ',' }", &["1.5", "1.234,5"]),
        ] {
            for text in texts {
                assert!(format(settings).unwrap().read(text).is_err(), "{settings} of {text:?}");
            }
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (settings, expected) in [
            ("{ mark = ',', group = ',' }", "are both ','"),
            ("{ group = '.' }", "are both '.'"),
            ("{ mark = '-' }", "decimal.mark is"),
            ("{ group = '1' }", "decimal.group is one of"),
            ("{ currency = [''] }", "is not a currency sign or code"),
            ("{ currency = ['-'] }", "is not a currency sign or code"),
            ("{ marks = ',' }", "unknown field"),
        ] {
            let error = format(settings).unwrap_err().to_string();
            assert!(error.contains(expected), "{settings}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_keeps_its_value_to_the_last_digit(whole in "-?[0-9]{1,30}", fraction in "[0-9]{0,17}[1-9]", zeros in "0{0,8}") {
            let read = DecimalFormat::default().read(&format!("{whole}.{fraction}{zeros}")).unwrap();
            let kept = &read[..whole.len() + 1 + fraction.len()];
            prop_assert_eq!(kept, format!("{whole}.{fraction}"));
            prop_assert!(read[kept.len()..].bytes().all(|digit| digit == b'0'));
            prop_assert!(read.len() <= kept.len() + 4);
        }
    }
}
