//! A cached answer: the bytes of its message, and its metadata.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;
use tonic::body::Body;

use crate::metrics::CacheResult;

/// Response metadata: how the cache answered the request.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const OK: HeaderValue = HeaderValue::from_static("0");

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// From the cache, and young enough.
    Hit,
    /// From the cache, too old, while a new one is fetched.
    Stale,
    /// Fetched.
    Miss,
}

impl How {
    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
        })
    }
}

impl From<How> for CacheResult {
    fn from(how: How) -> Self {
        match how {
            How::Hit => Self::Hit,
            How::Stale => Self::Stale,
            How::Miss => Self::Miss,
        }
    }
}

/// A complete response.
#[derive(Debug)]
pub(super) struct CachedAnswer {
    /// When the handler began: nothing in the answer is older.
    began: Instant,
    message: Bytes,
    /// `None` for [`Metadata::usual`], which almost all answers have: an answer is in as few allocations as possible,
    /// since a hit has to fetch each of them from memory.
    metadata: Option<Box<Metadata>>,
    /// The number of its rows, for the log.
    pub(super) rows: u64,
}

/// The headers and trailers around a message.
#[derive(Clone, Debug, PartialEq)]
struct Metadata {
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
}

impl Metadata {
    /// The metadata of a call that was OK and says nothing else.
    fn usual() -> Self {
        // With room for headers that are added later.
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, GRPC);
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(GRPC_STATUS, OK);
        Self { headers, trailers: Some(trailers) }
    }

    fn unless_usual(self) -> Option<Box<Self>> {
        (self != Self::usual()).then(|| Box::new(self))
    }
}

impl CachedAnswer {
    /// Reads a response to its end.
    pub(super) async fn of(response: Response<Body>, began: Instant) -> Self {
        let (parts, body) = response.into_parts();
        match body.collect().await {
            Ok(collected) => {
                let metadata = Metadata { headers: parts.headers, trailers: collected.trailers().cloned() };
                // A copy of the exact length: the bytes are a slice of a larger buffer, and would keep all of it.
                let message = Bytes::copy_from_slice(&collected.to_bytes());
                Self { began, message, metadata: metadata.unless_usual(), rows: 0 }
            }
            Err(status) => Self::failed(status, began),
        }
    }

    /// A status without a message.
    pub(super) fn failed(status: Status, began: Instant) -> Self {
        let (parts, _body) = status.into_http::<()>().into_parts();
        let metadata = Metadata { headers: parts.headers, trailers: None };
        Self { began, message: Bytes::new(), metadata: Some(Box::new(metadata)), rows: 0 }
    }

    /// The age of the answer.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether it is older than the other one.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.began < other.began
    }

    /// Whether to keep it: the call was OK.
    pub(super) fn is_ok(&self) -> bool {
        self.metadata.as_ref().is_none_or(|metadata| {
            let status = metadata.trailers.as_ref().and_then(|trailers| trailers.get(GRPC_STATUS));
            status.is_some_and(|status| *status == OK)
        })
    }

    /// The memory of the answer without its key, in bytes.
    pub(super) fn size(&self) -> usize {
        let of =
            |map: &HeaderMap| map.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum::<usize>();
        let metadata = self.metadata.as_ref().map_or(0, |metadata| {
            size_of::<Metadata>() + of(&metadata.headers) + metadata.trailers.as_ref().map_or(0, of)
        });
        size_of::<Self>() + self.message.len() + metadata
    }

    /// The response to one caller.
    pub(super) fn response(&self, how: How) -> Response<Body> {
        let message = Full::new(self.message.clone());
        let Metadata { mut headers, trailers } = self.metadata.as_deref().cloned().unwrap_or_else(Metadata::usual);
        let body = match trailers {
            Some(trailers) => Body::new(message.with_trailers(std::future::ready(Some(Ok(trailers))))),
            None => Body::new(message),
        };
        headers.insert(X_CACHE, how.value());
        headers.insert(AGE, self.age().as_secs().into());
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn an_answer_holds_its_own_bytes_and_not_the_buffer_around_them() {
        let buffer = Bytes::from(vec![7; 8192]);
        let response = Response::new(Body::new(Full::new(buffer.slice(..100))));
        drop(buffer);
        let answer = CachedAnswer::of(response, Instant::now()).await;
        let message = answer.message.try_into_mut().unwrap();
        assert_eq!((message.len(), message.capacity()), (100, 100));
    }

    #[tokio::test]
    async fn what_is_not_usual_is_kept_beside_the_message() {
        for status in [Status::ok(""), Status::ok("a sentence"), Status::not_found("")] {
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).unwrap();
            let body = Full::new(Bytes::from_static(b"message")).with_trailers(std::future::ready(Some(Ok(trailers))));
            let mut response = Response::new(Body::new(body));
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            let answer = CachedAnswer::of(response, Instant::now()).await;
            assert_eq!(answer.metadata.is_none(), status.code() == tonic::Code::Ok && status.message().is_empty());
            assert_eq!(answer.is_ok(), status.code() == tonic::Code::Ok);

            let given = answer.response(How::Hit);
            assert_eq!((&given.headers()[CONTENT_TYPE], &given.headers()[X_CACHE]), (&GRPC, &How::Hit.value()));
            let given = given.into_body().collect().await.unwrap();
            let status_sent = Status::from_header_map(given.trailers().unwrap()).unwrap();
            assert_eq!((status_sent.code(), status_sent.message()), (status.code(), status.message()));
            assert_eq!(given.to_bytes(), "message");
        }
    }
}
