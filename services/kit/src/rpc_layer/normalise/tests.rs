#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

#[test]
fn what_tonic_says_becomes_what_the_contract_promises() {
    let too_large = "Error, decoded message length too large: found 20000000 bytes, the limit is: 16777216 bytes";
    for (status, code, reason, message) in [
        (Status::unimplemented(""), Code::Unimplemented, "METHOD_UNKNOWN", "no such method"),
        (
            Status::out_of_range(too_large),
            Code::InvalidArgument,
            "MESSAGE_MALFORMED",
            "20000000 bytes; the limit is 16MiB",
        ),
        (Status::internal("Missing request message."), Code::InvalidArgument, "MESSAGE_MALFORMED", "no message"),
        (Status::internal("Unexpected EOF decoding stream."), Code::InvalidArgument, "MESSAGE_MALFORMED", "middle"),
        (Status::cancelled("Timeout expired"), Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "deadline"),
        (Status::not_found("service not registered"), Code::NotFound, "RESOURCE_NOT_FOUND", "service not registered"),
        (Status::unknown("x"), Code::Unknown, "INTERNAL", "x"),
    ] {
        let normal = normalise(status);
        assert_eq!(normal.code(), code);
        assert_eq!(reason_of(&normal).unwrap(), reason);
        assert_eq!(normal.get_details_error_info().unwrap().domain, "orrery");
        assert!(normal.message().contains(message), "{normal:?}");
    }
}

/// Many clients take 8 KiB of headers or trailers and no more.
#[test]
fn what_a_caller_sent_is_not_sent_back_in_full() {
    let long = "é".repeat(20_000);
    for (status, path) in [
        (Status::not_found(format!("symbol {long} not found")), "/x/Y"),
        (Status::internal(long.clone()), "/x/Y"),
        (Status::unimplemented(""), long.as_str()),
    ] {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        normalise_headers(&mut headers, path).unwrap();
        let bytes: usize = headers.iter().map(|(name, value)| 32 + name.as_str().len() + value.len()).sum();
        assert!(bytes < 4 << 10, "{bytes} bytes");
    }
    let headers = encoding_unknown(&long, "grpc-accept-encoding", &["identity"]).into_http::<()>();
    let bytes: usize = headers.headers().iter().map(|(name, value)| 32 + name.as_str().len() + value.len()).sum();
    assert!(bytes < 4 << 10, "{bytes} bytes");
}

#[test]
fn what_has_no_reason_in_the_contract_stays_as_it_is() {
    for status in
        [Status::cancelled("gone"), Status::unimplemented("gzip is not supported"), Status::out_of_range("offset")]
    {
        let normal = normalise(status.clone());
        assert_eq!((normal.code(), normal.message(), normal.details()), (status.code(), status.message(), &[][..]));
    }
}

#[test]
fn only_the_status_is_replaced_among_headers() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("x-cache", "miss".parse().unwrap());
    Status::cancelled("Timeout expired").add_header(&mut headers).unwrap();
    assert_eq!(normalise_headers(&mut headers, "/x/Y"), Some(Code::DeadlineExceeded));
    assert_eq!(
        (&headers["content-type"], &headers["x-cache"]),
        (&"application/grpc".parse().unwrap(), &"miss".parse().unwrap())
    );
    let status = Status::from_header_map(&headers).unwrap();
    assert_eq!((status.code(), reason_of(&status).unwrap().as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(normalise_headers(&mut HeaderMap::new(), "/x/Y"), None);
}

proptest! {
    #[test]
    fn a_second_time_changes_nothing(code in 0i32..17, message in ".*") {
        let once = normalise(Status::new(Code::from_i32(code), message));
        let twice = normalise(once.clone());
        prop_assert_eq!((twice.code(), twice.message()), (once.code(), once.message()));
        prop_assert_eq!(twice.details(), once.details());
    }

    /// As headers and as a value the same comes out, for any text.
    #[test]
    fn headers_and_values_agree(code in 1i32..17, message in ".*") {
        let status = Status::new(Code::from_i32(code), message);
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let normalised = normalise_headers(&mut headers, "").unwrap();
        let (read, normal) = (Status::from_header_map(&headers).unwrap(), normalise(status));
        prop_assert_eq!(normalised, normal.code());
        prop_assert_eq!((read.code(), read.message()), (normal.code(), normal.message()));
        prop_assert_eq!(read.details(), normal.details());
    }
}
