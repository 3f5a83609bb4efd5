//! The fields of a resource that are returned: those of a mask or, without a mask, of a view.

use prost_types::FieldMask;

use crate::error::Error;
use crate::resource::Resource;
use crate::resource::mask::{MaskPath, read_mask};

/// The fields that are returned if there is no mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every field but lists of children.
    Basic,
    /// Everything.
    Full,
}

/// Whether a field is in a view.
pub(super) fn in_view(resource: &Resource, field: usize, view: View) -> bool {
    let child_table = resource.fields[field].child_table().map(|nth| &resource.child_tables[nth]);
    view == View::Full || child_table.is_none_or(|table| table.single)
}

/// The fields of a `read_mask`; those of a view if it is unset or empty.
///
/// # Errors
/// [`Error::Invalid`] for `read_mask`: a path that names no field.
pub fn mask(resource: &Resource, mask: Option<&FieldMask>, view: View) -> Result<Vec<MaskPath>, Error> {
    let mut paths = read_mask(resource, mask, "read_mask").map_err(|violation| Error::Invalid(vec![violation]))?;
    if view == View::Basic && mask.is_none_or(|mask| mask.paths.is_empty()) {
        paths.retain(|path| in_view(resource, path.field, view));
    }
    Ok(paths)
}
