//! A storage that is slow or fails, deadlines, and a drain.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use orrery_proto::records::v1::UploadDocumentRequest;
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    OpenUpload, all_of, chunk, client, content_of, download, messages, of, query, start, start_for, started,
    until_stored, upload, upload_from,
};
use crate::documents::fixture::{Fixture, PART, bytes};
use crate::harness::s3_proxy::Fault;
use crate::harness::timed::TimedClient;
use crate::writes::stream::assert_status;

/// Enough for what comes before the wait.
const DEADLINE: Duration = Duration::from_secs(3);

fn path(method: &str) -> String {
    format!("/orrery.records.v1.RecordsService/{method}")
}

on_both!(a_drain_ends_streams_and_another_replica_goes_on, a_caller_that_falls_silent_meets_its_deadline);

async fn a_drain_ends_streams_and_another_replica_goes_on(fixture: Fixture) {
    let (server, content) = (fixture.serve().await, bytes(30 * PART + 7, 1));
    let mut first = client(&server);
    let made = upload(&mut first, "whole", &content).await;
    let mut half = OpenUpload::begin(&first, start("half", &content)).await;
    half.send(&content, 0..PART + 100).await;
    until_stored(&mut first, "half", PART).await;
    let mut reading = first.download_document(all_of(&made.uid)).await.unwrap().into_inner();
    for _ in 0..3 {
        reading.message().await.unwrap().unwrap();
    }
    let stopping = tokio::spawn(server.stop());
    assert_status(&half.ended().await.unwrap_err(), Code::Unavailable, "DRAINING");
    let ended = loop {
        match reading.message().await {
            Ok(Some(_)) => {}
            Ok(None) => unreachable!("the stream was not broken off"),
            Err(status) => break status,
        }
    };
    assert_status(&ended, Code::Unavailable, "DRAINING");
    stopping.await.unwrap().unwrap();
    let second = fixture.serve().await;
    let mut second = client(&second);
    let made = upload_from(&mut second, start("half", &content), &content, PART).await.unwrap();
    assert!(content_of(&mut second, &made.uid).await == content);
}

async fn a_caller_that_falls_silent_meets_its_deadline(fixture: Fixture) {
    let (server, content) = (fixture.serve().await, bytes(PART + 10, 1));
    let mut client = client(&server);
    let sent: Vec<Bytes> = [started(start("upload", &content)), chunk(0, &content[..100])]
        .iter()
        .map(|message| message.encode_to_vec().into())
        .collect();
    for messages in [&sent[..0], &sent[..1], &sent] {
        let timed = TimedClient::connect(server.address()).await;
        let ended = timed.call(&path("UploadDocument"), DEADLINE, messages, false).await;
        assert_status(&ended.status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    // It goes on.
    let made = upload(&mut client, "upload", &content).await;
    assert!(content_of(&mut client, &made.uid).await == content);
}

#[tokio::test]
async fn an_upload_that_holds_memory_and_sends_nothing_ends() {
    let fixture = Fixture::folder().await;
    let server = fixture.serve_with(|config| config.documents.timeout = Duration::from_millis(300)).await;
    let (client, content) = (client(&server), bytes(1_000, 1));
    let mut silent = OpenUpload::begin(&client, start("upload", &content)).await;
    silent.send(&content, 0..100).await;
    assert_status(&silent.ended().await.unwrap_err(), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_storage_that_fails_is_unavailable_until_it_heals() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let retry = Duration::from_millis(300);
    let server = fixture.serve_with(|config| config.documents.retry_time = retry).await;
    let (mut client, content) = (client(&server), bytes(2 * PART + 10, 1));
    let unavailable = |status: &tonic::Status| {
        assert_status(status, Code::Unavailable, "DEPENDENCY_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    };
    for (nth, kind) in ["POST begin", "PUT part 2", "PUT part 3", "POST complete"].into_iter().enumerate() {
        let name = format!("upload-{nth}");
        fixture.proxy().fail(kind, Fault::Answer(503), usize::MAX / 2);
        unavailable(&upload_from(&mut client, start(&name, &content), &content, 0).await.unwrap_err());
        fixture.proxy().heal();
        let stored = query(&mut client, &name).await.committed_offset as usize;
        assert_eq!(stored, [0, PART, 2 * PART, 2 * PART][nth], "{kind}");
        let made = upload_from(&mut client, start(&name, &content), &content, stored).await.unwrap();
        fixture.proxy().fail("GET", Fault::Cut, usize::MAX / 2);
        unavailable(&download(&mut client, all_of(&made.uid)).await.unwrap_err());
        fixture.proxy().heal();
        assert!(content_of(&mut client, &made.uid).await == content);
    }
}

#[tokio::test]
async fn a_storage_that_hangs_is_bounded_by_the_deadline() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let (server, content) = (fixture.serve().await, bytes(2 * PART + 10, 1));
    let mut client = client(&server);
    let made = upload(&mut client, "whole", &content).await;
    fixture.proxy().fail("PUT part 2", Fault::Hang, usize::MAX / 2);
    let timed = TimedClient::connect(server.address()).await;
    let sent: Vec<UploadDocumentRequest> = messages(start("slow", &content), &content, 0).collect().await;
    let sent: Vec<Bytes> = sent.iter().map(|message| message.encode_to_vec().into()).collect();
    let ended = timed.call(&path("UploadDocument"), DEADLINE, &sent, true).await;
    assert_status(&ended.status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    fixture.proxy().heal();
    assert_eq!(query(&mut client, "slow").await.committed_offset, PART as i64);
    fixture.proxy().fail("GET", Fault::HangBody(PART), usize::MAX / 2);
    let whole: Bytes = all_of(&made.uid).encode_to_vec().into();
    let ended = timed.call(&path("DownloadDocument"), DEADLINE, &[whole], true).await;
    assert_status(&ended.status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(ended.messages.len() > 2, "{}", ended.messages.len());
    fixture.proxy().heal();
    // The part that hung is sent again.
    let made = upload_from(&mut client, start("slow", &content), &content, PART).await.unwrap();
    assert!(content_of(&mut client, &made.uid).await == content);
}

/// Between the reading of the row and of its object, the document gets other content, and the object is removed.
#[tokio::test]
async fn a_download_that_finds_its_object_replaced_reads_the_new_one() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let server = fixture.serve_with(|config| config.documents.timeout = Duration::from_secs(3)).await;
    let (mut client, old, new) = (client(&server), bytes(1_000, 1), bytes(2_000, 2));
    let made = upload(&mut client, "old", &old).await;
    fixture.proxy().fail("GET", Fault::Hang, 1);
    let mut reader = client.clone();
    let uid = made.uid.clone();
    let reading = tokio::spawn(async move { content_of(&mut reader, &uid).await });
    while fixture.proxy().pending() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    upload_from(&mut client, start_for(&made.uid, "new", &new), &new, 0).await.unwrap();
    fixture.lose(&of(&made).bearer_key).await;
    assert!(reading.await.unwrap() == new);
}
