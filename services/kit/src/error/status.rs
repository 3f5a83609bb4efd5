//! Converts an [`Error`] to a `google.rpc.Status`: code, message and details.

use std::collections::HashMap;
use std::time::Duration;

use orrery_proto::codec::{ERROR_DOMAIN, reason_name};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::refused::{RefusalKind, RowRefusal};
use super::too_large::AnswerTooLarge;
use super::{Error, Violation};

/// How long a caller is asked to wait before it retries, where nothing better is known.
pub const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Maximum number of field violations in one status: its details must stay under 4 KiB.
const MAX_VIOLATIONS: usize = 8;
/// Maximum length of a caller's text that is quoted in details, in bytes.
const MAX_QUOTED: usize = 200;
/// Maximum length of a caller's text within a sentence, so that the end of the sentence fits too: as long as a key of
/// the contract's grammar.
const MAX_NAMED: usize = 128;
/// Maximum length of a sentence.
const MAX_TEXT: usize = 640;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        if let Error::Transport(status) = error {
            return status;
        }
        if let Error::Internal(cause) = &error {
            tracing::error!(error = cause.as_ref(), "internal error");
        }
        let code = error.code();
        let text = error.to_string();
        let mut metadata = HashMap::new();
        let mut details = ErrorDetails::new();
        match &error {
            Error::Invalid(violations) => {
                for violation in violations.iter().take(MAX_VIOLATIONS) {
                    details.add_bad_request_violation(shortened(&violation.field), shortened(&violation.description));
                }
            }
            Error::TokenInvalid(field) | Error::TokenMismatch(field) | Error::WriteMismatch(field, _) => {
                details.add_bad_request_violation(*field, &text);
            }
            Error::ReferenceMissing(violation) => {
                details.add_bad_request_violation(shortened(&violation.field), shortened(&violation.description));
            }
            Error::RowRefused(refusal) => {
                let Violation { field, description } = &refusal.violation;
                details.add_bad_request_violation(shortened(field), shortened(description));
                if let (RefusalKind::Duplicate, Some((resource, name))) = (refusal.kind, &refusal.row) {
                    details.set_resource_info(*resource, shortened(name), "", shortened(description));
                }
                tracing::debug!(error = %refusal.cause, "the database refused a row");
            }
            Error::RowRejected { offset, violation } => {
                metadata.insert("offset".to_owned(), offset.to_string());
                details.add_bad_request_violation(shortened(&violation.field), shortened(&violation.description));
            }
            Error::OffsetGap { expected } => {
                metadata.insert("expected_offset".to_owned(), expected.to_string());
            }
            Error::OffsetConflict { offset } => {
                metadata.insert("offset".to_owned(), offset.to_string());
            }
            Error::NotFound { resource, name }
            | Error::CreatedAndDeleted { resource, name }
            | Error::AlreadyExists { resource, name }
            | Error::EtagMismatch { resource, name }
            | Error::RevisionMismatch { resource, name }
            | Error::StillReferenced { resource, name, .. }
            | Error::RowTooLarge { resource, name }
            | Error::ContentLost { resource, name } => {
                details.set_resource_info(*resource, shortened(name), "", cut(&text, MAX_TEXT));
            }
            Error::ValueTaken { resource, field, holder } => {
                let description = format!("is accepted by {}", shortened(holder));
                details.add_bad_request_violation(shortened(field), description);
                details.set_resource_info(*resource, shortened(holder), "", cut(&text, MAX_TEXT));
            }
            Error::AnswerTooLarge(AnswerTooLarge { bytes, accepted, bound, row }) => {
                metadata.insert("answer_bytes".to_owned(), bytes.to_string());
                metadata.insert("max_answer_bytes".to_owned(), accepted.to_string());
                metadata.insert("service_max_answer_bytes".to_owned(), bound.to_string());
                if let Some((resource, name)) = row {
                    details.set_resource_info(*resource, shortened(name), "", cut(&text, MAX_TEXT));
                }
            }
            Error::PhaseForbids { name, from, to, .. } => {
                details.add_precondition_failure_violation("PHASE", shortened(name), phases(from, to));
            }
            Error::PhaseForbidsField { name, phase, field, allowed, .. } => {
                let description =
                    format!("is {}: {field} can be set only in the phases {}", shortened(phase), allowed.join(", "));
                details.add_precondition_failure_violation("PHASE", shortened(name), description);
            }
            Error::Overloaded
            | Error::DatabaseUnavailable(_)
            | Error::DependencyUnavailable { .. }
            | Error::Draining
            | Error::DeadlineExceeded
            | Error::TransactionConflict(_)
            | Error::PlanOutdated(_) => {
                details.set_retry_info(Some(RETRY_DELAY));
            }
            Error::WriteTakenOver
            | Error::TooManyRows(_)
            | Error::ResultTooLarge(_)
            | Error::ResultRefused(_)
            | Error::Internal(_)
            | Error::Transport(_) => {}
        }
        if let Error::DatabaseUnavailable(cause)
        | Error::TransactionConflict(cause)
        | Error::PlanOutdated(cause)
        | Error::ResultRefused(cause) = &error
        {
            tracing::warn!(error = %cause, "the database failed a request");
        }
        if let Error::DependencyUnavailable { service, cause } = &error {
            tracing::warn!(service, error = cause.as_ref(), "another service failed a request");
        }
        details.set_error_info(reason_name(error.reason()), ERROR_DOMAIN, metadata);
        let message = match &error {
            Error::Invalid(violations) => violations.first().map_or(text, |first| {
                if first.field.is_empty() {
                    shortened(&first.description)
                } else {
                    format!("{}: {}", shortened(&first.field), shortened(&first.description))
                }
            }),
            // The field may be long if a key is; the description must fit all the same.
            Error::RowRejected { offset, violation: Violation { field, description } } => {
                format!("the row at offset {offset} was refused: {}: {}", shortened(field), shortened(description))
            }
            Error::ReferenceMissing(Violation { field, description }) => {
                format!("{}: {}", shortened(field), shortened(description))
            }
            // All parts are short enough that the end of the sentence is kept.
            _ => cut(&text, MAX_TEXT),
        };
        Status::with_error_details(code, message, details)
    }
}

