//! The assignment of a column of an existing row, as SQL over `i`, the values that were sent, and `t`, the stored row.
//! Each [`kind`](crate::resource::kind) defines its own.

use crate::resource::kind::{Assignment, Change};
use crate::resource::mask::{Reach, UpdateMask};
use crate::resource::{Field, Resource};

/// The assignment of the revision in every change.
pub(super) fn next_revision(field: &Field) -> String {
    format!("{} = {}", field.name, field.kind.assign(field.name, Change::IfSet).value)
}

/// The assignment of a field of an existing row, and the condition that its value differs from the stored one. Without
/// a mask, the field is overwritten if it is set. The same holds if the mask names the whole field and keeps what is
/// unset.
pub(super) fn assignment(resource: &Resource, mask: &UpdateMask, field: &Field, reach: Option<&Reach>) -> Assignment {
    let change = Change::new(reach, mask.keeps_unset());
    match field.kind.payload() {
        Some(payload) => payload.assign_beside(field.name, change, &new_value(resource, mask, payload.discriminator)),
        None => field.kind.assign(field.name, change),
    }
}

/// The SQL of a column's value after the update.
fn new_value(resource: &Resource, mask: &UpdateMask, name: &str) -> String {
    let stored = || format!("t.{name}");
    let Some(at) = resource.fields.iter().position(|field| field.name == name) else { return stored() };
    let field = &resource.fields[at];
    let reach = match mask.paths() {
        None if field.is_mutable() => None,
        None => return stored(),
        Some(paths) => match paths.iter().find(|path| path.field == at) {
            Some(path) => Some(&path.reach),
            None => return stored(),
        },
    };
    field.kind.assign(name, Change::new(reach, mask.keeps_unset())).value
}
