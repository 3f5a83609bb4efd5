//! A planned rule of a mapping: how the cells of a record become the value of a field.

use std::borrow::Cow;
use std::collections::HashMap;

use prost_reflect::MessageDescriptor;

use super::document::{ColumnNames, On, Pick, Rule};
use super::sources::Same;
use super::target::{Scalar, TargetPath};
use super::transform::{Transform, quoted};
use super::{Cell, Omission, RecordRefusal};
use crate::resource::TransferResource;

/// A column that a mapping reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappedColumn {
    pub(crate) name: String,
    /// Alternative names.
    pub(crate) others: Vec<String>,
    /// Whether a CSV file may lack it.
    pub(crate) optional: bool,
}

impl MappedColumn {
    /// All names of the column.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.others.iter().map(String::as_str))
    }

    /// The names, for messages.
    pub(crate) fn shown(&self) -> String {
        quoted(self.names()).replace("`, `", "` or `")
    }
}

/// The value of a rule for a record, or for the records of a group so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Assigned {
    Nothing,
    One(Scalar),
    /// The keys of a path that ends in `*`.
    Keys(Vec<(String, Scalar)>),
}

/// A rule with a resolved path and a numbered column.
#[derive(Debug)]
pub(crate) struct PlannedRule {
    /// The path, relative to the row's message.
    pub(crate) path: String,
    pub(crate) target: TargetPath,
    /// None for a constant.
    column: Option<usize>,
    transforms: Vec<Transform>,
    prefix: String,
    pick: Pick,
    value: Option<String>,
    split: Option<String>,
    /// The most keys that a path ending in `*` makes of one record.
    most: usize,
    /// Which differences between texts do not matter.
    pub(crate) same: Option<Same>,
    /// Whether the mapping says which record of a group the value is taken from.
    pub(crate) picks: bool,
    /// Whether only new rows take the value.
    pub(crate) on_create: bool,
}

/// Where a rule is in the mapping.
pub(crate) struct RuleContext<'a> {
    pub(crate) resource: &'a TransferResource,
    /// The message in which the path begins.
    pub(crate) message: &'a MessageDescriptor,
    /// The prefix of the path: empty, or the name of a list and a dot.
    pub(crate) before: &'a str,
    /// The reason if `pick` is not allowed there.
    pub(crate) no_pick: Option<&'static str>,
    /// The reason if `on` is not allowed there.
    pub(crate) no_on: Option<&'static str>,
    /// The path by which records are grouped.
    pub(crate) by: Option<&'a str>,
    /// Whether a text of one value may be split, each part making an element.
    pub(crate) may_split: bool,
}

impl PlannedRule {
    /// Plans a rule. Adds columns that were not read before to `columns`.
    pub(crate) fn new(
        path: &str,
        rule: &Rule,
        place: &RuleContext<'_>,
        columns: &mut Vec<MappedColumn>,
    ) -> Result<Self, String> {
        let target = TargetPath::resolve(place.message, path, rule.json)?;
        let path = format!("{}{path}", place.before);
        if place.resource.is_output_only(&path) {
            return Err("is set by the service (output only)".into());
        }
        check_settings(rule, &path, &target, place)?;
        let column = rule.column.as_ref().and_then(|ColumnNames(names)| {
            let (name, others) = names.split_first()?;
            let same = |column: &MappedColumn| column.name == *name && column.others == others;
            if let Some(place) = columns.iter().position(same) {
                columns[place].optional &= rule.optional;
                return Some(place);
            }
            columns.push(MappedColumn { name: name.clone(), others: others.to_vec(), optional: rule.optional });
            Some(columns.len() - 1)
        });
        Ok(Self {
            path,
            target,
            column,
            transforms: rule.transforms.clone(),
            prefix: rule.prefix.clone(),
            pick: rule.pick.unwrap_or_default(),
            value: rule.value.clone(),
            split: rule.split.clone(),
            most: rule.most.unwrap_or(usize::MAX),
            same: rule.same,
            picks: rule.pick.is_some(),
            on_create: rule.on == Some(On::Create),
        })
    }

