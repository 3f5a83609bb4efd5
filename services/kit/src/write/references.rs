//! What the rows of a write point at in another slice. Its service is asked before the transaction begins, once for all rows: a
//! transaction must not wait for another service.

use std::collections::HashSet;

use crate::context::Writes;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::part::{children, said};
use crate::resource::tuple::Columns;
use crate::resource::{Resource, Target};

/// A row that points at something that does not exist.
#[derive(Debug)]
pub(super) struct Pointless {
    /// The row's place among those looked at.
    pub(super) row: usize,
    /// The path of the column within the row.
    pub(super) path: String,
    /// What it names.
    pub(super) target: String,
}

/// A column that points into another slice, of the row itself or of a part's children.
struct Pointer {
    part: Option<usize>,
    column: &'static str,
    /// The column's place in the tuple of the row or child.
    position: usize,
}

impl Pointer {
    fn all(resource: &'static Resource) -> Vec<Self> {
        let elsewhere = |of: &'static Resource, part: Option<usize>| {
            of.description
                .references
                .iter()
                .filter(|reference| matches!(reference.target, Target::Elsewhere))
                .filter_map(move |reference| {
                    // A child's tuple stands without its owner's column.
                    let position = of.input_position(reference.column)?.checked_sub(usize::from(part.is_some()))?;
                    Some(Self { part, column: reference.column, position })
                })
        };
        let parts = resource.parts.iter().enumerate();
        elsewhere(resource, None).chain(parts.flat_map(|(nth, part)| elsewhere(part.resource, Some(nth)))).collect()
    }

    /// The targets that a row's tuple names, each with its place in the part.
    fn targets<'t>(&self, resource: &Resource, tuple: &'t [u8]) -> Vec<(usize, &'t str)> {
        let target = |tuple: &'t [u8]| {
            let value = Columns::new(tuple).nth(self.position).flatten()?;
            std::str::from_utf8(value).ok()
        };
        match self.part {
            None => target(tuple).map(|target| (0, target)).into_iter().collect(),
            Some(nth) => {
                let said = said(resource, nth, tuple).unwrap_or_default();
                children(said).enumerate().filter_map(|(place, child)| Some((place, target(child)?))).collect()
            }
        }
    }

    fn path(&self, resource: &Resource, place: usize) -> String {
        match self.part.and_then(|nth| resource.parts.get(nth)) {
            None => self.column.to_owned(),
            Some(part) if part.single => format!("{}.{}", part.name, self.column),
            Some(part) => format!("{}[{place}].{}", part.name, self.column),
        }
    }
}

/// Whether a row points at anything in another slice.
pub(super) fn points_elsewhere(resource: &'static Resource, tuple: &[u8]) -> bool {
    Pointer::all(resource).iter().any(|pointer| !pointer.targets(resource, tuple).is_empty())
}

/// The rows that point at something in another slice that does not exist, each with the first such column.
///
/// # Errors
/// What [`ForeignReferences::missing`](crate::references::ForeignReferences::missing) says.
pub(super) async fn pointing_nowhere(
    context: &Writes,
    resource: &'static Resource,
    tuples: &[&[u8]],
    deadline: Deadline,
) -> Result<Vec<Pointless>, Error> {
    let pointers = Pointer::all(resource);
    let mut seen = HashSet::new();
    let mut uids = Vec::new();
    for pointer in &pointers {
        for tuple in tuples {
            for (_, target) in pointer.targets(resource, tuple) {
                if seen.insert(target) {
                    uids.push(target.to_owned());
                }
            }
        }
    }
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let foreign = context.foreign.as_ref().ok_or_else(|| Error::internal("nothing knows what exists elsewhere"))?;
    let missing = foreign.missing(uids, deadline).await?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let first = |row: usize, tuple: &[u8]| {
        pointers.iter().find_map(|pointer| {
            let targets = pointer.targets(resource, tuple);
            let (place, target) = targets.into_iter().find(|(_, target)| missing.contains(*target))?;
            Some(Pointless { row, path: pointer.path(resource, place), target: target.to_owned() })
        })
    };
    Ok(tuples.iter().enumerate().filter_map(|(row, tuple)| first(row, tuple)).collect())
}
