//! The details of an error.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The parts of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The code.
    pub(crate) code: Code,
    /// `ErrorInfo.reason`; empty if missing.
    pub(crate) reason: String,
    /// The fields in `BadRequest`.
    pub(crate) fields: Vec<String>,
}

/// Splits a status, and checks what all errors have in common: an ErrorInfo of the domain `orrery`, less than 4 KiB of
/// details, and no text from the database.
#[track_caller]
pub(crate) fn refusal(status: &Status) -> Refusal {
    let Some(info) = status.get_details_error_info() else { unreachable!("every error has a reason: {status:?}") };
    assert_eq!(info.domain, "orrery", "{status:?}");
    assert!(status.details().len() < 4096, "{} bytes of details", status.details().len());
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    let mut texts = vec![status.message().to_owned(), format!("{:?}", info.metadata)];
    texts.extend(violations.iter().map(|violation| violation.description.clone()));
    for text in texts {
        for secret in ["select ", "insert ", "127.0.0.1", "_service", "password", "relation \"", "sqlx", "SQLSTATE"] {
            assert!(!text.contains(secret), "{text:?} holds {secret:?}");
        }
    }
    let fields = violations.into_iter().map(|violation| violation.field).collect();
    Refusal { code: status.code(), reason: info.reason, fields }
}

/// Checks that a call failed with INVALID_ARGUMENT, with this reason, and for this field only.
#[track_caller]
pub(crate) fn assert_invalid<T: std::fmt::Debug>(answer: Result<T, Status>, reason: &str, field: &str) {
    let status = answer.unwrap_err();
    let expected = Refusal { code: Code::InvalidArgument, reason: reason.to_owned(), fields: vec![field.to_owned()] };
    assert_eq!(refusal(&status), expected, "{status:?}");
}
