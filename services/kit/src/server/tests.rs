#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;

use super::odd_service::{Process, read_to_end};
use super::*;

const SOON: Duration = Duration::from_secs(5);
/// The timeout of a drain in tests that reach it.
const BOUND: Duration = Duration::from_millis(300);

async fn health(process: &Process) -> HealthClient<tonic::transport::Channel> {
    HealthClient::new(process.channel().await)
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn next(watch: &mut tonic::Streaming<HealthCheckResponse>) -> ServingStatus {
    timeout(SOON, watch.message()).await.unwrap().unwrap().unwrap().status()
}

/// Drains and says how long that took.
async fn drain(process: Process) -> Duration {
    let begun = Instant::now();
    process.shutdown.cancel();
    timeout(SOON, process.task).await.unwrap().unwrap().unwrap();
    begun.elapsed()
}

#[tokio::test]
async fn health_follows_the_database_both_ways() {
    let process = Process::start().await;
    let mut client = health(&process).await;
    let mut watch = client.watch(of("")).await.unwrap().into_inner();
    while next(&mut watch).await != ServingStatus::Serving {}
    for (answers, status) in [(false, ServingStatus::NotServing), (true, ServingStatus::Serving)] {
        process.database.store(answers, Ordering::SeqCst);
        assert_eq!(next(&mut watch).await, status);
        for name in ["", "orrery.catalog.v1.CatalogService", "test.Odd"] {
            while client.check(of(name)).await.unwrap().into_inner().status() != status {}
        }
    }
    let unknown = client.check(of("no.Such")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.get_details_error_info().unwrap().reason, "RESOURCE_NOT_FOUND");
    drain(process).await;
}

#[tokio::test]
async fn a_drain_tells_whoever_watches_first_and_does_not_wait_for_them() {
    let process = Process::start().await;
    let mut watch = health(&process).await.watch(of("")).await.unwrap().into_inner();
    while next(&mut watch).await != ServingStatus::Serving {}
    let reader = tokio::spawn(async move {
        let reported = next(&mut watch).await;
        (reported, watch.message().await.unwrap_err())
    });
    assert!(drain(process).await < Duration::from_secs(2));
    let (reported, status) = reader.await.unwrap();
    assert_eq!(reported, ServingStatus::NotServing);
    assert_draining(&status);
}

fn assert_draining(status: &tonic::Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("DRAINING", "orrery"));
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
}

#[tokio::test]
async fn a_call_that_listens_ends_a_drain_in_its_own_words() {
    let process = Process::start().await;
    let mut messages = process.call("Polite").await.unwrap();
    assert!(messages.message().await.unwrap().is_some());
    let reader = tokio::spawn(read_to_end(Ok(messages)));
    assert!(drain(process).await < Duration::from_secs(2));
    let (_, status) = reader.await.unwrap();
    assert_eq!(status.code(), Code::Ok);
}

