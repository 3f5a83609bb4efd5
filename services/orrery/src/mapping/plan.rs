//! Plans a mapping for a resource: resolves paths, checks settings and numbers columns.

use std::ops::Range;
use std::sync::Arc;

use anyhow::Context as _;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::document::{Each, Mapping};
use super::fields::PlannedFields;
use super::members::{plan_members, rows_and_members};
use super::rule::{Assigned, MappedColumn, PlannedRule, RuleContext};
use super::sources::{Same, UidSource};
use super::target::Scalar;
use super::transform::quoted;
use super::{Cell, Omission, RecordRefusal, update};
use crate::contract::LINE_NUMBER;
use crate::resource::TransferResource;

/// The most bytes of a row: the default limit of a service for a message, with a margin.
pub(crate) const ROW_LIMIT: usize = 15 * 1024 * 1024;

/// A planned mapping. Cells are in the order of [`columns`](Self::columns).
#[derive(Debug)]
pub(crate) struct Plan {
    row: PlannedFields,
    elements: Vec<PlannedElement>,
    columns: Vec<MappedColumn>,
    /// The rules of the resource's key.
    key: Range<usize>,
    group: Option<PlannedGroup>,
    /// The uids of the row that different texts could make equal.
    checks: Vec<Check>,
    /// Whether the records of a group must have the same key.
    checks_keys_of_groups: bool,
    /// The update_mask of a write. Empty: all set fields are overwritten in existing rows.
    update_mask: Vec<String>,
}

/// A uid that different texts could make equal, and that is therefore checked.
#[derive(Debug)]
pub(super) struct Check {
    path: Arc<str>,
    /// The rules of the uid.
    rules: Range<usize>,
    /// Whether it identifies the row or its group.
    is_own: bool,
    /// Whether it only has to be unique within the row.
    is_within_row: bool,
}

#[derive(Debug)]
struct PlannedGroup {
    /// The rules of the field by which records are grouped.
    by: Range<usize>,
    consecutive: bool,
}

/// How elements of a list are made.
#[derive(Debug)]
pub(super) struct PlannedElement {
    pub(super) list: FieldDescriptor,
    pub(super) each: Each,
    pub(super) fields: PlannedFields,
    pub(super) checks: Vec<Check>,
    /// The rule that splits a text: each part makes an element.
    pub(super) split: Option<usize>,
    /// Whether elements have the line of their record.
    pub(super) has_line: bool,
}

/// The values of a record, or of the records of a group so far.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// One for each rule: the rules of the row, then those of its own elements.
    pub(super) assigned: Vec<Assigned>,
    /// The elements made of records, encoded as fields of the row. There may be as many as records, and this is the
    /// smallest form.
    pub(super) elements: Vec<u8>,
    /// The size in bytes of elements that were dropped, because a row cannot have so many.
    pub(super) left_out: usize,
    /// The texts from which uids were made, for uids that are checked.
    pub(crate) sources: Vec<UidSource>,
    /// What was left out.
    pub(crate) omissions: Vec<Omission>,
}

impl Values {
    /// The approximate size in memory in bytes.
    pub(super) fn size(&self) -> usize {
        // The overhead of an allocation.
        const EACH: usize = 16;
        let of_scalar = |scalar: &Scalar| if let Scalar::Text(text) = scalar { text.capacity() + EACH } else { 0 };
        let of_key = |(key, scalar): &(String, Scalar)| {
            size_of::<(String, Scalar)>() + key.capacity() + EACH + of_scalar(scalar)
        };
        let of_assigned = |assigned: &Assigned| match assigned {
            Assigned::Nothing => 0,
            Assigned::One(scalar) => of_scalar(scalar),
            Assigned::Keys(keys) => EACH + keys.iter().map(of_key).sum::<usize>(),
        };
        size_of::<Self>()
            + 3 * EACH
            + self.assigned.capacity() * size_of::<Assigned>()
            + self.assigned.iter().map(of_assigned).sum::<usize>()
            + self.elements.capacity()
    }
}

