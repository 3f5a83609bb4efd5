//! One query for all callers that ask the same at the same time.
//!
//! The query belongs to all callers that wait for it. It has no caller's deadline, it goes on when the caller that
//! began it has gone, and it ends when no caller waits for it. A refresh, for which no caller waits, has a deadline of
//! its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use tonic::body::Body;
use tower::Service;

use super::answer::CachedAnswer;
use super::store::{AnswerStore, RequestKey};
use crate::deadline::Deadline;
use crate::rpc_layer::{RpcRows, deadline_passed, panicked};

/// A running query; everyone that polls it drives it.
pub(super) type Flight = Shared<BoxFuture<'static, Arc<CachedAnswer>>>;

/// The running queries.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<RequestKey, Listed>>);

struct Listed {
    began: Instant,
    flight: WeakShared<BoxFuture<'static, Arc<CachedAnswer>>>,
}

impl Flights {
    /// The running query for `key`, if it began less than `oldest` ago; else the one that `ask` makes.
    pub(super) fn join<F>(
        self: &Arc<Self>,
        key: RequestKey,
        oldest: Duration,
        ask: impl FnOnce(RequestKey) -> F,
    ) -> Flight
    where
        F: Future<Output = Arc<CachedAnswer>> + Send + 'static,
    {
        let mut listed = self.listed();
        let running = listed.get(&key).filter(|listed| listed.began.elapsed() < oldest);
        if let Some(flight) = running.and_then(|listed| listed.flight.upgrade()) {
            return flight;
        }
        let began = Instant::now();
        let entry = OpenFlight { flights: Arc::clone(self), key: Arc::clone(&key), began };
        let work = ask(Arc::clone(&key));
        let flight = async move {
            // Removed from the list when the answer is there, or when nobody waits for it.
            let _entry = entry;
            work.await
        }
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            listed.insert(key, Listed { began, flight: weak });
        }
        flight
    }

    /// Whether a query for `key` is running.
    pub(super) fn is_under_way(&self, key: &[u8]) -> bool {
        self.listed().contains_key(key)
    }

    /// The number of running queries.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.listed().len()
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<RequestKey, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A query's place on the list.
struct OpenFlight {
    flights: Arc<Flights>,
    key: RequestKey,
    began: Instant,
}

impl Drop for OpenFlight {
    fn drop(&mut self) {
        let mut listed = self.flights.listed();
        // A later query for the same key may have replaced it.
        if listed.get(&self.key).is_some_and(|listed| listed.began == self.began) {
            listed.remove(&self.key);
        }
    }
}

/// Calls the handler, and caches the answer if it is OK. If the handler panics, all callers get INTERNAL.
pub(super) async fn fetch<S>(
    store: Arc<AnswerStore>,
    key: RequestKey,
    mut inner: S,
    mut parts: Parts,
    message: Bytes,
    deadline: Deadline,
) -> Arc<CachedAnswer>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let began = Instant::now();
    let rows = RpcRows::default();
    parts.extensions.insert(rows.clone());
    parts.extensions.insert(deadline);
    let request = Request::from_parts(parts, Body::new(Full::new(message)));
    let asked = AssertUnwindSafe(async {
        match inner.call(request).await {
            Ok(response) => CachedAnswer::of(response, began).await,
            Err(never) => match never {},
        }
    });
    let asked = asked.catch_unwind();
    let mut answer = tokio::select! {
        biased;
        answer = asked => answer.unwrap_or_else(|payload| CachedAnswer::failed(panicked(payload.as_ref()), began)),
        () = deadline.passed() => CachedAnswer::failed(deadline_passed(), began),
    };
    answer.rows = rows.count();
    let answer = Arc::new(answer);
    if answer.is_ok() {
        store.keep(key, &answer);
    }
    answer
}