#[tokio::test]
async fn a_call_that_does_not_listen_is_ended_at_the_bound() {
    for method in ["Endless", "Hang"] {
        let process = Process::with_drain_timeout(BOUND).await;
        let channel = process.channel().await;
        let path = format!("/test.Odd/{method}");
        let reader = tokio::spawn(async move { read_to_end(odd_service::call(channel, &path, "").await).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let took = drain(process).await;
        assert!(took >= BOUND && took < BOUND + CLOSING + Duration::from_secs(2), "{method}: {took:?}");
        let (_, status) = timeout(SOON, reader).await.unwrap().unwrap();
        assert_draining(&status);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_the_process() {
    let process = Process::with_drain_timeout(BOUND).await;
    let unread = process.call("Flood").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(drain(process).await < BOUND + CLOSING + Duration::from_secs(2));
    drop(unread);
}

#[tokio::test]
async fn a_draining_process_takes_no_connections() {
    let process = Process::start().await;
    let mut messages = process.call("Polite").await.unwrap();
    let address = process.address;
    tokio::net::TcpStream::connect(address).await.unwrap();
    drain(process).await;
    tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert!(messages.message().await.unwrap().is_some());
}

/// A proxy to `address` for one connection. The server's end stays open when the server has closed its half, as behind
/// a proxy that still writes.
async fn kept_open(address: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.split();
        let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut from_server, mut to_server) = server.split();
        let both = async {
            tokio::join!(
                tokio::io::copy(&mut from_server, &mut to_client),
                tokio::io::copy(&mut from_client, &mut to_server)
            )
        };
        let _ = both.await;
        std::future::pending::<()>().await;
    });
    here
}

#[tokio::test]
async fn a_drain_gives_peers_time_to_close() {
    // Calls that end by themselves, and calls that are ended at the bound.
    for (method, drain_timeout, least) in [("Polite", SOON, Duration::ZERO), ("Endless", BOUND, BOUND)] {
        let process = Process::with_drain_timeout(drain_timeout).await;
        let way = kept_open(process.address).await;
        let channel = Endpoint::from_shared(format!("http://{way}")).unwrap().connect().await.unwrap();
        let mut messages = odd_service::call(channel, &format!("/test.Odd/{method}"), "").await.unwrap();
        assert!(messages.message().await.unwrap().is_some());
        let reader = tokio::spawn(read_to_end(Ok(messages)));
        let took = drain(process).await;
        assert!(took >= least + linger::LINGER, "{method}: {took:?}");
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn reflection_lists_and_describes_in_both_versions() {
    let process = Process::start().await;
    // A name that no descriptor explains is not listed.
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "orrery.catalog.v1.CatalogService",
    ];
    macro_rules! check {
        ($version:ident) => {{
            use pb::server_reflection_request::MessageRequest;
            use pb::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version as pb;
            let mut client = pb::server_reflection_client::ServerReflectionClient::new(process.channel().await);
            let mut questions = vec![MessageRequest::ListServices(String::new())];
            questions.extend(expected.map(|name| MessageRequest::FileContainingSymbol(name.to_owned())));
            let requests = questions
                .into_iter()
                .map(|question| pb::ServerReflectionRequest { host: String::new(), message_request: Some(question) });
            let requests: Vec<_> = requests.collect();
            let answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
            let answers: Vec<_> = answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;
            let MessageResponse::ListServicesResponse(list) = &answers[0] else { panic!("{:?}", answers[0]) };
            let mut names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, expected);
            assert_eq!(answers.len(), 1 + expected.len());
            for answer in &answers[1..] {
                assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
            }
        }};
    }
    check!(v1);
    check!(v1alpha);
    drain(process).await;
}

#[tokio::test]
async fn reflection_gives_options_as_compiled_and_goes_on_after_what_is_unknown() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Question;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Answer;
    use tonic_reflection::pb::v1::{ExtensionRequest, ServerReflectionRequest};

    let process = Process::start().await;
    let extension = |number| {
        let containing_type = "google.protobuf.FieldOptions".to_owned();
        Question::FileContainingExtension(ExtensionRequest { containing_type, extension_number: number })
    };
    let questions = [
        Question::FileContainingSymbol("orrery.catalog.v1.Nothing".to_owned()),
        Question::FileByFilename("nothing.proto".to_owned()),
        extension(7),
        Question::AllExtensionNumbersOfType("nothing.Nothing".to_owned()),
        Question::FileContainingSymbol("orrery.catalog.v1.Product.name".to_owned()),
        Question::FileContainingSymbol("orrery.type.v1.WRITE_MODE_UPSERT".to_owned()),
        extension(1159),
        Question::AllExtensionNumbersOfType("google.protobuf.FieldOptions".to_owned()),
        Question::AllExtensionNumbersOfType("google.protobuf.FileOptions".to_owned()),
    ];
    let requests =
        questions.map(|question| ServerReflectionRequest { host: String::new(), message_request: Some(question) });
    let mut client = ServerReflectionClient::new(process.channel().await);
    let answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().message_response.unwrap()).collect().await;
    let file = |answer: &Answer| match answer {
        Answer::FileDescriptorResponse(files) => files.file_descriptor_proto.concat(),
        other => panic!("{other:?}"),
    };
    for unknown in &answers[..4] {
        let Answer::ErrorResponse(error) = unknown else { panic!("{unknown:?}") };
        assert_eq!(error.error_code, i32::from(tonic::Code::NotFound), "{error:?}");
    }
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    // A pattern stands in no descriptor but as an option.
    assert!(holds(&file(&answers[4]), "^([a-z0-9]"), "the rules of fields are served");
    assert!(holds(&file(&answers[5]), "orrery/type/v1/write.proto"));
    assert!(holds(&file(&answers[6]), "buf/validate/validate.proto"));
    let Answer::AllExtensionNumbersResponse(numbers) = &answers[7] else { panic!("{:?}", answers[7]) };
    assert_eq!(numbers.extension_number, [1159]);
    let Answer::AllExtensionNumbersResponse(numbers) = &answers[8] else { panic!("{:?}", answers[8]) };
    assert!(numbers.extension_number.is_empty());
    drain(process).await;
}

#[tokio::test]
async fn a_listener_that_other_machines_reach_is_refused_unless_said_aloud() {
    let mut config = ServiceConfig::for_database("postgres://nobody@localhost/nothing").unwrap();
    for insecure in [false, true] {
        config.listen.insecure = insecure;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let served =
            serve(&config, &Metrics::default(), listener, Services::default(), &[], Probe::asking(|| true), shutdown)
                .await;
        match served {
            Ok(()) => assert!(insecure),
            Err(refused) => assert!(!insecure && refused.to_string().contains("--insecure"), "{refused}"),
        }
    }
}