impl Plan {
    /// Plans a mapping for a resource. An error names the file, the setting and what is allowed.
    pub(crate) fn new(mapping: &Mapping, resource: &TransferResource) -> anyhow::Result<Self> {
        let file = mapping.file.display();
        let message = resource.descriptor()?;
        let mut columns: Vec<MappedColumn> = Vec::new();
        let no_pick = mapping.group.is_none().then_some("without [group]");
        let by = mapping.group.as_ref().map(|group| group.by.as_str());
        let place = RuleContext { resource, message: &message, before: "", no_pick, no_on: None, by, may_split: false };
        let (fields, of_members) = rows_and_members(mapping, resource);
        let row = PlannedFields::new(&fields, &place, "fields", &mut columns).context(file.to_string())?;
        let named = || resource.name_key.and_then(|name| row.find_single(name));
        let Some(key) = row.find_single(resource.key).or_else(named) else {
            let or = resource.name_key.map_or(String::new(), |name| format!(" or fields.{name}"));
            anyhow::bail!("{file}: fields.{}{or} is missing: each {} needs it", resource.key, resource.singular);
        };
        for rule in &row.rules[key.clone()] {
            rule.check_key().map_err(|problem| anyhow::anyhow!("{file}: fields.{:?}: {problem}", rule.path))?;
        }
        let group = match &mapping.group {
            None => None,
            Some(group) => match row.find_single(&group.by) {
                Some(by) => Some(PlannedGroup { by, consecutive: group.consecutive }),
                None => anyhow::bail!("{file}: group.by: {:?} is not a path of [fields] with a single value", group.by),
            },
        };
        let mut elements = Vec::new();
        if let Some(list) = resource.list_of_owner()? {
            elements.push(plan_members(list, &of_members, resource, &message, &mut columns).context(file.to_string())?);
        }
        for name in mapping.lists() {
            let (list, inner) = find_list(&message, name).map_err(|problem| anyhow::anyhow!("{file}: {problem}"))?;
            for (section, element) in mapping.elements(name)? {
                let no_pick = match element.each {
                    Each::Record => Some("for an element made of one record"),
                    Each::Row => no_pick,
                };
                let no_on = Some("belongs beside `each`, because a list is written as a whole");
                let before = format!("{name}.");
                let place = RuleContext {
                    resource,
                    message: &inner,
                    before: &before,
                    no_pick,
                    no_on,
                    by: None,
                    may_split: false,
                };
                let section = format!("{section}.fields");
                let fields =
                    PlannedFields::new(&element.fields, &place, &section, &mut columns).context(file.to_string())?;
                let checks = checks(&fields.rules, |_| false);
                let list = list.clone();
                elements.push(PlannedElement {
                    list,
                    each: element.each,
                    fields,
                    checks,
                    split: None,
                    has_line: false,
                });
            }
        }
        let by = group.as_ref().map_or(key.clone(), |group| group.by.clone());
        let checks = checks(&row.rules, |rules| *rules == key || *rules == by);
        let checks_keys_of_groups = by != key && !row.rules[key.clone()].iter().any(|rule| rule.picks);
        let update_mask =
            update::mask(mapping, resource, &row.rules, &row.rules[key.start].path).context(file.to_string())?;
        Ok(Self { row, elements, columns, key, group, checks, checks_keys_of_groups, update_mask })
    }

    /// The update_mask for writing these rows.
    pub(crate) fn update_mask(&self) -> &[String] {
        &self.update_mask
    }

    /// The columns to read, without duplicates.
    pub(crate) fn columns(&self) -> &[MappedColumn] {
        &self.columns
    }

    /// Whether several records may make one row.
    pub(crate) fn is_grouped(&self) -> bool {
        self.group.is_some()
    }

