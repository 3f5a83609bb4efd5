//! Compressed requests, and compressed responses for clients that accept them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use orrery_kit::compression::Encodings;
use orrery_proto::catalog::v1::write_products_request::{Chunk, Payload};
use orrery_proto::catalog::v1::{
    GetProductRequest, ListProductsRequest, ListProductsResponse, Product, StreamProductsRequest,
    StreamProductsResponse, WriteProductsRequest,
};
use orrery_proto::r#type::v1::{WriteResponse, WriteStart};
use prost::Message;
use tonic::Code;

use crate::harness::http2::{Exchange, Http2, framed};
use crate::harness::{CatalogProcess, CatalogServer, Role, TestDatabase, product, refusal, seed, uid};

const GET: &str = "/orrery.catalog.v1.CatalogService/GetProduct";
const LIST: &str = "/orrery.catalog.v1.CatalogService/ListProducts";
const STREAM: &str = "/orrery.catalog.v1.CatalogService/StreamProducts";
const WRITE: &str = "/orrery.catalog.v1.CatalogService/WriteProducts";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const ENCODING: &str = "grpc-encoding";
const ACCEPT: &str = "grpc-accept-encoding";

type Compress = fn(&[u8]) -> Vec<u8>;

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

fn deflate(message: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// A zstd frame with the message in one uncompressed block: magic number, descriptor (single segment, a size of four
/// bytes), size, block.
fn zstd(message: &[u8]) -> Vec<u8> {
    let size = u32::try_from(message.len()).unwrap();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend_from_slice(&size.to_le_bytes());
    frame.extend_from_slice(&(size << 3 | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(message);
    frame
}

fn get(number: usize) -> Vec<u8> {
    GetProductRequest { uid: uid(number), read_mask: None }.encode_to_vec()
}

fn gunzip(message: &[u8]) -> Bytes {
    let mut out = Vec::new();
    MultiGzDecoder::new(message).read_to_end(&mut out).unwrap();
    out.into()
}

/// The messages of a response, and how many were compressed with gzip.
fn read<M: Message + Default>(exchange: &Exchange) -> (Vec<M>, usize) {
    assert_eq!(exchange.status().map(|status| status.code()), Some(Code::Ok), "{exchange:?}");
    let compressed = exchange.messages.iter().filter(|(compressed, _)| *compressed).count();
    let plain = |(compressed, bytes): &(bool, Bytes)| if *compressed { gunzip(bytes) } else { bytes.clone() };
    (exchange.messages.iter().map(|message| M::decode(plain(message)).unwrap()).collect(), compressed)
}

async fn server(change: impl FnOnce(&mut orrery_kit::config::ServiceConfig)) -> (TestDatabase, CatalogServer, Http2) {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, 100).await;
    let server = CatalogServer::start_with(&database, change).await;
    let connection = Http2::connect(server.address()).await;
    (database, server, connection)
}

#[tokio::test]
async fn requests_may_be_compressed_in_each_way() {
    let (database, server, connection) = server(|_| ()).await;
    for (encoding, compress) in [("gzip", gzip as Compress), ("deflate", deflate), ("zstd", zstd)] {
        let exchange = connection.call(GET, &[(ENCODING, encoding)], framed(true, &compress(&get(7)))).await.unwrap();
        let (products, compressed) = read::<Product>(&exchange);
        assert_eq!((products[0].uid.clone(), compressed), (uid(7), 0), "{encoding}");
        // Each message has its own flag.
        let exchange = connection.call(GET, &[(ENCODING, encoding)], framed(false, &get(8))).await.unwrap();
        assert_eq!(read::<Product>(&exchange).0[0].uid, uid(8));

        let rows = |offset: usize| {
            let products = (offset..offset + 50).map(|at| product(&format!("prd_{encoding}_{at:03}"))).collect();
            let payload = Some(Payload::Chunk(Chunk { offset: offset as i64, products }));
            WriteProductsRequest { payload }.encode_to_vec()
        };
        let start = WriteProductsRequest { payload: Some(Payload::Start(WriteStart::default())) }.encode_to_vec();
        let body =
            [framed(true, &compress(&start)), framed(true, &compress(&rows(0))), framed(false, &rows(50))].concat();
        let exchange = connection.call(WRITE, &[(ENCODING, encoding)], body.into()).await.unwrap();
        let (answers, _) = read::<WriteResponse>(&exchange);
        assert_eq!(answers.iter().map(|answer| answer.created).sum::<i64>(), 100, "{encoding}");

        let exchange = connection.call(HEALTH, &[(ENCODING, encoding)], framed(true, &compress(b""))).await.unwrap();
        assert_eq!(exchange.status().unwrap().code(), Code::Ok, "{encoding}");
    }
    let exchange = connection.call(GET, &[(ENCODING, "identity")], framed(false, &get(7))).await.unwrap();
    assert_eq!(read::<Product>(&exchange).0[0].uid, uid(7));
    drop((server, database));
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_refused_with_a_reason() {
    let (_database, _server, connection) = server(|_| ()).await;
    for path in [GET, WRITE, HEALTH] {
        for encoding in ["br", "snappy", "GZIP", "gzip,zstd"] {
            let exchange = connection.call(path, &[(ENCODING, encoding)], framed(true, b"any")).await.unwrap();
            let status = exchange.status().unwrap();
            let told = refusal(&status);
            assert_eq!((told.code, told.reason.as_str()), (Code::Unimplemented, "ENCODING_UNKNOWN"), "{status:?}");
            assert_eq!(exchange.metadata(ACCEPT), "identity,gzip,deflate,zstd");
        }
        for (metadata, body) in [
            (&[(ENCODING, "gzip")][..], framed(true, b"this is not gzip")),
            (&[(ENCODING, "zstd")], framed(true, &gzip(&get(1)))),
            (&[(ENCODING, "gzip")], framed(true, &gzip(&get(1))).slice(..20)),
            (&[(ENCODING, "gzip")], framed(true, b"")),
            // Compressed without an encoding in the headers.
            (&[], framed(true, &gzip(&get(1)))),
            (&[(ENCODING, "identity")], framed(true, &gzip(&get(1)))),
        ] {
            let exchange = connection.call(path, metadata, body).await.unwrap();
            let status = exchange.status().unwrap();
            let told = refusal(&status);
            assert_eq!((told.code, told.reason.as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"), "{status:?}");
        }
    }
}

#[tokio::test]
async fn a_bomb_costs_no_more_than_the_largest_message() {
    const LIMIT: usize = 16 << 20;
    let database = TestDatabase::create().await;
    let server = CatalogProcess::spawn(&database).await;
    let connection = Http2::connect(server.address()).await;
    let before = server.peak_memory();
    // Concatenated gzip members are one message: 16 GiB in less than the largest message.
    let member = gzip(&vec![0; 64 << 20]);
    let bomb = member.repeat(256);
    assert!((8 << 20..LIMIT).contains(&bomb.len()), "{}", bomb.len());
    for path in [GET, WRITE] {
        let exchange = connection.call(path, &[(ENCODING, "gzip")], framed(true, &bomb)).await.unwrap();
        let status = exchange.status().unwrap();
        assert_eq!(refusal(&status).reason, "MESSAGE_MALFORMED", "{status:?}");
        assert!(status.message().contains("larger than 16MiB"), "{status:?}");
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 6 * LIMIT as u64, "{} MiB", grown >> 20);
    // A message within the limit is accepted, whatever its compressed size.
    let fits = GetProductRequest { uid: format!("prd_{}", "0".repeat(500_000)), read_mask: None }.encode_to_vec();
    let exchange = connection.call(GET, &[(ENCODING, "gzip")], framed(true, &gzip(&fits))).await.unwrap();
    assert_eq!(refusal(&exchange.status().unwrap()).reason, "FIELD_INVALID");
}

#[tokio::test]
async fn answers_are_compressed_where_both_sides_ask_for_it() {
    let (_database, _server, off) = server(|_| ()).await;
    let (_database, _server, on) =
        server(|config| config.server.compress_responses = Encodings::parse("gzip").unwrap()).await;
    let stream = framed(false, &StreamProductsRequest { page_size: 20, ..Default::default() }.encode_to_vec());
    let accepts = [(ACCEPT, "identity, deflate, gzip")];
    for (connection, metadata, compressed) in [
        (&off, &accepts[..], false),
        (&on, &[], false),
        (&on, &[(ACCEPT, "identity,zstd")], false),
        (&on, &accepts, true),
    ] {
        let exchange = connection.call(STREAM, metadata, stream.clone()).await.unwrap();
        let (pages, count) = read::<StreamProductsResponse>(&exchange);
        assert_eq!(pages.iter().map(|page| page.products.len()).sum::<usize>(), 100);
        assert_eq!(count, if compressed { 5 } else { 0 }, "{metadata:?}");
        assert_eq!(exchange.metadata(ENCODING), if compressed { "gzip" } else { "" });
        // A message that compression would not make smaller is sent uncompressed, and an error has no message.
        let exchange = connection.call(GET, metadata, framed(false, &get(1))).await.unwrap();
        assert_eq!(read::<Product>(&exchange).1, 0);
        let exchange = connection.call(GET, metadata, framed(false, &get(999))).await.unwrap();
        assert_eq!(refusal(&exchange.status().unwrap()).reason, "RESOURCE_NOT_FOUND");
        assert_eq!(exchange.metadata(ENCODING), "");
    }
}

#[tokio::test]
async fn a_cached_answer_is_compressed_for_those_alone_who_accept_it() {
    let (_database, _server, connection) = server(|config| {
        config.cache.cache_bytes = 16 << 20;
        config.server.compress_responses = Encodings::parse("gzip").unwrap();
    })
    .await;
    let list = ListProductsRequest { page_size: 100, ..Default::default() }.encode_to_vec();
    let mut lists = Vec::new();
    // There is one cached response, whoever was first and however the request was compressed.
    for (nth, (accept, compress)) in
        [(true, true), (false, false), (true, false), (false, true)].into_iter().enumerate()
    {
        let mut metadata = vec![("cache-control", "max-age=600")];
        metadata.extend(accept.then_some((ACCEPT, "gzip")));
        metadata.extend(compress.then_some((ENCODING, "gzip")));
        let body = if compress { framed(true, &gzip(&list)) } else { framed(false, &list) };
        let exchange = connection.call(LIST, &metadata, body).await.unwrap();
        let (mut read, compressed) = read::<ListProductsResponse>(&exchange);
        assert_eq!(exchange.metadata("x-cache"), if nth == 0 { "miss" } else { "hit" });
        assert_eq!((compressed, exchange.metadata(ENCODING)), if accept { (1, "gzip") } else { (0, "") });
        lists.append(&mut read);
    }
    assert_eq!(lists[0].products.len(), 100);
    assert!(lists.iter().all(|list| *list == lists[0]));
}
