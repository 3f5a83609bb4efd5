//! Whether a failed call is tried again, and the error of a call that is given up.

use std::time::Duration;

use orrery_kit::error::Error;
use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Returns how long to wait at least before trying the call again, or none if that cannot help.
///
/// An error of the service carries an ErrorInfo, whose reason decides. A status without one comes from somewhere
/// between: a broken connection, a proxy, a process that died.
pub fn retry_after(status: &Status) -> Option<Duration> {
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

/// Whether the service refuses the token of a stream.
pub(crate) fn refuses_token(status: &Status) -> bool {
    let refusals = [ErrorReason::TokenInvalid, ErrorReason::TokenMismatch];
    status
        .get_details_error_info()
        .is_some_and(|info| refusals.iter().any(|reason| reason_name(*reason) == info.reason))
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Fault {
    Status(Status),
    /// The call succeeded, but its answer cannot be right.
    Answer(&'static str),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// How long to wait for an answer, and the error if none comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The name of the other service.
    pub(crate) service: &'static str,
    /// The shorter of the service's own timeout and the time that is left to the caller.
    pub(crate) timeout: Duration,
    /// Whether the caller's deadline is the shorter one. It decides the error.
    pub(crate) caller_is_first: bool,
}

impl Patience {
    /// The error of an answer that did not come in time. `last` is the last failure before that, for the log.
    pub(crate) fn too_late(self, last: Option<Status>) -> Error {
        if self.caller_is_first {
            return Error::DeadlineExceeded;
        }
        let cause = last.map_or_else(|| "no answer in time".into(), Into::into);
        Error::DependencyUnavailable { service: self.service, cause }
    }

    /// The error of a call of `method` that failed.
    pub(crate) fn failed(self, method: &str, fault: Fault) -> Error {
        let status = match fault {
            Fault::Answer(what) => return Error::internal(format!("{method}: {what}")),
            Fault::Status(status) => status,
        };
        match status.code() {
            // tonic's own timers report CANCELLED.
            Code::DeadlineExceeded | Code::Cancelled => self.too_late(Some(status)),
            // This includes all errors of the transport.
            _ if retry_after(&status).is_some() || is_of_transport(&status) => {
                Error::DependencyUnavailable { service: self.service, cause: status.into() }
            }
            _ => Error::internal(status),
        }
    }
}

/// Whether something between the services answered, in a way that may pass.
fn is_of_transport(status: &Status) -> bool {
    let codes = [Code::Unavailable, Code::Unknown, Code::ResourceExhausted, Code::Aborted];
    status.get_details_error_info().is_none() && codes.contains(&status.code())
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

    #[test]
    fn a_failure_that_may_pass_is_unavailable_and_another_is_internal() {
        let patience = Patience { service: "neighbour", timeout: Duration::from_secs(1), caller_is_first: false };
        let code = |patience: Patience, fault: Fault| patience.failed("Check", fault).code();
        for status in [
            refused_with(Code::Unavailable, ErrorReason::Draining),
            refused_with(Code::ResourceExhausted, ErrorReason::Overloaded),
            Status::unavailable("refused"),
            Status::unknown("broken pipe"),
            Status::internal("an error of HTTP/2"),
            Status::resource_exhausted("from a proxy"),
            Status::aborted("from a proxy"),
            Status::deadline_exceeded("of the service's own"),
            Status::cancelled("a timer of the client"),
        ] {
            assert_eq!(code(patience, Fault::Status(status.clone())), Code::Unavailable, "{status:?}");
        }
        for status in [
            refused_with(Code::ResourceExhausted, ErrorReason::AnswerTooLarge),
            refused_with(Code::Internal, ErrorReason::Internal),
            refused_with(Code::InvalidArgument, ErrorReason::TokenInvalid),
            Status::unimplemented("another service"),
            Status::out_of_range("a message too large"),
        ] {
            assert_eq!(code(patience, Fault::Status(status.clone())), Code::Internal, "{status:?}");
        }
        assert_eq!(code(patience, Fault::Answer("half an answer")), Code::Internal);
        // The caller's own deadline was the shorter one.
        let hurried = Patience { caller_is_first: true, ..patience };
        assert_eq!(code(hurried, Fault::Status(Status::cancelled(""))), Code::DeadlineExceeded);
        assert_eq!(code(hurried, Fault::Status(Status::unavailable("refused"))), Code::Unavailable);
    }
}
