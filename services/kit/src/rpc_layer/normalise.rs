//! Makes statuses as the contract promises them: every one has a documented reason and the right code. The statuses
//! that tonic makes have neither.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use orrery_proto::codec::{ERROR_DOMAIN, reason_name};
use orrery_proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::config::{ByteSize, HumanDuration};
use crate::error::{RETRY_DELAY, shortened};

/// When a refused caller should come again: long enough for it to find another process.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const NO_MESSAGE: &str = "the request holds no message";
const CUT_SHORT: &str = "the request ends in the middle of a message";

/// Gives a status of tonic the code and the reason that the contract promises. A status with details is returned
/// unchanged. Handlers use it for errors of inbound streams; their own statuses pass through it anyway.
pub fn normalise(status: Status) -> Status {
    normalise_at(status, "")
}

/// [`normalise`] for a call whose path is known.
pub(super) fn normalise_at(status: Status, path: &str) -> Status {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return status;
    }
    let Some((code, reason, message)) = translate(&status, path) else {
        return status;
    };
    let mut normal = with_reason(code, reason, message);
    *normal.metadata_mut() = status.metadata().clone();
    normal
}

/// Code, reason and message for a status without details; `None` where the contract has no reason for it.
fn translate(status: &Status, path: &str) -> Option<(Code, ErrorReason, String)> {
    let text = status.message();
    let malformed = |message: String| Some((Code::InvalidArgument, ErrorReason::MessageMalformed, message));
    // tonic's own services quote the request.
    let same = |reason| Some((status.code(), reason, shortened(text)));
    match status.code() {
        Code::Unimplemented if text.is_empty() => {
            let message = if path.is_empty() {
                "no such method".to_owned()
            } else {
                format!("no such method: {}", shortened(path))
            };
            Some((Code::Unimplemented, ErrorReason::MethodUnknown, message))
        }
        Code::OutOfRange if text.starts_with("Error, decoded message length too large") => malformed(too_large(text)),
        Code::Internal if text == "Missing request message." => malformed(NO_MESSAGE.to_owned()),
        Code::Internal if text.starts_with("Unexpected EOF decoding stream") => malformed(CUT_SHORT.to_owned()),
        Code::Internal if text.starts_with("protocol error: received message with") => {
            malformed("a message of the request is compressed, and the request names no encoding".to_owned())
        }
        Code::Cancelled if text == "Timeout expired" => {
            Some((Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, "the deadline passed".to_owned()))
        }
        Code::OutOfRange if text.starts_with("Error, encoded message length too large") => {
            Some((Code::Internal, ErrorReason::Internal, "the response is too large to be sent".to_owned()))
        }
        Code::NotFound => same(ErrorReason::ResourceNotFound),
        Code::DeadlineExceeded => same(ErrorReason::DeadlineExceeded),
        Code::Internal | Code::Unknown => same(ErrorReason::Internal),
        _ => None,
    }
}

/// tonic's text holds the size and the limit in bytes, in this order.
fn too_large(text: &str) -> String {
    let numbers: Vec<usize> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [size, limit] => format!("the message has {size} bytes; the limit is {}", ByteSize(limit)),
        _ => "the message is larger than the limit".to_owned(),
    }
}

/// Normalises the status in headers or trailers and returns its code; `None` if there is no status.
pub(super) fn normalise_headers(headers: &mut HeaderMap, path: &str) -> Option<Code> {
    let code = Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes());
    if code == Code::Ok || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return Some(code);
    }
    let status = Status::from_header_map(headers)?;
    let Some((code, reason, message)) = translate(&status, path) else {
        return Some(code);
    };
    // Only the headers of the status are replaced; others, such as content-type, stay.
    let mut replaced = headers.clone();
    replaced.remove(Status::GRPC_MESSAGE);
    if with_reason(code, reason, message).add_header(&mut replaced).is_ok() {
        *headers = replaced;
    }
    Some(code)
}

/// The status of a call with a message that is, or would be, larger than `most` bytes.
pub(super) fn oversized(most: usize) -> Status {
    let message = format!("the message is larger than {}, the limit", ByteSize(most));
    with_reason(Code::InvalidArgument, ErrorReason::MessageMalformed, message)
}

