//! What comes down is what went up, or an error that says why not.

use orrery_proto::records::v1::{CreateArtifactRequest, DownloadDocumentRequest};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{all_of, client, content_of, document, download, of, start_for, upload, upload_from};
use crate::documents::fixture::{Fixture, PART, bytes};
use crate::harness::{assert_invalid, refusal};
use crate::writes::stream::assert_status;

on_both!(ranges_come_as_asked_for, content_that_is_lost_is_said_to_be_lost);

async fn ranges_come_as_asked_for(fixture: Fixture) {
    let (server, content) = (fixture.serve().await, bytes(PART + 1_000, 1));
    let mut client = client(&server);
    let made = upload(&mut client, "upload", &content).await;
    let end = content.len();
    let range = |offset: usize, length: usize| DownloadDocumentRequest {
        offset: offset as i64,
        length: length as i64,
        content_hash: of(&made).content_hash.clone(),
        ..all_of(&made.uid)
    };
    for (offset, length, to) in [
        (0, 0, end),
        (0, 1, 1),
        (1, 2, 3),
        (PART - 1, 2, PART + 1),
        (end - 1, 0, end),
        (end - 1, 100, end),
        (7, i64::MAX as usize, end),
        (end, 0, end),
    ] {
        let (start, part) = download(&mut client, range(offset, length)).await.unwrap();
        assert!(part == content[offset..to], "{offset}, {length}");
        assert_eq!((start.size_bytes, &start.content_hash), (end as i64, &made.content_hash));
        assert_eq!((start.title.as_str(), start.media_type.as_str()), ("upload", "text/plain"));
    }
    assert_invalid(download(&mut client, range(end + 1, 0)).await, "FIELD_INVALID", "offset");
}

async fn content_that_is_lost_is_said_to_be_lost(fixture: Fixture) {
    let server = fixture.serve().await;
    let mut client = client(&server);
    for size in [0, 100, PART + 5] {
        let made = upload(&mut client, &format!("upload-{size}"), &bytes(size, 1)).await;
        fixture.lose(&of(&made).bearer_key).await;
        let lost = download(&mut client, all_of(&made.uid)).await.unwrap_err();
        assert_status(&lost, Code::DataLoss, "CONTENT_LOST");
        let info = lost.get_details_resource_info().unwrap();
        assert_eq!((info.resource_type.as_str(), info.resource_name), ("orrery.records.v1.Artifact", made.uid.clone()));
        // The same if another program has overwritten it, or the row names what is no object of the service's.
        let made = upload(&mut client, &format!("overwritten-{size}"), &bytes(size, 1)).await;
        fixture.overwrite(&of(&made).bearer_key, "something else").await;
        assert_status(&download(&mut client, all_of(&made.uid)).await.unwrap_err(), Code::DataLoss, "CONTENT_LOST");
    }
    let foreign = "update records.macrodata_artifact set body = body || '{\"bearer_key\": \"../../etc/passwd\"}'
                    where uid = (select max(uid) from records.macrodata_artifact) returning uid";
    let uid: String = sqlx::query_scalar(foreign).fetch_one(&mut fixture.connect().await).await.unwrap();
    assert_status(&download(&mut client, all_of(&uid)).await.unwrap_err(), Code::DataLoss, "CONTENT_LOST");
}

#[tokio::test]
async fn what_has_no_content_has_nothing_to_download() {
    let fixture = Fixture::folder().await;
    let server = fixture.serve().await;
    let mut client = client(&server);
    let request = CreateArtifactRequest { artifact: Some(document("empty")), ..CreateArtifactRequest::default() };
    let made = client.create_artifact(request).await.unwrap().into_inner().artifact.unwrap();
    let resource = |status: &tonic::Status| {
        assert_eq!(refusal(status).code, Code::NotFound, "{status:?}");
        let info = status.get_details_resource_info().unwrap();
        (info.resource_type, info.resource_name)
    };
    let nothing = download(&mut client, all_of(&made.uid)).await.unwrap_err();
    assert_eq!(resource(&nothing), ("orrery.records.v1.Document".to_owned(), made.uid.clone()));
    let nothing = download(&mut client, all_of("mda_none")).await.unwrap_err();
    assert_eq!(resource(&nothing), ("orrery.records.v1.Artifact".to_owned(), "mda_none".to_owned()));
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_field() {
    let fixture = Fixture::folder().await;
    let server = fixture.serve().await;
    let mut client = client(&server);
    let made = upload(&mut client, "upload", b"content").await;
    for (request, field) in [
        (all_of(""), "uid"),
        (all_of("a\0"), "uid"),
        (DownloadDocumentRequest { offset: -1, ..all_of(&made.uid) }, "offset"),
        (DownloadDocumentRequest { offset: 8, ..all_of(&made.uid) }, "offset"),
        (DownloadDocumentRequest { length: -1, ..all_of(&made.uid) }, "length"),
        (DownloadDocumentRequest { content_hash: "x".to_owned(), ..all_of(&made.uid) }, "content_hash"),
    ] {
        assert_invalid(download(&mut client, request).await, "FIELD_INVALID", field);
    }
    let other = DownloadDocumentRequest { content_hash: "ab".repeat(32), ..all_of(&made.uid) };
    assert_status(&download(&mut client, other).await.unwrap_err(), Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(content_of(&mut client, &made.uid).await, b"content");
}

/// Each content comes whole, although another one replaces it and its object is removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_can_be_read_while_its_content_is_replaced() {
    let fixture = Fixture::folder().await;
    let server = fixture
        .serve_with(|config| {
            config.documents.sweep_interval = std::time::Duration::from_millis(4);
        })
        .await;
    let mut reader = client(&server);
    let content = |number: usize| bytes(1_000 + number, number as u64);
    let made = upload(&mut reader, "upload", &content(0)).await;
    let (uid, mut writer) = (made.uid.clone(), reader.clone());
    let replacing = tokio::spawn(async move {
        for number in 1..40 {
            let content = content(number);
            let start = start_for(&uid, &format!("upload-{number}"), &content);
            upload_from(&mut writer, start, &content, 0).await.unwrap();
        }
    });
    while !replacing.is_finished() {
        let (start, all) = download(&mut reader, all_of(&made.uid)).await.unwrap();
        assert!(all == content(start.size_bytes as usize - 1_000));
    }
    replacing.await.unwrap();
    assert!(content_of(&mut reader, &made.uid).await == content(39));
}
