//! One query for all who ask the same at the same time.
//!
//! The query belongs to those who wait for it, and to no single one: its deadline is nobody's, it goes on when the one who began it
//! leaves, and it ends when the last one has left. One that nobody waits for, a refresh, has a deadline of its own.

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

use super::answer::Answer;
use super::store::{Key, Store};
use crate::deadline::Deadline;
use crate::rpc_layer::{RpcRows, deadline_passed, panicked};

/// A query under way; whoever polls it drives it.
pub(super) type Flight = Shared<BoxFuture<'static, Arc<Answer>>>;

/// The queries under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Listed>>);

struct Listed {
    began: Instant,
    flight: WeakShared<BoxFuture<'static, Arc<Answer>>>,
}

impl Flights {
    /// The query for `key` that is under way, if it began less than `oldest` ago; else the one that `ask` makes.
    pub(super) fn join<F>(self: &Arc<Self>, key: Key, oldest: Duration, ask: impl FnOnce(Key) -> F) -> Flight
    where
        F: Future<Output = Arc<Answer>> + Send + 'static,
    {
        let mut listed = self.listed();
        let running = listed.get(&key).filter(|listed| listed.began.elapsed() < oldest);
        if let Some(flight) = running.and_then(|listed| listed.flight.upgrade()) {
            return flight;
        }
        let began = Instant::now();
        let entry = Entry { flights: Arc::clone(self), key: Arc::clone(&key), began };
        let work = ask(Arc::clone(&key));
        let flight = async move {
            // Taken off the list when the answer is there, and when nobody waits for it any more.
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

    /// Whether a query for `key` is under way.
    pub(super) fn is_under_way(&self, key: &[u8]) -> bool {
        self.listed().contains_key(key)
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.listed().len()
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<Key, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A query's place on the list.
struct Entry {
    flights: Arc<Flights>,
    key: Key,
    began: Instant,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut listed = self.flights.listed();
        // A later query for the same may have taken the place.
        if listed.get(&self.key).is_some_and(|listed| listed.began == self.began) {
            listed.remove(&self.key);
        }
    }
}

/// Asks the handler, and keeps the answer if it is OK. A handler that panics has answered INTERNAL, for all who wait.
pub(super) async fn fetch<S>(
    store: Arc<Store>,
    key: Key,
    mut inner: S,
    mut parts: Parts,
    message: Bytes,
    deadline: Deadline,
) -> Arc<Answer>
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
            Ok(response) => Answer::of(response, began).await,
            Err(never) => match never {},
        }
    });
    let asked = asked.catch_unwind();
    let mut answer = tokio::select! {
        biased;
        answer = asked => answer.unwrap_or_else(|payload| Answer::failed(panicked(payload.as_ref()), began)),
        () = deadline.passed() => Answer::failed(deadline_passed(), began),
    };
    answer.rows = rows.count();
    let answer = Arc::new(answer);
    if answer.is_ok() {
        store.keep(key, &answer);
    }
    answer
}