    /// Checks whether the rule can be used for a key.
    pub(crate) fn check_key(&self) -> Result<(), String> {
        if self.column.is_none() {
            return Err("a constant would merge all records into one row".into());
        }
        if self.transforms.iter().any(|transform| matches!(transform, Transform::Default(_))) {
            return Err("`default` would merge all records without a key into one row".into());
        }
        Ok(())
    }

    /// The column that the rule reads.
    pub(crate) fn column(&self) -> Option<usize> {
        self.column
    }

    /// Whether the rule may make different texts equal, without the mapping saying so.
    pub(crate) fn may_merge(&self) -> bool {
        let keeps_apart = |transform: &Transform| match transform {
            Transform::Trim | Transform::Key => true,
            Transform::Lower => self.same == Some(Same::LetterCase),
            _ => false,
        };
        self.same != Some(Same::All) && !self.transforms.iter().all(keeps_apart)
    }

    /// Whether the value does not depend on the record.
    pub(crate) fn is_constant(&self) -> bool {
        self.column.is_none()
    }

    /// Whether the rule reads one of these columns.
    pub(crate) fn reads(&self, columns: &[usize]) -> bool {
        self.column.is_some_and(|column| columns.contains(&column))
    }

    /// Evaluates the rule for a record. Adds what was left out to `omissions`.
    pub(crate) fn evaluate(&self, cells: &[Cell], omissions: &mut Vec<Omission>) -> Result<Assigned, RecordRefusal> {
        let Some(column) = self.column else {
            return self.scalar(self.value.as_deref().unwrap_or_default(), "");
        };
        if self.makes_parts() {
            return Ok(Assigned::Nothing);
        }
        let cell = &cells[column];
        if self.target.is_open() {
            return self.keys(cell, omissions);
        }
        let Cell::Text(text) = cell else {
            return Err(RecordRefusal::new(self.path.clone(), "is a list, which needs a path that ends in `*`", ""));
        };
        self.scalar(&self.transformed(text)?, text)
    }

    /// Whether the rule splits a text into values, each of which makes an element.
    pub(crate) fn makes_parts(&self) -> bool {
        self.split.is_some() && !self.target.is_open()
    }

    /// The values of a rule that splits: those of the parts that are not empty, without blanks at their ends.
    pub(crate) fn parts(&self, cells: &[Cell]) -> Result<Vec<Assigned>, RecordRefusal> {
        let Some(cell) = self.column.and_then(|column| cells.get(column)) else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        for part in self.written_parts(cell) {
            match self.scalar(&self.transformed(part.trim())?, part)? {
                Assigned::Nothing => {}
                value => values.push(value),
            }
        }
        Ok(values)
    }

    fn written_parts<'a>(&self, cell: &'a Cell) -> Vec<&'a str> {
        match (cell, &self.split) {
            (Cell::List(parts), _) => parts.iter().map(String::as_str).collect(),
            (Cell::Text(text), Some(separator)) => text.split(separator.as_str()).collect(),
            (Cell::Text(text), None) => vec![text],
        }
    }

    fn scalar(&self, text: &str, written: &str) -> Result<Assigned, RecordRefusal> {
        if text.is_empty() {
            return Ok(Assigned::Nothing);
        }
        match self.target.read(text) {
            Ok(scalar) => Ok(Assigned::One(scalar)),
            Err(problem) => Err(RecordRefusal::new(self.path.clone(), problem, written)),
        }
    }

    fn keys(&self, cell: &Cell, omissions: &mut Vec<Omission>) -> Result<Assigned, RecordRefusal> {
        let mut keys: Vec<(String, Scalar)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let (mut same, mut beyond) = (0, 0);
        for part in self.written_parts(cell) {
            let key = self.transformed(part)?;
            if key.is_empty() {
                continue;
            }
            let Assigned::One(scalar) = self.scalar(self.value.as_deref().unwrap_or(part.trim()), part)? else {
                continue;
            };
            match places.get(key.as_ref()) {
                Some(place) => same += usize::from(keys[*place].1 != scalar),
                None if keys.len() == self.most => beyond += 1,
                None => {
                    places.insert(key.clone().into_owned(), keys.len());
                    keys.push((key.into_owned(), scalar));
                }
            }
        }
        let omission = |problem, count| Omission { path: self.path.clone(), problem, count };
        if same > 0 {
            omissions.push(omission("have the key of an earlier value".into(), same));
        }
        if beyond > 0 {
            omissions.push(omission(format!("came after the first {}", self.most).into(), beyond));
        }
        Ok(if keys.is_empty() { Assigned::Nothing } else { Assigned::Keys(keys) })
    }

    fn transformed<'a>(&'a self, written: &'a str) -> Result<Cow<'a, str>, RecordRefusal> {
        let mut text = Cow::Borrowed(written);
        for transform in &self.transforms {
            text = transform.apply(text).map_err(|problem| RecordRefusal::new(self.path.clone(), problem, written))?;
        }
        if !self.prefix.is_empty() && !text.is_empty() {
            text.to_mut().insert_str(0, &self.prefix);
        }
        Ok(text)
    }

    /// Whether the value of a later record replaces the current one.
    pub(crate) fn takes(&self, kept: &Assigned, new: &Assigned) -> bool {
        use std::cmp::Ordering::{Greater, Less};
        let wanted = match self.pick {
            Pick::First => return false,
            Pick::Last => return true,
            Pick::FirstNonEmpty => return *kept == Assigned::Nothing,
            Pick::LastNonEmpty => return *new != Assigned::Nothing,
            Pick::Earliest => Less,
            Pick::Latest => Greater,
        };
        match (kept, new) {
            (Assigned::Nothing, new) => *new != Assigned::Nothing,
            (Assigned::One(kept), Assigned::One(new)) => new.compare_times(kept) == Some(wanted),
            _ => false,
        }
    }
}

