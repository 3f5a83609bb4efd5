//! The named transforms of mappings: functions from text to text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Problem;
use super::decimal::DecimalFormat;
use super::key::{key, label, slug};
use super::timestamp::TimestampFormat;

/// A step from the text of a column to the text of a field. All but `default` leave empty text empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", remote = "Self")]
pub(crate) enum Transform {
    /// Removes white space at both ends.
    Trim,
    /// Converts to lower case.
    Lower,
    /// Converts to upper case.
    Upper,
    /// See [`slug`].
    Slug,
    /// See [`key`].
    Key,
    /// See [`label`].
    Label,
    /// See [`DecimalFormat::read`].
    Decimal(DecimalFormat),
    /// A time as RFC 3339 in UTC.
    Timestamp(TimestampFormat),
    /// Removes this text at the beginning.
    StripPrefix(String),
    /// Removes this text at the end: `.0` turns `17850.0` into `17850`.
    StripSuffix(String),
    /// Removes these characters at both ends.
    TrimCharacters(String),
    /// Replaces texts by others. The longest match at each position is used.
    Replace(BTreeMap<String, String>),
    /// Keeps the first characters.
    Truncate(usize),
    /// Replaces known texts. A pattern that ends in `*` matches texts with that beginning. An exact match is used
    /// before patterns, longer patterns before shorter ones; `*` matches everything. A text without a match is refused.
    Map(BTreeMap<String, String>),
    /// Replaces empty text.
    Default(String),
}

impl<'de> Deserialize<'de> for Transform {
    /// Parses a transform; `"decimal"` is the one with default settings.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = toml::Value::deserialize(deserializer)?;
        if written.as_str() == Some("decimal") {
            return Ok(Self::Decimal(DecimalFormat::default()));
        }
        Self::deserialize(written).map_err(|error| D::Error::custom(error.message()))
    }
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
                    return Err("has no letter a-z and no digit for a slug".into());
                }
                Cow::Owned(slug)
            }
            Self::Key => Cow::Owned(key(&text)),
            Self::Label => Cow::Owned(label(&text)),
            Self::Decimal(format) => Cow::Owned(format.read(&text)?),
            Self::Timestamp(format) => Cow::Owned(format.to_rfc3339(&text)?),
            Self::StripPrefix(prefix) => part(text, |text| text.strip_prefix(prefix.as_str()).unwrap_or(text)),
            Self::StripSuffix(suffix) => part(text, |text| text.strip_suffix(suffix.as_str()).unwrap_or(text)),
            Self::TrimCharacters(characters) => part(text, |text| text.trim_matches(|c| characters.contains(c))),
            Self::Replace(replacements) => Cow::Owned(replaced(replacements, &text)),
            Self::Truncate(length) => {
                part(text, |text| text.char_indices().nth(*length).map_or(text, |(end, _)| &text[..end]))
            }
            Self::Map(map) => match look_up(map, &text) {
                Some(value) => Cow::Owned(value.to_owned()),
                None => return Err(format!("is not one of {}", quoted(map.keys())).into()),
            },
            Self::Default(_) => text,
        })
    }

    /// Checks the settings of the transform.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Map(map) if map.is_empty() => Err("map needs at least one entry".into()),
            Self::Map(map) if map.contains_key("") => {
                Err("map: \"\" never matches, because empty text is not mapped; use { default = \"...\" }".into())
            }
            Self::Replace(texts) if texts.is_empty() || texts.contains_key("") => {
                Err("replace needs at least one entry, and \"\" is not allowed".into())
            }
            Self::Default(text) if text.is_empty() => Err("default needs a text that is not empty".into()),
            Self::Truncate(0) => Err("truncate needs a length of at least 1".into()),
            Self::StripPrefix(text) | Self::StripSuffix(text) | Self::TrimCharacters(text) if text.is_empty() => {
                Err("strip-prefix, strip-suffix and trim-characters need a text that is not empty".into())
            }
            _ => Ok(()),
        }
    }
}

/// A part of a text, without copying borrowed text.
fn part(text: Cow<'_, str>, cut: impl Fn(&str) -> &str) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    }
}

fn replaced(replacements: &BTreeMap<String, String>, text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let found = replacements
            .iter()
            .filter(|(known, _)| rest.starts_with(known.as_str()))
            .max_by_key(|(known, _)| known.len());
        let length = if let Some((known, new)) = found {
            result.push_str(new);
            known.len()
        } else {
            result.push(next);
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    result
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

/// Quotes names for an error message.
pub(crate) fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

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
            ("\"key\"", "AB-1", "ab-1.12qcyrgwbs8mb4c8zhdvrnsjcc"),
            ("\"label\"", "Summer Sale", "summer-sale"),
            ("\"decimal\"", "-12.50", "-12.50"),
            ("{ decimal = { mark = \",\" } }", "-12,50", "-12.50"),
            ("{ replace = { \"_\" = \"-\", \"__\" = \"+\", a = \"\" } }", "_a__b-é", "-+b-é"),
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
        assert!(apply("\"decimal\"", "1,5").unwrap_err().starts_with("is not a decimal such as 12.50"));
        assert_eq!(apply("{ map = { a = \"b\", c = \"d\" } }", "x"), Err("is not one of `a`, `c`".into()));
        assert!(apply("\"slug\"", "£££").is_err());
    }
}
