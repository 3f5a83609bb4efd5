//! A service that keeps rows in memory, and a wire that breaks: what a client must stand, at will. What services really
//! answer is tested against a real one, in the end-to-end tests.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::{ErrorReason, RowError, WriteStart};
use orrery_proto::wire::{WriteChunk, WritePayload, WriteRequest, WriteResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::client::wire::ReceivedPage;

/// A row that the double refuses.
pub(super) const BAD: &[u8] = b"bad";

/// What the double holds.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Every row committed so far, refused ones too, at its offset.
    pub(super) rows: Vec<Bytes>,
    /// How many rows at the beginning it remembers no more.
    pub(super) forgotten: usize,
    /// How many rows came again and were what they were.
    pub(super) compared: usize,
    /// How many rows of the next chunk another process writes under the same name, whereupon the stream breaks.
    pub(super) elsewhere: Option<usize>,
    /// How many write streams began.
    pub(super) streams: usize,
    /// What a write stream says instead of taking a chunk.
    pub(super) refusal: Option<Status>,
}

#[derive(Clone)]
pub(super) struct Double {
    pub(super) state: Arc<Mutex<State>>,
}

impl Double {
    /// Serves rows; gives the port.
    pub(super) async fn serve(rows: Vec<Bytes>) -> (Self, u16) {
        let double = Self { state: Arc::new(Mutex::new(State { rows, ..State::default() })) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tonic::transport::Server::builder().add_service(double.clone());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (double, port)
    }
}

impl NamedService for Double {
    const NAME: &'static str = "double";
}

impl tonic::codegen::Service<http::Request<Body>> for Double {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let double = self.clone();
        Box::pin(async move {
            Ok(if request.uri().path() == "/double/Write" {
                Grpc::new(ProstCodec::default()).streaming(WriteHandler(double), request).await
            } else {
                Grpc::new(ProstCodec::default()).server_streaming(ReadHandler(double), request).await
            })
        })
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Handled<T> = Pin<Box<dyn Future<Output = Result<Response<Answers<T>>, Status>> + Send>>;

struct WriteHandler(Double);

impl StreamingService<WriteRequest> for WriteHandler {
    type Response = WriteResponse;
    type ResponseStream = Answers<WriteResponse>;
    type Future = Handled<WriteResponse>;