/// The message about a row that the database refuses.
pub(super) fn refused(refusal: &RowRefusal) -> String {
    let Violation { field, description } = &refusal.violation;
    let description = shortened(description);
    match &refusal.row {
        _ if !field.is_empty() => format!("{}: {description}", shortened(field)),
        Some((resource, name)) => format!("{resource} {}: {description}", shortened(name)),
        None => format!("a row {description}"),
    }
}

/// Says that a phase does not lead to another one.
pub(super) fn phases(from: &str, to: &str) -> String {
    let (from, to) = (named(from), named(to));
    match from.as_str() {
        "" => format!("has no phase and cannot become {to}"),
        _ if from == to => format!("is already {from}"),
        _ => format!("is {from} and cannot become {to}"),
    }
}

/// Shortens a text to what fits into a status, at a character boundary.
pub(crate) fn shortened(text: &str) -> String {
    cut(text, MAX_QUOTED)
}

/// The beginning of a text, as much as fits into a status, in whole characters.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUOTED)]
}

/// A key or phase as it appears in a sentence. Keys of other programs can have any length.
pub(super) fn named(name: &str) -> String {
    cut(name, MAX_NAMED)
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn details_stay_small_however_long_the_input() {
        let violations =
            (0..1_000).map(|at| Violation::new(format!("f{at}{}", "x".repeat(900)), "é".repeat(900))).collect();
        let status = Status::from(Error::Invalid(violations));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.details().len() < 4 * 1024, "{}", status.details().len());
        assert!(status.get_details_bad_request().is_some_and(|bad| bad.field_violations.len() == MAX_VIOLATIONS));
    }

    #[test]
    fn what_is_wrong_is_told_however_long_the_field() {
        let violation = || Violation::new(format!("chunk.products[0].labels.{}", "x".repeat(900)), "is too long");
        for error in [
            Error::RowRejected { offset: 7, violation: violation() },
            Error::ReferenceMissing(violation()),
            Error::Invalid(vec![violation()]),
        ] {
            let status = Status::from(error);
            assert!(status.message().contains("chunk.products[0].labels.xxx"), "{}", status.message());
            assert!(status.message().ends_with("...: is too long"), "{}", status.message());
        }
    }

    #[test]
    fn details_stay_small_however_long_the_key() {
        let (resource, name) = ("a.v1.B", "x".repeat(256 * 1024));
        let to = "closed".to_owned();
        let too_large = AnswerTooLarge { bytes: 9, accepted: 8, bound: 8, row: Some((resource, name.clone())) };
        for error in [
            Error::NotFound { resource, name: name.clone() },
            Error::PhaseForbids { resource, name: name.clone(), from: name, to },
            Error::AnswerTooLarge(too_large),
        ] {
            let status = Status::from(error);
            assert!(status.details().len() < 4 * 1024, "{}", status.details().len());
            assert!(status.message().len() < 640, "{}", status.message().len());
            assert!(!status.message().ends_with("..."), "what is wrong is told: {}", status.message());
        }
    }

    #[test]
    fn a_fault_of_the_database_says_when_to_come_again_and_nothing_else() {
        let status = Status::from(Error::from(sqlx::Error::Io(std::io::Error::other("host db.example refused"))));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("db.example"));
        assert!(status.get_details_retry_info().is_some());
        let info = status.get_details_error_info().expect("ErrorInfo");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("DATABASE_UNAVAILABLE", "orrery"));
    }
    #[test]
    fn a_forbidden_move_names_both_phases() {
        let error = |from: &str, to: &str| {
            let (from, to) = (from.to_owned(), to.to_owned());
            Status::from(Error::PhaseForbids { resource: "a.v1.B", name: "b_1".to_owned(), from, to })
        };
        let status = error("draft", "closed");
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.get_details_error_info().expect("ErrorInfo").reason, "PHASE_FORBIDS");
        let violations = status.get_details_precondition_failure().expect("PreconditionFailure").violations;
        let [violation] = violations.as_slice() else { unreachable!("{violations:?}") };
        assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), ("PHASE", "b_1"));
        assert_eq!(violation.description, "is draft and cannot become closed");
        let long = error(&"x".repeat(5_000), &"y".repeat(5_000));
        assert!(long.details().len() < 4 * 1024, "{}", long.details().len());
    }

    #[test]
    fn another_service_is_named_and_not_where_it_is() {
        let cause = "connect to 10.0.0.1:50051 refused".into();
        let status = Status::from(Error::DependencyUnavailable { service: "catalog", cause });
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the catalog service is unavailable");
        assert!(status.get_details_retry_info().is_some());
        assert_eq!(status.get_details_error_info().expect("ErrorInfo").reason, "DEPENDENCY_UNAVAILABLE");
    }
    #[test]
    fn lost_content_is_said_to_be_lost_of_which_resource() {
        let status = Status::from(Error::ContentLost { resource: "a.v1.B", name: "b_1".to_owned() });
        assert_eq!(status.code(), Code::DataLoss);
        assert_eq!(status.get_details_error_info().expect("ErrorInfo").reason, "CONTENT_LOST");
        let info = status.get_details_resource_info().expect("ResourceInfo");
        assert_eq!((info.resource_type.as_str(), info.resource_name.as_str()), ("a.v1.B", "b_1"));
        // Another try does not help.
        assert!(status.get_details_retry_info().is_none());
    }
}
