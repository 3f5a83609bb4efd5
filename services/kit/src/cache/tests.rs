#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::Semaphore;
use tonic::Code;
use tower::ServiceExt as _;

use super::*;
use crate::config::{Configuration as _, ServiceConfig};
use crate::metrics::Metrics;

const GET: &str = "/orrery.catalog.v1.CatalogService/GetProduct";
const STREAM: &str = "/orrery.catalog.v1.CatalogService/StreamProducts";

/// The handlers: they count, wait until they may go on, and return the number of their call.
#[derive(Clone)]
struct Handlers {
    asked: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
    /// The number of calls with a deadline.
    bounded: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    size: usize,
    code: Code,
    panics: bool,
}

impl Handlers {
    fn new() -> Self {
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (asked, left, bounded) = Default::default();
        Self { asked, left, bounded, gate, size: 8, code: Code::Ok, panics: false }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn until_asked(&self, times: usize) {
        soon(async || self.asked() >= times).await;
    }
}

impl Service<Request<Body>> for Handlers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        struct Leaving(Arc<AtomicUsize>);
        impl Drop for Leaving {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let handlers = self.clone();
        Box::pin(async move {
            let _leaving = Leaving(Arc::clone(&handlers.left));
            let number = handlers.asked.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(!handlers.panics, "as asked");
            let deadline = request.extensions().get::<Deadline>().unwrap();
            handlers.bounded.fetch_add(usize::from(deadline.instant().is_some()), Ordering::SeqCst);
            let _permit = handlers.gate.acquire().await.unwrap();
            request.extensions().get::<RpcRows>().unwrap().add(3);
            if handlers.code != Code::Ok {
                return Ok(Status::new(handlers.code, "no").into_http());
            }
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let mut message = format!("{number}:").into_bytes();
            message.extend_from_slice(&sent);
            message.resize(handlers.size.max(message.len()), b'.');
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            Ok(Response::new(Body::new(Full::new(Bytes::from(message)).with_trailers(async { Some(Ok(trailers)) }))))
        })
    }
}

/// Waits until a condition holds.
async fn soon(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

fn cached(handlers: &Handlers, bytes: usize) -> CachedService<Handlers> {
    let config = CacheConfig {
        cache_bytes: bytes,
        cache_max_age: Duration::from_secs(60),
        cache_stale_while_revalidate: Duration::from_secs(15),
    };
    let service = ServiceConfig::for_database("postgres://nobody@localhost/nothing").unwrap();
    let admission = Admission::new(&service, &Metrics::default());
    CacheLayer::new(&config, CacheMetrics::default(), admission).unwrap().layer(handlers.clone())
}

fn request(path: &str, message: &'static str, metadata: &[(&'static str, &'static str)]) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(Bytes::from(message))));
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in metadata {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request.extensions_mut().insert(Deadline::none());
    request.extensions_mut().insert(RpcRows::default());
    request
}

/// How a request was answered (empty if nothing says so), and the number of the handler's call.
async fn served(service: &CachedService<Handlers>, request: Request<Body>) -> (String, String) {
    let response = service.clone().oneshot(request).await.unwrap();
    let how = response.headers().get("x-cache").map_or(String::new(), |how| how.to_str().unwrap().to_owned());
    assert_eq!(response.headers().contains_key("age"), !how.is_empty());
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    let text = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
    (how, text.split(':').next().unwrap().to_owned())
}

/// Asks for `a` in a task that returns the same as [`served`].
fn asking(
    service: &CachedService<Handlers>,
    metadata: &'static [(&'static str, &'static str)],
) -> tokio::task::JoinHandle<(String, String)> {
    let service = service.clone();
    tokio::spawn(async move { served(&service, request(GET, "a", metadata)).await })
}

fn seen(how: &str, number: usize) -> (String, String) {
    (how.to_owned(), number.to_string())
}

const CACHE: (&str, &str) = ("cache-control", "max-age=60");

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    assert_eq!(served(&service, request(GET, "a", &[CACHE])).await, seen("miss", 1));
    let again = request(GET, "a", &[CACHE]);
    let rows = again.extensions().get::<RpcRows>().unwrap().clone();
    assert_eq!(served(&service, again).await, seen("hit", 1));
    assert_eq!(rows.count(), 3, "rows of a kept answer count as those of a new one");
    assert_eq!(served(&service, request(GET, "b", &[CACHE])).await, seen("miss", 2));
}

#[tokio::test]
async fn nobody_gets_what_he_did_not_ask_for() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    let numbers: Vec<Vec<(&str, &str)>> = vec![
        vec![CACHE],
        vec![CACHE, ("authorization", "Bearer a")],
        vec![CACHE, ("authorization", "Bearer b")],
        vec![CACHE, ("authorization", "Bearer a"), ("authorization", "Bearer b")],
        vec![CACHE, ("cookie", "Bearer a")],
        vec![CACHE, ("x-consistency", "eventual")],
    ];
    for (at, metadata) in numbers.iter().enumerate() {
        assert_eq!(served(&service, request(GET, "a", metadata)).await, seen("miss", at + 1), "{metadata:?}");
    }
    for (at, metadata) in numbers.iter().enumerate() {
        assert_eq!(served(&service, request(GET, "a", metadata)).await, seen("hit", at + 1), "{metadata:?}");
    }
}