/// Whether a path identifies a row, a group, or what they reference.
fn is_key(path: &str, target: &TargetPath, place: &RuleContext<'_>) -> bool {
    target.is_identity() || place.by == Some(path) || place.resource.name_key == Some(path)
}

fn check_settings(rule: &Rule, path: &str, target: &TargetPath, place: &RuleContext<'_>) -> Result<(), String> {
    let constant_only = rule.column.is_none();
    match (&rule.column, &rule.value) {
        (None, None) => return Err("needs `column` or `value`".into()),
        (Some(_), Some(_)) if !target.is_open() => {
            return Err("has both `column` and `value`; only a path that ends in `*` takes both".into());
        }
        (None, Some(_)) if target.is_open() => return Err("a path that ends in `*` needs `column`".into()),
        _ => {}
    }
    let unused = [
        ("optional", rule.optional && constant_only),
        ("transforms", !rule.transforms.is_empty() && constant_only),
        ("prefix", !rule.prefix.is_empty() && constant_only),
    ];
    if let Some((setting, _)) = unused.iter().find(|(_, unused)| *unused) {
        return Err(format!("`{setting}` needs `column`"));
    }
    if rule.json && !(target.is_json() && rule.column.is_some()) {
        return Err("`json` needs a path of several fields, and a column".into());
    }
    if rule.split.is_some() && !target.is_open() && !(place.may_split && rule.column.is_some()) {
        return Err("`split` needs a path that ends in `*`, such as \"labels.tag/*\"".into());
    }
    if rule.split.as_deref() == Some("") {
        return Err("`split` is empty".into());
    }
    match rule.most {
        Some(_) if !target.is_open() => return Err("`most` needs a path that ends in `*`".into()),
        Some(0) => return Err("`most` is at least 1".into()),
        _ => {}
    }
    if rule.same.is_some() && (constant_only || !is_key(path, target, place)) {
        return Err("`same` needs a uid, or the field of group.by, that is made from a column".into());
    }
    if let (Some(_), Some(why)) = (rule.on, place.no_on) {
        return Err(format!("`on` {why}"));
    }
    if let (Some(_), Some(why)) = (rule.pick, place.no_pick) {
        return Err(format!("`pick` is not allowed {why}"));
    }
    if matches!(rule.pick, Some(Pick::Earliest | Pick::Latest)) && !target.is_time() {
        return Err("`pick`: `earliest` and `latest` need a time".into());
    }
    for transform in &rule.transforms {
        transform.check().map_err(|problem| format!("transforms: {problem}"))?;
    }
    if let (true, Some(value)) = (constant_only, &rule.value) {
        target.read(value).map_err(|problem| format!("`value` {value:?} {problem}"))?;
    }
    Ok(())
}
