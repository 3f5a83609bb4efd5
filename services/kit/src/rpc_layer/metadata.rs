//! The limit on a request's metadata. HTTP/2 has a limit of its own, which is much larger and cannot be explained to a
//! gRPC client.

use http::request::Parts;
use tonic::Status;

use super::normalise::metadata_too_large;

/// What HTTP/2 counts for each header beside its name and its value (RFC 9113, 6.5.2).
const PAIR: usize = 32;
const PATH: &str = ":path";

/// The size of a request's metadata, its path included, in bytes.
///
/// # Errors
/// The status of a call whose metadata is larger than `most`.
pub(super) fn check(request: &Parts, most: usize) -> Result<usize, Status> {
    let pairs = request.headers.iter().map(|(name, value)| PAIR + name.as_str().len() + value.len());
    let bytes = pairs.sum::<usize>() + PAIR + PATH.len() + request.uri.path().len();
    if bytes > most { Err(metadata_too_large(bytes, most)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::Request;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn names_values_and_pairs_count() {
        let (parts, ()) = Request::post("/a.B/C").header("x-y", "zz").header("x-y", "z").body(()).unwrap().into_parts();
        let bytes = (5 + 6 + 32) + (3 + 2 + 32) + (3 + 1 + 32);
        assert_eq!(check(&parts, bytes).unwrap(), bytes);
        let status = check(&parts, bytes - 1).unwrap_err();
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!((status.code(), reason.as_str()), (Code::ResourceExhausted, "METADATA_TOO_LARGE"));
        assert!(status.message().contains("116 bytes") && status.message().contains("115B"), "{status:?}");
    }
}
