//! Plans rows that belong to an owner: a mapping names their fields beside that of the owner.

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use super::document::{Each, Fields, Mapping};
use super::fields::PlannedFields;
use super::plan::{PlannedElement, checks};
use super::rule::{MappedColumn, RuleContext};
use crate::resource::TransferResource;

/// The fields of a mapping that belong to the row, and those that belong to the rows of an owner.
pub(super) fn rows_and_members(mapping: &Mapping, resource: &TransferResource) -> (Fields, Fields) {
    let is_of_row = |path: &String| resource.owner.is_none() || path == resource.key;
    mapping.fields.clone().into_iter().partition(|(path, _)| is_of_row(path))
}

/// Plans the rows of an owner: each record makes one, or one for each part of a text that it splits.
pub(super) fn plan_members(
    list: FieldDescriptor,
    fields: &Fields,
    resource: &TransferResource,
    message: &MessageDescriptor,
    columns: &mut Vec<MappedColumn>,
) -> anyhow::Result<PlannedElement> {
    let members = resource.owner.map_or(&[][..], |owner| owner.members);
    anyhow::ensure!(
        fields.keys().any(|path| members.contains(&path.as_str())),
        "fields.{} is missing: each {} needs one of them",
        members.join(" or fields."),
        resource.singular
    );
    let place = RuleContext {
        resource,
        message,
        before: "",
        no_pick: Some("here: each record makes rows of its own"),
        no_on: Some("is not needed: existing rows have nothing to update"),
        by: None,
        may_split: true,
    };
    let fields = PlannedFields::new(fields, &place, "fields", columns)?;
    let splits: Vec<usize> = (0..fields.rules.len()).filter(|rule| fields.rules[*rule].makes_parts()).collect();
    if let Some(&place) = splits.first() {
        let path = &fields.rules[place].path;
        let rules = fields.rules.iter().filter(|rule| rule.path == *path).count();
        anyhow::ensure!(rules == 1, "fields.{path:?}: a path with `split` has one rule");
        anyhow::ensure!(splits.len() == 1, "fields: only one path can have `split`");
    }
    let checks = checks(&fields.rules, |_| false);
    Ok(PlannedElement { list, each: Each::Record, fields, checks, split: splits.first().copied(), has_line: true })
}
