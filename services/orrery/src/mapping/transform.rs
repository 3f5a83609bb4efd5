//! The named transforms: small functions from text to text that a mapping strings together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::Problem;
use super::timestamp::TimestampFormat;

/// One step from a column's text to a field's text. All but `default` leave empty text empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transform {
    /// Without white space at either end.
    Trim,
    /// In lower case.
    Lower,
    /// In upper case.
    Upper,
    /// See [`slug`].
    Slug,
    /// See [`decimal`].
    Decimal,
    /// A time as RFC 3339 in UTC.
    Timestamp(TimestampFormat),
    /// Without this text at the beginning.
    StripPrefix(String),
    /// Without this text at the end: `.0` makes `17850` of `17850.0`.
    StripSuffix(String),
    /// Without any of these characters at either end.
    TrimCharacters(String),
    /// The first so many characters.
    Truncate(usize),
    /// Another text for each known one. A pattern that ends in `*` fits what begins like it; the text itself goes before patterns,
    /// the longest pattern before shorter ones; `*` fits everything. Text that nothing fits is refused.
    Map(BTreeMap<String, String>),
    /// This text where there is none.
    Default(String),
}

impl Transform {
    /// Applies the transform.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
        if text.is_empty() {
            return Ok(match self {
                Self::Default(default) => Cow::Owned(default.clone()),
                _ => text,
            });
        }
        Ok(match self {
            Self::Trim => part(text, |text| text.trim()),
            Self::Lower => Cow::Owned(text.to_lowercase()),
            Self::Upper => Cow::Owned(text.to_uppercase()),
            Self::Slug => {
                let slug = slug(&text);
                if slug == "-" {
                    return Err("no letter a-z or digit is left to make a slug of".into());
                }
                Cow::Owned(slug)
            }
            Self::Decimal => Cow::Owned(decimal(&text).ok_or("is no decimal such as 12.50")?),
            Self::Timestamp(format) => Cow::Owned(format.to_rfc3339(&text)?),
            Self::StripPrefix(prefix) => part(text, |text| text.strip_prefix(prefix.as_str()).unwrap_or(text)),
            Self::StripSuffix(suffix) => part(text, |text| text.strip_suffix(suffix.as_str()).unwrap_or(text)),
            Self::TrimCharacters(characters) => part(text, |text| text.trim_matches(|c| characters.contains(c))),
            Self::Truncate(length) => {
                part(text, |text| text.char_indices().nth(*length).map_or(text, |(end, _)| &text[..end]))
            }
            Self::Map(map) => match look_up(map, &text) {
                Some(value) => Cow::Owned(value.to_owned()),
                None => return Err(format!("is none of {}", quoted(map.keys())).into()),
            },
            Self::Default(_) => text,
        })
    }

    /// What is wrong with the transform itself, whatever text it is given.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Map(map) if map.is_empty() => Err("map needs at least one entry".into()),
            Self::Truncate(0) => Err("truncate needs a length of at least 1".into()),
            Self::StripPrefix(text) | Self::StripSuffix(text) | Self::TrimCharacters(text) if text.is_empty() => {
                Err("strip-prefix, strip-suffix and trim-characters need a text that is not empty".into())
            }
            _ => Ok(()),
        }
    }
}

/// A part of a text without a copy where the text is borrowed.
fn part(text: Cow<'_, str>, cut: impl Fn(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    }
}

fn look_up<'a>(map: &'a BTreeMap<String, String>, text: &str) -> Option<&'a str> {
    if let Some(value) = map.get(text) {
        return Some(value);
    }
    let fits = |pattern: &str| pattern.strip_suffix('*').is_some_and(|beginning| text.starts_with(beginning));
    map.iter()
        .filter(|(pattern, _)| fits(pattern))
        .max_by_key(|(pattern, _)| pattern.len())
        .map(|(_, value)| value.as_str())
}

