//! Why a row is refused.

use crate::error::{Error, Violation};

/// Why a row is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The error of the call, if it wrote only this row.
    pub error: Error,
    /// The field of the row, and what is wrong with it.
    pub violation: Violation,
}

impl Refusal {
    /// A row that breaks a rule of one field.
    pub fn invalid(violation: Violation) -> Self {
        Self { error: Error::Invalid(vec![violation.clone()]), violation }
    }

    /// A row that is refused by an error about the row as a whole.
    pub fn whole(error: Error) -> Self {
        Self::of_field("", error)
    }

    /// A row that is refused by an error about one field.
    pub fn of_field(field: &str, error: Error) -> Self {
        let violation = Violation::new(field, error.to_string());
        Self { error, violation }
    }

    /// The error of a call that wrote this one row, which stood in the field `field` of its request.
    #[must_use]
    pub fn into_error(self, field: &str) -> Error {
        match self.error {
            Error::Invalid(violations) => {
                Error::Invalid(violations.into_iter().map(|violation| violation.within(field)).collect())
            }
            Error::ReferenceMissing(violation) => Error::ReferenceMissing(violation.within(field)),
            Error::ValueTaken { resource, field: own, holder } => {
                Error::ValueTaken { resource, field: Violation::new(own, "").within(field).field, holder }
            }
            error => error,
        }
    }
}
