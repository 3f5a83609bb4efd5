//! A mapping made ready for one resource: paths resolved, settings checked, columns numbered.

use std::ops::Range;

use anyhow::Context as _;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::document::{Each, Mapping};
use super::fields::PlannedFields;
use super::rule::{Assigned, Column, Place, PlannedRule};
use super::target::Scalar;
use super::transform::quoted;
use super::{Cell, Refusal};
use crate::resource::Resource;

/// A mapping made ready. Reads cells in the order of [`columns`](Self::columns).
#[derive(Debug)]
pub(crate) struct Plan {
    row: PlannedFields,
    elements: Vec<PlannedElement>,
    columns: Vec<Column>,
    /// The rules of the resource's key.
    key: Range<usize>,
    group: Option<PlannedGroup>,
}

#[derive(Debug)]
struct PlannedGroup {
    /// The rules that groups are made by.
    by: Range<usize>,
    consecutive: bool,
}

/// How elements of a list come about.
#[derive(Debug)]
struct PlannedElement {
    list: FieldDescriptor,
    each: Each,
    fields: PlannedFields,
}

/// What a record gave, or all records of a group so far.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// By rule: those of the row, then those of the elements of which a row has one.
    assigned: Vec<Assigned>,
    /// The elements of the records, encoded as fields of the row: there may be as many as the file has records, and nothing is smaller.
    elements: Vec<u8>,
}

impl Plan {
    /// Makes a mapping ready for a resource. An error names the file, the setting and what is allowed.
    pub(crate) fn new(mapping: &Mapping, resource: &Resource) -> anyhow::Result<Self> {
        let file = mapping.file.display();
        let message = resource.descriptor()?;
        let mut columns: Vec<Column> = Vec::new();
        let no_pick = mapping.group.is_none().then_some("without [group]");
        let place = Place { resource, message: &message, before: "", no_pick };
        let row = PlannedFields::new(&mapping.fields, &place, "fields", &mut columns).context(file.to_string())?;
        let Some(key) = row.find_single(resource.key) else {
            anyhow::bail!("{file}: fields.{} is missing: every {} needs one", resource.key, resource.singular);
        };
        let group = match &mapping.group {
            None => None,
            Some(group) => match row.find_single(&group.by) {
                Some(by) => Some(PlannedGroup { by, consecutive: group.consecutive }),
                None => anyhow::bail!("{file}: group.by: {:?} is no path of [fields] that has one value", group.by),
            },
        };
        let mut elements = Vec::new();
        for name in mapping.lists() {
            let (list, inner) = find_list(&message, name).map_err(|problem| anyhow::anyhow!("{file}: {problem}"))?;
            for (section, element) in mapping.elements(name)? {
                let no_pick = match element.each {
                    Each::Record => Some("for an element that one record makes"),
                    Each::Row => no_pick,
                };
                let place = Place { resource, message: &inner, before: &format!("{name}."), no_pick };
                let section = format!("{section}.fields");
                let fields =
                    PlannedFields::new(&element.fields, &place, &section, &mut columns).context(file.to_string())?;
                elements.push(PlannedElement { list: list.clone(), each: element.each, fields });
            }
        }
        Ok(Self { row, elements, columns, key, group })
    }

    /// The columns to read, each once.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether several records may make one row.
    pub(crate) fn is_grouped(&self) -> bool {
        self.group.is_some()
    }

