//! //! Decides whether a failed call is tried again, and describes the failure to the user.

use std::error::Error;
use std::time::Duration;

use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::ServiceAddress;

/// Returns how long to wait at least before trying the call again, or none if that cannot help.
///
/// An error of the service carries an ErrorInfo, whose reason decides. A status without one comes from somewhere
/// between: a broken connection, a proxy, a process that died.
pub(crate) fn retry_after(status: &Status) -> Option<Duration> {
    let details = status.get_error_details();
    let asked = details.retry_info().and_then(|info| info.retry_delay);
    let again = match details.error_info() {
        Some(info) => {
            let transient = [
                ErrorReason::Overloaded,
                ErrorReason::DatabaseUnavailable,
                ErrorReason::Draining,
                ErrorReason::TransactionConflict,
            ];
            asked.is_some() || transient.iter().any(|reason| reason_name(*reason) == info.reason)
        }
        None => matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
    };
    again.then(|| asked.unwrap_or_default())
}

/// The offset in an OFFSET_CONFLICT error: at this offset a different row was committed earlier. None for other errors.
pub(crate) fn offset_in_conflict(status: &Status) -> Option<i64> {
    let info = status.get_details_error_info()?;
    if info.reason != reason_name(ErrorReason::OffsetConflict) {
        return None;
    }
    info.metadata.get("offset")?.parse().ok()
}

/// The status of a service that cannot be reached.
pub(crate) fn unreachable(address: &ServiceAddress, error: &tonic::transport::Error) -> Status {
    Status::unavailable(format!("{address} cannot be reached: {}", innermost(error)))
}

/// The status of a stream that ended too early.
pub(crate) fn ended_early() -> Status {
    Status::unavailable("the stream ended too early")
}

/// Describes a failure to the user: the service's message, the fields that it names, and the reason.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = match status.source() {
        Some(error) => format!("the connection broke: {}", innermost(error)),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => status.message().to_owned(),
    };
    let details = status.get_error_details();
    for violation in details.bad_request().iter().flat_map(|request| &request.field_violations) {
        if !text.contains(&violation.description) {
            text = format!("{text}; {}: {}", violation.field, violation.description);
        }
    }
    if let Some(info) = details.error_info() {
        text = format!("{text} ({})", info.reason);
    }
    text
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refused_with(code: Code, reason: ErrorReason) -> Status {
        let details = ErrorDetails::with_error_info(reason_name(reason), "orrery", []);
        Status::with_error_details(code, "words", details)
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [
            refused_with(Code::Unavailable, ErrorReason::Draining),
            refused_with(Code::Unavailable, ErrorReason::DatabaseUnavailable),
            refused_with(Code::ResourceExhausted, ErrorReason::Overloaded),
            refused_with(Code::Aborted, ErrorReason::TransactionConflict),
            Status::unavailable("from a proxy"),
            Status::unknown("missing trailers"),
        ] {
            assert_eq!(retry_after(&status), Some(Duration::ZERO), "{status:?}");
        }
        for status in [
            refused_with(Code::Aborted, ErrorReason::WriteSessionTakenOver),
            refused_with(Code::Aborted, ErrorReason::OffsetConflict),
            refused_with(Code::InvalidArgument, ErrorReason::RowRejected),
            refused_with(Code::Internal, ErrorReason::Internal),
            Status::unimplemented("no such method"),
            Status::out_of_range("a message too large"),
        ] {
            assert_eq!(retry_after(&status), None, "{status:?}");
        }
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        details.set_error_info("DEADLINE_EXCEEDED", "orrery", []);
        let asked = Status::with_error_details(Code::DeadlineExceeded, "words", details);
        assert_eq!(retry_after(&asked), Some(Duration::from_secs(3)));
    }
}
