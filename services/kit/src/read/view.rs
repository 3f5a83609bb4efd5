//! How much of a resource is returned: what a mask says, or, where there is none, a view.

use prost_types::FieldMask;

use crate::error::Error;
use crate::resource::Resource;
use crate::resource::mask::{MaskPath, read_mask};

/// How much of a resource is returned where no mask says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every field but the parts of which there are many.
    Basic,
    /// Everything.
    Full,
}

/// Whether a field is in a view.
pub(super) fn in_view(resource: &Resource, field: usize, view: View) -> bool {
    let part = resource.fields[field].part().map(|nth| &resource.parts[nth]);
    view == View::Full || part.is_none_or(|part| part.single)
}

/// What a `read_mask` asks for; a view's fields if it is unset or empty.
///
/// # Errors
/// [`Error::Invalid`] for `read_mask`: a path that names no field.
pub fn mask(resource: &Resource, mask: Option<&FieldMask>, view: View) -> Result<Vec<MaskPath>, Error> {
    let mut reached = read_mask(resource, mask, "read_mask").map_err(|violation| Error::Invalid(vec![violation]))?;
    if view == View::Basic && mask.is_none_or(|mask| mask.paths.is_empty()) {
        reached.retain(|reached| in_view(resource, reached.field, view));
    }
    Ok(reached)
}
