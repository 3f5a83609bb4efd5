//! A proxy in front of the S3 server, which records the requests and does to some of them what networks and servers do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

type Answer = http::Response<BoxBody<Bytes, std::io::Error>>;

/// A request that reached the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct S3Request {
    /// `PUT part 2`, `POST begin`, `POST complete`, `DELETE abort`, or the method alone.
    pub(crate) kind: String,
    /// The path.
    pub(crate) path: String,
    /// The size of its body.
    pub(crate) bytes: usize,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not reach the server; this status is the answer.
    Answer(u16),
    /// It does not reach the server; the connection is closed.
    Cut,
    /// It reaches the server; the connection is closed before the answer.
    CutAnswer,
    /// It reaches the server; the connection is closed after so many bytes of the answer's body.
    CutBody(usize),
    /// It does not reach the server, and is not answered.
    Hang,
    /// It reaches the server; nothing comes after so many bytes of the answer's body.
    HangBody(usize),
}

struct Trap {
    kind: String,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<S3Request>>,
    traps: Mutex<Vec<Trap>>,
}

/// A running proxy. Dropping it closes the listener.
pub(crate) struct S3Proxy {
    address: SocketAddr,
    server: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl S3Proxy {
    /// Starts a proxy to a server on a free port.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let client = Client::builder(TokioExecutor::new()).build_http();
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (client, shared) = (client.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    let service = service_fn(|request| pass_on(request, server, &client, &shared));
                    let http = hyper::server::conn::http1::Builder::new();
                    // Fails if the proxy closes the connection, as it should.
                    let _ = http.serve_connection(TokioIo::new(connection), service).await;
                });
            }
        });
        Self { address, server, shared, accepting: accepting.abort_handle() }
    }

    /// The address of the server behind it.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this to the next requests of a [kind](S3Request::kind), as often as `times`.
    pub(crate) fn fail(&self, kind: &str, fault: Fault, times: usize) {
        let trap = Trap { kind: kind.to_owned(), fault, times };
        self.shared.traps.lock().unwrap_or_else(PoisonError::into_inner).push(trap);
    }

    /// Stops doing anything to requests.
    pub(crate) fn heal(&self) {
        self.shared.traps.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often a fault still waits for its request.
    pub(crate) fn pending(&self) -> usize {
        self.shared.traps.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|trap| trap.times).sum()
    }

    /// Returns and clears the requests so far.
    pub(crate) fn take_requests(&self) -> Vec<S3Request> {
        std::mem::take(&mut *self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// Records a request, and returns what is to be done to it.
    fn note(&self, request: S3Request) -> Option<Fault> {
        let mut traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
        let trap = traps.iter_mut().find(|trap| trap.times > 0 && trap.kind == request.kind);
        let fault = trap.map(|trap| {
            trap.times -= 1;
            trap.fault
        });
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        fault
    }
}

/// What a request asks for.
fn kind(request: &http::request::Parts) -> String {
    let (method, query) = (request.method.as_str(), request.uri.query().unwrap_or_default());
    let part = query.split('&').find_map(|pair| pair.strip_prefix("partNumber="));
    match (method, part) {
        ("PUT", Some(part)) => format!("PUT part {part}"),
        ("POST", _) if query.starts_with("uploads") => "POST begin".to_owned(),
        ("POST", _) if query.contains("uploadId=") => "POST complete".to_owned(),
        ("DELETE", _) if query.contains("uploadId=") => "DELETE abort".to_owned(),
        _ => method.to_owned(),
    }
}

/// The first bytes of a body.
fn beginning(
    body: &Bytes,
    most: usize,
) -> impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync + 'static {
    stream::iter([Ok(Frame::data(body.slice(..most.min(body.len()))))])
}

async fn pass_on(
    request: http::Request<Incoming>,
    server: SocketAddr,
    client: &Client<HttpConnector, Full<Bytes>>,
    shared: &Shared,
) -> Result<Answer, std::io::Error> {
    let cut = || std::io::Error::other("cut");
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| cut())?.to_bytes();
    let noted = S3Request { kind: kind(&parts), path: parts.uri.path().to_owned(), bytes: body.len() };
    let fault = shared.note(noted);
    match fault {
        Some(Fault::Answer(status)) => {
            let body = Full::new(Bytes::from_static(b"as the test wants")).map_err(|never| match never {}).boxed();
            return Ok(http::Response::builder().status(status).body(body).unwrap());
        }
        Some(Fault::Cut) => return Err(cut()),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://{server}{path}").parse().unwrap();
    let answer = client.request(http::Request::from_parts(parts, Full::new(body))).await;
    let (mut parts, body) = answer.map_err(std::io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body = match fault {
        Some(Fault::CutAnswer) => return Err(cut()),
        Some(Fault::CutBody(most)) => {
            // The head promises the whole body.
            parts.headers.insert("content-length", body.len().into());
            BodyExt::boxed(StreamBody::new(beginning(&body, most).chain(stream::iter([Err(cut())]))))
        }
        Some(Fault::HangBody(most)) => {
            parts.headers.insert("content-length", body.len().into());
            BodyExt::boxed(StreamBody::new(beginning(&body, most).chain(stream::pending())))
        }
        _ => Full::new(body).map_err(|never| match never {}).boxed(),
    };
    Ok(http::Response::from_parts(parts, body))
}
