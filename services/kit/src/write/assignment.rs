//! The assignment of a column of an existing row, as SQL over `i`, the values that were sent, and `t`, the stored row.
//! Each [`kind`](crate::resource::kind) defines its own.

use crate::resource::Field;
use crate::resource::kind::{Assignment, Change};
use crate::resource::mask::Reach;

/// The assignment of the revision in every change.
pub(super) fn next_revision(field: &Field) -> String {
    format!("{} = {}", field.name, field.kind.assign(field.name, Change::IfSet).value)
}

/// The assignment of a field of an existing row, and the condition that its value differs from the stored one. Without
/// a mask, the field is overwritten if it is set. The same holds if the mask names the whole field and `keeps_unset` is
/// true.
pub(super) fn assignment(field: &Field, reach: Option<&Reach>, keeps_unset: bool) -> Assignment {
    field.kind.assign(field.name, Change::new(reach, keeps_unset))
}
