//! Label selectors in the grammar of Kubernetes, as `kubectl -l` takes them: `env=prod,tier in (a,b),!legacy`.
//!
//! A selector is a list of requirements, separated by commas, all of which must hold; the empty selector selects
//! everything.
//!
//! | written | holds if |
//! | --- | --- |
//! | `key=value`, `key==value` | the label exists and has this value |
//! | `key!=value` | the label is absent or has another value |
//! | `key in (a,b)` | the label exists and has one of these values |
//! | `key notin (a,b)` | the label is absent or has none of these values |
//! | `key` | the label exists, whatever its value |
//! | `!key` | the label is absent |
//!
//! Spaces, tabs and line ends may stand between words. A value may be empty: `key=`, `key in (,a)`; and `key in ()`
//! names only the empty value. Keys and values follow [`crate::label`]. Comparisons (`key>1`) are refused.
//!
//! [`LabelSelector::matches`] and [`LabelSelector::to_sql`] mean the same, in Rust and in SQL.

mod parse;
mod sql;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

/// The longest selector, in bytes of its text.
pub const MAX_BYTES: usize = 4_096;
/// The most requirements in a selector.
pub const MAX_REQUIREMENTS: usize = 64;
/// The most values in all the sets (`in`, `notin`) of a selector.
pub const MAX_VALUES: usize = 256;

/// Which labels a resource must have.
///
/// Displays in a canonical form: requirements in the given order, no unnecessary spaces, `=` for `==`, the values of a
/// set sorted and each once. Parsing that text gives the same selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
}

/// The condition on a label. The values of a set are sorted and distinct, and there is at least one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The label exists and has this value.
    Equals(String),
    /// The label is absent or has another value.
    NotEquals(String),
    /// The label exists and has one of these values.
    In(Vec<String>),
    /// The label is absent or has none of these values.
    NotIn(Vec<String>),
    /// The label exists.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// Why a text is not a label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {position})")]
pub struct ParseError {
    /// The position in the text, in bytes.
    pub position: usize,
    /// What is wrong.
    pub message: String,
}

impl LabelSelector {
    /// Parses a selector. The error says where the text breaks the grammar or a limit: 4,096 bytes, 64 requirements,
    /// 256 values in sets.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::selector(text)
    }

    /// The requirements, in the given order.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the selector selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the selector selects these labels.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// The selector as SQL: one condition per requirement on `column`, a `jsonb` column or expression that holds
    /// labels. Each is in parentheses, and they are to be joined by `and`. No stored value makes a condition fail with
    /// an error.
    ///
    /// `literal` makes a quoted SQL literal of a text. A GIN index of the default class (`jsonb_ops`) on the column
    /// serves `=`, `in` and existence; the negations cannot use an index and only filter.
    ///
    /// Labels that another program wrote are read as in the contract: a value that is not a string is its JSON text
    /// (`5`, `true`, `null`), and a column that is null or holds no object has no labels.
    #[must_use]
    pub fn to_sql(&self, column: &str, literal: impl Fn(&str) -> String) -> Vec<String> {
        self.requirements.iter().map(|requirement| sql::condition(requirement, column, &literal)).collect()
    }
}

impl Requirement {
    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The condition on the label.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Whether these labels fulfil the requirement.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let stored = labels.get(&self.key);
        match &self.operator {
            Operator::Equals(value) => stored == Some(value),
            Operator::NotEquals(value) => stored != Some(value),
            Operator::In(values) => stored.is_some_and(|stored| values.contains(stored)),
            Operator::NotIn(values) => stored.is_none_or(|stored| !values.contains(stored)),
            Operator::Exists => stored.is_some(),
            Operator::DoesNotExist => stored.is_none(),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                formatter.write_str(",")?;
            }
            requirement.fmt(formatter)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::Equals(value) => write!(formatter, "{key}={value}"),
            Operator::NotEquals(value) => write!(formatter, "{key}!={value}"),
            Operator::In(values) => write!(formatter, "{key} in ({})", values.join(",")),
            Operator::NotIn(values) => write!(formatter, "{key} notin ({})", values.join(",")),
            Operator::Exists => formatter.write_str(key),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
        }
    }
}
