//! A mapping made ready for one resource: paths resolved, settings checked, columns numbered.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::document::{Mapping, Pick, Rule};
use super::target::{Scalar, Target};
use super::transform::Transform;
use super::{Cell, Refusal};
use crate::resource::Resource;

/// A column that a mapping reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Whether a CSV file may lack it.
    pub(crate) optional: bool,
}

/// A mapping made ready. Reads cells in the order of [`columns`](Self::columns).
#[derive(Debug)]
pub(crate) struct Plan {
    message: MessageDescriptor,
    columns: Vec<Column>,
    rules: Vec<PlannedRule>,
    /// The rule of the resource's key.
    key: usize,
    /// The rule that groups are made by.
    group: Option<usize>,
}

#[derive(Debug)]
struct PlannedRule {
    path: String,
    target: Target,
    /// None: a constant.
    column: Option<usize>,
    transforms: Vec<Transform>,
    prefix: String,
    pick: Pick,
    value: Option<String>,
    split: Option<String>,
}

/// What one rule made of one record, or of all records of a group so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Assigned {
    Nothing,
    One(Scalar),
    /// The keys that an open path makes.
    Keys(Vec<(String, Scalar)>),
}

impl Plan {
    /// Makes a mapping ready for a resource. An error names the file, the setting and what is allowed.
    pub(crate) fn new(mapping: &Mapping, resource: &Resource) -> anyhow::Result<Self> {
        let file = mapping.file.display();
        let message = resource.descriptor()?;
        let mut columns: Vec<Column> = Vec::new();
        let mut rules = Vec::new();
        for (path, rule) in &mapping.fields {
            let planned = plan_rule(path, rule, &message, resource, mapping.group.is_some(), &mut columns)
                .map_err(|problem| anyhow::anyhow!("{file}: fields.{path:?}: {problem}"))?;
            rules.push(planned);
        }
        let find = |path: &str| rules.iter().position(|rule| rule.path == path);
        let Some(key) = find(resource.key) else {
            anyhow::bail!("{file}: fields.{} is missing: every {} needs one", resource.key, resource.singular);
        };
        let group = match &mapping.group {
            None => None,
            Some(group) => match find(&group.by) {
                Some(rule) if !rules[rule].target.is_open() => Some(rule),
                _ => anyhow::bail!("{file}: group.by: {:?} is no path of [fields] that has one value", group.by),
            },
        };
        Ok(Self { message, columns, rules, key, group })
    }

    /// The columns to read, each once.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether several records may make one row.
    pub(crate) fn is_grouped(&self) -> bool {
        self.group.is_some()
    }

    /// What a record gives, rule by rule.
    pub(crate) fn evaluate(&self, cells: &[Cell]) -> Result<Vec<Assigned>, Refusal> {
        let values = self.rules.iter().map(|rule| rule.evaluate(cells)).collect::<Result<Vec<_>, _>>()?;
        for required in [Some(self.key), self.group].into_iter().flatten() {
            if values[required] == Assigned::Nothing {
                return Err(Refusal::new(self.rules[required].path.clone(), "is empty", ""));
            }
        }
        Ok(values)
    }

    /// What tells a record's group from the others.
    pub(crate) fn group_key(&self, values: &[Assigned]) -> String {
        match self.group.map(|rule| &values[rule]) {
            Some(Assigned::One(Scalar::Text(text))) => text.clone(),
            Some(other) => format!("{other:?}"),
            None => String::new(),
        }
    }

    /// Takes a later record's values into those of its group.
    pub(crate) fn merge(&self, group: &mut [Assigned], record: Vec<Assigned>) {
        for ((rule, kept), new) in self.rules.iter().zip(group).zip(record) {
            if rule.takes(kept, &new) {
                *kept = new;
            }
        }
    }

    /// The row that the values make.
    pub(crate) fn build(&self, values: Vec<Assigned>) -> DynamicMessage {
        let mut message = DynamicMessage::new(self.message.clone());
        for (rule, value) in self.rules.iter().zip(values) {
            match value {
                Assigned::Nothing => {}
                Assigned::One(scalar) => rule.target.assign(&mut message, "", scalar),
                Assigned::Keys(keys) => {
                    for (key, scalar) in keys {
                        rule.target.assign(&mut message, &key, scalar);
                    }
                }
            }
        }
        message
    }
}