    /// Whether the records of a group are those with the same key.
    pub(crate) fn is_grouped_by_key(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.by == self.key)
    }

    /// Whether the records of a group are consecutive.
    pub(crate) fn is_consecutive(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.consecutive)
    }

    /// Whether a row is incomplete without one of its records.
    pub(crate) fn needs_every_record(&self) -> bool {
        self.elements.iter().any(|element| element.each == Each::Record)
    }

    /// Evaluates the rules for the record that begins on a line.
    pub(crate) fn evaluate(&self, line: u64, cells: &[Cell]) -> Result<Values, RecordRefusal> {
        let mut values = Values::default();
        self.row.evaluate(cells, &mut values.assigned, &mut values.omissions)?;
        for required in [Some(&self.key), self.group.as_ref().map(|group| &group.by)].into_iter().flatten() {
            if text_of(&values.assigned[required.clone()]).is_none() {
                return Err(RecordRefusal::new(self.row.rules[required.start].path.clone(), "is empty", ""));
            }
        }
        self.take_sources(cells, &mut values);
        let row = text_of(&values.assigned[self.key.clone()]).unwrap_or_default();
        let Values { assigned, elements, sources, omissions, .. } = &mut values;
        let mut of_record = Vec::new();
        for element in &self.elements {
            let into = if element.each == Each::Row { &mut *assigned } else { &mut of_record };
            let begin = into.len();
            element.fields.evaluate(cells, into, omissions)?;
            for check in &element.checks {
                sources.extend(check.source(&element.fields.rules, &into[begin..], cells, &row));
            }
            if element.each == Each::Record {
                match element.split {
                    None => element.encode(line, &mut of_record, elements),
                    Some(place) => {
                        for part in element.fields.rules[place].parts(cells)? {
                            let mut of_part = of_record.clone();
                            of_part[place] = part;
                            element.encode(line, &mut of_part, elements);
                        }
                        of_record.clear();
                    }
                }
            }
        }
        Ok(values)
    }

    /// Records the texts from which the uids of a row were made.
    fn take_sources(&self, cells: &[Cell], values: &mut Values) {
        for check in &self.checks {
            let source = check.source(&self.row.rules, &values.assigned, cells, "");
            values.sources.extend(source);
        }
        if self.checks_keys_of_groups
            && let Some(key) = text_of(&values.assigned[self.key.clone()])
        {
            let rule = &self.row.rules[self.key.start];
            values.sources.push(UidSource {
                path: rule.path.as_str().into(),
                scope: "group".to_owned(),
                uid: self.group_key(values),
                text: key,
                is_own: false,
            });
        }
    }

    /// The key of a record's group.
    pub(crate) fn group_key(&self, values: &Values) -> String {
        self.group.as_ref().and_then(|group| text_of(&values.assigned[group.by.clone()])).unwrap_or_default()
    }

    /// The path by which records are grouped.
    pub(crate) fn group_path(&self) -> &str {
        let by = self.group.as_ref().and_then(|group| self.row.rules.get(group.by.start));
        by.map_or("", |rule| &rule.path)
    }

    /// The key of a refused record's group; none if it is unknown. The cells of the columns `unreadable` are invalid.
    pub(crate) fn group_of(&self, cells: &[Cell], unreadable: &[usize]) -> Option<String> {
        let rules = &self.row.rules[self.group.as_ref()?.by.clone()];
        // A record that could not be read at all has no cells.
        if cells.is_empty() {
            return None;
        }
        // The first rule that gives a value decides. If a rule cannot be evaluated, a later one may give the key of
        // another group.
        for rule in rules {
            if rule.reads(unreadable) {
                return None;
            }
            match rule.evaluate(cells, &mut Vec::new()).ok()? {
                Assigned::Nothing => {}
                value => return text_of(&[value]),
            }
        }
        None
    }

    /// Merges the values of a later record into those of its group.
    pub(crate) fn merge(&self, group: &mut Values, record: Values) {
        for ((rule, kept), new) in self.rules_of_rows().zip(&mut group.assigned).zip(record.assigned) {
            if rule.takes(kept, &new) {
                *kept = new;
            }
        }
        group.elements.extend(record.elements);
        group.left_out += record.left_out;
        if group.elements.len() > ROW_LIMIT {
            group.left_out += std::mem::take(&mut group.elements).len();
        }
    }

    /// Builds and encodes the row. The error is the size in bytes of a row that is too large.
    pub(crate) fn build(&self, values: Values) -> Result<Vec<u8>, usize> {
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
        let size = bytes.len() + values.left_out;
        if size > ROW_LIMIT { Err(size) } else { Ok(bytes) }
    }

    fn elements_of_rows(&self) -> impl Iterator<Item = &PlannedElement> {
        self.elements.iter().filter(|element| element.each == Each::Row)
    }

    /// The rules of [`Values::assigned`].
    fn rules_of_rows(&self) -> impl Iterator<Item = &PlannedRule> {
        self.row.rules.iter().chain(self.elements_of_rows().flat_map(|element| &element.fields.rules))
    }
}

impl PlannedElement {
    /// Encodes the element that the values make and appends it to a row, unless no column has a value. Consumes the
    /// values.
    fn encode(&self, line: u64, values: &mut Vec<Assigned>, row: &mut Vec<u8>) {
        if self.fields.have_content(values) {
            let mut element = self.fields.build(values.drain(..)).encode_to_vec();
            if self.has_line {
                prost::encoding::uint64::encode(LINE_NUMBER, &line, &mut element);
            }
            encode_key(self.list.number(), WireType::LengthDelimited, row);
            encode_varint(element.len() as u64, row);
            row.extend(element);
        }
        values.clear();
    }
}

impl Check {
    /// The text from which the uid was made, if there is a uid.
    fn source(&self, rules: &[PlannedRule], values: &[Assigned], cells: &[Cell], row: &str) -> Option<UidSource> {
        let mut values = self.rules.clone().map(|place| (&rules[place], &values[place]));
        let (rule, value) = values.find(|(_, value)| **value != Assigned::Nothing)?;
        let (Assigned::One(Scalar::Text(uid)), Cell::Text(text)) = (value, &cells[rule.column()?]) else { return None };
        if rule.same == Some(Same::All) {
            return None;
        }
        Some(UidSource {
            path: Arc::clone(&self.path),
            scope: if self.is_within_row { row.to_owned() } else { String::new() },
            uid: uid.clone(),
            text: Same::identity(rule.same, text),
            is_own: self.is_own,
        })
    }
}

/// The uids among rules that must be checked, and the other fields that identify rows.
pub(super) fn checks(rules: &[PlannedRule], is_own: impl Fn(&Range<usize>) -> bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut begin = 0;
    for of_path in rules.chunk_by(|one, next| one.path == next.path) {
        let range = begin..begin + of_path.len();
        begin = range.end;
        let is_own = is_own(&range);
        let is_identity = is_own || of_path[0].target.is_identity();
        // Each of several rules may make the same uid of another text.
        if is_identity && (of_path.len() > 1 || of_path.iter().any(PlannedRule::may_merge)) {
            let path: Arc<str> = of_path[0].path.as_str().into();
            let is_within_row = !is_own && path.ends_with(".uid");
            checks.push(Check { path, rules: range, is_own, is_within_row });
        }
    }
    checks
}

/// The first value of several rules for one path, as text.
fn text_of(values: &[Assigned]) -> Option<String> {
    match values.iter().find(|value| **value != Assigned::Nothing)? {
        Assigned::One(Scalar::Text(text)) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

/// A list field of a message, and the message type of its elements.
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