/// The status of a call with a message that cannot be decompressed.
pub(super) fn undecodable(encoding: &str) -> Status {
    let message = format!("a message of the request cannot be decompressed: it is not valid {encoding}");
    with_reason(Code::InvalidArgument, ErrorReason::MessageMalformed, message)
}

/// The status of a call whose request ends in the middle of a message.
pub(super) fn cut_short() -> Status {
    with_reason(Code::InvalidArgument, ErrorReason::MessageMalformed, CUT_SHORT)
}

/// The status of a call whose messages use an unknown encoding. The answer's header `key` names the known ones.
pub(super) fn encoding_unknown(named: &str, key: &'static str, accepted: &[&str]) -> Status {
    let message =
        format!("the encoding {:?} is not supported; supported are {}", shortened(named), accepted.join(", "));
    let mut status = with_reason(Code::Unimplemented, ErrorReason::EncodingUnknown, message);
    if let Ok(value) = accepted.join(",").parse() {
        status.metadata_mut().insert(key, value);
    }
    status
}

/// The status of a call whose metadata is too large.
pub(super) fn metadata_too_large(bytes: usize, most: usize) -> Status {
    let message = format!("the request's metadata has {bytes} bytes; the limit is {}", ByteSize(most));
    with_reason(Code::ResourceExhausted, ErrorReason::MetadataTooLarge, message)
}

/// The status of a call that sends no message.
pub(super) fn no_message() -> Status {
    with_reason(Code::InvalidArgument, ErrorReason::MessageMalformed, NO_MESSAGE)
}

/// The status of a call that sends more than one message to a method that takes one.
pub(super) fn second_message() -> Status {
    let message = "the request holds more than one message; this method takes one";
    with_reason(Code::InvalidArgument, ErrorReason::MessageMalformed, message)
}

/// The status of a call whose message does not arrive in time.
pub(super) fn too_slow(time: Duration) -> Status {
    let message = format!("the request's message did not arrive within {}", HumanDuration(time));
    with_reason(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message)
}

/// The status of a call for whose message there is no memory.
pub(super) fn no_room() -> Status {
    let mut details = details(ErrorReason::Overloaded);
    details.set_retry_info(Some(RETRY_DELAY));
    let message = "the service has no memory left for requests; try again later, or send less at a time";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// The error for the transport when a caller has not taken its answer in time.
pub(super) fn not_taken() -> Status {
    Status::deadline_exceeded("the answer was not taken in time")
}

/// The status of a call whose deadline passed.
pub(crate) fn deadline_passed() -> Status {
    with_reason(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, "the call's deadline passed")
}

/// The status of a call that is refused or ended by a drain.
pub(super) fn draining() -> Status {
    with_reason(Code::Unavailable, ErrorReason::Draining, "this process is shutting down; another one serves the call")
}

/// The status of a call whose handler panicked. The panic's message goes to the log, not to the caller.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Status {
    let message =
        payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    with_reason(Code::Internal, ErrorReason::Internal, "the service failed; its log holds the cause")
}

/// The status of a call with a task that failed.
pub(super) fn failed(why: &dyn std::fmt::Display) -> Status {
    tracing::error!(%why, "a part of a call failed");
    with_reason(Code::Internal, ErrorReason::Internal, "the service failed; its log holds the cause")
}

/// The status of a response that ended without a status.
pub(super) fn unfinished() -> Status {
    with_reason(Code::Internal, ErrorReason::Internal, "the response ended without a status")
}

fn with_reason(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    Status::with_error_details(code, message, details(reason))
}

pub(super) fn details(reason: ErrorReason) -> ErrorDetails {
    let mut details = ErrorDetails::with_error_info(reason_name(reason), ERROR_DOMAIN, HashMap::new());
    match reason {
        ErrorReason::Draining => details.set_retry_info(Some(RETRY_AFTER)),
        ErrorReason::DeadlineExceeded => details.set_retry_info(Some(RETRY_DELAY)),
        _ => &mut details,
    };
    details
}
