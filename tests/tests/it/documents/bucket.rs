//! What is special about buckets: the requests, as the server sees them.

use std::time::Duration;

use futures::TryStreamExt as _;
use orrery_records::storage::{AwsEnvironment, Documents};
use orrery_tests_needs::{self as needs, Need};

use super::fixture::{Fixture, PART, begin, bytes, config, content, data_layer, pieces, read, soon};
use crate::harness::TestDatabase;
use crate::harness::s3::{S3Server, environment};
use crate::harness::s3_proxy::S3Request;

/// The kinds and body sizes of requests.
fn kinds(requests: &[S3Request]) -> Vec<(&str, usize)> {
    requests.iter().map(|request| (request.kind.as_str(), request.bytes)).collect()
}

#[tokio::test]
async fn all_parts_have_one_size_but_the_last_whatever_the_pieces_and_breaks() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(3 * PART + 1_234, 1);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write_all(0, pieces(&all[..PART + 999], 77_777)).await.unwrap();
    drop(upload);
    let mut upload = begin(&fixture.open(), "upload", &all).await.unwrap();
    upload.write_all(PART as u64, pieces(&all[PART..], PART + 333)).await.unwrap();
    let stored = upload.finish().await.unwrap();
    let requests = fixture.proxy().take_requests();
    let complete = requests.last().map_or(0, |request| request.bytes);
    assert_eq!(
        kinds(&requests),
        [
            ("POST begin", 0),
            ("PUT part 1", PART),
            ("PUT part 2", PART),
            ("PUT part 3", PART),
            ("PUT part 4", 1_234),
            ("POST complete", complete),
        ]
    );
    let path = format!("/{}/shop/all/{}", fixture.name(), stored.key);
    assert!(requests.iter().all(|request| request.path == path), "{requests:?}");
}

#[tokio::test]
async fn content_of_whole_parts_has_no_other_part() {
    let Some(fixture) = Fixture::bucket().await else { return };
    fixture.store("upload", &bytes(2 * PART, 1)).await;
    let requests = fixture.proxy().take_requests();
    let parts: Vec<_> = kinds(&requests).into_iter().filter(|(kind, _)| kind.starts_with("PUT")).collect();
    assert_eq!(parts, [("PUT part 1", PART), ("PUT part 2", PART)]);
}

#[tokio::test]
async fn small_content_is_one_request_and_a_range_is_one_too() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let stored = fixture.store("upload", &bytes(PART - 1, 1)).await;
    assert_eq!(kinds(&fixture.proxy().take_requests()), [("PUT", PART - 1)]);
    read(&fixture.open(), &stored, 1_000..4_000_000).await.unwrap();
    assert_eq!(kinds(&fixture.proxy().take_requests()), [("GET", 0)]);
}

#[tokio::test]
async fn a_reader_who_waits_is_waited_for() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let all = bytes(2 * PART, 1);
    let stored = fixture.store("upload", &all).await;
    fixture.proxy().take_requests();
    // The reader takes one piece, and the rest later than the storage may pause.
    let documents = fixture.open_with(|config| config.timeout = Duration::from_millis(500));
    let mut stream = documents.read(content(&stored), 0..all.len() as u64, soon()).await.unwrap();
    let mut got = stream.try_next().await.unwrap().unwrap().to_vec();
    tokio::time::sleep(Duration::from_secs(1)).await;
    while let Some(piece) = stream.try_next().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert!(got == all);
}

#[tokio::test]
async fn https_is_spoken_with_the_certificates_of_a_bundle() {
    if !needs::met(&[Need::Moto]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, certificate) = S3Server::with_tls(&folder).await;
    let database = TestDatabase::create().await;
    let open = |environment: AwsEnvironment| {
        let mut config = config(&[
            "--documents=s3://documents-of-tls".to_owned(),
            format!("--documents-endpoint=https://{}", server.address()),
        ]);
        config.retry_time = Duration::ZERO;
        Documents::open(&config, &environment, data_layer(&database)).unwrap()
    };
    let trusting = open(environment(&[("AWS_CA_BUNDLE", &certificate)]));
    let all = bytes(100, 1);
    let upload = async |documents: &Documents, name: &str| {
        let mut upload = begin(documents, name, &all).await.unwrap();
        upload.write(0, &all).await.unwrap();
        upload.finish().await
    };
    // The server answers: it has no such bucket.
    let refused = upload(&trusting, "one").await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("NoSuchBucket"), "{cause}");
    // It is not trusted without the bundle.
    let refused = upload(&open(environment(&[])), "two").await.unwrap_err();
    let cause = format!("{:?}", std::error::Error::source(&refused).unwrap());
    assert!(cause.contains("UnknownIssuer"), "{cause}");
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_no_lost_content() {
    let Some(fixture) = Fixture::bucket().await else { return };
    let stored = fixture.store("upload", &bytes(100, 1)).await;
    let mut config = fixture.config();
    config.location = "s3://no-such-bucket".parse().unwrap();
    let documents = Documents::open(&config, &environment(&[]), fixture.data_layer()).unwrap();
    let refused = read(&documents, &stored, 0..100).await.unwrap_err();
    assert!(matches!(refused, orrery_kit::error::Error::DependencyUnavailable { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_bucket_without_credentials_is_refused_at_once() {
    let database = TestDatabase::create().await;
    let config = config(&["--documents=s3://shop".to_owned()]);
    let refused = Documents::open(&config, &AwsEnvironment::default(), data_layer(&database)).unwrap_err();
    assert!(refused.problem.contains("AWS_ACCESS_KEY_ID"), "{refused}");
    for (variable, value, named) in [
        ("AWS_ENDPOINT_URL_S3", "http://me:hush@s3", "AWS_ENDPOINT_URL_S3"),
        ("AWS_CA_BUNDLE", "/nowhere/hush.pem", "AWS_CA_BUNDLE"),
    ] {
        let refused = Documents::open(&config, &environment(&[(variable, value)]), data_layer(&database)).unwrap_err();
        assert!(refused.problem.contains(named) && !refused.problem.contains("me:hush"), "{refused}");
    }
}