    /// Whether the records of a group stand together.
    pub(crate) fn is_consecutive(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.consecutive)
    }

    /// Whether a row without one of its records would lack a part of it.
    pub(crate) fn needs_every_record(&self) -> bool {
        self.elements.iter().any(|element| element.each == Each::Record)
    }

    /// What a record gives.
    pub(crate) fn evaluate(&self, cells: &[Cell]) -> Result<Values, Refusal> {
        let mut values = Values::default();
        self.row.evaluate(cells, &mut values.assigned)?;
        for required in [Some(&self.key), self.group.as_ref().map(|group| &group.by)].into_iter().flatten() {
            if text_of(&values.assigned[required.clone()]).is_none() {
                return Err(Refusal::new(self.row.rules[required.start].path.clone(), "is empty", ""));
            }
        }
        let mut assigned = Vec::new();
        for element in &self.elements {
            match element.each {
                Each::Row => element.fields.evaluate(cells, &mut values.assigned)?,
                Each::Record => {
                    element.fields.evaluate(cells, &mut assigned)?;
                    element.encode(&mut assigned, &mut values.elements);
                }
            }
        }
        Ok(values)
    }

    /// What tells a record's group from the others.
    pub(crate) fn group_key(&self, values: &Values) -> String {
        self.group.as_ref().and_then(|group| text_of(&values.assigned[group.by.clone()])).unwrap_or_default()
    }

    /// The path that groups are made by.
    pub(crate) fn group_path(&self) -> &str {
        let by = self.group.as_ref().and_then(|group| self.row.rules.get(group.by.start));
        by.map_or("", |rule| &rule.path)
    }

    /// What tells the group of a record that was refused from the others; none if that cannot be told. The cells of the
    /// columns `unreadable` are not what the file has.
    pub(crate) fn group_of(&self, cells: &[Cell], unreadable: &[usize]) -> Option<String> {
        let rules = &self.row.rules[self.group.as_ref()?.by.clone()];
        // Of a record that could not be read at all there are no cells.
        if cells.is_empty() {
            return None;
        }
        // The first rule that gives something counts: where one cannot be asked, the next one's answer may be another
        // group's.
        for rule in rules {
            if rule.reads(unreadable) {
                return None;
            }
            match rule.evaluate(cells).ok()? {
                Assigned::Nothing => {}
                value => return text_of(&[value]),
            }
        }
        None
    }

    /// Takes a later record's values into those of its group.
    pub(crate) fn merge(&self, group: &mut Values, record: Values) {
        for ((rule, kept), new) in self.rules_of_rows().zip(&mut group.assigned).zip(record.assigned) {
            if rule.takes(kept, &new) {
                *kept = new;
            }
        }
        group.elements.extend(record.elements);
    }

    /// The row that the values make, encoded.
    pub(crate) fn build(&self, values: Values) -> Vec<u8> {
        let mut assigned = values.assigned.into_iter();
        let mut row = self.row.build(assigned.by_ref().take(self.row.rules.len()));
        for PlannedElement { list, fields, .. } in self.elements_of_rows() {
            let values: Vec<Assigned> = assigned.by_ref().take(fields.rules.len()).collect();
            if fields.have_content(&values)
                && let Value::List(elements) = row.get_field_mut(list)
            {
                elements.push(Value::Message(fields.build(values)));
            }
        }
        let mut bytes = row.encode_to_vec();
        bytes.extend(values.elements);
        bytes
    }

    fn elements_of_rows(&self) -> impl Iterator<Item = &PlannedElement> {
        self.elements.iter().filter(|element| element.each == Each::Row)
    }

    /// The rules by which [`Values::assigned`] goes.
    fn rules_of_rows(&self) -> impl Iterator<Item = &PlannedRule> {
        self.row.rules.iter().chain(self.elements_of_rows().flat_map(|element| &element.fields.rules))
    }
}

impl PlannedElement {
    /// Appends the element that the values make to a row that is being encoded: none if no column gave anything. Leaves no values.
    fn encode(&self, values: &mut Vec<Assigned>, row: &mut Vec<u8>) {
        if self.fields.have_content(values) {
            let element = self.fields.build(values.drain(..));
            encode_key(self.list.number(), WireType::LengthDelimited, row);
            encode_varint(element.encoded_len() as u64, row);
            // A vector has room for everything.
            let _always = element.encode(row);
        }
        values.clear();
    }
}

/// The first value of several rules for one path, as text.
fn text_of(values: &[Assigned]) -> Option<String> {
    match values.iter().find(|value| **value != Assigned::Nothing)? {
        Assigned::One(Scalar::Text(text)) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

/// A list of a message, and the message that its elements are.
fn find_list(message: &MessageDescriptor, name: &str) -> Result<(FieldDescriptor, MessageDescriptor), String> {
    let list = |field: FieldDescriptor| match field.kind() {
        Kind::Message(inner) if field.is_list() => Some((field, inner)),
        _ => None,
    };
    if let Some(found) = message.get_field_by_name(name).and_then(list) {
        return Ok(found);
    }
    let lists: Vec<String> = message.fields().filter_map(list).map(|(field, _)| field.name().to_owned()).collect();
    Err(if lists.is_empty() {
        format!("unknown section `{name}`, expected `source`, `group` or `fields`")
    } else {
        let lists = quoted(lists);
        format!(
            "unknown section `{name}`, expected `source`, `group`, `fields` or a list of {}: {lists}",
            message.name()
        )
    })
}
