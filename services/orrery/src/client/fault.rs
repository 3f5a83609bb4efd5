//! The failures of calls: what they say, and how they are described to the user.

use std::error::Error;

use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::ErrorReason;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::ServiceAddress;

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