#[tokio::test]
async fn what_does_not_ask_for_the_cache_passes_it() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    served(&service, request(GET, "a", &[CACHE])).await;
    assert_eq!(served(&service, request(GET, "a", &[])).await, seen("", 2));
    assert_eq!(served(&service, request(GET, "a", &[("cache-control", "no-store")])).await, seen("", 3));
    assert_eq!(served(&service, request(GET, "a", &[CACHE, ("x-min-lsn", "0/1")])).await, seen("", 4));
    for number in 5..7 {
        assert_eq!(served(&service, request(STREAM, "a", &[CACHE])).await, seen("", number));
    }
    let off = cached(&handlers, 0);
    for number in 7..9 {
        assert_eq!(served(&off, request(GET, "a", &[CACHE])).await, seen("", number));
    }
}

#[tokio::test]
async fn a_wrong_directive_is_refused_by_name() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    let wrong = request(GET, "a", &[("cache-control", "max-age=soon")]);
    let response = service.oneshot(wrong).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("cache-control: max-age"), "{status}");
    assert_eq!(handlers.asked(), 0);
}

#[tokio::test]
async fn an_old_answer_is_given_while_a_new_one_is_fetched() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    served(&service, request(GET, "a", &[CACHE])).await;
    let stale = ("cache-control", "max-age=0, stale-while-revalidate=60");
    // The handler does not answer, and the caller does not wait. A second caller begins no second query.
    handlers.gate.forget_permits(Semaphore::MAX_PERMITS);
    assert_eq!(served(&service, request(GET, "a", &[stale])).await, seen("stale", 1));
    handlers.until_asked(2).await;
    assert_eq!(served(&service, request(GET, "a", &[stale])).await, seen("stale", 1));
    handlers.gate.add_permits(10);
    soon(async || served(&service, request(GET, "a", &[CACHE])).await == seen("hit", 2)).await;
    assert_eq!(handlers.asked(), 2);
    assert_eq!(handlers.bounded.load(Ordering::SeqCst), 1, "only a query that nobody waits for has its own deadline");
}

/// A key for each caller, and all answers are old.
#[tokio::test]
async fn old_answers_age_on_where_there_is_no_place_to_fetch_new_ones() {
    const KEYS: usize = 800;
    // A quarter of 64.
    const PLACES: usize = 16;
    let handlers = Handlers::new();
    let service = cached(&handlers, 16 << 20);
    let messages: Vec<&'static str> =
        (0..KEYS).map(|number| &*Box::leak(format!("message {number}").into_boxed_str())).collect();
    for message in &messages {
        served(&service, request(GET, message, &[CACHE])).await;
    }
    handlers.gate.forget_permits(Semaphore::MAX_PERMITS);
    let stale = ("cache-control", "max-age=0, stale-while-revalidate=60");
    for message in &messages {
        assert_eq!(served(&service, request(GET, message, &[stale])).await.0, "stale");
    }
    handlers.until_asked(KEYS + PLACES).await;
    assert_eq!(service.cache.as_ref().unwrap().flights.count(), PLACES);
    handlers.gate.add_permits(PLACES);
    soon(async || service.cache.as_ref().unwrap().flights.count() == 0).await;
    assert_eq!(handlers.asked(), KEYS + PLACES);
    // The places are free again.
    served(&service, request(GET, messages[KEYS - 1], &[stale])).await;
    handlers.until_asked(KEYS + PLACES + 1).await;
}

#[tokio::test]
async fn what_is_too_old_is_fetched() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    for number in 1..3 {
        let new = request(GET, "a", &[("cache-control", "max-age=0, stale-while-revalidate=0")]);
        assert_eq!(served(&service, new).await, seen("miss", number));
    }
    assert_eq!(served(&service, request(GET, "a", &[("cache-control", "no-cache")])).await, seen("miss", 3));
    assert_eq!(served(&service, request(GET, "a", &[CACHE])).await, seen("hit", 3));
}

#[tokio::test]
async fn callers_who_ask_the_same_at_the_same_time_share_a_query() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    handlers.gate.forget_permits(Semaphore::MAX_PERMITS);
    let calls: Vec<_> = (0..20).map(|_| asking(&service, &[CACHE])).collect();
    handlers.until_asked(1).await;
    // The caller that began it leaves; the others are answered.
    calls[0].abort();
    tokio::task::yield_now().await;
    handlers.gate.add_permits(10);
    let mut answered = 0;
    for call in calls {
        if let Ok(answer) = call.await {
            assert_eq!(answer.1, "1");
            answered += 1;
        }
    }
    assert!(answered >= 19, "{answered}");
    assert_eq!(handlers.asked(), 1);
    assert_eq!(service.cache.as_ref().unwrap().flights.count(), 0);
}

