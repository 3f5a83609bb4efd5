//! UploadDocument, QueryDocumentUpload and DownloadDocument, as their callers see them.

mod downloads;
mod faults;
mod memory;
mod removals;
mod uploads;

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use orrery_proto::records::v1::artifact::Payload as ArtifactPayload;
use orrery_proto::records::v1::download_document_response::{self, Payload as DownloadPayload};
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::upload_document_request::start::Target;
use orrery_proto::records::v1::upload_document_request::{Chunk, Payload, Start};
use orrery_proto::records::v1::{
    Artifact, Document, DownloadDocumentRequest, GetArtifactRequest, QueryDocumentUploadRequest,
    QueryDocumentUploadResponse, UploadDocumentRequest,
};
use orrery_records::config::RecordsConfig;
use orrery_records::storage::ContentHash;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use super::fixture::{Fixture, Place};
use crate::harness::RecordsServer;
use crate::harness::s3::environment;

/// The size of the chunks that a caller sends.
const CHUNK: usize = 300_000;
/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Client = RecordsServiceClient<Channel>;

impl Fixture {
    /// A replica of the service with this storage.
    pub(super) async fn serve(&self) -> RecordsServer {
        self.serve_with(|_| ()).await
    }

    /// As [`serve`](Self::serve), with settings changed by `change`.
    pub(super) async fn serve_with(&self, change: impl FnOnce(&mut RecordsConfig)) -> RecordsServer {
        RecordsServer::start_with(&self.database, |config| {
            config.documents = self.config();
            if let Place::Bucket { .. } = &self.place {
                config.environment = environment(&[]);
            }
            change(config);
        })
        .await
    }
}

pub(super) fn client(server: &RecordsServer) -> Client {
    RecordsServiceClient::new(server.channel())
}

/// A new document.
pub(super) fn document(title: &str) -> Artifact {
    let document = Document { title: title.to_owned(), media_type: "text/plain".to_owned(), ..Document::default() };
    Artifact { payload: Some(ArtifactPayload::Document(document)), ..Artifact::default() }
}

/// The payload of a document.
pub(super) fn of(artifact: &Artifact) -> &Document {
    match &artifact.payload {
        Some(ArtifactPayload::Document(document)) => document,
        other => unreachable!("{other:?}"),
    }
}

/// The beginning of an upload of this content, for a new document that is called like it.
pub(crate) fn start(upload_id: &str, content: &[u8]) -> Start {
    Start {
        upload_id: upload_id.to_owned(),
        content_hash: ContentHash::of(content).to_string(),
        target: Some(Target::Artifact(document(upload_id))),
        ..Start::default()
    }
}

/// The same for a stored document.
pub(crate) fn start_for(uid: &str, upload_id: &str, content: &[u8]) -> Start {
    Start { target: Some(Target::Uid(uid.to_owned())), ..start(upload_id, content) }
}

pub(super) fn started(start: Start) -> UploadDocumentRequest {
    UploadDocumentRequest { payload: Some(Payload::Start(start)) }
}

pub(super) fn chunk(offset: usize, data: &[u8]) -> UploadDocumentRequest {
    let chunk = Chunk { offset: offset as i64, data: Bytes::copy_from_slice(data) };
    UploadDocumentRequest { payload: Some(Payload::Chunk(chunk)) }
}

/// The messages of an upload that begins at an offset.
pub(crate) fn messages(
    start: Start,
    content: &[u8],
    offset: usize,
) -> impl Stream<Item = UploadDocumentRequest> + Send + 'static {
    let chunks = content[offset..].chunks(CHUNK).enumerate();
    let chunks: Vec<_> = chunks.map(|(nth, data)| chunk(offset + nth * CHUNK, data)).collect();
    futures::stream::iter([started(start)]).chain(futures::stream::iter(chunks))
}

/// Uploads content from an offset on.
pub(super) async fn upload_from(
    client: &mut Client,
    start: Start,
    content: &[u8],
    offset: usize,
) -> Result<Artifact, Status> {
    let answer = client.upload_document(messages(start, content, offset));
    tokio::time::timeout(PATIENCE, answer).await.unwrap().map(tonic::Response::into_inner)
}

