//! What goes up becomes a document, once, or leaves nothing.

use std::time::Duration;

use orrery_proto::records::v1::upload_document_request::Start;
use orrery_proto::records::v1::upload_document_request::start::Target;
use orrery_proto::records::v1::{
    Artifact, ArtifactFilter, CreateArtifactRequest, DesignAsset, ListArtifactsRequest, QueryDocumentUploadRequest,
    UploadDocumentRequest, artifact::Payload as ArtifactPayload,
};
use orrery_records::storage::ContentHash;
use tonic::Code;

use super::{
    Client, OpenUpload, artifact, chunk, client, content_of, document, of, only_start, query, start, start_for,
    started, until_stored, upload, upload_from,
};
use crate::documents::fixture::{Fixture, PART, bytes};
use crate::harness::{assert_invalid, refusal};
use crate::writes::stream::assert_status;

on_both!(
    a_document_goes_up_and_down,
    a_broken_upload_continues_from_the_offset_that_the_service_tells,
    a_wrong_hash_leaves_nothing,
    an_upload_that_is_done_is_recognised,
    two_uploaders_of_one_upload_do_not_mix,
    a_stored_document_gets_content_and_other_content,
    what_is_stored_stays_if_the_document_is_refused,
);

async fn create(client: &mut Client, artifact: Artifact) -> Artifact {
    let request = CreateArtifactRequest { artifact: Some(artifact), ..CreateArtifactRequest::default() };
    client.create_artifact(request).await.unwrap().into_inner().artifact.unwrap()
}

async fn a_document_goes_up_and_down(fixture: Fixture) {
    let server = fixture.serve().await;
    let mut client = client(&server);
    for (size, seed) in [(0, 1), (1, 2), (PART, 3), (2 * PART + 77_777, 4)] {
        let (content, name) = (bytes(size, seed), format!("size-{size}"));
        let made = upload(&mut client, &name, &content).await;
        let hash = ContentHash::of(&content).to_string();
        let (stored, payload) = (artifact(&mut client, &made.uid).await, of(&made));
        assert_eq!((&stored, made.revision, &made.content_hash), (&made, 1, &hash));
        assert_eq!((payload.title.as_str(), payload.media_type.as_str()), (name.as_str(), "text/plain"));
        assert_eq!((payload.size_bytes, &payload.content_hash), (size as i64, &hash));
        assert!(fixture.objects().await.contains(&payload.bearer_key));
        assert!(content_of(&mut client, &made.uid).await == content, "{size} bytes differ");
        let filter = ArtifactFilter { content_hashes: vec![hash], ..ArtifactFilter::default() };
        let list = ListArtifactsRequest { filter: Some(filter), ..ListArtifactsRequest::default() };
        assert_eq!(client.list_artifacts(list).await.unwrap().into_inner().artifacts, [made]);
    }
    assert_eq!((fixture.rows().await, fixture.objects().await.len()), ((0, 0), 4));
}

async fn a_broken_upload_continues_from_the_offset_that_the_service_tells(fixture: Fixture) {
    let content = bytes(3 * PART + 1_234, 1);
    let first = fixture.serve().await;
    assert_eq!(query(&mut client(&first), "upload").await.committed_offset, 0);
    let broken = OpenUpload::begin(&client(&first), start("upload", &content)).await;
    broken.send(&content, 0..PART + PART / 2).await;
    until_stored(&mut client(&first), "upload", PART).await;
    drop(broken);
    // Another replica goes on.
    let second = fixture.serve().await;
    let mut client = client(&second);
    let told = query(&mut client, "upload").await;
    assert_eq!((told.committed_offset, told.complete, told.uid.as_str()), (PART as i64, false, ""));
    let gap = upload_from(&mut client, start("upload", &content), &content, PART + 1).await.unwrap_err();
    let metadata = assert_status(&gap, Code::OutOfRange, "OFFSET_GAP");
    assert_eq!(metadata["expected_offset"], PART.to_string());
    let made = upload_from(&mut client, start("upload", &content), &content, PART).await.unwrap();
    assert!(content_of(&mut client, &made.uid).await == content);
    assert_eq!((fixture.rows().await, fixture.objects().await), ((0, 0), vec![of(&made).bearer_key.clone()]));
    let told = query(&mut client, "upload").await;
    assert_eq!((told.complete, told.uid), (true, made.uid));
}