#[tokio::test]
async fn who_wants_it_new_does_not_join_a_query_that_began_before() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    handlers.gate.forget_permits(Semaphore::MAX_PERMITS);
    let first = asking(&service, &[CACHE]);
    handlers.until_asked(1).await;
    let second = asking(&service, &[("cache-control", "no-cache")]);
    handlers.until_asked(2).await;
    handlers.gate.add_permits(10);
    assert_eq!(first.await.unwrap(), seen("miss", 1));
    assert_eq!(second.await.unwrap(), seen("miss", 2));
    // Whichever query ended last, the answer of the one that began last is cached.
    assert_eq!(served(&service, request(GET, "a", &[CACHE])).await, seen("hit", 2));
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_ends() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    handlers.gate.forget_permits(Semaphore::MAX_PERMITS);
    let calls: Vec<_> = (0..3).map(|_| asking(&service, &[CACHE])).collect();
    handlers.until_asked(1).await;
    for call in calls {
        call.abort();
        call.await.unwrap_err();
    }
    assert_eq!(handlers.left.load(Ordering::SeqCst), 1, "the handler was left");
    assert_eq!(service.cache.as_ref().unwrap().flights.count(), 0);
    handlers.gate.add_permits(10);
    assert_eq!(served(&service, request(GET, "a", &[CACHE])).await, seen("miss", 2));
}

#[tokio::test]
async fn failures_are_told_and_not_kept() {
    for panics in [false, true] {
        let mut handlers = Handlers::new();
        (handlers.code, handlers.panics) = (Code::Unavailable, panics);
        let service = cached(&handlers, 1 << 20);
        for number in 1..3 {
            let response = service.clone().oneshot(request(GET, "a", &[CACHE])).await.unwrap();
            let status = Status::from_header_map(response.headers()).unwrap();
            assert_eq!(status.code(), if panics { Code::Internal } else { Code::Unavailable });
            assert_eq!(handlers.asked(), number);
        }
        assert_eq!(service.cache.as_ref().unwrap().flights.count(), 0);
    }
}

#[tokio::test]
async fn answers_stay_within_the_bound() {
    let mut handlers = Handlers::new();
    handlers.size = 100 * 1024;
    let service = cached(&handlers, 1 << 20);
    for number in 0..50 {
        let message = Box::leak(format!("message {number}").into_boxed_str());
        served(&service, request(GET, message, &[CACHE])).await;
        let bytes = service.cache.as_ref().unwrap().store.bytes();
        assert!((100 * 1024..=1 << 20).contains(&bytes), "{bytes} after {number}");
    }
    // An answer that would take most of the cache is not stored.
    handlers.size = 200 * 1024;
    let service = cached(&handlers, 1 << 20);
    for number in 51..53 {
        assert_eq!(served(&service, request(GET, "large", &[CACHE])).await, seen("miss", number));
    }
}

#[test]
fn an_answer_that_was_fetched_earlier_does_not_replace_a_later_one() {
    let store = AnswerStore::new(1 << 20, CacheMetrics::default()).unwrap();
    let key: store::RequestKey = key_of(GET, &HeaderMap::new(), b"a").into();
    let now = std::time::Instant::now();
    let older = Arc::new(CachedAnswer::failed(Status::ok("older"), now));
    let later = Arc::new(CachedAnswer::failed(Status::ok("later"), now + Duration::from_secs(1)));
    for (kept, put) in [(&older, &older), (&later, &later), (&later, &older)] {
        store.keep(Arc::clone(&key), put);
        assert!(Arc::ptr_eq(&store.get(&key).unwrap(), kept));
    }
}

/// A body that comes in pieces of `size` bytes.
struct Pieces {
    left: usize,
    size: usize,
    wait: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        self.wait = !self.wait;
        if self.wait {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = self.size.min(self.left);
        self.left -= size;
        Poll::Ready((size > 0).then(|| Ok(http_body::Frame::data(Bytes::from(vec![b'x'; size])))))
    }
}

#[tokio::test]
async fn a_request_in_pieces_is_the_same_as_in_one_and_a_huge_one_passes_whole() {
    let handlers = Handlers::new();
    let service = cached(&handlers, 1 << 20);
    let of = |left, size| {
        let mut request = request(GET, "", &[CACHE]);
        *request.body_mut() = Body::new(Pieces { left, size, wait: false });
        request
    };
    assert_eq!(served(&service, of(100, 100)).await, seen("miss", 1));
    assert_eq!(served(&service, of(100, 7)).await, seen("hit", 1));
    assert_eq!(served(&service, of(101, 7)).await, seen("miss", 2));
    let huge = service.clone().oneshot(of(MAX_REQUEST + 1000, 999)).await.unwrap();
    assert!(!huge.headers().contains_key("x-cache"));
    let body = huge.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), MAX_REQUEST + 1000 + "3:".len());
}
