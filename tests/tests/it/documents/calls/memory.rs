//! How much memory the service needs for 100 MiB on their way up and down.

use bytes::Bytes;
use futures::StreamExt as _;
use orrery_proto::records::v1::download_document_response::Payload as DownloadPayload;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::upload_document_request::{Chunk, Payload, Start};
use orrery_proto::records::v1::{UploadDocumentRequest, artifact};
use orrery_records::storage::ContentHash;
use tonic::transport::Endpoint;

use super::{all_of, start, started};
use crate::documents::fixture::{Fixture, Place, bytes};
use crate::harness::RecordsProcess;

const MIB: usize = 1024 * 1024;
const SIZE: usize = 100 * MIB;
/// The most memory that the service may ever have had.
const LIMIT: u64 = 64 * MIB as u64;
/// The same, while four callers do it at once: each has a part of 5 MiB in memory.
const LIMIT_OF_FOUR: u64 = 96 * MIB as u64;

async fn measure(fixture: Fixture, callers: usize, limit: u64) {
    let arguments = match &fixture.place {
        Place::Folder(_) => vec![format!("--documents={}", fixture.path().display())],
        // Not the proxy of the tests, which holds whole answers in memory.
        Place::Bucket { name, proxy } => {
            vec![format!("--documents=s3://{name}/shop/all"), format!("--documents-endpoint=http://{}", proxy.server())]
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "only-for-tests")];
    let process = RecordsProcess::spawn_with(&fixture.database, &arguments, &credentials).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", process.address())).unwrap();
    let piece = Bytes::from(bytes(MIB, 1));
    let hash = ContentHash::of_pieces(std::iter::repeat_n(&*piece, SIZE / MIB)).to_string();
    let transfers = (0..callers).map(|number| {
        let (endpoint, piece, hash) = (endpoint.clone(), piece.clone(), hash.clone());
        tokio::spawn(async move {
            let mut client = RecordsServiceClient::new(endpoint.connect().await.unwrap());
            let start = Start { content_hash: hash, ..start(&format!("upload-{number}"), b"") };
            let sent = piece.clone();
            let chunks = futures::stream::iter(0..SIZE / MIB).map(move |nth| UploadDocumentRequest {
                payload: Some(Payload::Chunk(Chunk { offset: (nth * MIB) as i64, data: sent.clone() })),
            });
            let messages = futures::stream::iter([started(start)]).chain(chunks);
            let made = client.upload_document(messages).await.unwrap().into_inner();
            let Some(artifact::Payload::Document(document)) = &made.payload else { unreachable!() };
            assert_eq!(document.size_bytes, SIZE as i64);
            let mut answers = client.download_document(all_of(&made.uid)).await.unwrap().into_inner();
            let mut read = 0;
            while let Some(answer) = answers.message().await.unwrap() {
                if let Some(DownloadPayload::Chunk(chunk)) = answer.payload {
                    let at = read % MIB;
                    let same = chunk.data.iter().zip(piece[at..].iter().chain(piece.iter())).all(|(a, b)| a == b);
                    assert!(same, "the bytes after {read} differ");
                    read += chunk.data.len();
                }
            }
            assert_eq!(read, SIZE);
        })
    });
    for transfer in futures::future::join_all(transfers).await {
        transfer.unwrap();
    }
    let peak = process.peak_memory();
    println!("{callers} at once: at most {} MiB", peak / MIB as u64);
    assert!(peak < limit, "{} MiB", peak / MIB as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_needs_little_memory_in_a_folder() {
    measure(Fixture::folder().await, 1, LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_large_documents_at_once_need_little_memory() {
    measure(Fixture::folder().await, 4, LIMIT_OF_FOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_needs_little_memory_in_a_bucket() {
    if let Some(fixture) = Fixture::bucket().await {
        measure(fixture, 1, LIMIT).await;
    }
}
