//! A bucket behind a network and a server that fail: now and then, or for good.

use std::time::Duration;

use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_records::storage::{ContentHash, NewUpload};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::fixture::{Fixture, PART, begin, bytes, read, soon};
use crate::harness::s3::S3Server;
use crate::harness::s3_proxy::Fault;

/// The faults of a request after which it is tried again.
const PASSING: [Fault; 5] = [Fault::Answer(500), Fault::Answer(503), Fault::Answer(429), Fault::Cut, Fault::CutAnswer];

/// The sizes of the parts that reached the proxy, with their numbers, each once.
fn parts(fixture: &Fixture) -> Vec<(String, usize)> {
    let requests = fixture.proxy().take_requests().into_iter();
    let mut parts: Vec<_> = requests.map(|request| (request.kind, request.bytes)).collect();
    parts.retain(|(kind, _)| kind.starts_with("PUT part"));
    parts.dedup();
    parts
}

#[tokio::test]
async fn any_request_of_an_upload_may_fail_now_and_then() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(2 * PART + 100, 1);
    let expected: Vec<_> = [("PUT part 1", PART), ("PUT part 2", PART), ("PUT part 3", 100)]
        .map(|(kind, size)| (kind.to_owned(), size))
        .into();
    for (name, fault) in PASSING.iter().enumerate() {
        for kind in ["POST begin", "PUT part 1", "PUT part 2", "PUT part 3", "POST complete"] {
            fixture.proxy().fail(kind, *fault, 2);
        }
        let stored = fixture.store(&name.to_string(), &all).await;
        assert_eq!((fixture.proxy().pending(), parts(&fixture)), (0, expected.clone()), "{fault:?}");
        assert!(read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap() == all, "{fault:?}");
        assert_eq!(fixture.rows().await, (0, 0));
    }
}

#[tokio::test]
async fn small_content_and_removals_are_tried_again_too() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let documents = fixture.open();
    for (name, fault) in PASSING.iter().enumerate() {
        fixture.proxy().fail("PUT", *fault, 1);
        let stored = fixture.store(&name.to_string(), &bytes(100, 1)).await;
        fixture.proxy().fail("DELETE", *fault, 1);
        documents.remove(&stored.key, soon()).await;
        assert_eq!(fixture.proxy().pending(), 0, "{fault:?}");
        assert_eq!(fixture.objects().await, Vec::<String>::new(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_download_goes_on_where_the_connection_broke() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(2 * PART + 100, 1);
    let stored = fixture.store("upload", &all).await;
    for fault in [Fault::CutBody(0), Fault::CutBody(100_000), Fault::CutBody(PART), Fault::Cut, Fault::Answer(500)] {
        fixture.proxy().take_requests();
        fixture.proxy().fail("GET", fault, 2);
        let read = read(&fixture.open(), &stored, 0..stored.bytes).await.unwrap();
        assert!(read == all, "{fault:?}");
        assert_eq!((fixture.proxy().pending(), fixture.proxy().take_requests().len()), (0, 3), "{fault:?}");
    }
}

#[tokio::test]
async fn a_download_that_outlasts_the_time_of_retries_goes_on_too() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(2 * PART + 100, 1);
    let stored = fixture.store("upload", &all).await;
    // As if the first request had begun long ago.
    let documents = fixture.open_with(|config| config.retry_time = Duration::ZERO);
    fixture.proxy().fail("GET", Fault::CutBody(PART), 2);
    assert!(read(&documents, &stored, 0..stored.bytes).await.unwrap() == all);
    assert_eq!(fixture.proxy().pending(), 0);
    // Not for ever, if nothing comes.
    fixture.proxy().fail("GET", Fault::CutBody(0), 100);
    let refused = read(&documents, &stored, 0..stored.bytes).await.unwrap_err();
    assert!(matches!(refused, Error::DependencyUnavailable { .. }), "{refused:?}");
    assert!(fixture.proxy().pending() > 90);
}

#[tokio::test]
async fn an_answer_that_stalls_is_asked_for_again() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(PART + 100, 1);
    let stored = fixture.store("upload", &all).await;
    fixture.proxy().take_requests();
    fixture.proxy().fail("GET", Fault::HangBody(100_000), 1);
    let documents = fixture.open_with(|config| config.timeout = Duration::from_secs(3));
    assert!(read(&documents, &stored, 0..stored.bytes).await.unwrap() == all);
    assert_eq!((fixture.proxy().pending(), fixture.proxy().take_requests().len()), (0, 2));
}

