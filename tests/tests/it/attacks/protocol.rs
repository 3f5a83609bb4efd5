//! Requests that are not gRPC calls.

use bytes::Bytes;
use orrery_proto::catalog::v1::GetProductRequest;
use prost::Message as _;
use tonic::Code;

use super::{CHECK, CREATE, GET, LIST, MIB, Target};
use crate::harness::http2::{Http2, framed};
use crate::harness::{refusal, uid};

#[tokio::test]
async fn another_protocol_is_answered_by_http() {
    let target = Target::start(&[]).await;
    let connection = Http2::connect(target.address()).await;
    let one = framed(false, &GetProductRequest { uid: uid(1), read_mask: None }.encode_to_vec());
    for content_type in ["application/json", "application/grpc-web", "text/plain", "application/grpc+json"] {
        for path in [GET, CHECK, "/no.Such/Method"] {
            let exchange = connection.call_as(content_type, path, one.clone()).await.unwrap();
            assert_eq!((exchange.http_status.as_u16(), exchange.messages.len()), (415, 0), "{content_type} {path}");
        }
    }
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let exchange = connection.call_as(content_type, GET, one.clone()).await.unwrap();
        assert_eq!(exchange.status().map(|status| status.code()), Some(Code::Ok), "{content_type}");
    }
    target.end("requests that are no calls", 30 * MIB).await;
}

#[tokio::test]
async fn one_message_is_one_message() {
    let target = Target::start(&[]).await;
    let connection = Http2::connect(target.address()).await;
    let get = framed(false, &GetProductRequest { uid: uid(1), read_mask: None }.encode_to_vec());
    let twice = |message: &Bytes| Bytes::from([&message[..], &message[..]].concat());
    let empty = framed(false, b"");
    for (path, message) in [(GET, &get), (LIST, &empty), (CREATE, &empty), (CHECK, &empty)] {
        for (case, body) in
            [("two", twice(message)), ("a second one cut short", twice(message).slice(..message.len() + 3))]
        {
            let exchange = connection.call(path, &[], body).await.unwrap();
            let status = exchange.status().unwrap();
            let told = refusal(&status);
            let expected = (Code::InvalidArgument, "MESSAGE_MALFORMED");
            assert_eq!((told.code, told.reason.as_str()), expected, "{path}, {case}: {status:?}");
            assert!(status.message().contains("more than one message"), "{status:?}");
        }
        let exchange = connection.call(path, &[], Bytes::new()).await.unwrap();
        assert!(exchange.status().unwrap().message().contains("no message"), "{path}");
    }
    target.end("requests that are no calls", 30 * MIB).await;
}
