//! The limit on request metadata, and other calls on a connection with a request above it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use orrery_proto::catalog::v1::{CheckProductsRequest, CheckProductsResponse, GetProductRequest};
use prost::Message as _;
use tonic::{Code, Status};

use crate::harness::http2::{Exchange, Http2, framed};
use crate::harness::{CatalogServer, Role, TestDatabase, refusal, seed, uid};

const GET: &str = "/orrery.catalog.v1.CatalogService/GetProduct";
const CHECK: &str = "/orrery.catalog.v1.CatalogService/CheckProducts";
const STREAM: &str = "/orrery.catalog.v1.CatalogService/StreamProducts";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const KIB: usize = 1024;

fn one() -> bytes::Bytes {
    framed(false, &GetProductRequest { uid: uid(1), read_mask: None }.encode_to_vec())
}

async fn with_metadata(connection: &Http2, path: &str, bytes: usize) -> Result<Exchange, h2::Error> {
    // In many pairs, like cookies, and in one, like a token.
    let (half, piece) = ("x".repeat(bytes / 2), "x".repeat(bytes / 32));
    let mut metadata = vec![("authorization", half.as_str())];
    metadata.extend(std::iter::repeat_n(("x-note", piece.as_str()), 16));
    connection.call(path, &metadata, if path == GET { one() } else { framed(false, b"") }).await
}

fn code(exchange: &Exchange) -> Code {
    exchange.status().unwrap().code()
}

/// A stream that must be answered completely, so that its connection was never closed.
async fn check_on(connection: &Http2) -> impl Future<Output = ()> + use<> {
    let open = connection.open(CHECK, &[]).await.unwrap();
    async move {
        let request = CheckProductsRequest { uids: vec![uid(1), "prd_none".to_owned()] };
        let exchange = open.end(framed(false, &request.encode_to_vec())).await.unwrap();
        assert_eq!(exchange.status().map(|status| status.code()), Some(Code::Ok), "{exchange:?}");
        let answer = CheckProductsResponse::decode(exchange.messages[0].1.clone()).unwrap();
        assert_eq!(answer.missing_uids, ["prd_none"]);
    }
}

fn assert_too_large(status: &Status, limit: &str) {
    let told = refusal(status);
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "METADATA_TOO_LARGE"), "{status:?}");
    assert!(status.message().contains(&format!("the limit is {limit}")), "{status:?}");
}

#[tokio::test]
async fn what_is_too_much_is_refused_with_a_reason_and_harms_no_other_call() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let server = CatalogServer::start(&database).await;
    let connection = Http2::connect(server.address()).await;
    let checked = check_on(&connection).await;
    for kib in [1, 15, 16, 17, 32, 60] {
        assert_eq!(code(&with_metadata(&connection, GET, kib * KIB).await.unwrap()), Code::Ok, "{kib} KiB");
        assert_eq!(code(&with_metadata(&connection, STREAM, kib * KIB).await.unwrap()), Code::Ok, "{kib} KiB");
    }
    // Up to HTTP/2's limit the response follows the contract.
    for kib in [64, 65, 128, 256, 1_000, 4_000] {
        for path in [GET, CHECK, STREAM, HEALTH] {
            let exchange = with_metadata(&connection, path, kib * KIB).await.unwrap();
            assert_too_large(&exchange.status().unwrap(), "64KiB");
        }
    }
    // A path is metadata too, and a long one is not returned completely.
    let long = connection.call(&format!("/{}", "p".repeat(60 * KIB)), &[], one()).await.unwrap();
    let status = long.status().unwrap();
    assert_eq!((status.code(), refusal(&status).reason.as_str()), (Code::Unimplemented, "METHOD_UNKNOWN"));
    assert!(status.message().len() < KIB, "{}", status.message().len());
    // Above that HTTP/2 itself responds, and the connection stays open.
    for kib in [4_200, 4_800] {
        let exchange = with_metadata(&connection, GET, kib * KIB).await.unwrap();
        assert_eq!((exchange.http_status.as_u16(), exchange.status().is_none()), (431, true), "{kib} KiB");
    }
    assert_eq!(code(&with_metadata(&connection, GET, KIB).await.unwrap()), Code::Ok);
    checked.await;
    // Far above that the connection is closed; a new one works normally.
    let checked = tokio::spawn(check_on(&Http2::connect(server.address()).await).await);
    with_metadata(&connection, GET, 8 * KIB * KIB).await.unwrap_err();
    assert_eq!(code(&with_metadata(&Http2::connect(server.address()).await, GET, KIB).await.unwrap()), Code::Ok);
    checked.await.unwrap();
}

#[tokio::test]
async fn the_limit_is_a_setting() {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 10).await;
    let server = CatalogServer::start_with(&database, |config| config.server.max_metadata_bytes = 8 * KIB).await;
    let connection = Http2::connect(server.address()).await;
    assert_eq!(code(&with_metadata(&connection, GET, 7 * KIB).await.unwrap()), Code::Ok);
    for kib in [8, 100] {
        let exchange = with_metadata(&connection, GET, kib * KIB).await.unwrap();
        assert_too_large(&exchange.status().unwrap(), "8KiB");
    }
    let exchange = with_metadata(&connection, GET, 540 * KIB).await.unwrap();
    assert_eq!((exchange.http_status.as_u16(), exchange.status().is_none()), (431, true));
}