async fn a_wrong_hash_leaves_nothing(fixture: Fixture) {
    let server = fixture.serve().await;
    let mut client = client(&server);
    for size in [100, PART, 2 * PART + 5] {
        let content = bytes(size, 1);
        let wrong = start("upload", &bytes(size, 2));
        let refused = upload_from(&mut client, wrong, &content, 0).await;
        assert_invalid(refused, "FIELD_INVALID", "start.content_hash");
        assert_eq!(query(&mut client, "upload").await.committed_offset, 0);
        assert_eq!((fixture.objects().await, fixture.rows().await.0), (Vec::<String>::new(), 0));
    }
    let list = client.list_artifacts(ListArtifactsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.artifacts, []);
    // The name can be used again.
    let content = bytes(100, 1);
    let made = upload(&mut client, "upload", &content).await;
    assert_eq!(content_of(&mut client, &made.uid).await, content);
}

async fn an_upload_that_is_done_is_recognised(fixture: Fixture) {
    let server = fixture.serve().await;
    let (mut client, content) = (client(&server), bytes(PART + 5, 1));
    let made = upload(&mut client, "upload", &content).await;
    assert_eq!(only_start(&mut client, start("upload", &content)).await.unwrap(), made);
    // Also if everything is sent again.
    assert_eq!(upload(&mut client, "upload", &content).await, made);
    let other = only_start(&mut client, start("upload", b"other")).await;
    assert_eq!(refusal(&other.unwrap_err()).code, Code::InvalidArgument);
    let other = only_start(&mut client, start_for(&made.uid, "upload", &content)).await;
    assert_eq!(refusal(&other.unwrap_err()).code, Code::InvalidArgument);
    // The same content under another name is another document with an object of its own.
    let twin = upload(&mut client, "twin", &content).await;
    assert_ne!((&twin.uid, &of(&twin).bearer_key), (&made.uid, &of(&made).bearer_key));
    assert_eq!((fixture.rows().await, fixture.objects().await.len()), ((0, 0), 2));
}