/// Names for an error message.
pub(crate) fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A text in lower case in which every run of characters other than a-z and 0-9, at the ends too, is one `-`. Two texts that differ
/// in letter case alone have one slug; `AB-1` and `AB 1` do too.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            slug.push(character);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug
}

/// An exact decimal as the contract writes it: an optional `-`, digits, and optionally a point and digits. Reads a leading `+`, a missing
/// zero before the point and a point at the end; keeps every digit, trailing zeros too. No floats, no exponents.
pub(crate) fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn apply(toml: &str, text: &str) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Case {
            t: Transform,
        }
        let case: Case = toml::from_str(&format!("t = {toml}")).unwrap();
        case.t.apply(Cow::Borrowed(text)).map(Cow::into_owned).map_err(Cow::into_owned)
    }

    #[test]
    fn each_transform_does_what_its_name_says() {
        for (toml, text, expected) in [
            ("\"trim\"", "  a b\t", "a b"),
            ("\"lower\"", "ÄB", "äb"),
            ("\"upper\"", "äb", "ÄB"),
            ("\"slug\"", "gift_0001_40", "gift-0001-40"),
            ("\"slug\"", "BANK CHARGES", "bank-charges"),
            ("\"slug\"", " a £ b ", "-a-b-"),
            ("\"decimal\"", "2.550", "2.550"),
            ("\"decimal\"", "+.5", "0.5"),
            ("\"decimal\"", "-12.", "-12"),
            ("{ strip-prefix = \"#\" }", "#1001", "1001"),
            ("{ strip-suffix = \".0\" }", "17850.0", "17850"),
            ("{ strip-suffix = \".0\" }", "17850", "17850"),
            ("{ trim-characters = \"-_\" }", "_-a-b-", "a-b"),
            ("{ truncate = 2 }", "äöü", "äö"),
            ("{ truncate = 9 }", "äöü", "äöü"),
            ("{ map = { \"C*\" = \"returned\", \"*\" = \"fulfilled\" } }", "C536379", "returned"),
            ("{ map = { \"C*\" = \"returned\", \"*\" = \"fulfilled\" } }", "536379", "fulfilled"),
            ("{ map = { \"C*\" = \"returned\", \"C1\" = \"exact\" } }", "C1", "exact"),
            ("{ default = \"draft\" }", "", "draft"),
            ("{ default = \"draft\" }", "active", "active"),
            ("\"slug\"", "", ""),
        ] {
            assert_eq!(apply(toml, text).as_deref(), Ok(expected), "{toml} of {text:?}");
        }
    }

    #[test]
    fn what_a_transform_cannot_do_is_refused() {
        for text in ["1,5", "1e3", "-", ".", "0x1", "1.2.3", "- 1", "١"] {
            assert!(apply("\"decimal\"", text).is_err(), "{text:?}");
        }
        assert_eq!(apply("{ map = { a = \"b\", c = \"d\" } }", "x"), Err("is none of `a`, `c`".into()));
        assert!(apply("\"slug\"", "£££").is_err());
    }

    proptest! {
        #[test]
        fn a_slug_is_made_of_its_letters_and_single_dashes(text in any::<String>()) {
            let slug = slug(&text);
            prop_assert!(slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert!(!slug.contains("--"));
            prop_assert_eq!(super::slug(&slug), slug.clone());
            prop_assert_eq!(slug.is_empty(), text.is_empty());
        }

        #[test]
        fn a_slug_keeps_every_letter_and_digit_in_order(text in "[ -~]{0,40}") {
            let kept: String = text.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
            prop_assert_eq!(slug(&text).replace('-', ""), kept);
            prop_assert_eq!(slug(&text.to_uppercase()), slug(&text.to_lowercase()));
        }

        #[test]
        fn a_decimal_keeps_every_digit(whole in "-?[0-9]{1,30}", fraction in "[0-9]{1,18}") {
            let text = format!("{whole}.{fraction}");
            prop_assert_eq!(decimal(&text), Some(text));
        }
    }
}