    fn call(&mut self, request: Request<Streaming<WriteRequest>>) -> Self::Future {
        let state = Arc::clone(&self.0.state);
        state.lock().unwrap().streams += 1;
        let writing = (request.into_inner(), state, None::<WriteStart>, 0_i64);
        let answers =
            futures::stream::try_unfold(writing, |(mut requests, state, mut start, mut checked)| async move {
                loop {
                    let Some(request) = requests.message().await? else { return Ok(None) };
                    let answer = match request.payload.unwrap() {
                        WritePayload::Start(first) => {
                            let named = !first.write_id.is_empty();
                            start = Some(first);
                            let committed_offset = state.lock().unwrap().rows.len() as i64;
                            named.then_some(WriteResponse { committed_offset, ..WriteResponse::default() })
                        }
                        WritePayload::Chunk(chunk) if start.as_ref().unwrap().validate_only => {
                            assert_eq!(chunk.offset, checked);
                            checked += chunk.rows.len() as i64;
                            Some(count(&chunk, checked))
                        }
                        WritePayload::Chunk(chunk) => Some(commit(&mut state.lock().unwrap(), &chunk)?),
                    };
                    if let Some(answer) = answer {
                        return Ok(Some((answer, (requests, state, start, checked))));
                    }
                }
            });
        Box::pin(async { Ok(Response::new(Box::pin(answers) as Answers<_>)) })
    }
}

fn commit(state: &mut State, chunk: &WriteChunk) -> Result<WriteResponse, Status> {
    if let Some(status) = &state.refusal {
        return Err(status.clone());
    }
    let begin = chunk.offset as usize;
    if begin > state.rows.len() {
        return Err(Status::out_of_range("a gap"));
    }
    if begin < state.rows.len() {
        return compare(state, chunk);
    }
    if let Some(rows) = state.elsewhere.take() {
        state.rows.extend(chunk.rows[..rows].iter().cloned());
        return Err(Status::unavailable("the stream broke"));
    }
    state.rows.extend(chunk.rows.iter().cloned());
    Ok(count(chunk, state.rows.len() as i64))
}

/// Rows that were committed before: those that the double remembers must be what they were.
fn compare(state: &mut State, chunk: &WriteChunk) -> Result<WriteResponse, Status> {
    let begin = chunk.offset as usize;
    assert!(begin + chunk.rows.len() <= state.rows.len(), "a chunk is cut where the write goes on");
    for (place, row) in (begin..).zip(&chunk.rows) {
        if place >= state.forgotten && state.rows[place] != row {
            let metadata = [("offset".to_owned(), place.to_string())];
            let details = ErrorDetails::with_error_info(reason_name(ErrorReason::OffsetConflict), "orrery", metadata);
            return Err(Status::with_error_details(Code::Aborted, "other content", details));
        }
    }
    state.compared += chunk.rows.len();
    Ok(WriteResponse { committed_offset: state.rows.len() as i64, ..WriteResponse::default() })
}

fn count(chunk: &WriteChunk, committed_offset: i64) -> WriteResponse {
    let row_errors: Vec<RowError> = (chunk.offset..)
        .zip(&chunk.rows)
        .filter(|(_, row)| row.as_ref() == BAD)
        .map(|(offset, _)| RowError {
            offset,
            code: 3,
            reason: ErrorReason::FieldInvalid.into(),
            ..RowError::default()
        })
        .collect();
    let rejected = row_errors.len() as i64;
    WriteResponse {
        committed_offset,
        created: chunk.rows.len() as i64 - rejected,
        rejected,
        row_errors,
        ..WriteResponse::default()
    }
}

/// What the double looks at in a request of a paged read, where `StreamProductsRequest` has it.
#[derive(Clone, PartialEq, prost::Message)]
struct PageRequest {
    #[prost(string, tag = "3")]
    resume_token: String,
}

struct ReadHandler(Double);

impl ServerStreamingService<PageRequest> for ReadHandler {
    type Response = ReceivedPage;
    type ResponseStream = Answers<ReceivedPage>;
    type Future = Handled<ReceivedPage>;

    fn call(&mut self, request: Request<PageRequest>) -> Self::Future {
        const PAGE: usize = 3;
        let begin: usize = request.into_inner().resume_token.parse().unwrap_or(0);
        let rows = self.0.state.lock().unwrap().rows[begin..].to_vec();
        let mut end = begin;
        let pages: Vec<Result<ReceivedPage, Status>> = rows
            .chunks(PAGE)
            .map(|rows| {
                end += rows.len();
                Ok(ReceivedPage { rows: rows.to_vec(), resume_token: end.to_string() })
            })
            .collect();
        // One at a time, so that some have arrived when the wire breaks.
        let pages = futures::stream::iter(pages).then(|page| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            page
        });
        Box::pin(async { Ok(Response::new(Box::pin(pages) as Answers<_>)) })
    }
}

/// A wire to a port. Its connections break one after the other, each after so many bytes of what the service sends;
/// those after the last one hold.
pub(super) async fn breaking_wire(to: u16, budgets: Vec<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut budgets = budgets.into_iter();
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            tokio::spawn(carry(near, far, budgets.next().unwrap_or(usize::MAX)));
        }
    });
    port
}

async fn carry(mut near: TcpStream, mut far: TcpStream, mut budget: usize) {
    let (mut asked, mut answered) = (vec![0; 4096], vec![0; 4096]);
    loop {
        tokio::select! {
            read = near.read(&mut asked) => match read {
                Ok(read) if read > 0 && far.write_all(&asked[..read]).await.is_ok() => {}
                _ => return,
            },
            read = far.read(&mut answered) => match read {
                Ok(read) if read > 0 => {
                    let passed = read.min(budget);
                    budget -= passed;
                    if near.write_all(&answered[..passed]).await.is_err() || budget == 0 {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