async fn two_uploaders_of_one_upload_do_not_mix(fixture: Fixture) {
    let (server, content) = (fixture.serve().await, bytes(2 * PART + 5, 1));
    let mut client = client(&server);
    let mut older = OpenUpload::begin(&client, start("upload", &content)).await;
    older.send(&content, 0..PART + 100).await;
    until_stored(&mut client, "upload", PART).await;
    let newer = OpenUpload::begin(&client, start("upload", &content)).await;
    newer.send(&content, PART..2 * PART).await;
    until_stored(&mut client, "upload", 2 * PART).await;
    older.send(&content, PART + 100..2 * PART + 5).await;
    assert_status(&older.ended().await.unwrap_err(), Code::Aborted, "WRITE_SESSION_TAKEN_OVER");
    // Neither does one that has another content in mind.
    let other = only_start(&mut client, start("upload", b"other")).await.unwrap_err();
    assert_eq!(refusal(&other).code, Code::InvalidArgument);
    newer.send(&content, 2 * PART..2 * PART + 5).await;
    let made = newer.end().await.unwrap();
    assert!(content_of(&mut client, &made.uid).await == content);
    // Many at once, from the beginning: whoever wins, there is one document with the right content.
    let tries = (0..6).map(|_| {
        let (mut client, content) = (client.clone(), content.clone());
        tokio::spawn(async move { upload_from(&mut client, start("many", &content), &content, 0).await })
    });
    let mut made = Vec::new();
    for ended in futures::future::join_all(tries).await {
        match ended.unwrap() {
            Ok(artifact) => made.push(artifact.uid),
            Err(status) => {
                assert_status(&status, Code::Aborted, "WRITE_SESSION_TAKEN_OVER");
            }
        }
    }
    made.dedup();
    let one = only_start(&mut client, start("many", &content)).await;
    if let Ok(one) = &one {
        made.push(one.uid.clone());
        made.dedup();
    }
    assert!(made.len() <= 1, "{made:?}");
    let last = upload(&mut client, "many", &content).await;
    assert!(made.iter().all(|uid| *uid == last.uid));
    assert!(content_of(&mut client, &last.uid).await == content);
    // One that begins before another one is done, and sends its content afterwards.
    let late = OpenUpload::begin(&client, start("late", &content)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let made = upload(&mut client, "late", &content).await;
    let objects = fixture.objects().await;
    for from in (0..content.len()).step_by(PART) {
        late.send(&content, from..content.len().min(from + PART)).await;
    }
    assert_eq!(late.end().await.unwrap(), made);
    assert_eq!((fixture.rows().await.0, fixture.objects().await), (0, objects));
}

async fn a_stored_document_gets_content_and_other_content(fixture: Fixture) {
    let server = fixture.serve().await;
    let mut client = client(&server);
    let made = create(&mut client, document("mine")).await;
    let more = "update records.macrodata_artifact set body = body || '{\"other\": 7}'";
    sqlx::query(more).execute(&mut fixture.connect().await).await.unwrap();
    let (one, two) = (bytes(PART + 5, 1), bytes(7, 2));
    let first = upload_from(&mut client, start_for(&made.uid, "one", &one), &one, 0).await.unwrap();
    assert_eq!((first.uid.as_str(), first.revision, of(&first).title.as_str()), (made.uid.as_str(), 2, "mine"));
    assert!(content_of(&mut client, &made.uid).await == one);
    // Preconditions.
    let stale = Start { revision: 1, ..start_for(&made.uid, "two", &two) };
    let refused = upload_from(&mut client, stale, &two, 0).await.unwrap_err();
    assert_status(&refused, Code::Aborted, "REVISION_MISMATCH");
    let stale = Start { etag: "none".to_owned(), ..start_for(&made.uid, "two", &two) };
    assert_status(&only_start(&mut client, stale).await.unwrap_err(), Code::Aborted, "ETAG_MISMATCH");
    assert!(content_of(&mut client, &made.uid).await == one);
    // What was sent is still there.
    let right = Start { etag: first.etag.clone(), ..start_for(&made.uid, "two", &two) };
    let second = only_start(&mut client, right).await.unwrap();
    assert_eq!((second.revision, of(&second).size_bytes), (3, 7));
    assert_ne!(second.etag, first.etag);
    assert_eq!(content_of(&mut client, &made.uid).await, two);
    let other: (String,) = sqlx::query_as("select body ->> 'other' from records.macrodata_artifact")
        .fetch_one(&mut fixture.connect().await)
        .await
        .unwrap();
    assert_eq!(other.0, "7");
    // The replaced object is to be removed.
    let removals: (String,) = sqlx::query_as("select object_key from records.object_removal")
        .fetch_one(&mut fixture.connect().await)
        .await
        .unwrap();
    assert_eq!((removals.0, fixture.rows().await), (of(&first).bearer_key.clone(), (0, 1)));
}

async fn what_is_stored_stays_if_the_document_is_refused(fixture: Fixture) {
    let (server, content) = (fixture.serve().await, bytes(PART + 5, 1));
    let mut client = client(&server);
    let taken = create(&mut client, Artifact { identifier: "taken".to_owned(), ..document("a") }).await;
    let new = |artifact: Artifact| Start { target: Some(Target::Artifact(artifact)), ..start("upload", &content) };
    let refused = new(Artifact { identifier: "taken".to_owned(), ..document("b") });
    let refused = upload_from(&mut client, refused, &content, 0).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    let told = query(&mut client, "upload").await;
    assert_eq!((told.committed_offset, told.complete, told.uid.as_str()), (content.len() as i64, true, ""));
    assert_eq!(fixture.rows().await, (1, 0));
    let missing = new(Artifact { catalog_uid: "mdc_none".to_owned(), ..document("b") });
    let refused = only_start(&mut client, missing).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "REFERENCE_MISSING");
    let made = only_start(&mut client, new(Artifact { identifier: "free".to_owned(), ..document("b") })).await.unwrap();
    assert_ne!(made.uid, taken.uid);
    assert!(content_of(&mut client, &made.uid).await == content);
    assert_eq!(fixture.rows().await, (0, 0));
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_field() {
    let fixture = Fixture::folder().await;
    let server = fixture.serve_with(|config| config.documents.max_bytes = 1_000).await;
    let mut client = client(&server);
    let content = bytes(100, 1);
    let good = || start("upload", &content);
    let asset = Artifact {
        payload: Some(ArtifactPayload::DesignAsset(DesignAsset {
            content_hash: ContentHash::of(b"").to_string(),
            ..DesignAsset::default()
        })),
        ..Artifact::default()
    };
    let stored_asset = create(&mut client, asset.clone()).await.uid;
    let with = |artifact: Artifact| Start { target: Some(Target::Artifact(artifact)), ..good() };
    let uid = |uid: &str| Start { target: Some(Target::Uid(uid.to_owned())), ..good() };
    for (start, field) in [
        (Start { upload_id: String::new(), ..good() }, "start.upload_id"),
        (Start { upload_id: "a b".to_owned(), ..good() }, "start.upload_id"),
        (Start { upload_id: "a".repeat(129), ..good() }, "start.upload_id"),
        (Start { content_hash: String::new(), ..good() }, "start.content_hash"),
        (Start { content_hash: "AB".repeat(32), ..good() }, "start.content_hash"),
        (Start { target: None, ..good() }, "start.target"),
        (Start { etag: "x".to_owned(), ..good() }, "start.etag"),
        (Start { etag: "\0".to_owned(), ..uid("mda_1") }, "start.etag"),
        (Start { revision: 1, ..good() }, "start.revision"),
        (Start { revision: -1, ..uid("mda_1") }, "start.revision"),
        (Start { reference_check: 77, ..good() }, "start.reference_check"),
        (Start { read_mask: Some(crate::writes::stream::mask(&["nothing"])), ..good() }, "start.read_mask"),
        (with(Artifact::default()), "start.artifact.payload"),
        (with(asset), "start.artifact.payload"),
        (with(document("")), "start.artifact.document.title"),
        (with(Artifact { uid: "x".to_owned(), ..document("a") }), "start.artifact.uid"),
        (with(Artifact { etag: "x".to_owned(), ..document("a") }), "start.artifact.etag"),
        (uid(""), "start.uid"),
        (uid("a\0"), "start.uid"),
        (uid(&stored_asset), "start.uid"),
    ] {
        let refused = only_start(&mut client, start).await;
        assert_invalid(refused, "FIELD_INVALID", field);
    }
    let missing = only_start(&mut client, uid("mda_none")).await.unwrap_err();
    assert_eq!(refusal(&missing).code, Code::NotFound);
    for (messages, field) in [
        (vec![], "start"),
        (vec![chunk(0, &content)], "start"),
        (vec![UploadDocumentRequest::default()], "start"),
        (vec![started(good()), started(good())], "start"),
        (vec![started(good()), UploadDocumentRequest::default()], "payload"),
        (vec![started(good()), chunk(usize::MAX, &content)], "chunk.offset"),
        (vec![started(good()), chunk(0, &bytes(1024 * 1024 + 1, 1))], "chunk.data"),
        (vec![started(good()), chunk(0, &bytes(1_001, 1))], "chunk.data"),
        // Too little.
        (vec![started(good())], "start.content_hash"),
        (vec![started(good()), chunk(0, &content[..99])], "start.content_hash"),
    ] {
        let refused = client.upload_document(futures::stream::iter(messages)).await;
        assert_invalid(refused, "FIELD_INVALID", field);
    }
    for upload_id in ["", "a b"] {
        let request = QueryDocumentUploadRequest { upload_id: upload_id.to_owned() };
        assert_invalid(client.query_document_upload(request).await, "FIELD_INVALID", "upload_id");
    }
    assert_eq!((fixture.objects().await, fixture.rows().await.0), (Vec::<String>::new(), 0));
    let count: i64 = sqlx::query_scalar("select count(*) from records.macrodata_artifact")
        .fetch_one(&mut fixture.connect().await)
        .await
        .unwrap();
    assert_eq!(count, 1);
}
