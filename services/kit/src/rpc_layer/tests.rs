#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use http::HeaderMap;
use http_body::Body as _;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::config::Configuration as _;
use crate::server::odd_service::{OddService, Process, call, read_to_end};
use crate::telemetry::lines::Lines;

const SOON: Duration = Duration::from_secs(5);

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "orrery");
    info.reason
}

fn layer(drain: Drain) -> RpcLayer {
    let config = ServiceConfig::for_database("postgres://nobody@localhost/nothing").unwrap();
    let metrics = Metrics::default();
    RpcLayer::new(drain, Admission::new(&config, &metrics), &config, &metrics)
}

/// One call through the layer, without a network.
async fn through(drain: &Drain, path: &str, headers: &[(&'static str, &str)]) -> (usize, HeaderMap) {
    let mut request = Request::post(path).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(http_body_util::Full::new(Bytes::from_static(&[0; 5])))).unwrap();
    let service = layer(drain.clone()).layer(Routes::new(OddService::new().0));
    let response = service.oneshot(request).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let mut frames = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.unwrap().into_trailers() {
            Ok(trailers) => return (frames, trailers),
            Err(_) => frames += 1,
        }
    }
    (frames, parts.headers)
}

#[tokio::test]
async fn an_unknown_method_has_a_reason() {
    let process = Process::start().await;
    for path in ["/test.Odd/Unknown", "/no.Such/Method", "/x"] {
        let (_, status) = read_to_end(call(process.channel().await, path, "").await).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "METHOD_UNKNOWN"));
        assert!(status.message().contains(path), "{status:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_the_callers_mistake_and_names_the_limit() {
    let process = Process::start().await;
    let large = "x".repeat(5 << 20);
    // Health takes what a question of health needs, and this test's service what tonic takes by itself.
    for (path, limit) in [("/grpc.health.v1.Health/Check", "8KiB"), ("/test.Odd/Upload", "4MiB")] {
        let (_, status) = read_to_end(call(process.channel().await, path, &large).await).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
        assert!(status.message().contains(limit), "{status:?}");
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_never_a_clean_end() {
    let process = Process::start().await;
    for (method, messages) in [("Panic", 0), ("PanicLate", 1)] {
        let (count, status) = read_to_end(process.call(method).await).await;
        assert_eq!((count, status.code(), reason(&status).as_str()), (messages, Code::Internal, "INTERNAL"));
        assert!(!format!("{status:?}").contains("secret"));
    }
    assert_eq!(read_to_end(process.call("Count").await).await.1.code(), Code::Ok);
}

#[tokio::test]
async fn a_call_that_panics_gives_its_place_back() {
    let process = Process::start().await;
    let channel = process.channel().await;
    // More than may be under way at one time.
    for round in 0..100 {
        let method = ["/test.Odd/Panic", "/test.Odd/PanicLate"][round % 2];
        assert_eq!(
            read_to_end(call(channel.clone(), method, "").await).await.1.code(),
            Code::Internal,
            "round {round}"
        );
    }
    assert_eq!(read_to_end(call(channel, "/test.Odd/Count", "").await).await.1.code(), Code::Ok);
}

#[tokio::test]
async fn a_response_without_a_status_is_an_error() {
    let process = Process::start().await;
    let (count, status) = read_to_end(process.call("Truncated").await).await;
    assert_eq!((count, status.code(), reason(&status).as_str()), (1, Code::Internal, "INTERNAL"));
}

#[tokio::test]
async fn a_call_that_is_broken_off_is_an_error_to_its_handler() {
    let mut process = Process::start().await;
    let mut client = tonic::client::Grpc::new(process.channel().await);
    client.ready().await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let path = http::uri::PathAndQuery::from_static("/test.Odd/Upload");
    let codec = orrery_proto::codec::ServerCodec::<String, String>::default();
    let upload =
        tokio::spawn(async move { client.streaming(tonic::Request::new(messages), path, codec).await.is_ok() });
    for _ in 0..3 {
        sender.send("message".to_owned()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    upload.abort();
    let code = timeout(SOON, process.uploads.recv()).await.unwrap().unwrap();
    assert_eq!(code, Code::Aborted);

    read_to_end(process.call("Upload").await).await;
    assert_eq!(timeout(SOON, process.uploads.recv()).await.unwrap().unwrap(), Code::Ok);
}

#[tokio::test]
async fn a_deadline_bounds_the_whole_call() {
    let drain = Drain::default();
    for (method, messages) in [("Hang", 0), ("Endless", 1)] {
        let begun = Instant::now();
        let path = format!("/test.Odd/{method}");
        let answered = through(&drain, &path, &[("grpc-timeout", "100m")]);
        let (count, headers) = timeout(SOON, answered).await.unwrap();
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!((count, status.code()), (messages, Code::DeadlineExceeded));
        assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
}

/// tonic's own timer, outside of the layer, would answer CANCELLED.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadlines_status_is_the_layers_on_the_wire() {
    let process = Process::start().await;
    let connection = tokio::net::TcpStream::connect(process.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(connection).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut calls = Vec::new();
    for _ in 0..50 {
        let request = Request::post(format!("http://{}/test.Odd/Hang", process.address));
        let request =
            request.header("content-type", "application/grpc").header("grpc-timeout", "50m").body(()).unwrap();
        client = client.ready().await.unwrap();
        calls.push(client.send_request(request, false).unwrap());
    }
    for (response, _upload) in calls {
        let response = timeout(SOON, response).await.unwrap().unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    }
    driver.abort();
}

#[tokio::test]
async fn a_draining_process_refuses_new_calls_but_still_says_that_it_is_going() {
    let drain = Drain::default();
    drain.begin();
    let (_, headers) = through(&drain, "/test.Odd/Count", &[]).await;
    let status = Status::from_header_map(&headers).unwrap();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
    assert!(status.get_details_retry_info().is_some());
    // Health is not routed here, so it is the routes that answer.
    let (_, headers) = through(&drain, "/grpc.health.v1.Health/Check", &[]).await;
    assert_eq!(Status::from_header_map(&headers).unwrap().code(), Code::Unimplemented);
}

/// The sentences so far, taken out.
fn sentences(lines: &Lines) -> Vec<serde_json::Value> {
    lines.take().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_call_is_one_sentence_at_its_end() {
    let lines = Lines::default();
    let writer = lines.clone();
    let written = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
    let filter: Targets = "off,orrery::rpc=debug".parse().unwrap();
    let subscriber = tracing_subscriber::registry().with(filter).with(written);
    // This thread's alone; the runtime of this test has no other.
    let _guard = tracing::subscriber::set_default(subscriber);
    // With a single subscriber in the process, tracing asks only the thread that first reaches a place whether it is of
    // interest, and that may be another test's, which has none. With two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let drain = Drain::default();

    for (method, headers, code, level, rows) in [
        ("Count", &[("x-request-id", "r-1")][..], "OK", "DEBUG", 1),
        ("PanicLate", &[], "INTERNAL", "ERROR", 1),
        ("Unknown", &[], "UNIMPLEMENTED", "DEBUG", 0),
        ("Hang", &[("grpc-timeout", "5m")], "DEADLINE_EXCEEDED", "WARN", 0),
    ] {
        through(&drain, &format!("/test.Odd/{method}"), headers).await;
        let logged = sentences(&lines);
        assert_eq!(logged.len(), 1, "{logged:?}");
        let logged = &logged[0];
        assert_eq!(
            (&logged["code"], &logged["level"], &logged["rows"]),
            (&code.into(), &level.into(), &rows.into()),
            "{logged}"
        );
        assert_eq!(logged["span"]["method"], format!("/test.Odd/{method}"));
        assert!(logged["latency_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(logged["span"]["request_id"].as_str(), headers.iter().find(|h| h.0 == "x-request-id").map(|h| h.1));
    }

    // A stream is measured at its end: nothing is logged while it runs, and a caller that leaves has cancelled.
    let request =
        Request::post("/test.Odd/Endless").header("content-type", "application/grpc").body(Body::empty()).unwrap();
    let service = layer(drain).layer(Routes::new(OddService::new().0));
    let mut response = service.oneshot(request).await.unwrap();
    poll_fn(|context| Pin::new(response.body_mut()).poll_frame(context)).await.unwrap().unwrap();
    assert!(sentences(&lines).is_empty());
    drop(response);
    let logged = sentences(&lines);
    assert_eq!(logged.len(), 1);
    assert_eq!((&logged[0]["code"], &logged[0]["rows"]), (&"CANCELLED".into(), &1.into()));
}