fn plan_rule(
    path: &str,
    rule: &Rule,
    message: &MessageDescriptor,
    resource: &Resource,
    grouped: bool,
    columns: &mut Vec<Column>,
) -> Result<PlannedRule, String> {
    let target = Target::resolve(message, path)?;
    if resource.is_output_only(path) {
        return Err("is output only: the service sets it".into());
    }
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
        return Err(format!("`{setting}` has no use without `column`"));
    }
    if rule.split.is_some() && !target.is_open() {
        return Err("`split` is for a path that ends in `*`, as \"labels.tag/*\"".into());
    }
    if rule.split.as_deref() == Some("") {
        return Err("`split` is empty".into());
    }
    if rule.pick.is_some() && !grouped {
        return Err("`pick` has no use without [group]".into());
    }
    let pick = rule.pick.unwrap_or_default();
    if matches!(pick, Pick::Earliest | Pick::Latest) && !target.is_time() {
        return Err("`pick`: only times have an earliest and a latest".into());
    }
    for transform in &rule.transforms {
        transform.check().map_err(|problem| format!("transforms: {problem}"))?;
    }
    if let (true, Some(value)) = (constant_only, &rule.value) {
        target.read(value).map_err(|problem| format!("`value` {value:?} {problem}"))?;
    }
    let column = rule.column.as_ref().map(|name| {
        if let Some(place) = columns.iter().position(|column| column.name == *name) {
            columns[place].optional &= rule.optional;
            return place;
        }
        columns.push(Column { name: name.clone(), optional: rule.optional });
        columns.len() - 1
    });
    Ok(PlannedRule {
        path: path.to_owned(),
        target,
        column,
        transforms: rule.transforms.clone(),
        prefix: rule.prefix.clone(),
        pick,
        value: rule.value.clone(),
        split: rule.split.clone(),
    })
}

impl PlannedRule {
    fn evaluate(&self, cells: &[Cell]) -> Result<Assigned, Refusal> {
        let Some(column) = self.column else {
            return self.scalar(self.value.as_deref().unwrap_or_default(), "");
        };
        let cell = &cells[column];
        if self.target.is_open() {
            return self.keys(cell);
        }
        let Cell::Text(text) = cell else {
            return Err(Refusal::new(self.path.clone(), "is a list, which only a path that ends in `*` takes", ""));
        };
        self.scalar(&self.transformed(text)?, text)
    }

    fn scalar(&self, text: &str, written: &str) -> Result<Assigned, Refusal> {
        if text.is_empty() {
            return Ok(Assigned::Nothing);
        }
        match self.target.read(text) {
            Ok(scalar) => Ok(Assigned::One(scalar)),
            Err(problem) => Err(Refusal::new(self.path.clone(), problem, written)),
        }
    }

    fn keys(&self, cell: &Cell) -> Result<Assigned, Refusal> {
        let parts: Vec<&str> = match (cell, &self.split) {
            (Cell::List(parts), _) => parts.iter().map(String::as_str).collect(),
            (Cell::Text(text), Some(separator)) => text.split(separator.as_str()).collect(),
            (Cell::Text(text), None) => vec![text],
        };
        let mut keys = Vec::new();
        for part in parts {
            let key = self.transformed(part)?;
            if key.is_empty() {
                continue;
            }
            if let Assigned::One(scalar) = self.scalar(self.value.as_deref().unwrap_or(part.trim()), part)? {
                keys.push((key.into_owned(), scalar));
            }
        }
        Ok(if keys.is_empty() { Assigned::Nothing } else { Assigned::Keys(keys) })
    }

    fn transformed<'a>(&'a self, written: &'a str) -> Result<Cow<'a, str>, Refusal> {
        let mut text = Cow::Borrowed(written);
        for transform in &self.transforms {
            text = transform.apply(text).map_err(|problem| Refusal::new(self.path.clone(), problem, written))?;
        }
        if !self.prefix.is_empty() && !text.is_empty() {
            text.to_mut().insert_str(0, &self.prefix);
        }
        Ok(text)
    }

    fn takes(&self, kept: &Assigned, new: &Assigned) -> bool {
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
