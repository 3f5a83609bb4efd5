//! For tests: a process with a service whose methods behave in all the ways that the server must handle, and a client.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::Frame;
use orrery_proto::codec::ServerCodec;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::{Service, service_fn};

use super::{Draining, Probe, Services, serve};
use crate::config::{Configuration as _, ServiceConfig};
use crate::metrics::Metrics;
use crate::rpc_layer::RpcRows;

type OddMessages = BoxStream<'static, Result<String, Status>>;

/// The methods read and write streams of strings.
#[derive(Clone)]
pub(crate) struct OddService {
    /// The status with which each call of `Upload` ended.
    uploads: mpsc::UnboundedSender<Code>,
}

impl OddService {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Code>) {
        let (uploads, ended) = mpsc::unbounded_channel();
        (Self { uploads }, ended)
    }
}

impl NamedService for OddService {
    const NAME: &'static str = "test.Odd";
}

impl Service<Request<Body>> for OddService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches("/test.Odd/").to_owned();
        let uploads = self.uploads.clone();
        Box::pin(async move {
            if method == "Unknown" {
                return Ok(Status::unimplemented("").into_http());
            }
            if method == "Truncated" {
                return Ok(Response::new(Body::new(Truncated(Some(Bytes::from_static(&[0, 0, 0, 0, 0]))))));
            }
            let handler = service_fn(move |request| handle(method.clone(), uploads.clone(), request));
            Ok(tonic::server::Grpc::new(ServerCodec::<String, String>::default()).streaming(handler, request).await)
        })
    }
}

async fn handle(
    method: String,
    uploads: mpsc::UnboundedSender<Code>,
    request: tonic::Request<Streaming<String>>,
) -> Result<tonic::Response<OddMessages>, Status> {
    let (rows, draining) = (RpcRows::of(&request), Draining::of(&request));
    let mut inbound = request.into_inner();
    let messages: OddMessages = match method.as_str() {
        "Panic" => panic!("the handler's secret"),
        "Hang" => std::future::pending().await,
        "Upload" => {
            let mut code = Code::Ok;
            while let Some(message) = inbound.next().await {
                if let Err(status) = message {
                    code = status.code();
                    uploads.send(code).unwrap();
                    return Err(status);
                }
            }
            uploads.send(code).unwrap();
            futures::stream::empty().boxed()
        }
        _ => async_stream::try_stream! {
            let message = if method == "Flood" { "x".repeat(1 << 16) } else { "message".to_owned() };
            loop {
                rows.add(1);
                yield message.clone();
                match method.as_str() {
                    "PanicLate" => {
                        // Messages are sent when the next one is not ready.
                        tokio::task::yield_now().await;
                        panic!("the handler's secret")
                    }
                    "Endless" => std::future::pending::<()>().await,
                    "Polite" => draining.begun().await,
                    "Flood" => continue,
                    _ => {}
                }
                break;
            }
        }
        .boxed(),
    };
    Ok(tonic::Response::new(messages))
}

/// One frame and then the end, without a status.
struct Truncated(Option<Bytes>);

impl http_body::Body for Truncated {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A running server with the service.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    /// What the probe of the database answers.
    pub(crate) database: Arc<AtomicBool>,
    pub(crate) uploads: mpsc::UnboundedReceiver<Code>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

impl Process {
    pub(crate) async fn start() -> Self {
        Self::with_drain_timeout(Duration::from_secs(20)).await
    }

    pub(crate) async fn with_drain_timeout(drain_timeout: Duration) -> Self {
        let mut config = ServiceConfig::for_database("postgres://nobody@localhost/nothing").unwrap();
        config.server.drain_timeout = drain_timeout;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, database) = (CancellationToken::new(), Arc::new(AtomicBool::new(true)));
        let (service, uploads) = OddService::new();
        let (answers, stopped) = (database.clone(), shutdown.clone());
        let task = tokio::spawn(async move {
            let probe = Probe::asking(move || answers.load(Ordering::SeqCst));
            let names = ["orrery.catalog.v1.CatalogService", "test.Odd"];
            serve(&config, &Metrics::new(&names), listener, Services::new(service), &names, probe, stopped).await
        });
        Self { address, database, uploads, shutdown, task }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// Begins to call a method of the service; the messages are what it answers.
    pub(crate) async fn call(&self, method: &str) -> Result<Streaming<String>, Status> {
        call(self.channel().await, &format!("/test.Odd/{method}"), "").await
    }
}

/// Calls any method that takes one message whose first field is a string.
pub(crate) async fn call(channel: Channel, path: &str, text: &str) -> Result<Streaming<String>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    let request = tonic::Request::new(text.to_owned());
    let codec = ServerCodec::<String, String>::default();
    client.server_streaming(request, path, codec).await.map(tonic::Response::into_inner)
}

/// How many messages came, and the status at the end.
pub(crate) async fn read_to_end(begun: Result<Streaming<String>, Status>) -> (usize, Status) {
    let mut messages = match begun {
        Ok(messages) => messages,
        Err(status) => return (0, status),
    };
    let mut count = 0;
    loop {
        match messages.next().await {
            Some(Ok(_)) => count += 1,
            Some(Err(status)) => return (count, status),
            None => return (count, Status::ok("")),
        }
    }
}
