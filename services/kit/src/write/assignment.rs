//! What a column of an existing row becomes, as SQL over `i`, what was sent, and `t`, what is stored. How that follows
//! from the kind of the column is told by each [`kind`](crate::resource::kind).

use crate::resource::Field;
use crate::resource::kind::{Assignment, Change};
use crate::resource::mask::Reach;

/// What every change of a row assigns to its revision.
pub(super) fn next_revision(field: &Field) -> String {
    format!("{} = {}", field.name, field.kind.assign(field.name, Change::IfSet).value)
}

/// A field's value on an existing row, and the condition that it differs from the stored one. Without a reach the field
/// is overwritten if it is set, and so it is with one that is all of it if `keeps_unset`.
pub(super) fn assignment(field: &Field, reach: Option<&Reach>, keeps_unset: bool) -> Assignment {
    field.kind.assign(field.name, Change::new(reach, keeps_unset))
}