#[tokio::test]
async fn a_request_that_is_not_answered_is_tried_again() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let (all, documents) = (bytes(PART + 100, 1), fixture.open_with(|config| config.timeout = Duration::from_secs(3)));
    for kind in ["POST begin", "PUT part 1", "PUT part 2", "POST complete", "GET"] {
        fixture.proxy().fail(kind, Fault::Hang, 1);
    }
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    upload.write(0, &all).await.unwrap();
    let stored = upload.finish().await.unwrap();
    assert!(read(&documents, &stored, 0..stored.bytes).await.unwrap() == all);
    assert_eq!(fixture.proxy().pending(), 0);
}

#[tokio::test]
async fn the_deadline_of_the_caller_bounds_all_tries() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let (all, documents) = (bytes(PART, 1), fixture.open());
    let new = |name: &str| NewUpload { upload_id: name.to_owned(), content_hash: ContentHash::of(&all) };
    for (name, fault) in [("slow", Fault::Hang), ("failing", Fault::Answer(500))] {
        fixture.proxy().fail("PUT part 1", fault, usize::MAX / 2);
        let mut upload = documents.upload(new(name), Deadline::after(Duration::from_secs(5))).await.unwrap();
        let refused = upload.write(0, &all).await.unwrap_err();
        assert!(matches!(refused, Error::DeadlineExceeded), "{fault:?}: {refused:?}");
        fixture.proxy().heal();
        // It goes on.
        let mut upload = begin(&documents, name, &all).await.unwrap();
        upload.write(0, &all).await.unwrap();
        fixture.adopt(&upload.finish().await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn storage_that_fails_for_good_is_unavailable_and_its_address_is_not_told() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let documents = fixture.open_with(|config| config.retry_time = Duration::from_millis(200));
    let all = bytes(PART, 1);
    for (name, fault) in [Fault::Answer(500), Fault::Answer(403), Fault::Answer(400), Fault::Cut].iter().enumerate() {
        fixture.proxy().fail("PUT part 1", *fault, usize::MAX / 8);
        let mut upload = begin(&documents, &name.to_string(), &all).await.unwrap();
        let status = Status::from(upload.write(0, &all).await.unwrap_err());
        assert_eq!(status.code(), Code::Unavailable, "{fault:?}: {status:?}");
        assert_eq!(status.message(), "the document storage service is unavailable");
        assert_eq!(status.get_details_error_info().unwrap().reason, "DEPENDENCY_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some());
        fixture.proxy().heal();
        // The bytes before the part are still wanted, and nothing else.
        assert_eq!(upload.position(), 0);
        upload.write(0, &all).await.unwrap();
        upload.finish().await.unwrap();
    }
}

#[tokio::test]
async fn an_object_that_was_completed_without_anybody_noticing_is_found() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(PART + 100, 1);
    let documents = fixture.open_with(|config| config.retry_time = Duration::ZERO);
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    upload.write(0, &all).await.unwrap();
    // The server has done it; nobody hears.
    fixture.proxy().fail("POST complete", Fault::CutAnswer, usize::MAX / 8);
    let refused = upload.finish().await.unwrap_err();
    assert!(matches!(refused, Error::DependencyUnavailable { .. }), "{refused:?}");
    fixture.proxy().heal();
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    assert_eq!((upload.position(), upload.is_complete()), (PART as u64, false));
    upload.write(PART as u64, &all[PART..]).await.unwrap();
    let stored = upload.finish().await.unwrap();
    fixture.adopt(&stored).await.unwrap();
    assert!(read(&documents, &stored, 0..stored.bytes).await.unwrap() == all);
}

#[tokio::test]
async fn parts_that_the_storage_dropped_are_asked_for_again() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let (all, documents) = (bytes(2 * PART + 100, 1), fixture.open());
    for (name, sent) in [("within a part", 2 * PART), ("at the end", 2 * PART + 100)] {
        let mut upload = begin(&documents, name, &all).await.unwrap();
        upload.write(0, &all[..PART]).await.unwrap();
        // As a rule of the bucket does with unfinished objects that are old.
        abort_all(&fixture).await;
        let mut end = upload.write(PART as u64, &all[PART..sent]).await;
        if end.is_ok() {
            end = upload.finish().await.map(drop);
        }
        let gap = end.unwrap_err();
        assert!(matches!(gap, Error::OffsetGap { expected: 0 }), "{name}: {gap:?}");
        let mut upload = begin(&documents, name, &all).await.unwrap();
        assert_eq!(upload.position(), 0);
        upload.write(0, &all).await.unwrap();
        fixture.adopt(&upload.finish().await.unwrap()).await.unwrap();
    }
}

