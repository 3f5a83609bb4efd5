//! What belongs to no document is removed by the service, and nothing else.

use std::time::Duration;

use orrery_proto::records::v1::{Artifact, DeleteArtifactRequest};
use orrery_proto::r#type::v1::{WriteMode, WriteStart};

use super::{OpenUpload, PATIENCE, client, content_of, of, query, start, until_stored, upload};
use crate::documents::fixture::{Fixture, PART, bytes};
use crate::records::artifacts::ARTIFACTS;
use crate::writes::stream::write;

on_both!(a_forced_delete_removes_the_content_and_no_other, an_abandoned_upload_is_removed_by_any_replica);

/// A short time between two sweeps.
const OFTEN: Duration = Duration::from_millis(50);

/// Waits until only these objects are left.
async fn until_left(fixture: &Fixture, mut expected: Vec<String>) {
    expected.sort();
    let waiting = async {
        while fixture.objects().await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(found.is_ok(), "{:?} are there, not {expected:?}", fixture.objects().await);
}

async fn a_forced_delete_removes_the_content_and_no_other(fixture: Fixture) {
    let server = fixture.serve_with(|config| config.documents.sweep_interval = OFTEN).await;
    let (mut client, content) = (client(&server), bytes(PART + 5, 1));
    let mut made = Vec::new();
    for name in ["one", "two", "three", "four"] {
        made.push(upload(&mut client, name, &content).await);
    }
    let [one, two, three, four] = made.try_into().unwrap();
    let key = |artifact: &Artifact| of(artifact).bearer_key.clone();
    // An archived document keeps its content.
    let archive = DeleteArtifactRequest { uid: four.uid.clone(), ..DeleteArtifactRequest::default() };
    client.delete_artifact(archive.clone()).await.unwrap();
    let delete = DeleteArtifactRequest { uid: one.uid.clone(), force: true, ..DeleteArtifactRequest::default() };
    client.delete_artifact(delete).await.unwrap();
    until_left(&fixture, vec![key(&two), key(&three), key(&four)]).await;
    let start = WriteStart { mode: WriteMode::Delete.into(), ..WriteStart::default() };
    let rows = [&two, &three].map(|artifact| Artifact { uid: artifact.uid.clone(), ..Artifact::default() });
    write(server.channel(), ARTIFACTS, start, &rows).await.1.unwrap();
    until_left(&fixture, vec![key(&four)]).await;
    assert!(content_of(&mut client, &four.uid).await == content);
}

async fn an_abandoned_upload_is_removed_by_any_replica(fixture: Fixture) {
    let (server, content) = (fixture.serve().await, bytes(2 * PART, 1));
    let mut client = client(&server);
    let kept = upload(&mut client, "kept", &content).await;
    for name in ["old", "young"] {
        let upload = OpenUpload::begin(&client, start(name, &content)).await;
        upload.send(&content, 0..PART + 10).await;
        until_stored(&mut client, name, PART).await;
    }
    // One that is complete, but whose document was never stored.
    let refused = Artifact { catalog_uid: "mdc_none".to_owned(), ..super::document("a") };
    let refused = orrery_proto::records::v1::upload_document_request::Start {
        target: Some(orrery_proto::records::v1::upload_document_request::start::Target::Artifact(refused)),
        ..start("refused", &content)
    };
    super::upload_from(&mut client, refused, &content, 0).await.unwrap_err();
    let before = fixture.objects().await;
    let of_young: String = sqlx::query_scalar("select object_key from records.upload where upload_id = 'young'")
        .fetch_one(&mut fixture.connect().await)
        .await
        .unwrap();
    // As if they had begun a day ago.
    let age = "update records.upload set expire_ts = now() - interval '1 second' where upload_id <> 'young'";
    sqlx::query(age).execute(&mut fixture.connect().await).await.unwrap();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(fixture.serve_with(|config| config.documents.sweep_interval = OFTEN).await);
    }
    let waiting = async {
        while fixture.objects().await.len() != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert!(before.len() >= 4, "{before:?}");
    assert_eq!(
        (query(&mut client, "old").await.committed_offset, query(&mut client, "refused").await.complete),
        (0, false)
    );
    assert_eq!(query(&mut client, "young").await.committed_offset, PART as i64);
    assert!(content_of(&mut client, &kept.uid).await == content);
    // The young one goes on.
    let made = super::upload_from(&mut client, start("young", &content), &content, PART).await.unwrap();
    assert_eq!(of(&made).bearer_key, of_young);
    assert!(content_of(&mut client, &made.uid).await == content);
}
