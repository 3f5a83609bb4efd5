//! Answers that are too large: the fields are reduced step by step until the answer fits. Used for answers that must
//! arrive, because they report something that has happened.

use super::view::{View, in_view};
use crate::resource::Resource;
use crate::resource::mask::{MaskPath, Reach};

/// The fields of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All requested fields.
    Whole,
    /// All but lists of children. The essential fields are included even if they were not asked for.
    WithoutChildLists,
    /// Only the essential fields: the key, the revision and the times.
    Essential,
}

impl Extent {
    /// The next smaller one.
    #[must_use]
    pub fn less(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::WithoutChildLists),
            Self::WithoutChildLists => Some(Self::Essential),
            Self::Essential => None,
        }
    }

    /// The paths of a mask that are kept.
    #[must_use]
    pub fn of(self, resource: &Resource, mask: &[MaskPath]) -> Vec<MaskPath> {
        let mut left = match self {
            Self::Whole => return mask.to_vec(),
            Self::WithoutChildLists => mask.to_vec(),
            Self::Essential => Vec::new(),
        };
        left.retain(|path| in_view(resource, path.field, View::Basic));
        for (field, described) in resource.fields.iter().enumerate() {
            let essential = described.key || described.is_revision() || described.is_time();
            if essential && left.iter().all(|path| path.field != field) {
                left.push(MaskPath { field, reach: Reach::Whole });
            }
        }
        left.sort_by_key(|path| path.field);
        left
    }

    /// The names of the fields that a mask asks for and that are left out.
    #[must_use]
    pub fn omits(self, resource: &Resource, mask: &[MaskPath]) -> Vec<&'static str> {
        let left = self.of(resource, mask);
        let omitted = mask.iter().filter(|asked| left.iter().all(|path| path.field != asked.field));
        omitted.flat_map(|asked| resource.fields[asked.field].contract_names()).collect()
    }
}