/// Aborts all unfinished objects of the bucket.
async fn abort_all(fixture: &Fixture) {
    let server = S3Server::shared().await;
    let rows: Vec<(String, String)> =
        sqlx::query_as("select object_key, multipart_id from records.upload where multipart_id is not null")
            .fetch_all(&mut fixture.connect().await)
            .await
            .unwrap();
    assert!(!rows.is_empty());
    for (key, id) in rows {
        server.abort(fixture.name(), &format!("shop/all/{key}"), &id).await;
    }
}

#[tokio::test]
async fn a_part_that_an_older_stream_stores_late_is_noticed() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let (all, documents) = (bytes(PART + 100, 1), fixture.open());
    let mut upload = begin(&documents, "upload", &all).await.unwrap();
    upload.write(0, &all).await.unwrap();
    let (key, id): (String, String) = sqlx::query_as("select object_key, multipart_id from records.upload")
        .fetch_one(&mut fixture.connect().await)
        .await
        .unwrap();
    let part = format!("shop/all/{key}?partNumber=1&uploadId={id}");
    S3Server::shared().await.put(fixture.name(), &part, "not what was hashed").await;
    let gap = upload.finish().await.unwrap_err();
    assert!(matches!(gap, Error::OffsetGap { expected: 0 }), "{gap:?}");
    assert_eq!(begin(&documents, "upload", &all).await.unwrap().position(), 0);
}

#[tokio::test]
async fn an_upload_waits_for_memory_and_one_that_sends_nothing_gives_it_back() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let documents = fixture.open_with(|config| {
        config.parts_in_memory = 1;
        config.timeout = Duration::from_millis(500);
        config.retry_time = Duration::from_secs(60);
    });
    let all = bytes(100, 1);
    let mut silent = begin(&documents, "silent", &all).await.unwrap();
    let mut other = begin(&documents, "other", &all).await.unwrap();
    let (sender, pieces) = tokio::sync::mpsc::channel(1);
    sender.send(Ok(bytes::Bytes::from_static(b"a"))).await.unwrap();
    let pieces = tokio_stream::wrappers::ReceiverStream::new(pieces);
    let silence = tokio::spawn(async move { silent.write_all(0, pieces).await });
    // There is room again when the piece has been taken.
    drop(sender.reserve().await.unwrap());
    // It waits until the other one has given up.
    other.write(0, &all).await.unwrap();
    let refused = silence.await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::DeadlineExceeded), "{refused:?}");
    drop(sender);
    // Nobody waits for ever.
    let hurried = fixture.open_with(|config| {
        config.parts_in_memory = 1;
        config.retry_time = Duration::from_millis(100);
    });
    let mut holder = begin(&hurried, "holder", &all).await.unwrap();
    holder.write(0, &all[..1]).await.unwrap();
    let mut late = begin(&hurried, "late", &all).await.unwrap();
    let refused = late.write(0, &all).await.unwrap_err();
    assert!(matches!(refused, Error::Overloaded), "{refused:?}");
    drop(holder);
    late.write(0, &all).await.unwrap();
}
