//! The fields of existing rows that an import overwrites: those that the mapping names, without those for new rows
//! only.

use super::document::{Mapping, On};
use super::rule::PlannedRule;
use crate::resource::TransferResource;

/// The most paths of an update_mask.
const MAX_PATHS: usize = 256;

/// The update_mask of a mapping's writes. A field that the mapping names and a row leaves unset is kept. In maps, the
/// named keys are replaced and others are kept.
///
/// A row that is found by its name (`key` is a name) keeps the name as it is stored.
pub(super) fn mask(
    mapping: &Mapping,
    resource: &TransferResource,
    row: &[PlannedRule],
    key: &str,
) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for rules in row.chunk_by(|one, next| one.path == next.path) {
        let rule = &rules[0];
        let section = || format!("fields.{:?}", rule.path);
        anyhow::ensure!(
            rules.iter().all(|other| other.on_create == rule.on_create),
            "{}: some of its rules have `on = \"create\"` and others do not",
            section()
        );
        if rule.path == key {
            anyhow::ensure!(!rule.on_create, "{}: `on` is not allowed for the key", section());
        } else if resource.beside == Some(&rule.path) {
            anyhow::ensure!(!rule.on_create, "{}: `on` is not allowed, because it is written for itself", section());
        } else if rule.on_create {
            anyhow::ensure!(
                !resource.is_fixed(&rule.path),
                "{}: `on` is not needed: existing rows never take it",
                section()
            );
            let other = row.iter().find(|other| !other.on_create && other.target.overlaps(&rule.target));
            if let Some(other) = other {
                anyhow::bail!(
                    "{}: has `on = \"create\"`, but {:?} writes the same keys without it",
                    section(),
                    other.path
                );
            }
        } else if !resource.is_fixed(&rule.path) {
            paths.push(rule.target.mask_path(&rule.path));
        }
    }
    let mut has_on_create = row.iter().any(|rule| rule.on_create);
    for list in mapping.lists() {
        let elements = mapping.elements(list)?;
        let on_create = |on: Option<On>| on == Some(On::Create);
        let first = elements.first().is_some_and(|(_, element)| on_create(element.on));
        anyhow::ensure!(
            elements.iter().all(|(_, element)| on_create(element.on) == first),
            "{list}: some of its sections have `on = \"create\"` and others do not"
        );
        has_on_create |= first;
        if !first && !elements.is_empty() {
            paths.push(list.to_owned());
        }
    }
    if paths.is_empty() && !has_on_create && key != resource.key {
        // No row sets it, so that existing rows stay as they are.
        paths.push("status.phase".to_owned());
    }
    anyhow::ensure!(
        paths.len() <= MAX_PATHS,
        "fields: names {} paths besides the key; a write can have {MAX_PATHS}; `labels.x/*` is one path for many keys",
        paths.len()
    );
    // An empty mask would mean no mask.
    anyhow::ensure!(
        !paths.is_empty() || !has_on_create,
        "every field has `on = \"create\"`: nothing is left to update in existing rows"
    );
    Ok(paths)
}
