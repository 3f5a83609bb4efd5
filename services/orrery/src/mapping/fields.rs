//! The rules of one message: a row, or an element of a list in it.

use std::ops::Range;

use anyhow::Context as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};

use super::document::Fields;
use super::rule::{Assigned, MappedColumn, PlannedRule, RuleContext};
use super::{Cell, Omission, RecordRefusal};

/// Planned rules, grouped by path.
#[derive(Debug)]
pub(crate) struct PlannedFields {
    message: MessageDescriptor,
    pub(crate) rules: Vec<PlannedRule>,
}

impl PlannedFields {
    /// Plans rules; `section` is the name of their section in messages.
    pub(crate) fn new(
        fields: &Fields,
        place: &RuleContext<'_>,
        section: &str,
        columns: &mut Vec<MappedColumn>,
    ) -> anyhow::Result<Self> {
        let mut planned = Vec::new();
        for (path, rules) in fields {
            for rule in rules {
                let rule = PlannedRule::new(path, rule, place, columns).map_err(anyhow::Error::msg);
                planned.push(rule.with_context(|| format!("{section}.{path:?}"))?);
            }
        }
        Ok(Self { message: place.message.clone(), rules: planned })
    }

    /// The rules of a path that takes one value; none if there are no rules.
    pub(crate) fn find_single(&self, path: &str) -> Option<Range<usize>> {
        let begin = self.rules.iter().position(|rule| rule.path == path && rule.target.is_single())?;
        let count = self.rules[begin..].iter().take_while(|rule| rule.path == path).count();
        Some(begin..begin + count)
    }

    /// Appends the values of a record, rule by rule.
    pub(crate) fn evaluate(
        &self,
        cells: &[Cell],
        values: &mut Vec<Assigned>,
        omissions: &mut Vec<Omission>,
    ) -> Result<(), RecordRefusal> {
        for rule in &self.rules {
            values.push(rule.evaluate(cells, omissions)?);
        }
        self.check_alternatives(&values[values.len() - self.rules.len()..])
    }

    /// Refuses values of two fields of which the message has one.
    fn check_alternatives(&self, values: &[Assigned]) -> Result<(), RecordRefusal> {
        let mut chosen: Option<&FieldDescriptor> = None;
        for (rule, _) in self.rules.iter().zip(values).filter(|(_, value)| **value != Assigned::Nothing) {
            let Some(field) = rule.target.alternative() else { continue };
            if let Some(other) = chosen.filter(|other| *other != field) {
                let problem = format!("has a value, and so has {}: a row has one of them", other.name());
                return Err(RecordRefusal::new(rule.path.clone(), problem, ""));
            }
            chosen = Some(field);
        }
        Ok(())
    }

    /// Whether any column has a value.
    pub(crate) fn have_content(&self, values: &[Assigned]) -> bool {
        self.rules.iter().zip(values).any(|(rule, value)| !rule.is_constant() && *value != Assigned::Nothing)
    }

    /// Builds the message from values, one for each rule. If several rules have the same single-value path, the first
    /// value that is not empty is used.
    pub(crate) fn build(&self, values: impl IntoIterator<Item = Assigned>) -> DynamicMessage {
        let mut message = DynamicMessage::new(self.message.clone());
        let mut filled = None;
        for (rule, value) in self.rules.iter().zip(values) {
            if rule.target.is_single() && filled == Some(&rule.path) {
                continue;
            }
            match value {
                Assigned::Nothing => continue,
                Assigned::One(scalar) => rule.target.assign(&mut message, "", scalar),
                Assigned::Keys(keys) => {
                    for (key, scalar) in keys {
                        rule.target.assign(&mut message, &key, scalar);
                    }
                }
            }
            filled = Some(&rule.path);
        }
        message
    }
}
