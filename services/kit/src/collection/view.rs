//! How much of a row a request asks for, by its `read_mask` and its `view`.

use prost_types::FieldMask;

use super::snake_case;
use crate::error::Error;
use crate::read::view::{View, mask};
use crate::resource::Resource;
use crate::resource::mask::MaskPath;

/// The fields that are asked for: those of the mask. Without a mask, those of the view, or of `default` if the view is
/// 0.
///
/// # Errors
/// [`Error::Invalid`] for `view`, if it is a number that the contract does not know, or for `read_mask`.
pub fn asked_for(
    resource: &Resource,
    read_mask: Option<&FieldMask>,
    view: i32,
    default: View,
) -> Result<Vec<MaskPath>, Error> {
    mask(resource, read_mask, of_number(resource, view, default)?)
}

/// The view of a request. Every resource's enum of views has the same numbers; the build holds the contract to that.
pub(super) fn of_number(resource: &Resource, view: i32, default: View) -> Result<View, Error> {
    match view {
        0 => Ok(default),
        1 => Ok(View::Basic),
        2 => Ok(View::Full),
        _ => {
            let noun = snake_case(resource.noun()).to_ascii_uppercase();
            Err(Error::invalid("view", format!("must be {noun}_VIEW_BASIC or {noun}_VIEW_FULL")))
        }
    }
}
