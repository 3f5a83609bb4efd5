//! Requests that are not gRPC get an answer of HTTP (the gRPC protocol's "Requests" and "Responses").

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

const GRPC: &[u8] = b"application/grpc";

/// The response to a request that is not gRPC; `None` if it is.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<()>> {
    let mut response = Response::new(());
    if request.method() != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    // `application/grpc+proto` and parameters are gRPC; `application/grpc-web` is another protocol. JSON is not
    // supported.
    let is_grpc = content_type.split_at_checked(GRPC.len()).is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(GRPC) && (rest.is_empty() || rest.starts_with(b";") || is_proto(rest))
    });
    if is_grpc {
        return None;
    }
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response)
}

fn is_proto(rest: &[u8]) -> bool {
    const PROTO: &[u8] = b"+proto";
    let named = rest.split_at_checked(PROTO.len());
    named.is_some_and(|(name, rest)| name.eq_ignore_ascii_case(PROTO) && (rest.is_empty() || rest.starts_with(b";")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn status(method: Method, content_type: Option<&str>) -> Option<u16> {
        let mut request = Request::builder().method(method).uri("/a.B/C");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        refusal(&request.body(()).unwrap()).map(|response| response.status().as_u16())
    }

    #[test]
    fn only_grpc_is_served() {
        for content_type in
            ["application/grpc", "application/grpc+proto", "Application/gRPC", "application/grpc;charset=utf-8"]
        {
            assert_eq!(status(Method::POST, Some(content_type)), None, "{content_type}");
        }
        for content_type in
            ["", "application/json", "application/grpc-web", "application/grpcx", "application/grpc+json"]
        {
            assert_eq!(status(Method::POST, Some(content_type)), Some(415), "{content_type}");
        }
        assert_eq!(status(Method::POST, None), Some(415));
        assert_eq!(status(Method::GET, Some("application/grpc")), Some(405));
    }
}
