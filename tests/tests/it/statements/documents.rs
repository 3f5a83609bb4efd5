//! The statements of the document storage, as a recorder between it and Postgres sees them.

use orrery_kit::db::TransactionEnd;
use orrery_kit::error::Error;
use orrery_proto::records::v1 as records;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::upload_document_request::Start;
use orrery_proto::records::v1::upload_document_request::start::Target;
use orrery_records::storage::{AwsEnvironment, Documents, DocumentsLocation};
use tonic::Status;

use super::calls::Recorder;
use crate::documents::calls::{messages, start, start_for};
use crate::documents::fixture::{PART, begin, bytes, config, data_layer, soon};
use crate::harness::RecordsServer;
use crate::records::artifacts::{document, named};

const DAY: i64 = 24 * 3_600 * 1_000_000;

#[tokio::test]
async fn the_storage_of_documents_runs_what_is_written_down() {
    let mut recorder = Recorder::new("the document storage").await;
    let folder = tempfile::tempdir().unwrap();
    let database = data_layer(&recorder.database);
    let open = |path: &std::path::Path| {
        let config = config(&[format!("--documents={}", path.display())]);
        Documents::open(&config, &AwsEnvironment::default(), database.clone()).unwrap()
    };
    let (documents, all) = (open(folder.path()), bytes(2 * PART + 10, 1));
    let told = |done: Result<_, Error>| done.map_err(Status::from);

    let mut upload = recorder.call("Begin an upload", async { told(begin(&documents, "a", &all).await) }).await;
    recorder.call("Store the first part", async { upload.write(0, &all[..PART]).await.map_err(Status::from) }).await;
    let second = async { upload.write(PART as u64, &all[PART..]).await.map_err(Status::from) };
    recorder.call("Store another part", second).await;
    drop(upload);
    let mut upload = recorder.call("Continue an upload", async { told(begin(&documents, "a", &all).await) }).await;
    upload.write(2 * PART as u64, &all[2 * PART..]).await.unwrap();
    let finish = async { upload.finish().await.map_err(Status::from) };
    let stored = recorder.call("Finish an upload", finish).await;
    let (adopted, key) = (stored.clone(), stored.key.clone());
    let adopt = database.transaction(soon(), move |transaction| {
        Box::pin(async move {
            adopted.adopt(transaction).await?;
            Ok(TransactionEnd::Commit(()))
        })
    });
    recorder.call("Give the content to a document", async { adopt.await.map_err(Status::from) }).await;

    let mut small = begin(&documents, "b", b"small").await.unwrap();
    small.write(0, b"small").await.unwrap();
    recorder.call("Store small content", async { small.finish().await.map_err(Status::from) }).await;

    let mut upload = begin(&documents, "c", &all).await.unwrap();
    upload.write(0, &all[..PART]).await.unwrap();
    std::fs::remove_dir_all(folder.path().join("uploads")).unwrap();
    recorder
        .call("Store another part after the parts are gone", async {
            match upload.write(PART as u64, &all[PART..]).await {
                Err(Error::OffsetGap { expected: 0 }) => Ok(()),
                end => unreachable!("{end:?}"),
            }
        })
        .await;
    let mut upload = begin(&documents, "c", &all).await.unwrap();
    let again = async { upload.write(0, &all[..PART]).await.map_err(Status::from) };
    recorder.call("Store the first part again", again).await;
    recorder.call("Give an upload up", async { upload.give_up().await.map_err(Status::from) }).await;

    let release = database.transaction(soon(), move |transaction| {
        Box::pin(async move {
            Documents::release(transaction, &[key]).await?;
            Ok(TransactionEnd::Commit(()))
        })
    });
    recorder.call("Release the content of a document", async { release.await.map_err(Status::from) }).await;

    let time = recorder.call("The time of a sweep", async { documents.now(soon()).await.map_err(Status::from) }).await;
    let sweep = async { documents.sweep(time + DAY, soon()).await.map_err(Status::from) };
    recorder.call("Sweep, with expired uploads and objects to remove once more", sweep).await;
    let sweep = async { documents.sweep(time + 2 * DAY, soon()).await.map_err(Status::from) };
    recorder.call("Sweep, with objects that were removed", sweep).await;
    recorder.check_file("records", "documents");
}

#[tokio::test]
async fn calls_about_documents_run_what_is_written_down() {
    let mut recorder = Recorder::new("RecordsService about documents").await;
    let folder = tempfile::tempdir().unwrap();
    let server = RecordsServer::start_with(&recorder.database, |config| {
        config.documents.location = DocumentsLocation::Folder(folder.path().to_owned());
    })
    .await;
    let client = || RecordsServiceClient::new(server.channel());
    let content = bytes(PART + 10, 1);
    let new = || Start { target: Some(Target::Artifact(named("mda_1", document("a")))), ..start("one", &content) };
    let upload = |start: Start| {
        let messages = messages(start, &content, 0);
        async move { client().upload_document(messages).await }
    };
    recorder.call("UploadDocument of a new document", upload(new())).await;
    recorder.call("UploadDocument, repeated", upload(new())).await;
    let other = start_for("mda_1", "two", &content);
    recorder.call("UploadDocument of a stored document", upload(other)).await;
    let query = records::QueryDocumentUploadRequest { upload_id: "two".to_owned() };
    recorder.call("QueryDocumentUpload of what is done", client().query_document_upload(query)).await;
    let query = records::QueryDocumentUploadRequest { upload_id: "three".to_owned() };
    recorder.call("QueryDocumentUpload", client().query_document_upload(query)).await;
    let download = records::DownloadDocumentRequest { uid: "mda_1".to_owned(), ..Default::default() };
    recorder.stream("DownloadDocument", client().download_document(download)).await;
    let delete = records::DeleteArtifactRequest { uid: "mda_1".to_owned(), force: true, ..Default::default() };
    recorder.call("DeleteArtifact with force", client().delete_artifact(delete)).await;
    recorder.check_file("records", "document_calls");
}
