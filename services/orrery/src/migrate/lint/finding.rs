//! What a rule finds: within a section, and as it is printed.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::rules::Own;

/// What is printed about a statement or file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The file, with its folder.
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: usize,
    /// The name of the rule.
    pub(super) rule: String,
    /// Why it is wrong.
    pub(super) why: String,
    /// What to write instead.
    pub(super) instead: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, why, instead } = self;
        write!(formatter, "{file}:{line}: {rule}: {why}. Instead: {instead}.")
    }
}

/// What a rule finds in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// The offset in the section; `None` if it concerns the whole section.
    pub(super) at: Option<usize>,
    /// The name of the rule.
    pub(super) rule: String,
    pub(super) why: Cow<'static, str>,
    pub(super) instead: Cow<'static, str>,
}

impl Hit {
    /// A finding at an offset of the section, with the rule's own words.
    pub(super) fn new(rule: Own, at: usize) -> Self {
        Self { at: Some(at), ..Self::section(rule) }
    }

    /// A finding about the whole section.
    pub(super) fn section(rule: Own) -> Self {
        Self { at: None, rule: rule.to_string(), why: rule.why().into(), instead: rule.instead().into() }
    }

    /// With other words for why it is wrong.
    pub(super) fn why(self, why: impl Into<Cow<'static, str>>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// With other words for what to write instead.
    pub(super) fn instead(self, instead: impl Into<Cow<'static, str>>) -> Self {
        Self { instead: instead.into(), ..self }
    }
}
