//! A catalog that follows a script.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use orrery_kit::deadline::Deadline;
use orrery_proto::catalog::v1::{
    CheckProductsRequest, CheckProductsResponse, Product, StreamProductsRequest, StreamProductsResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// What a stream does next. After its last step it ends OK.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A page of one product.
    Page { uid: &'static str, token: &'static str },
    /// The stream fails.
    Fail(Status),
    /// Nothing comes any more.
    Hang,
}

#[derive(Debug, Default)]
struct State {
    /// The steps of the next streams. If there are none, a stream is UNAVAILABLE.
    streams: VecDeque<Vec<Step>>,
    /// The token of each stream so far, and the time that was left to it.
    requests: Vec<(String, Option<Duration>)>,
    /// How many messages answer a call of CheckProducts. Each says that "a" is missing.
    answers: usize,
}

/// A server on a free port.
#[derive(Clone, Debug)]
pub(super) struct ScriptedPeer {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl ScriptedPeer {
    /// Serves these streams, one after the other.
    pub(super) async fn start(streams: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        peer.go_on(streams);
        let server = tonic::transport::Server::builder().add_service(peer.clone());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        peer
    }

    /// Serves these streams as well.
    pub(super) fn go_on(&self, streams: impl IntoIterator<Item = Vec<Step>>) {
        self.state.lock().unwrap().streams.extend(streams);
    }

    /// How many messages answer a call of CheckProducts.
    pub(super) fn answer_checks(&self, answers: usize) {
        self.state.lock().unwrap().answers = answers;
    }

    /// The token that each stream began with.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.iter().map(|(token, _)| token.clone()).collect()
    }

    /// The time that was left to each stream when it began; none without a deadline.
    pub(super) fn deadlines(&self) -> Vec<Option<Duration>> {
        self.state.lock().unwrap().requests.iter().map(|(_, left)| *left).collect()
    }
}

impl NamedService for ScriptedPeer {
    const NAME: &'static str = "orrery.catalog.v1.CatalogService";
}

impl tonic::codegen::Service<http::Request<Body>> for ScriptedPeer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let peer = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/orrery.catalog.v1.CatalogService/StreamProducts" => {
                    Grpc::new(ProstCodec::default()).server_streaming(StreamHandler(peer), request).await
                }
                "/orrery.catalog.v1.CatalogService/CheckProducts" => {
                    Grpc::new(ProstCodec::default()).streaming(CheckHandler(peer), request).await
                }
                _ => Status::unavailable("no script").into_http(),
            })
        })
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Handled<T> = Pin<Box<dyn Future<Output = Result<Response<Answers<T>>, Status>> + Send>>;

struct StreamHandler(ScriptedPeer);

impl ServerStreamingService<StreamProductsRequest> for StreamHandler {
    type Response = StreamProductsResponse;
    type ResponseStream = Answers<StreamProductsResponse>;
    type Future = Handled<StreamProductsResponse>;

    fn call(&mut self, request: Request<StreamProductsRequest>) -> Self::Future {
        let left = Deadline::of(&request).remaining();
        let mut state = self.0.state.lock().unwrap();
        state.requests.push((request.into_inner().resume_token, left));
        let Some(steps) = state.streams.pop_front() else {
            return async { Err(Status::unavailable("no script")) }.boxed();
        };
        let answers = stream::iter(steps).then(|step| async move {
            match step {
                Step::Page { uid, token } => Ok(StreamProductsResponse {
                    products: vec![Product { uid: uid.to_owned(), ..Product::default() }],
                    resume_token: token.to_owned(),
                }),
                Step::Fail(status) => Err(status),
                Step::Hang => std::future::pending().await,
            }
        });
        async { Ok(Response::new(Box::pin(answers) as Answers<_>)) }.boxed()
    }
}

struct CheckHandler(ScriptedPeer);

impl StreamingService<CheckProductsRequest> for CheckHandler {
    type Response = CheckProductsResponse;
    type ResponseStream = Answers<CheckProductsResponse>;
    type Future = Handled<CheckProductsResponse>;

    fn call(&mut self, _: Request<Streaming<CheckProductsRequest>>) -> Self::Future {
        let answer = CheckProductsResponse { checked: 1, missing_uids: vec!["a".to_owned()] };
        let answers = stream::iter(vec![Ok(answer); self.0.state.lock().unwrap().answers]);
        async { Ok(Response::new(Box::pin(answers) as Answers<_>)) }.boxed()
    }
}
