//! The identifiers of combo templates and combo reports: `TYPE-PRODUCTS-COUNT-AUDIENCE-SEQ`.

use crate::store::artifact::MAX_IDENTIFIER_BYTES;
use crate::store::payload::{COMBO_TYPES, MAX_CODE_BYTES};

/// The largest number of a series.
pub const MAX_NUMBER: i32 = 999_999_999;
/// The fewest digits of a number.
const DIGITS: usize = 3;

/// What an identifier says beside its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComboName {
    /// The type of the combo.
    pub combo_type: String,
    /// The product codes, in upper case and sorted.
    pub product_codes: Vec<String>,
    /// How many products are shown.
    pub product_count: i32,
    /// Who it is for, in upper case.
    pub audience: String,
}

/// Checks a product code or an audience: letters, digits, `_` and `.`, beginning with a letter or digit.
///
/// # Errors
/// What is wrong with it.
pub fn check_code(code: &str) -> Result<(), String> {
    let is_valid = !code.is_empty()
        && code.len() <= MAX_CODE_BYTES
        && code.starts_with(|first: char| first.is_ascii_alphanumeric())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    if is_valid {
        return Ok(());
    }
    Err(format!("must be 1 to {MAX_CODE_BYTES} of A-Z, a-z, 0-9, \"_\" and \".\", and begin with a letter or digit"))
}

/// Product codes as they stand in an identifier.
pub fn sorted_codes<C: AsRef<str>>(codes: &[C]) -> Vec<String> {
    let mut codes: Vec<String> = codes.iter().map(|code| code.as_ref().to_ascii_uppercase()).collect();
    codes.sort_unstable();
    codes
}

impl ComboName {
    /// The beginning of an identifier, without the number and the hyphen before it.
    pub fn prefix(&self) -> String {
        let Self { combo_type, product_codes, product_count, audience } = self;
        format!("{combo_type}-{}-{product_count}-{audience}", product_codes.join("+"))
    }

    /// Whether identifiers that begin like this have room for every number.
    pub fn fits(&self) -> bool {
        identifier(&self.prefix(), MAX_NUMBER).len() <= MAX_IDENTIFIER_BYTES
    }

    /// Reads an identifier and its number. There is one way to write each.
    ///
    /// # Errors
    /// That it is none.
    pub fn parse(text: &str) -> Result<(Self, i32), String> {
        let name = || {
            let [combo_type, codes, count, audience, number] = text.split('-').collect::<Vec<_>>()[..] else {
                return None;
            };
            let name = Self {
                combo_type: combo_type.to_owned(),
                product_codes: codes.split('+').map(str::to_owned).collect(),
                product_count: count.parse().ok().filter(|count| (1..=9_999).contains(count))?,
                audience: audience.to_owned(),
            };
            let number: i32 = number.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number))?;
            let is_code = |code: &String| check_code(code).is_ok() && *code == code.to_ascii_uppercase();
            let is_valid = COMBO_TYPES.contains(&combo_type)
                && name.product_codes.iter().chain([&name.audience]).all(is_code)
                && name.product_codes.is_sorted();
            // A sign or too many zeros are another way to write the same.
            (is_valid && identifier(&name.prefix(), number) == text).then_some((name, number))
        };
        name().ok_or_else(|| {
            let types = COMBO_TYPES.join(", ");
            format!(
                "must be TYPE-PRODUCTS-COUNT-AUDIENCE-SEQ, such as SP-IPH-2-WOMEN-001: a type of {types}; product codes \
                 in upper case, sorted and joined with \"+\"; a number of products; an audience in upper case; a number \
                 of at least {DIGITS} digits"
            )
        })
    }
}

/// The identifier with this beginning and number.
pub fn identifier(prefix: &str, number: i32) -> String {
    format!("{prefix}-{number:0DIGITS$}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(combo_type: &str, codes: &[&str], count: i32, audience: &str) -> ComboName {
        let (combo_type, audience) = (combo_type.to_owned(), audience.to_owned());
        ComboName { combo_type, product_codes: sorted_codes(codes), product_count: count, audience }
    }

    #[test]
    fn an_identifier_has_its_parts_in_order_and_at_least_three_digits() {
        let combo = name("SP", &["IPH"], 2, "WOMEN");
        assert_eq!(identifier(&combo.prefix(), 1), "SP-IPH-2-WOMEN-001");
        assert_eq!(identifier(&combo.prefix(), 999), "SP-IPH-2-WOMEN-999");
        assert_eq!(identifier(&combo.prefix(), 1_000), "SP-IPH-2-WOMEN-1000");
        assert_eq!(name("UGC", &["iph", "AIR", "Mac"], 3, "ALL").prefix(), "UGC-AIR+IPH+MAC-3-ALL");
    }

    #[test]
    fn what_is_written_in_another_way_is_no_identifier() {
        let texts = [
            "",
            "SP-IPH-2-WOMEN",
            "SP-IPH-2-WOMEN-01",
            "SP-IPH-2-WOMEN-0001",
            "SP-IPH-2-WOMEN-000",
            "SP-IPH-2-WOMEN-+01",
            "SP-IPH-2-WOMEN--01",
            "SP-IPH-+2-WOMEN-001",
            "SP-IPH-02-WOMEN-001",
            "SP-IPH-0-WOMEN-001",
            "SP-IPH-10000-WOMEN-001",
            "sp-IPH-2-WOMEN-001",
            "XX-IPH-2-WOMEN-001",
            "SP-iph-2-WOMEN-001",
            "SP-IPH-2-women-001",
            "SP-IPH+AIR-2-WOMEN-001",
            "SP-IPH+-2-WOMEN-001",
            "SP--2-WOMEN-001",
            "SP-IPH-2--001",
            "SP-IPH-2-WOMEN-001-",
            "SP-IPH-2-WOMEN-1000000000",
            "SP-IPH-2-WOMEN-99999999999999999999",
            " SP-IPH-2-WOMEN-001",
        ];
        for text in texts {
            assert!(ComboName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn codes_and_audiences_have_a_grammar() {
        for code in ["A", "iph", "7", "A_b.C", &"x".repeat(64)] {
            assert_eq!(check_code(code), Ok(()), "{code}");
        }
        for code in ["", "_a", ".a", "a b", "a-b", "a+b", "é", "a\n", &"x".repeat(65)] {
            assert!(check_code(code).is_err(), "{code}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            combo_type in 0..COMBO_TYPES.len(),
            codes in prop::collection::vec("[A-Z0-9][A-Z0-9_.]{0,9}", 1..5),
            count in 1..=9_999,
            audience in "[A-Z0-9][A-Z0-9_.]{0,9}",
            number in 1..=MAX_NUMBER,
        ) {
            let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
            let combo = name(COMBO_TYPES[combo_type], &codes, count, &audience);
            let text = identifier(&combo.prefix(), number);
            prop_assert_eq!(ComboName::parse(&text), Ok((combo, number)));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            if let Ok((name, number)) = ComboName::parse(&text) {
                prop_assert_eq!(identifier(&name.prefix(), number), text);
            }
        }
    }
}