/// Uploads content as a new document.
pub(super) async fn upload(client: &mut Client, name: &str, content: &[u8]) -> Artifact {
    upload_from(client, start(name, content), content, 0).await.unwrap()
}

/// Calls with only the first message.
pub(super) async fn only_start(client: &mut Client, start: Start) -> Result<Artifact, Status> {
    client.upload_document(futures::stream::iter([started(start)])).await.map(tonic::Response::into_inner)
}

/// An upload that its test feeds. Dropping it breaks the stream off.
pub(super) struct OpenUpload {
    requests: Option<mpsc::Sender<UploadDocumentRequest>>,
    answer: JoinHandle<Result<Artifact, Status>>,
}

impl OpenUpload {
    pub(super) async fn begin(client: &Client, start: Start) -> Self {
        let (requests, received) = mpsc::channel(1);
        requests.send(started(start)).await.unwrap();
        let mut client = client.clone();
        let answer = tokio::spawn(async move {
            client.upload_document(ReceiverStream::new(received)).await.map(tonic::Response::into_inner)
        });
        Self { requests: Some(requests), answer }
    }

    /// Sends these bytes of the content. Stops if the call has ended.
    pub(super) async fn send(&self, content: &[u8], range: std::ops::Range<usize>) {
        for from in range.clone().step_by(CHUNK) {
            let data = &content[from..range.end.min(from + CHUNK)];
            if self.requests.as_ref().unwrap().send(chunk(from, data)).await.is_err() {
                return;
            }
        }
    }

    /// Says that this was all, and returns the answer.
    pub(super) async fn end(mut self) -> Result<Artifact, Status> {
        self.requests = None;
        self.ended().await
    }

    /// The answer of a call that ends without that.
    pub(super) async fn ended(&mut self) -> Result<Artifact, Status> {
        tokio::time::timeout(PATIENCE, &mut self.answer).await.unwrap().unwrap()
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

pub(super) async fn query(client: &mut Client, upload_id: &str) -> QueryDocumentUploadResponse {
    let request = QueryDocumentUploadRequest { upload_id: upload_id.to_owned() };
    client.query_document_upload(request).await.unwrap().into_inner()
}

/// Waits until so many bytes of an upload are stored.
pub(super) async fn until_stored(client: &mut Client, upload_id: &str, offset: usize) {
    let waiting = async {
        while query(client, upload_id).await.committed_offset != offset as i64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

/// The whole content of a document.
pub(super) fn all_of(uid: &str) -> DownloadDocumentRequest {
    DownloadDocumentRequest { uid: uid.to_owned(), ..DownloadDocumentRequest::default() }
}

/// Downloads, and checks that the pieces follow each other.
pub(super) async fn download(
    client: &mut Client,
    request: DownloadDocumentRequest,
) -> Result<(download_document_response::Start, Vec<u8>), Status> {
    let mut next = request.offset;
    let mut answers = client.download_document(request).await?.into_inner();
    let Some(DownloadPayload::Start(start)) = answers.message().await?.and_then(|answer| answer.payload) else {
        unreachable!("the first message is start")
    };
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        let Some(DownloadPayload::Chunk(chunk)) = answer.payload else { unreachable!("{answer:?}") };
        assert_eq!(chunk.offset, next);
        assert!(!chunk.data.is_empty() && chunk.data.len() <= 256 * 1024, "{}", chunk.data.len());
        next += chunk.data.len() as i64;
        all.extend_from_slice(&chunk.data);
    }
    Ok((start, all))
}

/// The content of a document.
pub(super) async fn content_of(client: &mut Client, uid: &str) -> Vec<u8> {
    download(client, all_of(uid)).await.unwrap().1
}

pub(super) async fn artifact(client: &mut Client, uid: &str) -> Artifact {
    let request = GetArtifactRequest { uid: uid.to_owned(), read_mask: None };
    client.get_artifact(request).await.unwrap().into_inner()
}
