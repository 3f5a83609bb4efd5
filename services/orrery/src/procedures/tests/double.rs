//! A service whose answers are written down beforehand: what a client must stand. What services really answer is tested
//! against real ones, in the end-to-end tests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;
use orrery_proto::procedures::v1::server::{ProceduresService, ProceduresServiceServer};
use orrery_proto::procedures::v1::{
    CancelProcedureExecutionRequest, GetProcedureExecutionRequest, ListOrphansRequest, ListProcedureExecutionsRequest,
    ListProceduresRequest, RunProcedureRequest, SetProcedureScheduleRequest, StreamOrphansRequest,
    WatchProcedureExecutionRequest,
};
use orrery_proto::wire::Encoded;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::client::{RetryingClient, ServiceAddress};
use crate::procedures::ProceduresClient;

/// What a service says to one call: messages, and a failure if there is one.
#[derive(Debug, Default)]
pub(super) struct Answer {
    messages: Vec<Encoded>,
    failure: Option<Status>,
}

impl Answer {
    /// One message after the other, then the end.
    pub(super) fn of<M: Message>(messages: &[M]) -> Self {
        let encoded = |message: &M| Encoded { body: message.encode_to_vec().into(), ..Encoded::default() };
        Self { messages: messages.iter().map(encoded).collect(), failure: None }
    }

    /// One message after the other, then a failure.
    pub(super) fn broken<M: Message>(messages: &[M], failure: Status) -> Self {
        Self { failure: Some(failure), ..Self::of(messages) }
    }

    pub(super) fn failed(failure: Status) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }
}

/// The service: answers in their order, and the requests that it got.
#[derive(Clone, Debug, Default)]
pub(super) struct Double {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Double {
    /// Serves these answers; gives the address.
    pub(super) async fn serve(answers: impl IntoIterator<Item = Answer>) -> (Self, ServiceAddress) {
        let double = Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), requests: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let server = tonic::transport::Server::builder().add_service(ProceduresServiceServer::new(double.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (double, address)
    }

    /// The requests so far; all of them are of one type.
    pub(super) fn requests<M: Message + Default>(&self) -> Vec<M> {
        self.requests.lock().unwrap().iter().map(|request| M::decode(request.as_slice()).unwrap()).collect()
    }

    fn answer(&self, request: Request<impl Message>) -> Answer {
        self.requests.lock().unwrap().push(request.into_inner().encode_to_vec());
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Answer::failed(Status::aborted("no more answers")))
    }

    fn unary(&self, request: Request<impl Message>) -> Result<Response<Encoded>, Status> {
        let Answer { mut messages, failure } = self.answer(request);
        match failure {
            Some(status) => Err(status),
            None => Ok(Response::new(messages.remove(0))),
        }
    }

    fn stream(&self, request: Request<impl Message>) -> Response<Messages> {
        let Answer { messages, failure } = self.answer(request);
        let items: Vec<Result<Encoded, Status>> =
            messages.into_iter().map(Ok).chain(failure.into_iter().map(Err)).collect();
        Response::new(Box::pin(futures::stream::iter(items)))
    }
}

pub(super) fn client(address: ServiceAddress) -> ProceduresClient {
    RetryingClient::new(address, Duration::from_secs(20), ProceduresServiceClient::new)
}

type Messages = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;
type Answered = Result<Response<Encoded>, Status>;
type Streamed = Result<Response<Messages>, Status>;

#[async_trait]
impl ProceduresService for Double {
    type WatchProcedureExecutionStream = Messages;
    type StreamOrphansStream = Messages;

    async fn list_procedures(&self, request: Request<ListProceduresRequest>) -> Answered {
        self.unary(request)
    }

    async fn run_procedure(&self, request: Request<RunProcedureRequest>) -> Answered {
        self.unary(request)
    }

    async fn get_procedure_execution(&self, request: Request<GetProcedureExecutionRequest>) -> Answered {
        self.unary(request)
    }

    async fn list_procedure_executions(&self, request: Request<ListProcedureExecutionsRequest>) -> Answered {
        self.unary(request)
    }

    async fn watch_procedure_execution(&self, request: Request<WatchProcedureExecutionRequest>) -> Streamed {
        Ok(self.stream(request))
    }

    async fn cancel_procedure_execution(&self, request: Request<CancelProcedureExecutionRequest>) -> Answered {
        self.unary(request)
    }

    async fn set_procedure_schedule(&self, request: Request<SetProcedureScheduleRequest>) -> Answered {
        self.unary(request)
    }

    async fn list_orphans(&self, request: Request<ListOrphansRequest>) -> Answered {
        self.unary(request)
    }

    async fn stream_orphans(&self, request: Request<StreamOrphansRequest>) -> Streamed {
        Ok(self.stream(request))
    }
}
