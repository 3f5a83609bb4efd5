//! An answer as it went out: the bytes of its message and all metadata with it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AGE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt as _, Full};
use tonic::Status;
use tonic::body::Body;

use crate::metrics::CacheResult;

/// How a request was answered.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const GRPC_STATUS: &str = "grpc-status";

/// How a caller came by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was kept, and is young enough.
    Hit,
    /// It was kept, and is given for the last time while a new one is fetched.
    Stale,
    /// It was fetched.
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

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    /// When the handler began: nothing in the answer is older.
    began: Instant,
    headers: HeaderMap,
    message: Bytes,
    trailers: Option<HeaderMap>,
    /// How many rows it holds, for the log.
    pub(super) rows: u64,
}

impl Answer {
    /// Reads a response to its end.
    pub(super) async fn of(response: Response<Body>, began: Instant) -> Self {
        let (parts, body) = response.into_parts();
        match body.collect().await {
            Ok(collected) => {
                let trailers = collected.trailers().cloned();
                Self { began, headers: parts.headers, message: collected.to_bytes(), trailers, rows: 0 }
            }
            Err(status) => Self::failed(status, began),
        }
    }

    /// A status without a message.
    pub(super) fn failed(status: Status, began: Instant) -> Self {
        let (parts, _body) = status.into_http::<()>().into_parts();
        Self { began, headers: parts.headers, message: Bytes::new(), trailers: None, rows: 0 }
    }

    /// How old it is.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether it was fetched before the other one.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        self.began < other.began
    }

    /// Whether it is worth keeping: the call was OK.
    pub(super) fn is_ok(&self) -> bool {
        let status = self.trailers.as_ref().and_then(|trailers| trailers.get(GRPC_STATUS));
        status.is_some_and(|status| status.as_bytes() == b"0")
    }

    /// The memory that it takes, in bytes, without its key.
    pub(super) fn size(&self) -> usize {
        let of =
            |map: &HeaderMap| map.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum::<usize>();
        size_of::<Self>() + self.message.len() + of(&self.headers) + self.trailers.as_ref().map_or(0, of)
    }

    /// The response to one caller.
    pub(super) fn response(&self, how: How) -> Response<Body> {
        let message = Full::new(self.message.clone());
        let body = match &self.trailers {
            Some(trailers) => {
                let trailers = trailers.clone();
                Body::new(message.with_trailers(async { Some(Ok(trailers)) }))
            }
            None => Body::new(message),
        };
        let mut response = Response::new(body);
        let mut headers = self.headers.clone();
        headers.insert(X_CACHE, how.value());
        headers.insert(AGE, self.age().as_secs().into());
        *response.headers_mut() = headers;
        response
    }
}
