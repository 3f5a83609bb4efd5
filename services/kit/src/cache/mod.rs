//! The query cache: a layer between the layer around every call and the handlers. It answers unary methods without side
//! effects with the bytes of an earlier answer, if the caller allows it.
//!
//! A request allows it by the metadata `cache-control` ([`control`]). An answer younger than its `max-age` is returned.
//! An answer that is not older than `stale-while-revalidate` beyond that is returned too, and a new one is fetched in
//! the background if the bound on calls leaves a place for that; otherwise the answer stays as it is. Everything else
//! is fetched, by one query for all callers that ask the same meanwhile ([`flight`]). Only answers that are OK are
//! cached, within a bound of bytes ([`store`]).
//!
//! Two requests are the same if they have the same method, the same message, and the same metadata, as far as that
//! decides what the caller may see or which state of the database is read. Authorization must come before this layer.

mod answer;
mod control;
mod flight;
mod methods;
mod store;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::Either;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use rustc_hash::FxHashSet;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use self::answer::{CachedAnswer, How};
use self::control::Freshness;
use self::flight::{Flights, fetch};
use self::store::AnswerStore;
use crate::answer::MAX_ANSWER_BYTES;
use crate::config::CacheConfig;
use crate::deadline::Deadline;
use crate::metrics::{CacheMetrics, CacheResult, CallKind};
use crate::rpc_layer::RpcRows;
use crate::rpc_layer::admission::{Admission, ConnectionShare};

/// The largest request message whose answer is cached: larger ones are hardly repeated.
const MAX_REQUEST: usize = 64 * 1024;
/// Metadata that decides what an answer holds: who asks, whether a replica may answer, and how large an answer the
/// caller takes.
const DECIDING: [&str; 4] = ["authorization", "cookie", "x-consistency", MAX_ANSWER_BYTES];
/// How long a query without a waiting caller may take.
const REFRESH_TIME: Duration = Duration::from_secs(10);
/// Metadata of a caller that must see a certain write. Cached answers may be older.
const MIN_LSN: &str = "x-min-lsn";

/// Puts a [`CachedService`] around a server's routes, inside of authorization.
#[derive(Clone)]
pub(crate) struct CacheLayer {
    /// `None` if the cache is off.
    cache: Option<Arc<Cache>>,
}

impl CacheLayer {
    /// `admission` bounds the queries without a waiting caller.
    pub(crate) fn new(config: &CacheConfig, metrics: CacheMetrics, admission: Admission) -> anyhow::Result<Self> {
        let cache = (config.cache_bytes > 0).then(|| Cache::new(config, metrics, admission)).transpose()?;
        Ok(Self { cache: cache.map(Arc::new) })
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CachedService<S>;

    fn layer(&self, inner: S) -> CachedService<S> {
        CachedService { inner, cache: self.cache.clone() }
    }
}

/// The cache of a server.
struct Cache {
    defaults: CacheConfig,
    methods: FxHashSet<String>,
    store: Arc<AnswerStore>,
    flights: Arc<Flights>,
    metrics: CacheMetrics,
    admission: Admission,
    /// The share of all refreshes together: that of one connection.
    share: ConnectionShare,
}

impl Cache {
    fn new(config: &CacheConfig, metrics: CacheMetrics, admission: Admission) -> anyhow::Result<Self> {
        Ok(Self {
            share: admission.connection(),
            admission,
            defaults: *config,
            methods: methods::cacheable()?,
            store: Arc::new(AnswerStore::new(config.cache_bytes, metrics.clone())?),
            flights: Arc::default(),
            metrics,
        })
    }

    /// What the request allows; `None` if its handler has to answer it.
    fn wanted<B>(&self, request: &Request<B>) -> Result<Option<Freshness>, Status> {
        if !self.methods.contains(request.uri().path()) {
            return Ok(None);
        }
        let wanted = control::wanted(request.headers(), &self.defaults)?;
        let wanted = wanted.filter(|_| !request.headers().contains_key(MIN_LSN));
        if wanted.is_none() {
            self.metrics.request(CacheResult::Bypass);
        }
        Ok(wanted)
    }
}

/// Routes behind a cache.
#[derive(Clone)]
pub(crate) struct CachedService<S> {
    inner: S,
    cache: Option<Arc<Cache>>,
}

type AnswerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for CachedService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, AnswerFuture>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(cache) = &self.cache else {
            return Either::Left(self.inner.call(request));
        };
        match cache.wanted(&request) {
            Ok(None) => Either::Left(self.inner.call(request)),
            Ok(Some(freshness)) => {
                // The clone that was polled for readiness does the work.
                let next = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, next);
                Either::Right(Box::pin(answer(Arc::clone(cache), inner, request, freshness)))
            }
            Err(status) => Either::Right(Box::pin(std::future::ready(Ok(status.into_http())))),
        }
    }
}

async fn answer<S>(
    cache: Arc<Cache>,
    mut inner: S,
    request: Request<Body>,
    freshness: Freshness,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let (parts, body) = request.into_parts();
    // It has arrived completely before this layer is called.
    let message = match body.collect().await {
        Ok(message) => message.to_bytes(),
        Err(status) => return Ok(status.into_http()),
    };
    if message.len() > MAX_REQUEST {
        cache.metrics.request(CacheResult::Bypass);
        return inner.call(Request::from_parts(parts, Body::new(Full::new(message)))).await;
    }
    let key = key_of(parts.uri.path(), &parts.headers, &message);
    let rows = parts.extensions.get::<RpcRows>().cloned().unwrap_or_default();
    let given = |answer: &CachedAnswer, how: How| {
        rows.add(answer.rows);
        cache.metrics.request(how.into());
        Ok(answer.response(how))
    };
    let kept = cache.store.get(&key);
    let age = kept.as_ref().map(|answer| answer.age());
    if let Some((answer, _)) = kept.as_ref().zip(age.filter(|age| *age < freshness.max_age)) {
        return given(answer, How::Hit);
    }
    let stale = kept.zip(age).filter(|(_, age)| *age < freshness.max_age.saturating_add(freshness.stale));
    // A query that began too long ago brings an answer of that age; for a stale answer, any running query is a refresh.
    let oldest = if stale.is_some() { Duration::MAX } else { freshness.max_age };
    let Some((old, _)) = stale else {
        let ask = |key| fetch(Arc::clone(&cache.store), key, inner, parts, message, Deadline::none());
        return given(&*cache.flights.join(key.into(), oldest, ask).await, How::Miss);
    };
    if !cache.flights.is_under_way(&key) {
        match cache.admission.enter_now(CallKind::Unary, &cache.share) {
            Ok(permit) => {
                let ask =
                    |key| fetch(Arc::clone(&cache.store), key, inner, parts, message, Deadline::after(REFRESH_TIME));
                let refresh = cache.flights.join(key.into(), oldest, ask);
                // Goes on without the caller, which is answered now.
                tokio::spawn(async move {
                    refresh.await;
                    drop(permit);
                });
            }
            Err(_) => cache.metrics.not_refreshed(),
        }
    }
    given(&old, How::Stale)
}

/// The key of a request: its parts, each after its length.
fn key_of(path: &str, headers: &HeaderMap, message: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + message.len() + 64);
    let mut put = |piece: &[u8]| {
        key.extend_from_slice(&(piece.len() as u32).to_be_bytes());
        key.extend_from_slice(piece);
    };
    put(path.as_bytes());
    for name in DECIDING {
        for value in headers.get_all(name) {
            put(name.as_bytes());
            put(value.as_bytes());
        }
    }
    put(message);
    key
}
