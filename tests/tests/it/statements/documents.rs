//! The statements of the document storage, as a recorder between it and Postgres sees them.

use orrery_kit::db::TransactionEnd;
use orrery_kit::error::Error;
use orrery_records::storage::{AwsEnvironment, Documents};
use tonic::Status;

use super::calls::Recorder;
use crate::documents::fixture::{PART, begin, bytes, config, data_layer, soon};

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
            Documents::release(transaction, &key).await?;
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
